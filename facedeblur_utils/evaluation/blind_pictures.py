"""What the blind method makes of test pictures: made once, kept by set, and served as rows of tables."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from facedeblur_utils import fingerprints
from facedeblur_utils.blur.kernels import unpadded
from facedeblur_utils.data import segmentation
from facedeblur_utils.data.segmentation import Landmarker
from facedeblur_utils.files import write_bytes
from facedeblur_utils.models import published
from facedeblur_utils.models.refiner import load_refiner
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.physics.method import deblur_by_physics
from facedeblur_utils.physics.motion import kernels_of
from facedeblur_utils.progress import track

BLIND_ROW, REFINED_ROW = "PhysicsBlind", "PhysicsRefined"
CODE = (
    "facedeblur_utils.physics.method:deblur_by_physics",
    "facedeblur_utils.models.nafnet:Restorer",
    "facedeblur_utils.models.refiner:Refiner",
)
WITHOUT = {f"facedeblur_utils.{name}" for name in ("errors", "files", "machine", "paths", "profiles")}


@dataclass(frozen=True)
class Networks:
    """Those of the blind method."""

    restorer: nn.Module
    refiner: nn.Module


@dataclass(frozen=True)
class Found:
    """What the blind method made of a set: pictures uint8 (N, H, W, 3), and how each was found to be blurred.

    `motions` (N, 4) are length (pixels), angle and turn (degrees), and the gamma of the blur; `kernels`
    (N, k, k), `regions` (N,) names, `confidence` (N,). Where that is too low, `solved` and `refined` are the
    restored picture.
    """

    restored: np.ndarray
    solved: np.ndarray
    refined: np.ndarray
    motions: np.ndarray
    kernels: np.ndarray
    regions: np.ndarray
    confidence: np.ndarray

    def kernel(self, index: int) -> np.ndarray:
        """The kernel that was found for one image, float32 (k, k)."""
        return unpadded(self.kernels[index])


def published_networks() -> Networks:
    """Those that the package carries."""
    return Networks(published.load(), load_refiner())


def blind_rows(paths: RunPaths) -> dict[str, Callable]:
    """Restorers of `evaluation` by row name, for whole test sets: pairs and indices in, pictures out."""
    found: dict[str, Found] = {}

    def of_set(pairs) -> Found:
        if pairs.name not in found:
            with segmentation.open_landmarker() as landmarker:
                found[pairs.name] = kept_or_found(pairs, published_networks(), landmarker, paths)
        return found[pairs.name]

    return {
        BLIND_ROW: lambda pairs, indices: of_set(pairs).solved[indices],
        REFINED_ROW: lambda pairs, indices: of_set(pairs).refined[indices],
    }


def kept_or_found(pairs, networks: Networks, landmarker: Landmarker, paths: RunPaths) -> Found:
    """The blind method's pictures of `pairs`: those kept if still the same, else made, and kept when all are.

    They are the same while the blurred pictures, the networks' weights and the method's code are.
    """
    file = paths.physics_pictures(pairs.name)
    blurred = pairs.batch(np.arange(len(pairs)))[0]
    now = fingerprint(blurred, networks)
    if kept := _kept(file, now):
        return kept
    results = [
        deblur_by_physics(picture, networks.restorer, landmarker, networks.refiner)
        for picture in track(blurred, f"Deblurring {pairs.name} blindly")
    ]
    hows = [each.how for each in results]
    arrays = {
        "restored": np.stack([each.restored for each in results]),
        "solved": np.stack([each.solved for each in results]),
        "refined": np.stack([each.refined for each in results]),
        "motions": np.array([[h.motion.length, h.motion.angle, h.motion.turn, h.gamma] for h in hows]),
        "kernels": kernels_of([how.motion for how in hows]).numpy(),
        "regions": np.array([how.region for how in hows]),
        "confidence": np.array([each.confidence for each in results]),
    }
    content = io.BytesIO()
    np.savez_compressed(content, fingerprint=np.array(now), **arrays)
    write_bytes(file, content.getvalue())
    return Found(**arrays)


def fingerprint(blurred: np.ndarray, networks: Networks) -> str:
    """Changes when `blurred`, uint8 (N, H, W, 3), the networks' weights, the segmenter or the method do."""
    content = hashlib.sha256(np.ascontiguousarray(blurred).tobytes())
    for network in (networks.restorer, networks.refiner):
        for name, value in network.state_dict().items():
            content.update(name.encode() + value.cpu().numpy().tobytes())
    content.update(segmentation.head_segmenter_name().encode())
    content.update(fingerprints.digest(fingerprints.definitions(CODE, WITHOUT)).encode())
    return content.hexdigest()


def _kept(file: Path, now: str) -> Found | None:
    """What `file` holds if its fingerprint is `now`; None otherwise, also where it can't be read."""
    try:
        with np.load(file) as kept:
            if str(kept["fingerprint"]) != now:
                return None
            arrays = {name: kept[name] for name in kept.files if name != "fingerprint"}
        return Found(**arrays)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
