"""Opens the four datasets of the study: pairs of a blurred and a sharp face, their masks and kernels."""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from facedeblur_utils.blur.kernels import linear_motion_kernel, unpadded
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.data.faces import SPLITS
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.paths import RunPaths


class FacePairs:
    """Blurred and sharp faces of one dataset, in the order of their ids, read from disk as needed.

    `name` and `split` say which; `image_ids`, `lengths` (pixels) and `angles` (degrees) go by image;
    `region` names the mask that alone was blurred, empty for all; `size` is the side in pixels; `fingerprint`
    identifies the bytes of the pairs, `faces_fingerprint` those of the sharp faces and the dataset's masks.
    """

    def __init__(self, folder: Path, dataset: str, split: str | None, facts: dict, images: pd.DataFrame):
        self.name, self.split, self.size = dataset, split, facts["image_size"]
        row = DATASETS[dataset]
        self._folder, self._composed = folder, dataset not in facts["sha256"]
        self._whole, self.region = row.whole, row.mask
        self.image_ids = images["image_id"].tolist()
        self.lengths = images[f"length_{row.blur}"].to_numpy(float)
        self.angles = images[f"angle_{row.blur}"].to_numpy(float)
        self._draw = row.blur
        self._lines = facts["recipe"]["profile"].get("blur_kind", "line") == "line"
        self._rows = images["row"].to_numpy()
        hashes = [facts["sha256"]["faces"], facts["sha256"].get(dataset, facts["sha256"][self._whole])]
        if self._composed:
            hashes.append(facts["sha256"][f"masks_{self.region}"])
        self.faces_fingerprint = _digest(
            [hashes[0], facts["sha256"].get(f"masks_{row.mask}", ""), *self.image_ids]
        )
        self.fingerprint = _digest([dataset, *hashes, *self.image_ids])

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp) of the images at `indices`, each uint8 (B, H, W, 3), copied from disk."""
        rows = self._rows[np.asarray(indices)]
        sharp = self._array("faces")[rows]
        blurred = self._array(self._whole if self._composed else self.name)[rows]
        if self._composed:
            _lay_sharp_over(blurred, sharp, self._mask_bits(self.region)[rows])
        return blurred, sharp

    @cached_property
    def sharp(self) -> np.ndarray:
        """All sharp faces, uint8 (N, H, W, 3); memory-mapped where the rows follow each other."""
        return self._split_of("faces")

    @cached_property
    def blurred(self) -> np.ndarray:
        """All blurred faces, uint8 (N, H, W, 3); in memory where they are composed from others."""
        if not self._composed:
            return self._split_of(self.name)
        return self.batch(np.arange(len(self)))[0]

    @cached_property
    def face_masks(self) -> np.ndarray:
        """Bool (N, H, W): the face oval found by MediaPipe."""
        return self._masks("face")

    @cached_property
    def head_masks(self) -> np.ndarray:
        """Bool (N, H, W): the person found by DeepLabV3."""
        return self._masks("head")

    def mask_batch(self, region: str, indices) -> np.ndarray:
        """Bool (B, H, W): the `head` or `face` masks of the images at `indices`."""
        bits = np.unpackbits(self._mask_bits(region)[self._rows[np.asarray(indices)]], axis=1)
        return bits.reshape(-1, self.size, self.size).astype(bool)

    @property
    def blur_masks(self) -> np.ndarray:
        """Bool (N, H, W): where the blur was laid; everywhere in SFB1 and SFB2."""
        if not self.region:
            return np.ones((len(self), self.size, self.size), bool)
        return self._masks(self.region)

    def kernel(self, index: int) -> np.ndarray:
        """Blur kernel of one image, float32 (k, k), sums to 1; where several blur it, its middle's."""
        if not self._lines:
            return unpadded(np.array(self._array(f"kernels_{self._draw}")[self._rows[index]]))
        return linear_motion_kernel(self.lengths[index], self.angles[index])

    def _array(self, name: str) -> np.ndarray:
        # Mapped once, then shared by all reads of this object.
        cache = self.__dict__.setdefault("_mapped", {})
        if name not in cache:
            cache[name] = np.load(self._folder / f"{name}.npy", mmap_mode="r")
        return cache[name]

    def _mask_bits(self, region: str) -> np.ndarray:
        return self._array(f"masks_{region}")

    def _split_of(self, name: str) -> np.ndarray:
        array, rows = self._array(name), self._rows
        first, last = rows[0], rows[-1] + 1
        return array[first:last] if last - first == len(rows) else array[rows]

    def _masks(self, region: str) -> np.ndarray:
        bits = np.unpackbits(self._mask_bits(region)[self._rows], axis=1)
        return bits.reshape(len(self), self.size, self.size).astype(bool)


def open_pairs(paths: RunPaths, dataset: str, split: str | None = None) -> FacePairs:
    """Open `SFB1`, `SB1SD`, `SFB2` or `SB2SM`, one part (`train`, `val`, `test`) or all of it.

    Raises UsageError for an unknown name, StudyError where the datasets haven't been built.
    """
    if dataset not in DATASETS:
        raise UsageError(f"unknown dataset '{dataset}'; known: {', '.join(DATASETS)}")
    if split not in (None, *SPLITS):
        raise UsageError(f"unknown part '{split}' of the split; known: {', '.join(SPLITS)}")
    images = image_table(paths)
    if split:
        images = images[images["split"] == split]
    return FacePairs(paths.data, dataset, split, facts(paths), images)


def facts(paths: RunPaths) -> dict:
    """What `dataset.json` says: recipe, source, versions, counts, excluded images, hashes."""
    try:
        return json.loads(paths.dataset_facts.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(
            f"no datasets in {paths.data}: run notebook 02_dataset_build (or "
            f"`python run_all.py --profile {paths.profile} --only 02`) first"
        ) from None


def image_table(paths: RunPaths) -> pd.DataFrame:
    """One row per image in the datasets: id, part, lengths, angles, coverage, source hash."""
    return _table(paths, "images.csv")


def quality_table(paths: RunPaths) -> pd.DataFrame:
    """One row per image of the source: used or left out, and why."""
    return _table(paths, "quality.csv").fillna({"reason": "", "remark": ""})


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


def _table(paths: RunPaths, name: str) -> pd.DataFrame:
    facts(paths)  # says what to do where nothing is built yet
    # Ids are text even where they look like numbers; floats come back exactly as they were.
    return pd.read_csv(paths.data / name, dtype={"image_id": str}, float_precision="round_trip")


def _lay_sharp_over(blurred: np.ndarray, sharp: np.ndarray, bits: np.ndarray) -> None:
    """Put the sharp pixels back outside the masks (packed bits, one row per image), in place."""
    outside = np.unpackbits(~bits, axis=1).reshape(blurred.shape[:3])
    for target, source, mask in zip(blurred, sharp, outside, strict=True):
        cv2.copyTo(source, mask, target)
