"""The thesis's two training losses, Eq. 4 (autoencoder) and Eq. 5 (GAN), and losses put together by name.

Images are `float32` NCHW in [0, 1]. Each function gives its terms unweighted, by name; `weighted_sum` with
the weights below is the loss. Terms are computed in fp32 whatever the networks' precision.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facedeblur_utils.metrics import further_losses
from facedeblur_utils.metrics.psnr_ssim import ssim
from facedeblur_utils.metrics.recognition import embed, face_squares
from facedeblur_utils.models.face_embedding import load_embedding
from facedeblur_utils.models.landmark_heatmaps import PARTS, POINTS, load_heatmaps
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.training.experiments import JUDGED, Run

# Of each loss's terms. Written out as numbers: a run's identity reads them without importing torch.
WEIGHTS = {
    "autoencoder": {"mse": 1.0, "perceptual": 0.001},  # Eq. 4
    "gan": {"adversarial": 1.0, "content": 100.0, "ssim": 1.0},  # Eq. 5, of the generator
    "restorer": {"l1": 1.0},
}


def weighted_sum(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The loss from its terms, each of which must have a weight."""
    return sum(weights[name] * term for name, term in terms.items())


def autoencoder_terms(output: Tensor, target: Tensor, vgg, target_features: Tensor | None = None) -> dict:
    """Eq. 4: `mse` of the pixels and `perceptual`, the MSE of VGG19's conv4_2 features.

    `vgg` is a `vgg.Features`, or None for `mse` alone; `target_features` are its features of `target` where
    they are known already.
    """
    if vgg is None:
        return {"mse": F.mse_loss(output, target)}
    if target_features is None:
        with torch.no_grad():
            target_features = vgg(target)
    features = vgg(output)
    return {
        "mse": F.mse_loss(output, target),
        "perceptual": F.mse_loss(features.float(), target_features.float()),
    }


def generator_terms(output: Tensor, target: Tensor, logits: Tensor) -> dict:
    """Eq. 5: `adversarial` (how real `logits`, the discriminator's of `output`, look), `content`, `ssim`.

    The content term is the MSE in the generator's Tanh range [-1, 1], so four times that of [0, 1]. The
    thesis names an 'SSIM loss' without a formula: 1 - SSIM.
    """
    return {
        "adversarial": F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)),
        "content": 4 * F.mse_loss(output, target),
        "ssim": 1 - ssim(output, target).mean(),
    }


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Binary cross-entropy of both answers, averaged over real and deblurred images."""
    real = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return (real + fake) / 2


def restorer_terms(output: Tensor, target: Tensor) -> dict:
    """`l1`, the mean absolute error: the restorer's loss."""
    return {"l1": F.l1_loss(output.float(), target)}


def weights_of(run: Run) -> dict[str, float]:
    """Weights of the terms of the run's loss: chosen by name, or the network's own."""
    return dict(run.losses) or dict(WEIGHTS[NETWORKS[run.network].loss])


@dataclass
class Look:
    """What the terms of a loss may look at in one step; `blurred`, `output`, `sharp` are (B, 3, H, W)."""

    output: Tensor
    sharp: Tensor
    blurred: Tensor
    vgg: Callable | None = None
    judge: Callable | None = None  # the discriminator
    net: Callable | None = None  # restores a further picture
    kernels: Callable | None = None  # () -> (B, k, k), those of the true blur
    random: np.random.Generator | None = None

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.sharp.shape[-2:])

    @property
    def finder(self) -> Callable:
        """The network that finds landmarks."""
        return load_heatmaps().to(self.sharp.device)

    @cached_property
    def heatmaps(self) -> Tensor:
        """Landmark heatmaps of the sharp faces."""
        with torch.no_grad():
            return self.finder(self.sharp)

    @cached_property
    def landmarks(self) -> Tensor:
        """(B, K, 2): where the landmarks of the sharp faces lie, pixels."""
        return further_losses.heatmap_positions(self.heatmaps, self.size)

    def points(self, part: str) -> list[int]:
        """Rows of the landmarks that outline `part`."""
        return [row for row, name in enumerate(POINTS) if name in PARTS[part]]


def mse_term(look: Look) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(look.output.float(), look.sharp)


def l1_term(look: Look) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(look.output.float(), look.sharp)


def perceptual_term(look: Look) -> Tensor:
    """Of Eq. 4."""
    return autoencoder_terms(look.output, look.sharp, look.vgg)["perceptual"]


def ssim_term(look: Look) -> Tensor:
    """1 - SSIM, as in Eq. 5."""
    return 1 - ssim(look.output, look.sharp).mean()


