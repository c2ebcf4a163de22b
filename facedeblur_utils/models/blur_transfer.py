"""A network that blurs: it reads a blur off one face, as a short code, and lays it on another, sharp one."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CODE = 32  # numbers that say how a picture is blurred
PATCH = 32  # pixels of the squares whose spectra are averaged
FLOOR = 1e-4  # of the power, below which there is rounding alone
SIDE = 31  # pixels of the kernel that a code stands for: enough for pictures of 64 pixels


class BlurTransfer(nn.Module):
    """(N, 6, H, W) in [0, 1], a sharp face and another, blurred, face -> (N, 3, H, W), the first blurred so.

    Its purpose is that of BSDNet (Li and others 2023, the thesis's [109]): blur learnt from pairs instead of
    written down. Blur is the same in all of the pictures that it learns from, so the code is read from the
    mean power spectrum of overlapping patches (Welch's method), in which a blur shows whatever the face; an
    encoder of convolutions, pooled, learnt no more than the mean kernel in the same time. The spectrum does
    not tell a kernel from the same turned by 180 degrees. A kernel follows from the code, and a small
    correction for what no kernel does (light, rounding), scaled and shifted by it.
    """

    channels = 6

    def __init__(self, width: int = 16):
        super().__init__()
        w = width
        hann = torch.hann_window(PATCH, periodic=False)
        self.register_buffer("window", hann[:, None] * hann, persistent=False)
        bins = PATCH * (PATCH // 2 + 1)
        self.encoder = nn.Sequential(
            nn.LayerNorm(bins),
            nn.Linear(bins, 16 * w),
            nn.GELU(),
            nn.Linear(16 * w, 16 * w),
            nn.GELU(),
            nn.Linear(16 * w, CODE),
        )
        self.kernel = nn.Sequential(nn.Linear(CODE, 16 * w), nn.GELU(), nn.Linear(16 * w, SIDE**2))
        self.before = nn.Conv2d(3, 2 * w, 3, padding=1)
        self.film = nn.Linear(CODE, 4 * w)
        self.after = nn.Conv2d(2 * w, 3, 3, padding=1)
        nn.init.zeros_(self.after.weight)
        nn.init.zeros_(self.after.bias)
        at = torch.arange(SIDE) - SIDE // 2
        peak = -(at[:, None] ** 2 + at**2) / 8.0
        self.kernel[-1].bias.data = peak.flatten()

    def code(self, blurred: Tensor) -> Tensor:
        """How `blurred` (N, 3, H, W) is blurred: (N, CODE)."""
        grey = blurred.float().mean(dim=1)
        missing = [max(0, PATCH - side) for side in grey.shape[1:]]
        grey = F.pad(grey, (0, missing[1], 0, missing[0]))
        patches = grey.unfold(1, PATCH, PATCH // 2).unfold(2, PATCH, PATCH // 2)
        patches = (patches - patches.mean(dim=(-2, -1), keepdim=True)) * self.window
        power = torch.fft.rfft2(patches).abs().square().mean(dim=(1, 2))
        return self.encoder((power + FLOOR).log().flatten(1))

    def kernels(self, code: Tensor) -> Tensor:
        """The kernels that the codes stand for: (N, SIDE, SIDE), non-negative, sums of 1."""
        return self.kernel(code).float().softmax(dim=1).view(-1, SIDE, SIDE)

    def blur(self, sharp: Tensor, code: Tensor) -> Tensor:
        """`sharp` (N, 3, H, W) under the blur of `code`; borders are reflected."""
        count, _, height, width = sharp.shape
        wide = F.pad(sharp, 4 * (SIDE // 2,), mode="reflect").float()
        wide = wide.reshape(1, 3 * count, *wide.shape[2:])
        weights = self.kernels(code).repeat_interleave(3, dim=0)[:, None]
        moved = F.conv2d(wide, weights, groups=3 * count).view(count, 3, height, width)
        scale, shift = self.film(code)[..., None, None].chunk(2, dim=1)
        return moved + self.after(F.gelu(self.before(moved) * (1 + scale) + shift)).float()

    def forward(self, pair: Tensor) -> Tensor:
        sharp, blurred = pair.chunk(2, dim=1)
        return self.blur(sharp, self.code(blurred))
