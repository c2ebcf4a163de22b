"""Table 2.9's losses beyond the thesis's own: pure functions, one value a batch, lower is better.

They lie among the metrics, as SSIM does, because they say how good a picture is; training may use them.
Images are NCHW in [0, 1], computed in float32 whatever the caller's precision (double stays double).
Networks, landmarks and flow are passed: none of these functions loads a model. Shapes that don't match raise
ValueError.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SOBEL = (1 / 8, 2 / 8, 1 / 8)  # of the central difference over two pixels: a slope of 1 a pixel gives 1
SMALLEST = 1e-6  # keeps roots and quotients of flat pictures finite


def relativistic_generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Relativistic average loss of the generator (Jolicoeur-Martineau 2018, thesis [78]), 0 upwards.

    Restored pictures should look more real than sharp ones do on average, and the other way round: cross
    entropy of each side's logits less the other side's mean, averaged over both sides. Logits (B, ...).
    """
    return relativistic_discriminator_loss(fake_logits, real_logits)


def relativistic_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The same of the discriminator, which should find sharp pictures more real than restored ones."""
    real, fake = _exact(real_logits), _exact(fake_logits)
    with torch.autocast(real.device.type, enabled=False):
        # log(1 + exp(-x)) is the cross entropy of a logit x that should say 'real'.
        return (F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()) / 2


def local_structure_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the gradients and of the strength of edges, 0 upwards.

    Sobel slopes per pixel along rows and columns, and their length, each averaged over pixels and channels,
    then added up. Table 2.9 names no source; gradient differences are those of Mathieu et al. 2016, "Deep
    multi-scale video prediction beyond mean square error". The outer pixel has no slope.
    """
    output, target = _pair(output, target)
    slopes = [sobel(image) for image in (output, target)]
    edges = [torch.sqrt(dx.square() + dy.square() + SMALLEST) for dx, dy in slopes]
    across, down = ((a - b).abs().mean() for a, b in zip(*slopes, strict=True))
    return across + down + (edges[0] - edges[1]).abs().mean()


