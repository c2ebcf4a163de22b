"""Networks: shapes, sizes, parameter counts by hand, and what section 4.4 says about their layers."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from facedeblur_utils.errors import UsageError
from facedeblur_utils.models import networks
from facedeblur_utils.models.cost import count_parameters, multiply_adds
from facedeblur_utils.models.nafnet import Restorer
from facedeblur_utils.models.thesis import (
    Autoencoder,
    Discriminator,
    Generator,
    ResidualBlock,
)


@pytest.mark.parametrize("size", [(32, 32), (48, 32), (37, 45)])
@pytest.mark.parametrize("net", [Autoencoder(4), Generator(4, blocks=2), Generator(4, 1, "instance")])
def test_images_keep_their_size(net, size):
    assert net(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_autoencoder_parameters_by_hand():
    encoder = sum(9 * i * o + o for i, o in ((3, 4), (4, 8), (8, 16), (16, 32)))
    decoder = sum(16 * i * o + o for i, o in ((32, 16), (16, 8), (8, 4), (4, 3)))
    assert count_parameters(Autoencoder(4)) == encoder + decoder


def test_generator_has_nine_blocks_of_two_convolutions():
    w = 4
    blocks = 9 * 2 * (9 * (4 * w) ** 2 + 4 * w)
    ends = 49 * 3 * w + w + 49 * w * 3 + 3
    strided = 9 * (w * 2 * w + 2 * w * 4 * w) + 6 * w
    transposed = 16 * (4 * w * 2 * w + 2 * w * w) + 3 * w
    assert count_parameters(Generator(w)) == ends + strided + blocks + transposed


def test_multiply_adds_by_hand():
    # Each layer: output pixels x kernel x channels in x channels out.
    w, size = 4, 32
    channels = (3, w, 2 * w, 4 * w, 8 * w)
    by_hand = sum((size // 2**n) ** 2 * 9 * channels[n - 1] * channels[n] for n in (1, 2, 3, 4))
    by_hand += (size // 16) ** 2 * 9 * 8 * w
    assert multiply_adds(Discriminator(w), size) == by_hand


@pytest.mark.parametrize(
    "net", [Autoencoder(4), Generator(4), Discriminator(4), Restorer(4), nn.Linear(48, 5)]
)
def test_multiply_adds_agree_with_torch_s_counter(net):
    net = nn.Sequential(nn.Flatten(), net) if isinstance(net, nn.Linear) else net
    size = 4 if isinstance(net, nn.Sequential) else 48
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, 3, size, size))
    assert multiply_adds(net, size) == counter.get_total_flops() // 2 > 0


def test_generator_stays_in_range_and_the_autoencoder_need_not():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32)
    generator = Generator(4, blocks=1)
    with torch.no_grad():
        generator.body[-1].weight.mul_(1000)
    output = generator(image)
    assert output.min() >= 0 and output.max() <= 1
    assert output.max() - output.min() > 0.9
    autoencoder = Autoencoder(4)
    with torch.no_grad():
        autoencoder.decoder[3].bias.fill_(5)
    assert autoencoder(image).max() > 1


@pytest.mark.parametrize(("cut", "source"), [(0, 2), (1, 1)])
def test_each_skip_connection_carries_its_own_map(cut, source):
    """With the decoder's layer `cut` shut, the map of encoder layer `source` comes through its skip alone."""
    torch.manual_seed(0)
    net = Autoencoder(4)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        net.decoder[cut].weight.zero_()
        before = net(image)
        net.encoder[source].bias += 1
        assert not torch.allclose(before, net(image), atol=1e-4)


def test_a_residual_block_adds_to_its_input():
    block = ResidualBlock(4, "none")
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.body[-2].bias.fill_(0.25)
        x = torch.randn(1, 4, 8, 8)
        torch.testing.assert_close(block(x), x + 0.25)


def test_every_layer_of_the_generator_but_the_last_has_its_relu():
    kinds = [type(module) for module in Generator(4).body.modules()]
    # Stem, two strided, two transposed convolutions, and one in each of nine blocks.
    assert kinds.count(nn.ReLU) == 1 + 2 + 2 + 9
    layer = Generator(4, blocks=1).body
    with torch.no_grad():
        layer[0].weight.zero_()
        layer[0].bias.fill_(-1.0)
        assert (layer[2](layer[1](layer[0](torch.rand(1, 3, 8, 8)))) == 0).all()


def test_an_unknown_network_is_one_line_and_no_gan():
    with pytest.raises(UsageError, match="unknown network 'transformer'; known: autoencoder, gan, restorer"):
        networks.build("transformer", 4)
    assert list(networks.build("gan", 4, norm="batch")) == ["generator", "discriminator"]
    assert any(
        isinstance(m, nn.BatchNorm2d) for m in networks.build("gan", 4, norm="batch")["generator"].modules()
    )


def test_discriminator_gives_one_logit_per_image_and_normalises_all_but_the_first_layer():
    net = Discriminator(4)
    assert net(torch.rand(5, 3, 64, 64)).shape == (5,)
    kinds = [type(layer) for layer in net.body]
    assert kinds[:3] == [nn.Conv2d, nn.LeakyReLU, nn.Conv2d]
    assert kinds.count(nn.BatchNorm2d) == 3
    assert all(layer.negative_slope == 0.2 for layer in net.body if isinstance(layer, nn.LeakyReLU))
