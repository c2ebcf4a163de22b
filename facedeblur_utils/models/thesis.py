"""The thesis's two networks: a convolutional autoencoder and a GAN (section 4.4).

All of them take and give `float32` NCHW images in [0, 1]; any image size is padded inside and cropped back.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The thesis gives no kernel sizes. A transposed 4x4 kernel of stride 2 reaches every pixel equally often;
# a 3x3 one would leave a checkerboard (Odena et al. 2016).
HALVE = {"kernel_size": 3, "stride": 2, "padding": 1}
DOUBLE = {"kernel_size": 4, "stride": 2, "padding": 1}
NORMS = {
    "none": lambda channels: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
}


class Autoencoder(nn.Module):
    """Four strided convolutions, four transposed ones, two skip connections, no output activation.

    Section 4.4: ReLU after each convolution of the encoder; the maps of its second and third layers are
    added to those of the same size in the decoder. `width` is the number of filters of the first layer,
    doubled by each further one. (B, 3, H, W) in [0, 1] -> the same shape, not clamped.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        w = width
        self.encoder = nn.ModuleList(
            nn.Conv2d(i, o, **HALVE) for i, o in ((3, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w))
        )
        self.decoder = nn.ModuleList(
            nn.ConvTranspose2d(i, o, **DOUBLE)
            for i, o in ((8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w), (w, 3))
        )

    def forward(self, image: Tensor) -> Tensor:
        x, size = _padded(image, 16)
        maps = []
        for layer in self.encoder:
            x = F.relu(layer(x))
            maps.append(x)
        x = F.relu(self.decoder[0](x)) + maps[2]
        x = F.relu(self.decoder[1](x)) + maps[1]
        x = F.relu(self.decoder[2](x))
        return _cropped(self.decoder[3](x), size)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU between them, added to the input."""

    def __init__(self, channels: int, norm: str):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            NORMS[norm](channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            NORMS[norm](channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Generator(nn.Module):
    """7x7 stem, two strided convolutions, `blocks` residual blocks, two transposed ones, 7x7 output, Tanh.

    Section 4.4 names 9 residual blocks, transposed convolutions, ReLU and a final Tanh; the rest follows
    the generator of Johnson et al. 2016. No normalisation is named, so `norm` is "none" by default
    ("batch" and "instance" are there to try). (B, 3, H, W) in [0, 1] -> the same; the Tanh range [-1, 1]
    stays inside.
    """

    def __init__(self, width: int = 64, blocks: int = 9, norm: str = "none"):
        super().__init__()
        w = width
        self.body = nn.Sequential(
            *_layer(nn.Conv2d(3, w, 7, padding=3, padding_mode="reflect"), norm),
            *_layer(nn.Conv2d(w, 2 * w, **HALVE), norm),
            *_layer(nn.Conv2d(2 * w, 4 * w, **HALVE), norm),
            *(ResidualBlock(4 * w, norm) for _ in range(blocks)),
            *_layer(nn.ConvTranspose2d(4 * w, 2 * w, **DOUBLE), norm),
            *_layer(nn.ConvTranspose2d(2 * w, w, **DOUBLE), norm),
            nn.Conv2d(w, 3, 7, padding=3, padding_mode="reflect"),
        )

    def forward(self, image: Tensor) -> Tensor:
        x, size = _padded(image * 2 - 1, 4)
        # Tanh in fp32: bf16 has too few digits near 1 for an 8-bit image.
        x = torch.tanh(self.body(x).float())
        return _cropped((x + 1) / 2, size)


class Discriminator(nn.Module):
    """Real or deblurred: one logit per image, (B, 3, H, W) in [0, 1] -> (B,).

    Section 4.4: strided convolutions with LeakyReLU, batch normalisation after each but the first. The
    thesis classifies whole images, so the last map of logits is averaged over the image: one decision per
    image (not one per patch as in PatchGAN), at any image size. Logits, because the loss applies the sigmoid.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        layers = [nn.Conv2d(3, width, **HALVE), nn.LeakyReLU(0.2)]
        for i, o in ((width, 2 * width), (2 * width, 4 * width), (4 * width, 8 * width)):
            layers += [nn.Conv2d(i, o, **HALVE), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image * 2 - 1).float().mean(dim=(1, 2, 3))


def _layer(convolution: nn.Module, norm: str) -> list[nn.Module]:
    return [convolution, NORMS[norm](convolution.out_channels), nn.ReLU(inplace=True)]


def _padded(x: Tensor, multiple: int) -> tuple[Tensor, tuple[int, int]]:
    """Repeat the border up to a multiple of the network's stride; also gives the size to crop back to."""
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if bottom or right:
        x = F.pad(x, (0, right, 0, bottom), mode="replicate")
    return x, (height, width)


def _cropped(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x[..., : size[0], : size[1]]
