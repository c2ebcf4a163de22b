"""Training batches: the same flip for both images of a pair, seeded by (seed, epoch, image)."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from torch import Tensor

from facedeblur_utils.errors import StudyError

RESIDENT_SHARE = 0.25  # of the free memory: a data set up to this size is kept on the device


@dataclass(frozen=True)
class Batch:
    """`blurred` and `sharp`: float32 (B, 3, H, W) in [0, 1], channels_last; `indices`, `flips` (B,)."""

    indices: Tensor
    flips: Tensor
    blurred: Tensor
    sharp: Tensor


class Batches:
    """Pairs of one dataset on `device`: resident as uint8 where they fit, else read from the memory map.

    `pairs` is a `datasets.FacePairs`. `epoch(...)` yields the batches of one epoch.
    """

    def __init__(self, pairs, batch_size: int, device: torch.device, *, resident: bool | None = None):
        if len(pairs) == 0:
            raise StudyError(f"dataset {pairs.name} has no {pairs.split} images; raise the profile's limit")
        self.pairs, self.device = pairs, device
        self.batch_size = min(batch_size, len(pairs))
        size = 2 * len(pairs) * pairs.size**2 * 3
        self.resident = _fits(size, device) if resident is None else resident
        if self.resident:
            images = pairs.batch(np.arange(len(pairs)))
            self.blurred, self.sharp = (torch.from_numpy(array).to(device) for array in images)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def steps(self) -> int:
        """Batches per epoch. The images left over by the last full batch wait for another epoch's shuffle."""
        return images_per_epoch(self.pairs, self.batch_size) // self.batch_size

    def epoch(self, seed: int, epoch: int, part: int = 0, parts: int = 1) -> Iterator[Batch]:
        """The batches of `epoch` in its own order; of several processes, `part` takes its share of each."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self.pairs))
        flips = flip_decisions(self.pairs.image_ids, seed, epoch)
        share = self.batch_size // parts
        rows = [
            order[start + part * share : start + (part + 1) * share]
            for start in range(0, self.steps * self.batch_size, self.batch_size)
        ]
        yield from self.read(rows, flips)

    def read(self, rows: list[np.ndarray], flips: np.ndarray) -> Iterator[Batch]:
        """Batches of the images at `rows`, flipped where `flips` (one per image of the dataset) says so."""
        if self.resident:
            for row in rows:
                index = torch.from_numpy(row).to(self.device)
                yield self._batch(index, flips[row], self.blurred[index], self.sharp[index])
            return
        # One batch is read ahead, so that the disk works while the network does.
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self._load, rows[0]) if rows else None
            for number, row in enumerate(rows):
                blurred, sharp = coming.result()
                if number + 1 < len(rows):
                    coming = pool.submit(self._load, rows[number + 1])
                yield self._batch(torch.from_numpy(row), flips[row], blurred, sharp)

    def _load(self, row: np.ndarray) -> tuple[Tensor, Tensor]:
        """(B, H, W, 3) uint8 twice, from the memory map to the device."""
        images = (torch.from_numpy(np.ascontiguousarray(array)) for array in self.pairs.batch(row))
        return tuple(image.to(self.device, non_blocking=True) for image in images)

    def _batch(self, index: Tensor, flips: np.ndarray, blurred: Tensor, sharp: Tensor) -> Batch:
        flips = torch.from_numpy(flips).to(self.device)
        return Batch(index, flips, to_network(blurred, flips), to_network(sharp, flips))


def images_per_epoch(pairs, batch_size: int) -> int:
    """Images in the full batches of one epoch; fewer than one batch are one batch, none are none."""
    size = max(1, min(batch_size, len(pairs)))
    return len(pairs) // size * size


def to_network(images: Tensor, flips: Tensor | None = None) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in [0, 1], mirrored left-right where `flips` is True."""
    if flips is not None:
        images = torch.where(flips.view(-1, 1, 1, 1), images.flip(2), images)
    # NHWC memory seen as NCHW is exactly channels_last: no copy.
    return images.permute(0, 3, 1, 2).float().div_(255)


def flip_decisions(image_ids: list[str], seed: int, epoch: int) -> np.ndarray:
    """bool (N,): which images are mirrored in `epoch`; each depends on (seed, epoch, image id) alone."""
    digests = (
        hashlib.blake2b(f"{seed}/{epoch}/{name}".encode(), digest_size=1).digest()[0] for name in image_ids
    )
    return np.fromiter((digest & 1 for digest in digests), dtype=bool, count=len(image_ids))


def _fits(size: int, device: torch.device) -> bool:
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return size <= RESIDENT_SHARE * free
