"""Takes a source through the stages in chunks, each stored whole before it counts as done."""

import hashlib
import itertools
import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pandas as pd

from facedeblur_utils.blur.kernels import padded
from facedeblur_utils.blur.kinds import longest_kernel
from facedeblur_utils.data import faces, mask_cache, recipe, segmentation
from facedeblur_utils.data.array_file import ArrayFile
from facedeblur_utils.data.datasets import DATASETS, DRAWS, MASKS
from facedeblur_utils.data.source_files import Item, Source
from facedeblur_utils.errors import StudyError
from facedeblur_utils.files import write_text
from facedeblur_utils.paths import cache_folder
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import Progress

CHUNK = 32  # images that are segmented, blurred and stored together
FOLDER = "chunks"  # marks of the chunks that are done, until the build is
QUALITY = ["remark", "file", "width", "height", "faces", "face_coverage", "oval_coverage", "head_coverage"]


def fill(profile: Profile, source: Source, split: pd.DataFrame, work: Path, workers: int) -> list[dict]:
    """Store all images of `source` in the arrays below `work`; returns the chunks' records.

    Rows are ordered by part of the split, then by id. A record holds the facts of its images and the hashes
    of each array's rows; it is written when the rows are, so a killed build repeats at most the chunks under
    way. Raises StudyError for a disk that is too small.
    """
    part = {name: position for position, name in enumerate(faces.SPLITS)}
    where = split.set_index("image_id")["split"].map(part)
    items = sorted(source.items, key=lambda item: (where[item.image_id], item.image_id))
    (work / FOLDER).mkdir(exist_ok=True)
    records = [work / FOLDER / f"{start:06d}.json" for start in range(0, len(items), CHUNK)]
    missing = [n for n, record in enumerate(records) if not record.exists()]
    with ExitStack() as stack:
        arrays = _open_arrays(profile, len(items), work, stack)
        progress = Progress(len(items), "Datasets")
        progress.done = sum(
            len(items[n * CHUNK : (n + 1) * CHUNK]) for n in range(len(records)) if n not in missing
        )
        writer, writing = stack.enter_context(ThreadPoolExecutor(1)), None
        for number, pictures, images in _stages(profile, source, items, missing, workers, stack):
            if writing:  # one chunk at most is in memory behind the one that is blurred
                writing.result()
            writing = writer.submit(_store, number * CHUNK, pictures, images, arrays, records[number])
            progress.advance(len(images))
        if writing:
            writing.result()
        if missing:
            progress.finish()
    return [json.loads(record.read_text(encoding="utf-8")) for record in records]


def _stages(
    profile, source, items, missing: list[int], workers: int, stack
) -> Iterator[tuple[int, list, list[dict]]]:
    """Yield (chunk number, pictures, facts): faces of one chunk are found in this thread, and beside it the
    heads of the next, which takes most of the time, while the one after is decoded and the last blurred.
    """
    if not missing:
        return
    cache = mask_cache.MaskCache(cache_folder() / "masks.sqlite", mask_cache.model_hash())
    stack.enter_context(closing(cache))
    landmarker = stack.enter_context(segmentation.open_landmarker())
    align = _aligner(stack) if profile.align else None
    pool = stack.enter_context(ThreadPoolExecutor(workers))
    segmenter = stack.enter_context(ThreadPoolExecutor(1))

    def load_chunk(number: int) -> list[Future]:
        chunk = items[number * CHUNK : (number + 1) * CHUNK]
        return [pool.submit(load, source, item, profile.image_size, align) for item in chunk]

    def find_heads(loading: list[Future]) -> tuple[list, mask_cache.Heads]:
        loaded = [job.result() for job in loading]
        return loaded, mask_cache.find_heads([face.view for face, _ in loaded if face is not None], cache)

    coming = [load_chunk(number) for number in missing[:2]]
    heads, behind = segmenter.submit(find_heads, coming.pop(0)), None
    for number, after in itertools.zip_longest(missing, missing[2:]):
        loaded, found = heads.result()
        if coming:
            heads = segmenter.submit(find_heads, coming.pop(0))
        if after is not None:
            coming.append(load_chunk(after))
        masks = iter(mask_cache.find_faces(found, cache, landmarker))
        jobs = [
            pool.submit(_blur, *one, next(masks) if one[0] is not None else None, profile) for one in loaded
        ]
        if behind:
            yield _collected(*behind)
        behind = number, jobs
    yield _collected(*behind)


def _collected(number: int, jobs: list[Future]) -> tuple[int, list, list[dict]]:
    results = [job.result() for job in jobs]
    return number, [pictures for pictures, _ in results], [facts for _, facts in results]


def _aligner(stack: ExitStack) -> Callable[[np.ndarray], np.ndarray]:
    """`dataset_images.aligned` for the loading threads, which take turns with one landmarker."""
    landmarker, turn = stack.enter_context(segmentation.open_landmarker()), threading.Lock()

    def align(pixels: np.ndarray) -> np.ndarray:
        with turn:
            return recipe.aligned(pixels, landmarker)

    return align


