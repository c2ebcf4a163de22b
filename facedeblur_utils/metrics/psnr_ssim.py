"""PSNR and SSIM of batches of images: differentiable, on any device, one value per image.

Both take NCHW tensors in [0, 1] and compute on them as they are; scores of the study first round the output
to 8 bits (`evaluation.restore`). A mask narrows the mean to a region; `ssim_region` alone sees nothing of
what lies outside.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

WINDOW = 11  # pixels; Wang et al. 2004, "Image quality assessment: from error visibility to SSIM"
SIGMA = 1.5  # pixels, of the Gaussian window
K1, K2 = 0.01, 0.03


def psnr(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio in dB, peak 1, over all channels at once: (B, C, H, W) twice -> (B,).

    `mask` (B, H, W) or (B, 1, H, W), True where pixels count. Identical images give inf, an empty mask NaN.
    Raises ValueError where shapes don't match.
    """
    output, target, mask = _checked(output, target, mask)
    squared = (output - target).square().mean(dim=1)
    return -10 * torch.log10(_mean(squared, mask))


def ssim(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Structural similarity (Wang et al. 2004), per channel, then the mean: (B, C, H, W) twice -> (B,).

    11x11 Gaussian window of sigma 1.5, K 0.01 and 0.03, population covariance. Only windows that lie wholly
    inside the image count (the outer 5 pixels are no centres), as in scikit-image's
    `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)`.
    `mask` (B, H, W) or (B, 1, H, W) chooses the window centres; without any centre the value is NaN. Windows
    at its border see the other side too, so that a perfect face in noise stays under 1: kept for comparison,
    `ssim_region` is the score of a region. Raises ValueError where shapes don't match or a side is under 11
    pixels.
    """
    output, target, mask = _checked(output, target, mask)
    border = WINDOW // 2
    if min(output.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} pixels a side, got {tuple(output.shape)}")
    if mask is not None:
        mask = mask[:, border:-border, border:-border]
    wants_gradient = torch.is_grad_enabled() and (output.requires_grad or target.requires_grad)
    on_cpu = output.device.type == "cpu" and not wants_gradient
    windows = (_ssim_map_on_cpu if on_cpu else _ssim_map)(output.flatten(0, 1), target.flatten(0, 1))
    return _mean(windows.unflatten(0, output.shape[:2]).mean(dim=1), mask)


def ssim_region(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Structural similarity of what lies in `mask`, whatever lies outside: (B, C, H, W) twice -> (B,).

    `mask` (B, H, W) or (B, 1, H, W), True where pixels count. A window's means and variances are those of its
    pixels in the mask, and it counts by their share of its Gaussian weight. Thus each pixel of the region
    counts once, and small or thin regions have a score too, which windows wholly inside would not give them.
    Windows wholly inside have `ssim`'s value; a mask of all pixels gives `ssim`, an empty one NaN.
    Raises ValueError where shapes don't match or a side is under 11 pixels.
    """
    output, target, mask = _checked(output, target, mask)
    if min(output.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} pixels a side, got {tuple(output.shape)}")
    x, y = (torch.where(mask[:, None], image, 0) for image in (output, target))
    # As in `_ssim_map`, whose text trained GANs' identities hold.
    with torch.autocast(x.device.type, enabled=False):
        rows, columns = (_window_matrix(n, x) for n in x.shape[-2:])
        share = rows @ mask[:, None].to(x.dtype) @ columns.T
        planes = rows @ torch.stack([x, y, x * x + y * y, x * y]) @ columns.T
        mean_x, mean_y, mean_squares, mean_xy = planes / share.clamp(min=torch.finfo(x.dtype).tiny)
        product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
        similarity = (2 * product + K1**2) / (squares + K1**2)
        similarity = similarity * (2 * (mean_xy - product) + K2**2) / (mean_squares - squares + K2**2)
        share = share[:, 0]
        return (share * similarity.mean(dim=1)).sum(dim=(1, 2)) / share.sum(dim=(1, 2))


def _ssim_map(x: Tensor, y: Tensor) -> Tensor:
    """SSIM at every window of (P, H, W) planes: (P, H - 10, W - 10); on any device, with gradients."""
    # In bf16 autocast the variances, differences of nearly equal numbers, would be lost.
    with torch.autocast(x.device.type, enabled=False):
        # Of the two variances only their sum is needed, so four planes are blurred instead of five.
        planes = torch.stack([x, y, x * x + y * y, x * y])
        rows, columns = (_window_matrix(n, planes) for n in planes.shape[-2:])
        mean_x, mean_y, mean_squares, mean_xy = rows @ planes @ columns.T
        product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
        luminance = (2 * product + K1**2) / (squares + K1**2)
        return luminance * (2 * (mean_xy - product) + K2**2) / (mean_squares - squares + K2**2)


def _ssim_map_on_cpu(x: Tensor, y: Tensor) -> Tensor:
    """The same, several times faster: plane by plane and in place, so that all stays in the CPU's cache."""
    window, inside = _window().numpy(), slice(WINDOW // 2, -(WINDOW // 2))
    windows = []
    for a, b in zip(x.detach().numpy(), y.detach().numpy(), strict=True):
        squares = a * a
        squares += b * b
        planes = (cv2.sepFilter2D(plane, -1, window, window) for plane in (a, b, squares, a * b))
        mean_a, mean_b, mean_squares, mean_ab = planes
        product = mean_a * mean_b
        mean_a *= mean_a
        mean_b *= mean_b
        mean_a += mean_b  # the sum of both means' squares
        mean_ab -= product
        mean_ab *= 2
        mean_ab += K2**2
        mean_squares -= mean_a
        mean_squares += K2**2
        product *= 2
        product += K1**2
        mean_a += K1**2
        product *= mean_ab
        mean_a *= mean_squares
        product /= mean_a
        windows.append(product[inside, inside])
    return torch.from_numpy(np.stack(windows))


def _window() -> Tensor:
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    window = torch.exp(-offsets.square() / (2 * SIGMA**2))
    return window / window.sum()


def _window_matrix(length: int, like: Tensor) -> Tensor:
    """(length - 10, length): row i holds the 1-D window over samples i … i + 10."""
    matrix = like.new_zeros(length - WINDOW + 1, length)
    for offset, weight in enumerate(_window().tolist()):
        matrix.diagonal(offset).fill_(weight)
    return matrix


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of (B, H, W) over the pixels of each image, or over those in its mask."""
    if mask is None:
        return values.mean(dim=(1, 2))
    return torch.where(mask, values, 0).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))


def _checked(output: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    if output.shape != target.shape or output.ndim != 4:
        shapes = f"{tuple(output.shape)} and {tuple(target.shape)}"
        raise ValueError(f"metrics need two NCHW tensors of the same shape, got {shapes}")
    if not (output.is_floating_point() and target.is_floating_point()):
        raise ValueError(f"metrics need floats in [0, 1], got {output.dtype} and {target.dtype}")
    if mask is not None:
        mask = mask.squeeze(1) if mask.ndim == 4 else mask
        expected = (output.shape[0], *output.shape[-2:])
        if tuple(mask.shape) != expected:
            raise ValueError(f"mask must have shape {expected}, got {tuple(mask.shape)}")
        mask = mask.bool()
    double = torch.float64 in (output.dtype, target.dtype)
    kind = torch.float64 if double else torch.float32  # half precision can't hold a PSNR
    return output.to(kind), target.to(kind), mask
