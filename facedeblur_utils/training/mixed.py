"""Training pairs of all kinds with fresh blur every epoch, made while training (runs NMIX and NCAM)."""

from collections.abc import Iterator

import numpy as np
import torch

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import draw_motion, generator_for, linear_motion_kernel
from facedeblur_utils.blur.mixture import KINDS, camera_picture
from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training.batches import Batch, Batches
from facedeblur_utils.training.experiments import CAMERA, MIX


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


class MixedBatches(Batches):
    """`Batches` of `MixedPairs`: the same order and flips, other blur each epoch."""

    def __init__(self, pairs: MixedPairs, batch_size: int, device: torch.device):
        super().__init__(pairs, batch_size, device, resident=False)

    def epoch(self, seed: int, epoch: int, part: int = 0, parts: int = 1) -> Iterator[Batch]:
        self._draw = seed, epoch
        yield from super().epoch(seed, epoch, part, parts)

    def _load(self, row: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(torch.from_numpy(images).to(self.device) for images in self.pairs.draw(row, *self._draw))


MIXTURES = {MIX: MixedPairs, CAMERA: CameraPairs}


def training_pairs(paths: RunPaths, name: str, profile: Profile):
    """What a run's schedule calls `name`: one of the four datasets, or a mixture."""
    if name in MIXTURES:
        return MIXTURES[name](paths, profile)
    return face_pairs.open_pairs(paths, name, "train")


def validation_pairs(paths: RunPaths, names: list[str]) -> list:
    """The validation pairs that go with a schedule's datasets; all four for a mixture."""
    names = [dataset for name in names for dataset in (DATASETS if name in MIXTURES else [name])]
    return [face_pairs.open_pairs(paths, name, "val") for name in names]


def batches_of(pairs, batch_size: int, device: torch.device) -> Batches:
    """Training batches of `pairs`, whichever kind they are."""
    return (MixedBatches if pairs.name in MIXTURES else Batches)(pairs, batch_size, device)