def load(source: Source, item: Item, size: int, align=None) -> tuple[recipe.Face | None, dict]:
    """Decode (and align) one image; facts have a reason where it can't be used."""
    facts = {"image_id": item.image_id, "file": item.name, "reason": "", "remark": ""}
    facts |= {"source_sha256": "", "thumbnail": ""}
    face = None
    try:
        data = source.read(item)
        facts["source_sha256"] = hashlib.sha256(data).hexdigest()
        pixels = faces.decode(data)
        facts |= {"width": pixels.shape[1], "height": pixels.shape[0]}
        pixels = align(pixels) if align else pixels
        face = recipe.sharp_face(pixels, size)
        facts["thumbnail"] = faces.thumbnail(pixels).tobytes().hex()
        if item.name.lower().endswith(faces.MAY_MOVE) and (count := faces.pictures_in(data)) > 1:
            facts["remark"] = f"the first of {count} pictures"
    except faces.ImageProblem as error:
        facts["reason"] = str(error)
    except OSError as error:
        facts["reason"] = f"could not be read ({error.strerror or error})"
    return face, facts


def _blur(face: recipe.Face | None, facts: dict, found, profile: Profile) -> tuple[dict, dict]:
    """Array rows and facts of one image; no rows where the image leaves the study."""
    if face is None:
        return {}, facts
    size = profile.image_size
    head = recipe.head_of(found.head, found.face, profile.head_region)
    face_mask = faces.reduce_mask(recipe.face_of(found, profile.face_region), size)
    head = faces.reduce_mask(head, size)
    facts |= {"faces": found.faces, "face_coverage": _share(face_mask), "head_coverage": _share(head)}
    facts["oval_coverage"] = _share(faces.reduce_mask(found.face, size))
    facts["reason"] = recipe.problem(found, face_mask, head, profile)
    if facts["reason"]:
        return {}, facts
    facts["remark"] = ", ".join(filter(None, (facts["remark"], recipe.remarks(found, face.side, size))))
    pictures, kernels, drawn = recipe.blur_face(face.sharp, face_mask, head, facts["image_id"], profile)
    facts |= drawn
    rows = {"faces": face.sharp, **pictures}
    rows |= {"masks_face": np.packbits(face_mask), "masks_head": np.packbits(head)}
    side = longest_kernel(profile)
    rows |= {f"kernels_{number}": padded(kernel, side) for number, kernel in kernels.items()}
    return rows, facts


def _store(
    start: int, pictures: list[dict], images: list[dict], arrays: dict[str, ArrayFile], record: Path
) -> None:
    """Write the rows of one chunk, then its record."""
    hashes = {}
    for name, array in arrays.items():
        empty = np.zeros(array.shape[1:], array.dtype)
        block = np.stack([rows.get(name, empty) for rows in pictures])
        array.write(start, block)
        hashes[name] = "".join(hashlib.sha256(row).hexdigest() for row in block)
    for offset, facts in enumerate(images):
        facts["row"] = start + offset
    write_text(record, json.dumps({"images": images, "sha256": hashes}))


def bytes_needed(profile: Profile, count: int) -> int:
    """Size on disk of the arrays of `count` images."""
    return sum(_array_bytes(*shape) for shape in _shapes(profile, count).values())


def _shapes(profile: Profile, count: int) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of each array of a build, by name."""
    size, side = profile.image_size, longest_kernel(profile)
    shapes = {"faces": ((count, size, size, 3), np.uint8)}
    stored = [name for name, row in DATASETS.items() if row.stored(profile)]
    shapes |= {name: ((count, size, size, 3), np.uint8) for name in stored}
    shapes |= {f"masks_{region}": ((count, size * size // 8), np.uint8) for region in MASKS}
    return shapes | {f"kernels_{number}": ((count, side, side), np.float32) for number in DRAWS}


def _array_bytes(shape: tuple[int, ...], kind: type) -> int:
    return math.prod(shape) * np.dtype(kind).itemsize


def _open_arrays(profile: Profile, count: int, work: Path, stack: ExitStack) -> dict[str, ArrayFile]:
    """The array files of a build by name, created or reopened; checks the free space first."""
    shapes = _shapes(profile, count)
    files = {name: work / f"{name}.npy" for name in shapes}
    needed = sum(_array_bytes(*shapes[name]) for name, file in files.items() if not file.exists())
    free = shutil.disk_usage(work).free
    if needed > free:
        raise StudyError(
            f"the datasets need {needed / 1e6:,.0f} MB more in {work.parent}, "
            f"but only {free / 1e6:,.0f} MB are free"
        )
    return {
        name: stack.enter_context(closing(ArrayFile(files[name], *shape))) for name, shape in shapes.items()
    }


def _share(mask: np.ndarray) -> float:
    return round(float(mask.mean()), 6)
