"""Stand-in for the two segmenters: an oval and a box, at once, for tests of everything around them."""

import itertools
import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from facedeblur_utils.data import chunks, mask_cache
from facedeblur_utils.data.array_file import ArrayFile
from facedeblur_utils.data.build import build
from facedeblur_utils.data.mask_cache import Segmentation
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile

DARK = 20  # an image whose mean is below has no face


def find_heads(views, cache):
    return mask_cache.Heads([], {}, dict(enumerate(views)), {})


def find_faces(half, cache, landmarker):
    found = []
    for view in half.views.values():
        side = len(view)
        y, x = np.mgrid[:side, :side] / side - 0.5
        face = (x / 0.25) ** 2 + (y / 0.35) ** 2 < 1
        head = (np.abs(x) < 0.35) & (y > -0.4)
        dark = view.mean() < DARK
        face = face & ~np.bool_(dark)
        found.append(Segmentation(face, face, head, 0 if dark else 1))
    return found


@contextmanager
def no_landmarker():
    yield None


def install(patch=setattr):
    """Replace the segmenters; pass `monkeypatch.setattr` in tests."""
    patch(mask_cache, "find_heads", find_heads)
    patch(mask_cache, "find_faces", find_faces)
    patch(mask_cache, "model_hash", lambda: "fake masks")
    patch(chunks.segmentation, "open_landmarker", no_landmarker)
    patch(chunks.segmentation, "head_segmenter_name", lambda: "fake masks")


def build_in_a_process(source: str, base: str, cache: str, killed_at: int) -> None:
    """Target of a process: a build that kills itself before its `killed_at`-th write (0: never)."""
    install()
    chunks.CHUNK = 4
    chunks.cache_folder = lambda: Path(cache)
    if killed_at:
        events = itertools.count(1)

        def counted(function):
            def call(*arguments, **options):
                if next(events) == killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        ArrayFile.write = counted(ArrayFile.write)
        os.replace = counted(os.replace)
        shutil.rmtree = counted(shutil.rmtree)
    profile = load_profile("smoke", {"source": source, "limit": 0})
    build(profile, run_paths("smoke", base), workers=2)
