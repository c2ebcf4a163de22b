"""What a network costs: trained values, and multiply-adds for an image."""

import torch
from torch import nn


def count_parameters(net: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def multiply_adds(net: nn.Module, size: int) -> int:
    """Multiply-adds of one forward pass of one (3, size, size) image (convolutions and matrix products)."""
    from torch.utils.flop_counter import FlopCounterMode  # brings Triton along

    was_training = net.training
    parameter = next(net.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype))
    net.train(was_training)
    return counter.get_total_flops() // 2
