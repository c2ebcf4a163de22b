"""FID and IS (library `piq`): scores of whole sets of pictures, where InceptionV3's weights are to be had."""

import piq
import torch
from piq.feature_extractors.fid_inception import FID_WEIGHTS_URL, InceptionV3
from torch import nn
from torch.nn.functional import interpolate
from torchvision.models import Inception_V3_Weights, inception_v3

from facedeblur_utils.errors import StudyError
from facedeblur_utils.metrics.further import obtainable
from facedeblur_utils.models.apply import BATCH, to_tensor

SIZE = 299  # pixels a side of InceptionV3's input


def fid(outputs, sharp) -> float:
    """Fréchet inception distance (Heusel et al. 2017) between two sets, uint8 (N, H, W, 3) each; 0 upwards.

    Features and formula of `piq.FID`. With fewer than some thousand pictures it is biased upwards: compare
    sets of equal size alone. Raises StudyError where the weights can't be had.
    """
    network = feature_network()
    features = [_through(lambda x: network(x)[0].flatten(1), images) for images in (outputs, sharp)]
    return piq.FID().compute_metric(*features).item()


def inception_score(images, splits: int = 10) -> float:
    """Inception score (Salimans et al. 2016) of a set, uint8 (N, H, W, 3); 1 up to the number of classes.

    `piq.inception_score` of ImageNet's 1000 logits, mean over `splits` parts of the set. It was made for
    pictures of many classes, so that among faces alone it says little. Raises StudyError where the weights
    can't be had.
    """
    return piq.inception_score(class_logits(images), splits)[0].item()


def class_logits(images) -> torch.Tensor:
    """InceptionV3's logits (N, 1000) of uint8 (N, H, W, 3) images, as `piq.inception_score` wants them."""
    network = class_network()
    return _through(
        lambda x: network(interpolate(2 * x - 1, (SIZE, SIZE), mode="bilinear", antialias=True)), images
    )


def feature_network() -> nn.Module:
    """The FID's own InceptionV3, up to its last pooling; raises StudyError where its weights can't be had."""
    _require("FID", FID_WEIGHTS_URL)
    return InceptionV3().eval()


def class_network() -> nn.Module:
    """torchvision's InceptionV3 for inputs in [-1, 1]; raises StudyError where its weights can't be had."""
    weights = Inception_V3_Weights.IMAGENET1K_V1
    _require("IS", weights.url)
    return inception_v3(weights=weights, transform_input=False).eval()


def _require(score: str, url: str) -> None:
    if not obtainable(url):
        name = url.rsplit("/", 1)[1]
        raise StudyError(
            f"{score} needs InceptionV3's weights, which could not be reached: go online, or put {name} into "
            f"{torch.hub.get_dir()}/checkpoints"
        )


@torch.inference_mode()
def _through(network, images) -> torch.Tensor:
    parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    return torch.cat([network(to_tensor(part)) for part in parts])
