"""The thesis's two training losses: Eq. 4 (autoencoder) and Eq. 5 (GAN), term by term.

Images are `float32` NCHW in [0, 1]. Each function gives its terms unweighted, by name; `weighted_sum` with
the weights below is the loss. Terms are computed in fp32 whatever the networks' precision.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from facedeblur_utils.metrics.psnr_ssim import ssim

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
