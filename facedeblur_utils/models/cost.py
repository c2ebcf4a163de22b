"""What a network costs: trained values, and multiply-adds for an image."""

import torch
from torch import nn


def count_parameters(net: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def multiply_adds(net: nn.Module, size: int) -> int:
    """Multiply-adds of one forward pass of one (3, size, size) image, of convolutions and linear layers.

    A network that takes more than one picture says how many channels these have as `channels`.

    torch's own counter gives the same (tested), but brings Triton along, which takes over a second to load.
    """
    total, was_training, parameter = 0, net.training, next(net.parameters())

    def count(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        # A transposed convolution lays its kernel down at each value coming in, others at each going out.
        places = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += layer.weight.numel() * (places.shape[2:].numel() if places.ndim == 4 else 1)

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    hooks = [layer.register_forward_hook(count) for layer in net.modules() if isinstance(layer, kinds)]
    with torch.no_grad():
        shape = (1, getattr(net, "channels", 3), size, size)
        net.eval()(torch.zeros(shape, device=parameter.device, dtype=parameter.dtype))
    for hook in hooks:
        hook.remove()
    net.train(was_training)
    return total
