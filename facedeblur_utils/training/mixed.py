"""Training pairs of all kinds with fresh blur every epoch, made while training (runs NMIX and NCAM)."""

from collections.abc import Iterator

import numpy as np
import torch

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.camera import camera_picture
from facedeblur_utils.blur.kernels import draw_motion, generator_for, linear_motion_kernel
from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.physics import examples
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training.batches import Batch, Batches
from facedeblur_utils.training.experiments import CAMERA, MIX, SOLVED

# What an image is made into, and how often. Two of the four datasets are blurred everywhere. A share stays
# sharp on both sides, so that the network learns to leave sharp pictures alone.
KINDS = {"whole": 0.45, "head": 0.225, "face": 0.225, "sharp": 0.1}


class MixedPairs:
    """The sharp training faces and their masks, seen as a dataset whose blur is drawn anew each epoch.

    Has what the training engine asks of `face_pairs.FacePairs`: `name`, `split`, `image_ids`, `size`, `len`.
    """

    name, split = MIX, "train"

    def __init__(self, paths: RunPaths, profile: Profile):
        self._faces = {
            row.mask: face_pairs.open_pairs(paths, row.name, "train") for row in DATASETS.values() if row.mask
        }
        self._profile = profile
        self.image_ids, self.size = self._faces["head"].image_ids, self._faces["head"].size

    def __len__(self) -> int:
        return len(self.image_ids)

    def draw(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), uint8 (B, H, W, 3); each drawn from (seed, epoch, id) alone."""
        sharp = self._faces["head"].batch(indices)[1]
        masks = {kind: pairs.mask_batch(kind, indices) for kind, pairs in self._faces.items()}
        blurred = sharp.copy()
        for row, index in enumerate(indices):
            key = f"{epoch}/{self.image_ids[index]}"
            kind = generator_for(seed, "mixed kind", key).choice(list(KINDS), p=list(KINDS.values()))
            if kind == "sharp":
                continue
            length, angle = draw_motion(seed, 0, key, self.size, self._profile.blur_length)
            kernel = linear_motion_kernel(length, angle)
            mask = np.ones((self.size, self.size), bool) if kind == "whole" else masks[kind][row]
            blurred[row] = operators.composite(sharp[row], kernel, mask, self._profile.composite)
        return blurred, sharp


class CameraPairs(MixedPairs):
    """As `MixedPairs`, blurred as cameras do: curved paths, light, noise and JPEG too (run NCAM)."""

    name = CAMERA

    def draw(self, indices, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), uint8 (B, H, W, 3); each drawn from (seed, epoch, id) alone."""
        sharp = self._faces["head"].batch(indices)[1]
        masks = {kind: pairs.mask_batch(kind, indices) for kind, pairs in self._faces.items()}
        blurred = np.empty_like(sharp)
        for row, index in enumerate(indices):
            random = generator_for(seed, "camera", f"{epoch}/{self.image_ids[index]}")
            here = {kind: mask[row] for kind, mask in masks.items()}
            blurred[row], _ = camera_picture(random, sharp[row], here, self._profile.composite)
        return blurred, sharp


class SolvedPairs:
    """What the refiner learns from: blurred, restored and solved faces, (B, H, W, 9), and sharp ones.

    Made beforehand by `physics.examples.make`; each face comes once for each draw of its blur. Raises
    StudyError where they haven't been made.
    """

    name = SOLVED

    def __init__(self, paths: RunPaths, profile: Profile, split: str = "train"):
        self.split = split
        self._faces = face_pairs.open_pairs(paths, "SFB1", split)
        self._seen = examples.opened(paths, split)
        count = len(self._seen) // len(self._faces)
        self.image_ids = [f"{name}/{draw}" for draw in range(count) for name in self._faces.image_ids]
        self.size = self._faces.size

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, restored and solved (B, H, W, 9), sharp (B, H, W, 3)), uint8."""
        indices = np.asarray(indices)
        return self._seen[indices], self._faces.batch(indices % len(self._faces))[1]


class MixedBatches(Batches):
    """`Batches` of `MixedPairs`: the same order and flips, other blur each epoch."""

    def __init__(self, pairs: MixedPairs, batch_size: int, device: torch.device):
        super().__init__(pairs, batch_size, device, resident=False)

    def epoch(self, seed: int, epoch: int, part: int = 0, parts: int = 1) -> Iterator[Batch]:
        self._draw = seed, epoch
        yield from super().epoch(seed, epoch, part, parts)

    def _load(self, row: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(torch.from_numpy(images).to(self.device) for images in self.pairs.draw(row, *self._draw))


MIXTURES = {MIX: MixedPairs, CAMERA: CameraPairs, SOLVED: SolvedPairs}


def training_pairs(paths: RunPaths, name: str, profile: Profile):
    """What a run's schedule calls `name`: one of the four datasets, or a mixture."""
    if name in MIXTURES:
        return MIXTURES[name](paths, profile)
    return face_pairs.open_pairs(paths, name, "train")


def validation_pairs(paths: RunPaths, names: list[str]) -> list:
    """The validation pairs that go with a schedule's datasets; all four for a mixture."""
    if names == [SOLVED]:
        return [SolvedPairs(paths, profile=None, split="val")]
    names = [dataset for name in names for dataset in (DATASETS if name in MIXTURES else [name])]
    return [face_pairs.open_pairs(paths, name, "val") for name in names]


def batches_of(pairs, batch_size: int, device: torch.device) -> Batches:
    """Training batches of `pairs`, whichever kind they are."""
    return (MixedBatches if isinstance(pairs, MixedPairs) else Batches)(pairs, batch_size, device)
