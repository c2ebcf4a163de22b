"""Speed and memory of the data: prints each ratio with its goal and exits 1 where one falls short.

python benchmarks/dataset_build.py            all but the large build, about 7 minutes on 2 cores
python benchmarks/dataset_build.py --large    also 24 183 images at 256 px (15 GB below --folder)
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil

from facedeblur_utils import downloads
from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import draw_motion, linear_motion_kernel
from facedeblur_utils.data import face_pairs, faces, mask_cache, recipe, segmentation
from facedeblur_utils.data.build import build
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile

THESIS_FACES = 24_183
REPEATS = 5
TURNS = 3  # of the whole build, which takes half a minute


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also build 24 183 images at 256 px")
    parser.add_argument("--folder", default=None, help="where the builds go (default: a temporary folder)")
    parser.add_argument("--one-build", nargs=3, metavar=("COPIES", "SIZE", "BASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_build:
        return one_build(*options.one_build)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        base = Path(folder)
        results = [blur_ratio(128), blur_ratio(256), *build_ratio(base), reading_rate(base)]
        if options.large:
            results += large_build(base)
    print()
    for name, value, goal, good in results:
        print(f"{'ok  ' if good else 'MISS'} {name}: {value} (goal {goal})")
    missed = sum(not good for *_, good in results)
    print(f"dataset_build: {len(results) - missed} of {len(results)} goals reached")
    return 1 if missed else 0


def sharp_faces(size: int, count: int) -> np.ndarray:
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))[:count]
    return np.stack([recipe.sharp_face(faces.decode(f.read_bytes()), size).sharp for f in files])


def blur_ratio(size: int):
    """All four blurred arrays from sharp faces and masks, against the loop that one writes first."""
    profile = replace(load_profile("study"), image_size=size)
    sharp = sharp_faces(size, 200)
    y, x = np.mgrid[:size, :size] / size - 0.5
    masks = {"face": x**2 / 0.06 + y**2 / 0.12 < 1, "head": (np.abs(x) < 0.35) & (y > -0.4)}
    ids = [f"{n:06d}" for n in range(len(sharp))]
    parts = [row for row in DATASETS.values() if row.mask]

    def plain():
        out = {name: np.empty_like(sharp) for name in DATASETS}
        for i, image_id in enumerate(ids):
            for row in parts:
                length, angle = draw_motion(profile.seed, row.blur, image_id, size, profile.blur_length)
                kernel = linear_motion_kernel(length, angle)
                blurred = cv2.filter2D(sharp[i], -1, kernel, borderType=cv2.BORDER_REFLECT)
                out[row.whole][i] = blurred
                out[row.name][i] = np.where(masks[row.mask][..., None], blurred, sharp[i])
        return out

    def ours():
        out = {name: np.empty_like(sharp) for name in DATASETS}

        def one(i):
            pictures, *_ = recipe.blur_face(sharp[i], masks["face"], masks["head"], ids[i], profile)
            for row in parts:
                out[row.whole][i] = pictures[row.whole]
                out[row.name][i] = operators.paste(sharp[i], pictures[row.whole], masks[row.mask])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(one, range(len(ids))))
        return out

    times, made = {plain: [], ours: []}, {}
    for _ in range(REPEATS):  # in turns, so that a busy machine slows both
        for function, taken in times.items():
            start = time.perf_counter()
            made[function] = function()
            taken.append(time.perf_counter() - start)
    levels = max(int(np.abs(made[plain][name].astype(int) - made[ours][name]).max()) for name in DATASETS)
    ratio = min(times[plain]) / min(times[ours])
    per_image = 1e3 * min(times[ours]) / len(ids)
    print(
        f"blur at {size} px: {ratio:.2f} x plain filter2D, {per_image:.2f} ms an image, {levels} grey levels"
    )
    good = ratio >= 1.8 and levels <= 1
    return f"blur arrays at {size} px", f"{ratio:.2f} x, off by {levels}", ">= 1.8 x, off by <= 1", good


def build_ratio(base: Path):
    """The whole build of the sample at 128 and 256 px against finding its masks alone, in turns."""
    source = downloads.fetch("sample_faces")
    files = sorted(source.glob("*.jpg"))
    os.environ["FACEDEBLUR_ASSETS"] = str(source.parent)
    for size in (128, 256):
        views = [recipe.sharp_face(faces.decode(f.read_bytes()), size).view for f in files]
        profile = replace(load_profile("study"), image_size=size, limit=len(files))
        alone, whole = [masks_alone(views)], []
        for turn in range(TURNS):
            os.environ["FACEDEBLUR_CACHE"] = str(base / f"cache_{size}_{turn}")  # no mask is known there
            downloads.fetch("sample_faces"), downloads.fetch("face_landmarker")
            start = time.perf_counter()
            build(profile, run_paths(f"bench_{size}", base / str(turn)))
            whole.append(time.perf_counter() - start)
            alone.append(masks_alone(views))
        # A shared machine changes its pace: each build is compared with the masks before and after it.
        ratios = [2 * w / (a + b) for w, (a, b) in zip(whole, itertools.pairwise(alone), strict=True)]
        print(
            f"build at {size} px of {len(files)} faces: {', '.join(f'{s:.1f}' for s in whole)} s; "
            f"masks alone: {', '.join(f'{s:.1f}' for s in alone)} s; "
            f"ratios: {', '.join(f'{r:.2f}' for r in ratios)}"
        )
        ratio = statistics.median(ratios)
        yield f"whole build / masks alone at {size} px", f"{ratio:.2f}", "<= 1.2", ratio <= 1.2


def masks_alone(views: list[np.ndarray]) -> float:
    """Seconds to find the head and face masks of `views`, with the models loaded."""
    with segmentation.open_landmarker() as landmarker:
        mask_cache.segment(np.stack(views[:8]), None, landmarker)
        start = time.perf_counter()
        for first in range(0, len(views), 64):
            mask_cache.segment(np.stack(views[first : first + 64]), None, landmarker)
        return time.perf_counter() - start


def reading_rate(base: Path):
    """Shuffled training batches of 16 pairs at 128 px, on one core."""
    paths = run_paths("bench_128", base / "0")
    order = np.random.default_rng(0).permutation(len(face_pairs.open_pairs(paths, "SFB1", "train")))
    rates = {}
    for name in DATASETS:
        data = face_pairs.open_pairs(paths, name, "train")
        start, pairs = time.perf_counter(), 0
        while time.perf_counter() - start < 2:
            for first in range(0, len(order) - 16, 16):
                data.batch(order[first : first + 16])
                pairs += 16
        rates[name] = pairs / (time.perf_counter() - start)
    print("pairs read per second: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    slowest = min(rates.values())
    return "reading batches of 16 at 128 px", f"{slowest:.0f} pairs/s", ">= 3000", slowest >= 3000


def large_build(base: Path):
    """Cost per image and memory at the thesis's size; masks are cached, so this is all but segmentation."""
    costs, peaks, disk = {}, {}, 0
    for count in (1000, THESIS_FACES):
        command = [sys.executable, __file__, "--one-build", str(count), "256", str(base / f"large_{count}")]
        process = subprocess.Popen(command)
        peaks[count] = peak_memory(process.pid)
        if process.wait():
            raise SystemExit("the large build failed")
        folder = base / f"large_{count}"
        costs[count] = float((folder / "seconds.txt").read_text()) / count
        disk = sum(f.stat().st_blocks * 512 for f in (folder / "runs").rglob("*") if f.is_file())
    change = costs[THESIS_FACES] / costs[1000] - 1
    print(f"per image: {1e3 * costs[1000]:.1f} ms of 1 000, {1e3 * costs[THESIS_FACES]:.1f} ms of 24 183")
    peak = peaks[THESIS_FACES] / 2**30
    yield "peak memory of 24 183 at 256 px", f"{peak:.2f} GiB", "< 2 GiB", peak < 2
    yield "disk of 24 183 at 256 px", f"{disk / 1e9:.2f} GB", "<= 16 GB", disk <= 16e9
    yield "cost per image, 24 183 against 1 000", f"{100 * change:+.1f} %", "within 10 %", abs(change) <= 0.1


def one_build(count: str, size: str, base: str) -> int:
    """The sample under new names, each file made different by bytes after its end, as many as asked for."""
    folder = Path(base) / "faces"
    folder.mkdir(parents=True)
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))
    for number in range(int(count)):
        data = files[number % len(files)].read_bytes()
        (folder / f"{number:06d}.jpg").write_bytes(data + number.to_bytes(4, "little"))
    profile = replace(load_profile("thesis"), source=str(folder), image_size=int(size))
    build(replace(profile, limit=999, seed=1), run_paths("warm", base))  # every mask is known now
    start = time.perf_counter()
    build(profile, run_paths("bench", base))
    (Path(base) / "seconds.txt").write_text(str(time.perf_counter() - start))
    return 0


def peak_memory(pid: int) -> int:
    """Highest resident memory (bytes) of a process until it ends."""
    process, peak, ended = psutil.Process(pid), 0, threading.Event()
    while not ended.wait(0.2):
        try:
            peak = max(peak, process.memory_info().rss)
            if process.status() == psutil.STATUS_ZOMBIE:
                break
        except psutil.NoSuchProcess:
            break
    return peak


if __name__ == "__main__":
    sys.exit(main())
