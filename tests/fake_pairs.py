"""A made-up stand-in for `datasets.FacePairs`, so that training is tested without building datasets."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.blur.operators import convolve
from facedeblur_utils.data import face_pairs
from facedeblur_utils.training import vgg


class FakePairs:
    """Smooth random images; the blurred one is the sharp one averaged over neighbouring columns."""

    def __init__(self, name: str, split: str, count: int, size: int):
        self.name, self.split, self.size = name, split, size
        rng = np.random.default_rng([len(name), ord(name[-1]), ord(name[1]), len(split), count])
        coarse = rng.integers(0, 256, (count, size // 4, size // 4, 3))
        self.sharp = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
        rolled = [np.roll(self.sharp, shift, axis=2).astype(float) for shift in (-2, -1, 0, 1, 2)]
        self.blurred = np.mean(rolled, axis=0).astype(np.uint8)
        self.image_ids = [f"{split}{i:04d}" for i in range(count)]
        self.fingerprint = hashlib.sha256(self.blurred.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, indices):
        return self.blurred[indices], self.sharp[indices]


class BlurredPairs:
    """`sharp`, uint8 (N, S, S, 3), blurred along a line by `motions`, id -> (length, angle): everywhere, or
    for the datasets that the thesis blurs in part in the square of `rows` and `columns` alone."""

    def __init__(self, name: str, sharp: np.ndarray, motions: dict, rows: slice, columns: slice):
        self.name, self.split, self.size, self.image_ids = name, "test", sharp.shape[1], list(motions)
        self.sharp = sharp
        self.lengths, self.angles = np.array(list(motions.values())).T
        middle = np.zeros(sharp.shape[:3], bool)
        middle[:, rows, columns] = True
        self.face_masks = self.head_masks = middle
        self.blur_masks = np.ones_like(middle) if name in ("SFB1", "SFB2") else middle
        blurred = np.stack([convolve(image, self.kernel(i)) for i, image in enumerate(self.sharp)])
        self.blurred = np.where(self.blur_masks[..., None], blurred, self.sharp)

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, indices):
        return self.blurred[indices], self.sharp[indices]

    def kernel(self, index):
        return linear_motion_kernel(self.lengths[index], self.angles[index])


def use_fakes(monkeypatch: pytest.MonkeyPatch, train: int = 12, val: int = 4, size: int = 32) -> None:
    """Make `datasets.open_pairs` give fakes."""
    counts = {"train": train, "val": val}
    monkeypatch.setattr(
        face_pairs, "open_pairs", lambda paths, name, split: FakePairs(name, split, counts[split], size)
    )


def use_small_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer of VGG19's output shape in its place: for tests of training, not of the loss."""

    def layers() -> nn.Sequential:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return nn.Sequential(nn.Conv2d(3, 512, 8, stride=8))

    monkeypatch.setattr(vgg, "available_kind", lambda: (vgg.RANDOM, "VGG19 without ImageNet weights"))
    monkeypatch.setattr(vgg, "_random_layers", layers)
