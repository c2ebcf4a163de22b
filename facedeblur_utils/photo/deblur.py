"""Deblurs the faces in anyone's photo: `deblur(image)`, and the command `facedeblur in out`."""

import argparse
import os
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn

from facedeblur_utils.data import faces
from facedeblur_utils.data.alignment import PhotoFace, find_faces
from facedeblur_utils.data.segmentation import Landmarker, checked_image, open_landmarker
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.machine import available_cpus
from facedeblur_utils.models.apply import restore
from facedeblur_utils.photo import published
from facedeblur_utils.progress import Progress

SOFT_EDGE = 0.12  # of the crop's side, over which the restored crop fades into the photo
PHOTO_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TRANSPARENT_SUFFIXES = (".png", ".tif", ".tiff", ".webp")
MODEL_SIDE = 512  # pixels of a whole picture's longer side as the network sees it


@dataclass
class Deblurred:
    """`image` has the size of the photo; `faces` are those restored in it; `text` says what was done."""

    image: np.ndarray
    faces: list[PhotoFace] = field(default_factory=list)
    text: str = ""


def deblur(
    image: np.ndarray | str | Path,
    model: nn.Module | str | Path | None = None,
    *,
    everywhere: bool = False,
    size: int | None = None,
) -> np.ndarray:
    """The photo with its faces deblurred: uint8 RGB (H, W, 3), the size of the photo, EXIF turned upright.

    `image` is a uint8 RGB array or the path of an image file. `model` is None (the published restorer), the
    path of other weights of it, or any network of the study; `size` is the side in pixels of the faces that
    it was trained on, by default that of the published one. Pixels away from the faces stay exactly as
    they are, unless `everywhere` asks to restore the whole picture. Raises StudyError, in one line, where
    there is no face, no image, or one that is too large; details in `deblur_photo`.
    """
    return deblur_photo(image, model, everywhere=everywhere, size=size).image


def deblur_photo(
    image: np.ndarray | str | Path,
    model: nn.Module | str | Path | None = None,
    *,
    everywhere: bool = False,
    size: int | None = None,
    landmarker: Landmarker | None = None,
) -> Deblurred:
    """`deblur` with an account of what was done. Pass a `landmarker` for many photos."""
    pixels = read_photo(image) if isinstance(image, str | Path) else checked_image(image)
    if pixels.shape[0] * pixels.shape[1] > faces.LARGEST_PIXELS:
        limit = faces.LARGEST_PIXELS // 1_000_000
        raise StudyError(f"the photo has more than {limit} million pixels; make it smaller first")
    network = open_model(model)
    size = size or published.facts()["image_size"]
    if everywhere:
        return Deblurred(_restored_whole(pixels, network), [], "the whole picture was restored")
    if landmarker is None:
        with open_landmarker() as landmarker:
            found = find_faces(pixels, landmarker)
    else:
        found = find_faces(pixels, landmarker)
    if not found:
        raise StudyError("no face found; ask for the whole picture (everywhere=True, --everywhere) instead")
    result = pixels.astype(np.float32)
    for face in found:
        _add_restored(result, pixels, face, network, size)
    return Deblurred(np.clip(np.rint(result), 0, 255).astype(np.uint8), found, _account(found))


def open_model(model: nn.Module | str | Path | None) -> nn.Module:
    """A network as it is, or the restorer with the weights at a path, or the published one."""
    return model if isinstance(model, nn.Module) else _loaded(str(model) if model else "")


def read_photo(path: str | Path) -> np.ndarray:
    """An image file as uint8 RGB (H, W, 3), upright; raises StudyError, in one line, for anything else."""
    try:
        return faces.decode(Path(path).read_bytes())
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}") from None
    except faces.ImageProblem as problem:
        raise StudyError(f"cannot use {path}: {problem}") from None


@lru_cache(maxsize=2)
def _loaded(path: str) -> nn.Module:
    return published.load(Path(path) if path else published.WEIGHTS)


def _add_restored(
    result: np.ndarray, photo: np.ndarray, face: PhotoFace, network: nn.Module, size: int
) -> None:
    """Add to `result` (float32) what the network changes in one face's crop, fading at its edge.

    Adding the change, instead of pasting the crop, keeps what the photo holds beyond the crop's pixels.
    """
    to_crop = face.to_crop * size
    to_crop[:, 2] -= 0.5  # from fractions of the crop to its pixels, whose first centre is at (0, 0)
    crop = _reduced(photo, to_crop, size)
    change = restore(network, crop[None])[0].astype(np.float32) - crop
    change *= _soft_square(size)[..., None]
    back = cv2.invertAffineTransform(to_crop)
    corners = back @ np.array([[-1, size, -1, size], [-1, -1, size, size], [1, 1, 1, 1]])
    left, top = np.maximum(np.floor(corners.min(axis=1)).astype(int), 0)
    right, bottom = np.ceil(corners.max(axis=1)).astype(int) + 1
    part = result[top:bottom, left:right]
    back[:, 2] -= left, top
    part += cv2.warpAffine(change, back, part.shape[1::-1], flags=cv2.INTER_CUBIC, borderValue=(0, 0, 0))


