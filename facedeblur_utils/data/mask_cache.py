"""Remembers face and head masks by image and model, so that no face is segmented twice."""

import hashlib
import json
import sqlite3
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facedeblur_utils import downloads, fingerprints, paths
from facedeblur_utils.data import segmentation
from facedeblur_utils.errors import StudyError

PARTS = ("Landmarker", "head_masks", "oval_mask", "outline_mask")
CODE = [f"facedeblur_utils.data.segmentation:{name}" for name in PARTS]
WITHOUT = [f"facedeblur_utils.{name}" for name in ("downloads", "errors", "paths")]
HEAD_WEIGHTS = paths.WEIGHTS / "head_segmenter.safetensors"


@dataclass(frozen=True)
class Segmentation:
    """Masks of one square image, bool (S, S), and how many faces were found.

    `face` is the oval of the largest, `outline` the hull of all its landmarks, `head` all persons.
    """

    face: np.ndarray
    outline: np.ndarray
    head: np.ndarray
    faces: int


def model_hash() -> str:
    """SHA-256 that changes with the face model, the head model or the code that turns them into masks."""
    weights = HEAD_WEIGHTS.read_bytes() if HEAD_WEIGHTS.is_file() else b""
    parts = (
        downloads.ASSETS["face_landmarker"].sha256,
        segmentation.head_segmenter_name(),
        hashlib.sha256(weights).hexdigest(),
        fingerprints.digest(fingerprints.definitions(CODE, WITHOUT)),
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class MaskCache:
    """A small database of masks; one transaction per batch, so that a killed run leaves whole batches.

    Several threads and several processes may use it at once.
    """

    def __init__(self, path: Path, model: str):
        self.path, self.model, self._turn = path, model, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(path, timeout=60, check_same_thread=False)
            with self.database:
                self.database.execute(
                    "CREATE TABLE IF NOT EXISTS masks (image TEXT, model TEXT, side INTEGER, faces INTEGER,"
                    " bits BLOB, PRIMARY KEY (image, model))"
                )
        except (OSError, sqlite3.Error) as error:
            raise self._broken(error) from None

    def get(self, image_hash: str) -> Segmentation | None:
        """The masks of an image (SHA-256 of its pixels), or None."""
        try:
            with self._turn:
                row = self.database.execute(
                    "SELECT side, faces, bits FROM masks WHERE image = ? AND model = ?",
                    (image_hash, self.model),
                ).fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from None
        if row is None:
            return None
        side, faces, bits = row
        masks = np.unpackbits(np.frombuffer(zlib.decompress(bits), np.uint8), count=3 * side * side)
        return Segmentation(*masks.reshape(3, side, side).astype(bool), faces)

    def put(self, found: dict[str, Segmentation]) -> None:
        """Store the masks of a batch by image hash."""
        rows = [
            (image, self.model, len(s.face), s.faces, zlib.compress(np.packbits([s.face, s.outline, s.head])))
            for image, s in found.items()
        ]
        try:
            with self._turn, self.database:
                self.database.executemany("INSERT OR REPLACE INTO masks VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def close(self) -> None:
        self.database.close()

    def _broken(self, error: Exception) -> StudyError:
        return StudyError(f"mask cache {self.path} can't be used ({error}); free space there, or delete it")


def segment(views: np.ndarray, cache: MaskCache | None, landmarker) -> list[Segmentation]:
    """Masks of square images `views`, uint8 (N, S, S, 3), from the cache where they are known.

    No face gives an empty face mask and 0 faces.
    """
    return find_faces(find_heads(views, cache), cache, landmarker)


@dataclass(frozen=True)
class Heads:
    """Images by the hash of their pixels, half way: those `known` from a cache, and `heads` of the others."""

    hashes: list[str]
    known: dict[str, Segmentation]
    views: dict[str, np.ndarray]
    heads: dict[str, np.ndarray]


def find_heads(views: np.ndarray, cache: MaskCache | None) -> Heads:
    """The first half of `segment`: torch's threads, or the GPU, at work."""
    hashes = [hashlib.sha256(view).hexdigest() for view in views]
    known = {h: s for h in hashes if cache and (s := cache.get(h)) is not None}
    new = {h: view for h, view in zip(hashes, views, strict=True) if h not in known}
    heads = segmentation.head_masks(np.stack(list(new.values()))) if new else ()
    return Heads(hashes, known, new, dict(zip(new, heads, strict=True)))


def find_faces(half: Heads, cache: MaskCache | None, landmarker) -> list[Segmentation]:
    """The second half of `segment`, which takes one core of the CPU."""
    found = {}
    for image, view in half.views.items():
        faces, shape = landmarker.faces(view), view.shape[:2]
        face = segmentation.oval_mask(faces[0], shape) if faces else np.zeros(shape, bool)
        outline = segmentation.outline_mask(faces[0], shape) if faces else face
        found[image] = Segmentation(face, outline, half.heads[image], len(faces))
    if cache and found:
        cache.put(found)
    return [(half.known | found)[image] for image in half.hashes]
