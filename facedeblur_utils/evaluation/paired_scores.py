"""Scores any methods on pairs of sharp and blurred pictures: as they are, or the faces in them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from facedeblur_utils.data import alignment, faces, segmentation
from facedeblur_utils.data.segmentation import Landmarker
from facedeblur_utils.errors import UsageError
from facedeblur_utils.evaluation.paired_folders import LEAST_SIDE, Pair, check, read_pair, tell
from facedeblur_utils.evaluation.scores import COLUMNS, INPUT, REGIONS, score_images
from facedeblur_utils.progress import track

# A blurred picture, uint8 RGB (H, W, 3), -> restored, the same shape and type
Method = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Case:
    """What is scored: uint8 (H, W, 3) twice, and bool masks (H, W) by region, None for all pixels."""

    image_id: str
    sharp: np.ndarray
    blurred: np.ndarray
    masks: dict[str, np.ndarray | None]


def score_pairs(
    pairs: list[Pair], methods: Mapping[str, Method], faces: bool = False, size: int | None = None
) -> pd.DataFrame:
    """PSNR and SSIM of the blurred pictures (`input`) and of each method's, in the columns of scores.csv.

    With `faces` they are those of each face found in the sharp picture: a square around it is cut out of
    both, its region `face` is the face's oval. `size` is the side in pixels to which the squares are brought
    (area average where they shrink), of whole pictures the longest side; None leaves all as they are. All
    files are read once before the first is scored. Raises UsageError for files that can't be read or don't
    fit, where no face is found, and for a method that gives something else than a picture of that size.
    """
    if size is not None and size < LEAST_SIDE:
        raise UsageError(f"size must be {LEAST_SIDE} pixels or more, which SSIM needs, got {size}")
    rows = []
    with segmentation.open_landmarker() if faces else nullcontext() as landmarker:
        check(pairs)
        for pair, case in _cases(pairs, landmarker, size):
            for model, method in {INPUT: lambda blurred: blurred, **methods}.items():
                values = _values(model, method, case)
                rows += [(model, pair.dataset, case.image_id, *key, value) for key, value in values.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def means(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean of each metric by dataset, region and model, how many images, and the mean gain over the input.

    Images that equal their target have an infinite PSNR, and are left out of its mean and gain.
    """
    keys = ["dataset", "region", "image_id", "metric"]
    blurred = scores[scores["model"] == INPUT].set_index(keys)["value"]
    gains = scores["value"].to_numpy() - blurred.reindex(pd.MultiIndex.from_frame(scores[keys])).to_numpy()
    values = scores.assign(gain=gains).replace([np.inf, -np.inf], np.nan)
    rows = values.groupby(["dataset", "region", "model"], sort=False)
    table = pd.DataFrame({"images": rows["image_id"].nunique()})
    for metric in ("psnr", "ssim"):
        here = values[values["metric"] == metric].groupby(["dataset", "region", "model"], sort=False)
        table[metric], table[f"{metric}_gain"] = here["value"].mean(), here["gain"].mean()
    return table.reset_index()


def _cases(pairs: list[Pair], landmarker: Landmarker | None, size: int | None) -> Iterator[tuple[Pair, Case]]:
    faceless = []
    for pair in track(pairs, "Scoring", unit="pairs"):
        cases = face_cases(pair, landmarker, size) if landmarker else [_whole(pair, size)]
        faceless += [] if cases else [pair.name]
        yield from ((pair, case) for case in cases)
    if len(faceless) == len(pairs):
        raise UsageError(f"no face of a usable size in {len(pairs)} sharp pictures; score them without faces")
    tell(faceless, "without a face of a usable size")


def _whole(pair: Pair, size: int | None) -> Case:
    sharp, blurred = (_reduced(image, size) for image in read_pair(pair))
    return Case(pair.name, sharp, blurred, {REGIONS[0]: None})


def face_cases(pair: Pair, landmarker: Landmarker, size: int | None) -> list[Case]:
    """The faces of the sharp picture, the largest first; those too small for `size` are left out."""
    sharp, blurred = read_pair(pair)
    cases = []
    for face in alignment.find_faces(sharp, landmarker):
        top, left, side = _square(face, sharp.shape[:2])
        shown = size or side
        try:
            faces.check_side(side, shown)
        except faces.ImageProblem:
            continue
        part = slice(top, top + side), slice(left, left + side)
        # Pixel x of the picture lies at (x - left + 0.5) shown / side - 0.5 of the square.
        landmarks = (face.landmarks - np.float32([left, top]) + 0.5) * np.float32(shown / side) - 0.5
        masks = {REGIONS[0]: None, REGIONS[1]: segmentation.oval_mask(landmarks, (shown, shown))}
        images = (faces.resize(image[part], shown) for image in (sharp, blurred))
        cases.append(Case(f"{pair.name}.face{len(cases) + 1}", *images, masks))
    return cases


def _square(face: alignment.PhotoFace, shape: tuple[int, int]) -> tuple[int, int, int]:
    """Top, left and side of the upright square of the face's crop, moved into a picture of `shape`."""
    side = min(round(face.side), *shape)
    starts = (round(middle + 0.5 - side / 2) for middle in reversed(face.centre))
    top, left = (int(np.clip(start, 0, length - side)) for start, length in zip(starts, shape, strict=True))
    return top, left, side


def _reduced(image: np.ndarray, size: int | None) -> np.ndarray:
    """`image` with no side longer than `size`."""
    scale = size / max(image.shape[:2]) if size else 1
    if scale >= 1:
        return image
    width, height = (max(LEAST_SIDE, round(scale * side)) for side in image.shape[1::-1])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _values(model: str, method: Method, case: Case) -> dict[tuple[str, str], float]:
    output = method(case.blurred)
    if not isinstance(output, np.ndarray) or output.dtype != np.uint8 or output.shape != case.sharp.shape:
        what = f"{output.dtype} {output.shape}" if isinstance(output, np.ndarray) else type(output).__name__
        raise UsageError(f"{model} must give uint8 {case.sharp.shape} for {case.image_id}, it gave {what}")
    masks = {region: None if mask is None else mask[None] for region, mask in case.masks.items()}
    scored = score_images(output[None], case.sharp[None], masks)
    return {key: float(value[0]) for key, value in scored.items()}