def sobel(image: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes along rows and along columns, per pixel: (B, C, H, W) -> two (B, C, H - 2, W - 2)."""
    dx, dy = (image[..., 2:] - image[..., :-2]), (image[..., 2:, :] - image[..., :-2, :])
    height, width = image.shape[-2:]
    across = sum(weight * dx[..., i : height - 2 + i, :] for i, weight in enumerate(SOBEL))
    down = sum(weight * dy[..., i : width - 2 + i] for i, weight in enumerate(SOBEL))
    return across, down


def heatmap_loss(network: Callable[[Tensor], Tensor], output: Tensor, heatmaps: Tensor) -> Tensor:
    """Mean squared difference of landmark heatmaps (Kim et al. 2019, thesis [40]), 0 upwards.

    `network` maps images (B, 3, H, W) to heatmaps (B, K, h, w) with gradients; `heatmaps` are the sharp
    images', from the same network or from `gaussian_heatmaps`.
    """
    found, heatmaps = _pair(network(output), heatmaps)
    return (found - heatmaps).square().mean()


def landmark_loss(network: Callable[[Tensor], Tensor], output: Tensor, landmarks: Tensor) -> Tensor:
    """Mean distance of landmarks over the images' longer side (thesis [82], Otto et al. 2023), 0 upwards.

    `network` as in `heatmap_loss`; a landmark is found at the mean position of its heatmap. `landmarks`
    (B, K, 2) are those of the sharp images, x and y in pixels of `output`; (0, 0) is the centre of the top
    left pixel.
    """
    height, width = output.shape[-2:]
    found, landmarks = _pair(heatmap_positions(network(output), (height, width)), landmarks)
    return torch.sqrt((found - landmarks).square().sum(dim=-1) + SMALLEST**2).mean() / max(height, width)


def gaussian_heatmaps(landmarks: Tensor, shape: tuple[int, int], sigma: float = 1.5) -> Tensor:
    """(B, K, 2) landmarks in pixels -> (B, K, height, width) Gaussians of height 1 and `sigma` pixels."""
    y, x = (torch.arange(n, dtype=landmarks.dtype, device=landmarks.device) for n in shape)
    across = (x - landmarks[..., 0, None]).square()
    down = (y - landmarks[..., 1, None]).square()
    return torch.exp(-(down[..., :, None] + across[..., None, :]) / (2 * sigma**2))


def heatmap_positions(heatmaps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Mean position of each heatmap (B, K, h, w): (B, K, 2), x and y in pixels of an image of `shape`.

    Negative values count as 0; a heatmap without any weight is found in the top left corner.
    """
    weights = _exact(heatmaps).clamp(min=0)
    weights = weights / weights.sum(dim=(2, 3), keepdim=True).clamp(min=SMALLEST)
    rows, columns = (
        ((torch.arange(n, device=weights.device, dtype=weights.dtype) + 0.5) * full / n - 0.5)
        for n, full in zip(weights.shape[-2:], shape, strict=True)
    )
    return torch.stack([(weights.sum(dim=2) * columns).sum(-1), (weights.sum(dim=3) * rows).sum(-1)], dim=-1)


def facial_structure_loss(output: Tensor, target: Tensor, regions: Tensor, visibility: Tensor) -> Tensor:
    """Mean absolute difference in each part of the face, weighted by how visible it is, 0 upwards.

    In the manner of Yu et al. 2018 (thesis [83]), whose network learns heatmaps of the visible parts; here
    `regions` (B, R, H, W) are masks or heatmaps in [0, 1] and `visibility` (B, R) weights, as
    `tasks.face_parts` gives both. Each part counts alike, whatever its size. 0 where nothing is visible.
    """
    output, target = _pair(output, target)
    regions, weights = regions.to(output.dtype), visibility.to(output.dtype)
    if regions.shape != (*weights.shape, *output.shape[-2:]) or len(regions) != len(output):
        raise ValueError(f"regions {tuple(regions.shape)} don't fit {tuple(output.shape)}")
    apart = (output - target).abs().mean(dim=1, keepdim=True)
    area = regions.sum(dim=(2, 3))
    means = (regions * apart).sum(dim=(2, 3)) / area.clamp(min=SMALLEST)
    weights = weights * (area > 0)
    return (weights * means).sum() / weights.sum().clamp(min=SMALLEST)


def identity_loss(embed: Callable[[Tensor], Tensor], output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of face embeddings (Wang et al. 2021, thesis [80], L_id), 0 upwards.

    `embed` maps images (B, 3, H, W) to the vectors (B, D) of a frozen recognition network, with gradients.
    """
    with torch.no_grad():
        wanted = embed(target)
    found, wanted = _pair(embed(output), wanted)
    return (found - wanted).abs().mean()


def reblur_loss(output: Tensor, blurred: Tensor, reblur: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean absolute difference of the restored picture, blurred again, from the input, 0 upwards.

    The cycle of unsupervised deblurring (Lu et al. 2019, thesis [81]): no sharp picture is needed. `reblur`
    is a network, or `lambda x: blur_with_kernels(x, kernels)` where the motion is known or guessed.
    """
    again, blurred = _pair(reblur(output), blurred)
    return (again - blurred).abs().mean()


def blur_with_kernels(images: Tensor, kernels: Tensor) -> Tensor:
    """Each of (B, C, H, W) convolved with its own kernel (B, k, k), k odd; borders mirrored (dcb|abcd)."""
    images, kernels = _exact(images), _exact(kernels)
    half = kernels.shape[-1] // 2
    wide = F.pad(images, [half] * 4, mode="reflect").transpose(0, 1)
    with torch.autocast(images.device.type, enabled=False):
        return F.conv2d(wide, kernels.flip(1, 2)[:, None], groups=len(images)).transpose(0, 1)


def self_measure_loss(output: Tensor) -> Tensor:
    """How blurred a picture is by its own measure: the sparsity of its gradients, 0 to 1.

    Mean absolute slope over root mean square slope of each picture (Krishnan et al. 2011, "Blind
    deconvolution using a normalized sparsity measure"), then the mean. Few strong edges measure less than the
    many weak slopes that blur makes of them. Thesis [81] leaves the measure open; beside `reblur_loss` it
    keeps the sharpest of the pictures that explain the input. A flat picture measures 0.
    """
    slopes = torch.cat([slope.flatten(1) for slope in sobel(_exact(output))], dim=1)
    lengths = torch.sqrt(slopes.square().mean(dim=1) + SMALLEST**2)
    return (slopes.abs().mean(dim=1) / lengths).mean()


def optical_flow_loss(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """Mean absolute difference of two restored frames after the motion between them, 0 upwards.

    Consistency over time; thesis [79], Gong et al. 2017, estimate the flow itself. `flow` (B, 2, H, W), x and
    y in pixels, says where each pixel of `first` lies in `second`; what leaves the image doesn't count. Take
    it from the sharp or the blurred frames, for instance by `dense_flow`.
    """
    first, second = _pair(first, second)
    height, width = first.shape[-2:]
    rows, columns = torch.meshgrid(
        *(torch.arange(n, dtype=first.dtype, device=first.device) for n in (height, width)), indexing="ij"
    )
    x, y = columns + flow[:, 0].to(first.dtype), rows + flow[:, 1].to(first.dtype)
    inside = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).to(first.dtype)
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    with torch.autocast(first.device.type, enabled=False):
        moved = F.grid_sample(second, grid, padding_mode="border", align_corners=True)
    apart = (moved - first).abs().mean(dim=1)
    return (inside * apart).sum() / inside.sum().clamp(min=SMALLEST)


def dense_flow(first: np.ndarray, second: np.ndarray) -> Tensor:
    """OpenCV's DIS flow from `first` to `second`, uint8 RGB (H, W, 3) each: (1, 2, H, W) pixels, float32.

    Kroeger et al. 2016, "Fast optical flow using dense inverse search".
    """
    grey = (cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in (first, second))
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return torch.from_numpy(method.calc(*grey, None)).permute(2, 0, 1)[None]


def _exact(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _pair(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    if first.shape != second.shape:
        raise ValueError(
            f"losses need two tensors of one shape, got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    return _exact(first), _exact(second)
