"""Blur as a linear operator on tensors, with its adjoint: of whole pictures and of parts of them."""

import numpy as np
import scipy.fft
import scipy.ndimage
import torch
from torch import Tensor


class Convolution:
    """Convolution with one kernel per picture by Fourier transform, with its adjoint.

    `kernels` are float32 (B, k, k), k odd; pictures (B, C, H, W) of `shape` (H, W). With `border` 'reflect'
    the picture is mirrored at its edge (dcba|abcd), as `blur.operators.convolve` does it, and keeps its size.
    With 'context' the picture holds what lies around the result, `k // 2` pixels at each side, which then is
    (H - k + 1, W - k + 1): nothing is assumed about what lies further out.
    """

    def __init__(self, kernels: Tensor, shape: tuple[int, int], border: str = "reflect"):
        self.kernels, self.shape, self.border = kernels, tuple(shape), border
        self.reach = kernels.shape[-1] // 2
        grow = 2 * self.reach if border == "reflect" else 0
        self._size = [scipy.fft.next_fast_len(side + grow, real=True) for side in shape]
        # The kernel's centre belongs at the origin; what is left of it wraps around, outside of the result.
        placed = kernels.new_zeros(len(kernels), 1, *self._size)
        placed[..., : kernels.shape[-2], : kernels.shape[-1]] = kernels[:, None]
        placed = placed.roll((-self.reach, -self.reach), (-2, -1))
        self._spectrum = torch.fft.rfft2(placed)
        self._rows, self._columns = (_mirrored(side, self.reach, kernels.device) for side in shape)

    def apply(self, image: Tensor) -> Tensor:
        """Blurred `image` (B, C, H, W)."""
        if self.border == "reflect":
            image = image[..., self._rows, :][..., self._columns]
        wide = torch.fft.irfft2(torch.fft.rfft2(image, s=self._size) * self._spectrum, s=self._size)
        return self._middle(wide)

    def adjoint(self, image: Tensor) -> Tensor:
        """The transpose of `apply`: for all x, y the sums of apply(x) * y and x * adjoint(y) are equal."""
        grown = torch.nn.functional.pad(image, [self.reach] * 4)
        spectrum = torch.fft.rfft2(grown, s=self._size) * self._spectrum.conj()
        wide = torch.fft.irfft2(spectrum, s=self._size)
        if self.border != "reflect":
            return wide[..., : self.shape[0], : self.shape[1]]
        # What the mirrored border lent comes back to where it was taken from.
        wide = wide[..., : len(self._rows), : len(self._columns)]
        return _folded(_folded(wide, self.reach, -2), self.reach, -1)

    def _middle(self, wide: Tensor) -> Tensor:
        less = 0 if self.border == "reflect" else 2 * self.reach
        height, width = self.shape[0] - less, self.shape[1] - less
        return wide[..., self.reach : self.reach + height, self.reach : self.reach + width]


class Part:
    """A blur pasted over a part of a picture: `matte` (B, 1, H, W) in [0, 1] times it, the rest as it was."""

    def __init__(self, blur: Convolution, matte: Tensor):
        self.blur, self.matte = blur, matte

    def apply(self, image: Tensor) -> Tensor:
        return self.matte * self.blur.apply(image) + (1 - self.matte) * image

    def adjoint(self, image: Tensor) -> Tensor:
        return self.blur.adjoint(self.matte * image) + (1 - self.matte) * image


class Moving:
    """A part that moves before a still background, as `blur.operators.composite` lays it by `matte`.

    `mask` (1, 1, H, W) of zeros and ones. What the part hides of the background is continued from the
    nearest visible pixels.
    """

    def __init__(self, blur: Convolution, mask: Tensor):
        self.blur, self.mask = blur, mask
        self.matte = blur.apply(mask).clamp(0, 1)
        self._shown = _nearest_outside(mask)

    def apply(self, image: Tensor) -> Tensor:
        behind = image.flatten(-2)[..., self._shown].unflatten(-1, image.shape[-2:])
        return self.blur.apply(self.mask * image) + (1 - self.matte) * behind

    def adjoint(self, image: Tensor) -> Tensor:
        behind = ((1 - self.matte) * image).flatten(-2)
        back = torch.zeros_like(behind).index_add_(-1, self._shown, behind)
        return self.mask * self.blur.adjoint(image) + back.unflatten(-1, image.shape[-2:])


def _nearest_outside(mask: Tensor) -> Tensor:
    """Flat index (H * W,) of the nearest pixel outside `mask` (1, 1, H, W) for each pixel."""
    inside = mask[0, 0].numpy() > 0.5
    if inside.all():
        return torch.arange(inside.size)
    where = scipy.ndimage.distance_transform_edt(inside, return_distances=False, return_indices=True)
    return torch.from_numpy(np.ravel_multi_index(where, inside.shape).ravel())


def _mirrored(side: int, reach: int, device) -> Tensor:
    """Indices of the picture's rows with `reach` mirrored ones at both ends, also where reach > side."""
    index = np.arange(-reach, side + reach) % (2 * side)
    return torch.from_numpy(np.where(index < side, index, 2 * side - 1 - index)).to(device)


def _folded(wide: Tensor, reach: int, axis: int) -> Tensor:
    """The mirrored borders of `wide` along `axis` added to the rows that they mirror."""
    if not reach:
        return wide
    side = wide.shape[axis] - 2 * reach
    index = _mirrored(side, reach, wide.device)
    shape = list(wide.shape)
    shape[axis] = side
    return torch.zeros(shape, dtype=wide.dtype, device=wide.device).index_add_(axis, index, wide)
