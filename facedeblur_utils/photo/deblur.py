"""Deblurs the faces in anyone's photo: `deblur(image)`; the command line is in `command`."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from facedeblur_utils.data import faces
from facedeblur_utils.data.alignment import PhotoFace, Search, cut
from facedeblur_utils.data.segmentation import Landmarker, checked_image, open_landmarker
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.models import published
from facedeblur_utils.models.apply import restore
from facedeblur_utils.models.refiner import load_refiner
from facedeblur_utils.photo import pictures
from facedeblur_utils.photo.account import Deblurred, Found, said_of_faces, said_of_whole
from facedeblur_utils.photo.changes import Changes, Patch
from facedeblur_utils.photo.motion import FINEST, Part, better_motion, find_motion, trust, undone
from facedeblur_utils.photo.pictures import Picture
from facedeblur_utils.photo.search import Restore, search
from facedeblur_utils.physics import METHODS
from facedeblur_utils.physics.blind import Explanation
from facedeblur_utils.physics.method import least_confidence, masks_in
from facedeblur_utils.physics.motion import Motion

NO_IMAGE = np.zeros((0, 0, 3), np.uint8)
ROOM = 0.125  # of a face's crop, seen beyond each of its sides
SMALLEST_WHOLE = 48  # pixels of a whole picture's shorter side: a narrower one shows no motion
SOFT_EDGE = 0.12  # of the crop's side, over which the restored crop fades into the photo
# Pixels of a whole picture's longer side, at which the network may see it. Mean gain of 30 sample faces
# under lines of 5, 10 and 15 % of the width: at 178 px 3.2, 4.2 and 3.7 dB, enlarged to 512 px 4.3, 4.3 and
# 3.7 dB; at 512 px alone the enlarged ones gain 0.1, -0.1 and -0.1 dB, and with `blurredness` as the measure
# of the best side the smaller ones 2.7, 4.0 and 3.7 dB.
WHOLE_SIDES = (128, 181, 256, 362, 512)
LEAST_CHANGE = 0.5  # of 255, root mean square: less is rounding, however flat the picture is
SIZES = (16, 1024)  # pixels of the faces that a network may be given
FINEST_DETAIL = 1.5 / 128  # of the crop's side: standard deviation beyond which the picture counts as coarse
# Change of the published restorer in a face, as a multiple of the face's own finest detail. On the validation
# faces at 128 px no face lost anything with this limit, sharp or under lines of 2 to 6 % of the width, as
# stored values or as light; without it single ones lost up to 2.0 dB at 2 % and 0.5 dB at 2.5 %. At 4 % the
# mean gain is 1.8 and 2.7 dB.
SHARP_ENOUGH = 0.75


def deblur(
    image: np.ndarray | str | Path,
    model: nn.Module | str | Path | None = None,
    *,
    everywhere: bool = False,
    size: int | None = None,
    method: str | None = None,
) -> np.ndarray:
    """The photo with its faces deblurred: uint8 RGB (H, W, 3), the size of the photo, EXIF turned upright.

    `image` is a uint8 RGB array or the path of an image file. `model` is None (the published restorer), the
    path of other weights of it, or any network of the study; `size` is the side in pixels of the faces that
    it was trained on, by default that of the published one. `method` is
    'restorer' (the network alone), 'physics' (the motion that explains the picture, undone) or 'both'
    (physics where it is sure, otherwise the network; the default with the published restorer). Pixels away
    from the faces stay exactly as
    they are, unless `everywhere` asks to restore the whole picture or no face is found; faces and pictures
    that are sharp enough for the published restorer stay too. Raises StudyError, in one line, where there
    is no image, or one that is too large; details in `deblur_photo`.
    """
    return deblur_photo(image, model, everywhere=everywhere, size=size, method=method).image


def deblur_photo(
    image: np.ndarray | str | Path,
    model: nn.Module | str | Path | None = None,
    *,
    everywhere: bool = False,
    size: int | None = None,
    method: str | None = None,
    landmarker: Landmarker | None = None,
) -> Deblurred:
    """`deblur` with an account of what was done. Pass a `landmarker` for many photos."""
    if isinstance(image, str | Path):
        picture = pictures.read_picture(Path(image))
    else:
        _check_size(*checked_image(image).shape[:2])
        picture = Picture(image.copy())
    options = {"everywhere": everywhere, "size": size, "method": method, "landmarker": landmarker}
    done = deblur_picture(picture, model, **options)
    done.image = picture.pixels
    return done


def deblur_picture(
    picture: Picture,
    model: nn.Module | str | Path | None = None,
    *,
    everywhere: bool = False,
    size: int | None = None,
    method: str | None = None,
    landmarker: Landmarker | None = None,
) -> Deblurred:
    """Deblur `picture` in place; the result's `image` is empty, since a picture may be more than RGB."""
    method = method or ("both" if model is None else "restorer")
    if method not in METHODS:
        raise UsageError(f"unknown method '{method}'; known: {', '.join(METHODS)}")
    network = open_model(model)
    size = published.facts()["image_size"] if size is None else size
    if not isinstance(size, int) or not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"size must be a whole number of {SIZES[0]} to {SIZES[1]} pixels, got {size!r}")
    pixels = picture.pixels
    # The limit was measured with the published weights; other networks are taken as they are.
    gate, refiner = (SHARP_ENOUGH, _refiner()) if model is None else (0.0, None)
    steps = Steps(network, method, gate, size, refiner)
    with ExitStack() as stack:
        if landmarker is None and not everywhere:
            landmarker = stack.enter_context(open_landmarker())
        restoring = view_restorer(network, steps.gate)
        seen = Search() if everywhere else search(pixels, landmarker, restoring)
        whole = not seen.faces
        changes, done = _whole(pixels, steps) if whole else _in_faces(pixels, seen, steps, landmarker)
    done.left = [*seen.left, *done.left]
    done.changed = sum(picture.add(*part) for part in changes.parts(*pixels.shape[:2]))
    done.text = said_of_whole(done, everywhere, pixels.shape[:2]) if whole else said_of_faces(done)
    return done