def _reduced(photo: np.ndarray, to_crop: np.ndarray, size: int) -> np.ndarray:
    """The face crop, (size, size, 3); a large face is averaged down first, so that nothing aliases."""
    scale = float(np.hypot(*to_crop[0, :2]))
    if scale < 1:
        small = [max(1, round(side * scale)) for side in photo.shape[1::-1]]
        sx, sy = (new / old for new, old in zip(small, photo.shape[1::-1], strict=True))
        photo = cv2.resize(photo, small, interpolation=cv2.INTER_AREA)
        # Pixel x of the photo lies at (x + 0.5) sx - 0.5 of the reduced one.
        shrink = np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5], [0, 0, 1]])
        to_crop = to_crop @ np.linalg.inv(shrink)
    return cv2.warpAffine(
        photo, to_crop, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


def _soft_square(size: int) -> np.ndarray:
    """float32 (size, size): 1 inside, falling to 0 at the edge along a cosine."""
    distance = (np.arange(size) + 0.5) / size
    ramp = np.clip(np.minimum(distance, 1 - distance) / SOFT_EDGE, 0, 1)
    ramp = ((1 - np.cos(np.pi * ramp)) / 2).astype(np.float32)
    return ramp[:, None] * ramp


def _restored_whole(photo: np.ndarray, network: nn.Module) -> np.ndarray:
    """The whole photo restored; above `MODEL_SIDE` the change is computed on a reduced copy."""
    scale = min(1.0, MODEL_SIDE / max(photo.shape[:2]))
    size = [max(1, round(side * scale)) for side in photo.shape[1::-1]]
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    change = restore(network, small[None])[0].astype(np.float32) - small
    change = cv2.resize(change, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(photo + change), 0, 255).astype(np.uint8)


def _account(found: list[PhotoFace]) -> str:
    places = [f"{f.side:.0f} px around ({f.centre[0]:.0f}, {f.centre[1]:.0f})" for f in found]
    return f"{len(found)} face{'s' * (len(found) > 1)} restored ({', '.join(places)}); the rest is unchanged"


def save_photo(image: np.ndarray, path: Path, source: Path | None = None) -> None:
    """Write `image` beside `path`, then rename; keeps the transparency and colour profile of `source`."""
    picture, extra = Image.fromarray(image), {}
    if source:
        with Image.open(source) as original:
            extra = {"icc_profile": original.info["icc_profile"]} if "icc_profile" in original.info else {}
            if path.suffix.lower() in TRANSPARENT_SUFFIXES and "A" in original.getbands():
                picture.putalpha(ImageOps.exif_transpose(original).getchannel("A"))
    if path.suffix.lower() in (".jpg", ".jpeg"):
        extra |= {"quality": 95, "subsampling": 0}
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        picture.save(partial, **extra)
        os.replace(partial, path)
    except (OSError, ValueError) as error:
        partial.unlink(missing_ok=True)
        raise StudyError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code is 0, 1 where something could not be deblurred, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="facedeblur",
        description="Deblur the faces in a photo, or in a folder of them.",
    )
    parser.add_argument("source", type=Path, help="a photo or a folder")
    parser.add_argument("target", type=Path, help="the photo to write, or a folder for those of a folder")
    parser.add_argument("--model", type=Path, help="other weights of the restorer (.safetensors)")
    parser.add_argument("--everywhere", action="store_true", help="restore the whole picture, not only faces")
    chosen = parser.parse_args(arguments)
    try:
        torch.set_num_threads(min(torch.get_num_threads(), available_cpus()))
        open_model(chosen.model)
        with open_landmarker() as landmarker:
            if chosen.source.is_dir():
                return _folder(chosen, landmarker)
            _one(chosen.source, chosen.target, chosen, landmarker)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _one(source: Path, target: Path, chosen: argparse.Namespace, landmarker: Landmarker) -> None:
    if target.is_dir():
        target = target / source.name
    if target.suffix.lower() not in PHOTO_SUFFIXES:
        raise UsageError(f"cannot write {target}: name it with one of {', '.join(PHOTO_SUFFIXES)}")
    if target.resolve() == source.resolve():
        raise UsageError(f"{target} is the photo itself; give the result another name")
    done = deblur_photo(source, chosen.model, everywhere=chosen.everywhere, landmarker=landmarker)
    save_photo(done.image, target, source)
    print(f"{source.name} -> {target}: {done.text}", flush=True)


def _folder(chosen: argparse.Namespace, landmarker: Landmarker) -> int:
    """Deblur each photo of a folder; those that can't be are listed, and the others go on."""
    photos = sorted(path for path in chosen.source.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise StudyError(f"no photo in {chosen.source} (looked for {', '.join(PHOTO_SUFFIXES)})")
    if chosen.target.exists() and not chosen.target.is_dir():
        raise UsageError(f"{chosen.target} is a file; a folder of photos needs a folder for the results")
    chosen.target.mkdir(parents=True, exist_ok=True)
    progress, failed = Progress(len(photos), "Deblurring", unit="photos"), 0
    for photo in photos:
        try:
            _one(photo, chosen.target / photo.name, chosen, landmarker)
        except StudyError as error:
            failed += 1
            print(f"{photo.name}: {error}", file=sys.stderr, flush=True)
        progress.advance()
    progress.finish(f"{len(photos) - failed} written to {chosen.target}, {failed} left out")
    return 1 if failed else 0