def adversarial_term(look: Look) -> Tensor:
    """Of Eq. 5: how real the output looks to the discriminator."""
    logits = look.judge(look.output)
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def relativistic_term(look: Look) -> Tensor:
    """How real the output looks beside the sharp faces of the batch."""
    with torch.no_grad():
        real = look.judge(look.sharp)
    return further_losses.relativistic_generator_loss(real, look.judge(look.output))


def local_structure_term(look: Look) -> Tensor:
    """Gradients and edges."""
    return further_losses.local_structure_loss(look.output, look.sharp)


def heatmap_term(look: Look) -> Tensor:
    """Heatmaps of the landmarks, against those of the sharp face."""
    return further_losses.heatmap_loss(look.finder, look.output, look.heatmaps)


def landmark_term(look: Look) -> Tensor:
    """Places of the landmarks, against those in the sharp face."""
    return further_losses.landmark_loss(look.finder, look.output, look.landmarks)


def facial_structure_term(look: Look) -> Tensor:
    """Eyes, nose and mouth, each as the neighbourhood of its landmarks, by how clearly these are seen."""
    spread = max(look.size) / 16
    near = further_losses.gaussian_heatmaps(look.landmarks, look.size, spread)
    peaks = look.heatmaps.amax(dim=(2, 3)).clamp(max=1)
    rows = [look.points(part) for part in PARTS]
    regions = torch.stack([near[:, part].amax(dim=1) for part in rows], dim=1)
    seen = torch.stack([peaks[:, part].mean(dim=1) for part in rows], dim=1)
    return further_losses.facial_structure_loss(look.output, look.sharp, regions, seen)


def identity_term(look: Look) -> Tensor:
    """Embeddings of the restored and the sharp face, in one square."""
    eyes = [[row for row, name in enumerate(POINTS) if name in pair] for pair in EYES]
    centres = [look.landmarks[:, rows].mean(dim=1) for rows in (*eyes, look.points("mouth"))]
    squares = face_squares(*centres)
    network = load_embedding().to(look.output.device)
    return further_losses.identity_loss(lambda x: embed(network, x, squares), look.output, look.sharp)


def unsupervised_term(look: Look) -> Tensor:
    """The output blurred again, against the input, and how blurred the output is by its own measure."""
    kernels = look.kernels()
    again = further_losses.reblur_loss(
        look.output, look.blurred, lambda x: further_losses.blur_with_kernels(x, kernels)
    )
    return again + SELF_MEASURE * further_losses.self_measure_loss(look.output)


def optical_flow_term(look: Look) -> Tensor:
    """The output and that of the next frame, in which the head has moved a little, after the flow between."""
    shift = [int(pixels) for pixels in look.random.integers(-FRAME_SHIFT, FRAME_SHIFT + 1, 2)]
    flow = torch.cat(
        [
            further_losses.dense_flow(_pixels(here), _pixels(there))
            for here, there in zip(look.sharp, _moved(look.sharp, shift), strict=True)
        ]
    ).to(look.output.device)
    return further_losses.optical_flow_loss(look.output, look.net(_moved(look.blurred, shift)), flow)


EYES = (("left eye out", "left eye in"), ("right eye in", "right eye out"))
SELF_MEASURE = 0.01  # of the term 'unsupervised': keeps the restored picture from being the blurred one
FRAME_SHIFT = 3  # pixels along each axis, at most, between two frames
TERMS: dict[str, Callable[[Look], Tensor]] = {
    "mse": mse_term,
    "l1": l1_term,
    "perceptual": perceptual_term,
    "ssim": ssim_term,
    "adversarial": adversarial_term,
    "relativistic": relativistic_term,
    "local_structure": local_structure_term,
    "optical_flow": optical_flow_term,
    "heatmap": heatmap_term,
    "identity": identity_term,
    "unsupervised": unsupervised_term,
    "landmark": landmark_term,
    "facial_structure": facial_structure_term,
}
# Terms that mean nothing for a part of a face or near the border of a crop.
WHOLE = ("optical_flow", "heatmap", "identity", "unsupervised", "landmark", "facial_structure")


def judged(weights) -> bool:
    """True where a loss of these weights, a dict or its items, asks a discriminator."""
    return bool(set(dict(weights)) & set(JUDGED))


def whole(names: Iterable[str]) -> bool:
    """True where one of the terms needs whole faces."""
    return bool(set(names) & set(WHOLE))


def _moved(images: Tensor, shift: list[int]) -> Tensor:
    """Images shifted by (rows, columns); what comes in repeats the border."""
    down, right = shift
    pad = (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0))
    height, width = images.shape[-2:]
    wide = F.pad(images, pad, mode="replicate")
    top, left = max(-down, 0), max(-right, 0)
    return wide[..., top : top + height, left : left + width]


def _pixels(image: Tensor) -> np.ndarray:
    return image.detach().mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