@dataclass(frozen=True)
class Steps:
    """What is done to a face: the network, the method, the least `blurredness`, the side of its faces.

    `refiner` mends what physics made; it has learnt from the published restorer's pictures alone.
    """

    network: nn.Module
    method: str
    gate: float
    size: int
    refiner: nn.Module | None = None


def open_model(model: nn.Module | str | Path | None) -> nn.Module:
    """A network as it is, or the restorer with the weights at a path, or the published one."""
    return model if isinstance(model, nn.Module) else _loaded(str(model) if model else "")


def read_photo(path: str | Path) -> np.ndarray:
    """An image file as uint8 RGB (H, W, 3), upright; raises StudyError, in one line, for anything else."""
    return pictures.read_picture(Path(path)).pixels


def save_photo(image: np.ndarray, path: Path, source: Path | None = None) -> None:
    """Write `image` (uint8 RGB HWC); with `source` in its colours, with its transparency and EXIF."""
    picture = Picture(checked_image(image))
    if source:
        picture = pictures.read_picture(source)
        if picture.pixels.shape != image.shape:
            raise UsageError(f"the result of {source} must have its size, got {image.shape[1::-1]}")
        picture.add(slice(None), slice(None), image.astype(np.float32) - picture.pixels)
    pictures.save_picture(picture, Path(path))


@lru_cache(maxsize=2)
def _loaded(path: str) -> nn.Module:
    return published.load(Path(path) if path else published.WEIGHTS)


@lru_cache(maxsize=1)
def _refiner() -> nn.Module:
    return load_refiner()


def _check_size(height: int, width: int) -> None:
    try:
        pictures.check_size(width, height)
    except faces.ImageProblem as problem:
        raise StudyError(f"the photo is too large: {problem}") from None


def view_restorer(network: nn.Module, gate: float) -> Restore:
    """A function that restores a view, or gives None where it is sharp enough for the network."""

    def restoring(view: np.ndarray) -> np.ndarray | None:
        restored = restore(network, view[None])[0]
        change = restored.astype(np.float32) - view
        return restored if change.any() and blurredness(view, change) >= gate else None

    return restoring


