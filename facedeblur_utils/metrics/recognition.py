"""Is it still the same person? Verification and identification by a face embedding.

The faces have no names: each is compared with its own sharp picture and with those of all others.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facedeblur_utils.metrics.tasks import EYE_CORNERS, MOUTH_CORNERS
from facedeblur_utils.models.face_embedding import SIDE, FaceEmbedding

# Where a face's centre lies in its square, and the distance from eyes to mouth, both over the square's side:
# as face-api crops faces for the same network.
CENTRE, EYES_TO_MOUTH = (0.5, 0.43), 0.45
FALSE_ACCEPTS = 0.01  # at which true accepts are counted
BATCH = 32


def face_square(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """(left, top, right, bottom), pixels, of the square that the embedding sees; `landmarks` (478, 2)."""
    corners = [EYE_CORNERS[:2], EYE_CORNERS[2:], MOUTH_CORNERS]
    centres = [torch.from_numpy(landmarks[list(points)].mean(axis=0))[None] for points in corners]
    return tuple(face_squares(*centres)[0].tolist())


def face_squares(left_eye: Tensor, right_eye: Tensor, mouth: Tensor) -> Tensor:
    """The same of many faces, (B, 4), from the centres (B, 2) of eyes and mouth in pixels."""
    side = ((mouth - left_eye).norm(dim=1) + (mouth - right_eye).norm(dim=1)) / 2 / EYES_TO_MOUTH
    corner = (left_eye + right_eye + mouth) / 3 - side[:, None] * side.new_tensor(CENTRE)
    return torch.cat([corner, corner + side[:, None]], dim=1)


def embed(network: FaceEmbedding, images: Tensor, squares: Tensor) -> Tensor:
    """Embeddings (B, 128) of images (B, 3, H, W) in [0, 1], with gradients; `squares` (B, 4) in pixels.

    The same squares serve a blurred, a restored and a sharp picture, so that only what is in them differs.
    Beyond the image lies black.
    """
    from torchvision.ops import roi_align  # takes seconds to load, and few losses see persons

    faces = roi_align(images.float(), list(squares.float()[:, None]), SIDE, aligned=True)
    return network(faces)


def embeddings(network: FaceEmbedding, images: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """The same for uint8 (N, H, W, 3) images: float32 (N, 128)."""
    found = []
    with torch.inference_mode():
        for at in range(0, len(images), BATCH):
            part = torch.from_numpy(images[at : at + BATCH]).permute(0, 3, 1, 2) / 255
            found.append(embed(network, part, torch.from_numpy(squares[at : at + BATCH])).numpy())
    return np.concatenate(found) if found else np.zeros((0, 128), np.float32)


@dataclass(frozen=True)
class Recognition:
    """How well a set of pictures is recognised, shares from 0 to 1; `distance` is that to the own face."""

    equal_error_rate: float
    true_accepts: float  # where FALSE_ACCEPTS of the comparisons with others are accepted
    rank_one: float  # share of pictures that are nearest to their own face among all in the gallery
    distance: float


def recognition(probes: np.ndarray, gallery: np.ndarray, own: Iterable[int]) -> Recognition:
    """Compare `probes` (N, D) with all of `gallery` (M, D); probe i is the person `own[i]` of the gallery.

    One picture of each person in the gallery. NaN throughout without a probe; raises ValueError where
    nobody else is in the gallery.
    """
    own = np.asarray(list(own), int)
    if len(own) != len(probes) or len(gallery) < 2:
        raise ValueError(f"{len(probes)} probes of {len(own)} persons in a gallery of {len(gallery)}")
    if not len(probes):
        return Recognition(*[float("nan")] * 4)
    apart = np.linalg.norm(probes[:, None].astype(np.float64) - gallery[None], axis=2)
    rows = np.arange(len(own))
    others = np.ones(apart.shape, bool)
    others[rows, own] = False
    same, different = apart[rows, own], np.sort(apart[others])
    limit = different[int(FALSE_ACCEPTS * len(different))]  # below it lie as many others as may be accepted
    return Recognition(
        equal_error_rate=equal_error_rate(same, different),
        true_accepts=float((same < limit).mean()),
        rank_one=float((apart.argmin(axis=1) == own).mean()),
        distance=float(same.mean()),
    )


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Error at the threshold where as many own faces are refused as others are accepted, 0 to 1.

    Distances to own faces and to others', in any order. Where no threshold makes both equal, the mean of both
    rates at the threshold where they are closest.
    """
    same, different = np.sort(same), np.sort(different)
    limits = np.concatenate([same, different, [np.inf]])
    refused = 1 - np.searchsorted(same, limits, side="left") / len(same)
    accepted = np.searchsorted(different, limits, side="left") / len(different)
    best = np.abs(refused - accepted).argmin()
    return float((refused[best] + accepted[best]) / 2)