def _in_faces(
    photo: np.ndarray, seen: Search, steps: Steps, landmarker: Landmarker
) -> tuple[Changes, Deblurred]:
    """What changes in each face's crop, fading at its edge, and which faces it was needed in.

    Adding the change, instead of pasting the crop, keeps what the photo holds beyond the crop's pixels.
    """
    size, done = steps.size, Deblurred(NO_IMAGE)
    side = size + 2 * round(ROOM * size)  # with some of what lies around, which blur has mixed with the face
    weight, parts = np.pad(_soft_square(size), (side - size) // 2), []
    for face in seen.faces:
        to_view = _to_pixels(face, side, side / size)
        view = cut(photo, to_view, side)
        restored = restore(steps.network, view[None])[0]
        change = restored.astype(np.float32) - view
        if steps.gate and blurredness(*(_centre(each, size) for each in (view, change))) < steps.gate:
            done.left.append((face, "sharp enough"))
        elif not change.any():
            done.left.append((face, "the network changes nothing there"))
        else:
            done.faces.append(face)
            large = int(np.clip(round(face.side * side / size), side, FINEST))
            fine = view if large == side else cut(photo, _to_pixels(face, large, side / size), large)
            parts.append(Part(view, restored, fine, _within(photo, to_view, side)))
    motions = _motions(parts, done.faces, steps, landmarker)
    changes = Changes()
    for face, part, how in zip(done.faces, parts, motions, strict=True):
        in_photo = _turned(how.motion, face, size) if how else None
        pixels, found = _chosen(part, how, in_photo, steps)
        done.motions.append(found)
        change = pixels.astype(np.float32) - (part.view if pixels.shape == part.view.shape else part.fine)
        large = len(change)
        there = weight if large == side else cv2.resize(weight, (large, large))
        changes.patches.append(Patch(change, there, _to_pixels(face, large, side / size)))
    return changes, done


def _motions(
    parts: list[Part], found: list[PhotoFace], steps: Steps, landmarker: Landmarker
) -> list[Explanation | None]:
    """How each face was blurred; a motion that one face shows better is tried for the others too."""
    if steps.method == "restorer":
        return [None] * len(parts)
    hows = [find_motion(part, steps.size, masks_in(part.restored, landmarker)) for part in parts]
    if len(parts) == 1:
        return hows
    in_photo = [_turned(how.motion, face, steps.size) for how, face in zip(hows, found, strict=True)]
    return [
        better_motion(
            part, steps.size, how, [_turned(each, face, steps.size, back=True) for each in in_photo]
        )
        for part, how, face in zip(parts, hows, found, strict=True)
    ]


def _turned(motion: Motion, face: PhotoFace, size: int, back: bool = False) -> Motion:
    """`motion` in a face's crop of `size` pixels as it is in the photo, or the way back."""
    angle = float(np.rad2deg(np.arctan2(face.to_crop[1, 0], face.to_crop[0, 0])))
    scale = face.side / size
    scale, angle = (1 / scale, -angle) if back else (scale, angle)
    return motion.scaled(scale).turned(angle)


def _chosen(
    part: Part, how: Explanation | None, in_photo: Motion | None, steps: Steps
) -> tuple[np.ndarray, Found | None]:
    """What the method makes of a part, uint8, in the size of its view or in its fine size."""
    if how is None:
        return part.restored, None
    sure, forced = trust(part, how), steps.method == "physics"
    if not forced and sure < least_confidence(steps.refiner):
        return part.restored, Found(how, sure, in_photo, kept=False)
    pixels, kept = undone(part, how, steps.refiner, forced)
    return pixels, Found(how, sure, in_photo, kept)


def _to_pixels(face: PhotoFace, side: int, room: float) -> np.ndarray:
    """Transform (2, 3) from the photo to the pixels of a view, `room` times the face's crop, `side` wide."""
    to_view = face.to_crop / room
    to_view[:, 2] += 0.5 - 0.5 / room
    to_view *= side
    to_view[:, 2] -= 0.5  # from fractions of the view to its pixels, whose first centre is at (0, 0)
    return to_view


def _within(photo: np.ndarray, to_view: np.ndarray, side: int) -> np.ndarray:
    """float32 (side, side): 1 where a view shows the photo, 0 where it mirrors it."""
    inside = cv2.warpAffine(
        np.ones(photo.shape[:2], np.uint8), to_view, (side, side), flags=cv2.INTER_NEAREST
    )
    return cv2.erode(inside, np.ones((5, 5), np.uint8), borderValue=1).astype(np.float32)


def _centre(view: np.ndarray, size: int) -> np.ndarray:
    border = (len(view) - size) // 2
    return view[border : border + size, border : border + size]


def blurredness(crop: np.ndarray, change: np.ndarray) -> float:
    """How much a network changes a crop, as a multiple of the finest detail there; infinite in a flat crop.

    Measured in an ellipse in the middle, where the face is: what lies around it may be sharp.
    """
    high, wide = crop.shape[:2]
    y, x = (np.arange(high) + 0.5) / high - 0.5, (np.arange(wide) + 0.5) / wide - 0.5
    inside = (y[:, None] / 0.42) ** 2 + (x / 0.36) ** 2 < 1
    values = crop.astype(np.float32)
    detail = values - cv2.GaussianBlur(values, (0, 0), max(0.5, FINEST_DETAIL * max(high, wide)))
    finest = float(np.sqrt((detail[inside] ** 2).mean())) if inside.any() else 0.0
    changed = float(np.sqrt((change[inside] ** 2).mean())) if inside.any() else 0.0
    if changed < LEAST_CHANGE:
        return 0.0
    return changed / finest if finest else float("inf")


def _soft_square(size: int) -> np.ndarray:
    """float32 (size, size): 1 inside, falling to 0 at the edge along a cosine."""
    distance = (np.arange(size) + 0.5) / size
    ramp = np.clip(np.minimum(distance, 1 - distance) / SOFT_EDGE, 0, 1)
    ramp = ((1 - np.cos(np.pi * ramp)) / 2).astype(np.float32)
    return ramp[:, None] * ramp


def _whole(photo: np.ndarray, steps: Steps) -> tuple[Changes, Deblurred]:
    """What changes in the whole photo, on the reduced copy that the network changes most.

    Blur that is too long for the network in a large picture is in its range in a smaller one.
    """
    done = Deblurred(NO_IMAGE)
    sides = sorted({min(side, max(photo.shape[:2])) for side in WHOLE_SIDES})
    views = (_change(photo, steps.network, side) for side in sides)
    small, change = max(views, key=lambda view: float(np.square(view[1]).mean()))
    if not change.any() or blurredness(small, change) < steps.gate:
        return Changes(), done
    if steps.method != "restorer" and min(small.shape[:2]) >= SMALLEST_WHOLE:
        fine = _reduced(photo, min(FINEST, max(photo.shape[:2])))
        restored = np.clip(small + change, 0, 255).astype(np.uint8)
        part = Part(small, restored, fine, np.ones(small.shape[:2], np.float32))
        how = find_motion(part, steps.size, {})
        in_photo = how.motion.scaled(max(photo.shape[:2]) / max(small.shape[:2]))
        pixels, found = _chosen(part, how, in_photo, steps)
        done.motions.append(found)
        change = pixels.astype(np.float32) - (small if pixels.shape == small.shape else fine)
    high, wide = change.shape[:2]
    sx, sy = wide / photo.shape[1], high / photo.shape[0]
    shrink = np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5]])
    return Changes([Patch(change, np.ones((high, wide), np.float32), shrink, endless=True)]), done


def _reduced(photo: np.ndarray, longer: int) -> np.ndarray:
    """The photo with its longer side reduced to `longer` pixels."""
    scale = longer / max(photo.shape[:2])
    size = [max(1, round(side * scale)) for side in photo.shape[1::-1]]
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def _change(photo: np.ndarray, network: nn.Module, longer: int) -> tuple[np.ndarray, np.ndarray]:
    """The photo with its longer side reduced to `longer` pixels, and what the network changes there."""
    small = _reduced(photo, longer)
    return small, restore(network, small[None])[0].astype(np.float32) - small
