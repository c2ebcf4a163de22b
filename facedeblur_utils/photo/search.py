"""Finds faces that are too blurred for the detector: where it sees none, it looks at restored views."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from facedeblur_utils.data import alignment
from facedeblur_utils.data.alignment import FLAT, PhotoFace, Search
from facedeblur_utils.data.segmentation import Landmarker, checked_image

# A view (uint8 RGB HWC) restored, or None where it is sharp enough to stay as it is.
Restore = Callable[[np.ndarray], np.ndarray | None]

# Longer sides in pixels at which squares of the photo are restored: blur shrinks with the picture, and the
# network knows faces of 128 pixels. Of 59 faces blurred by 20 % of their width the detector finds 4 in
# reduced views that are not restored.
SIDES = (80, 96, 112, 128, 144)
PASSES = 2  # times; restored twice, 57 of the 59 are seen at two of these sides or more at 15 %, once 55
ENLARGED = 1.3  # times; more adds pixels without detail
MOST_SQUARES = 48  # of a photo: 42 down to a quarter of its longer side in the usual 3:2
SMALLEST_SQUARE = 160  # pixels; below, only the photo as a whole is looked at
# Share of a view's longer side by which its border is continued: the detector wants room around a face. Of
# 59 faces blurred by 20 %, 96 px wide, it finds 49 with and 38 without.
ROOM = 0.5
# A face must be shown alike by so many views; where those of the squares are fewer, upright ones of these
# sides of its crop are asked, the crop being so many pixels wide. With 2 views 56 of the 59 faces are found
# at 15 % and 52 at 20 %, with 3 views and four sides 54 and 49. In 52 faceless pictures, sharp and blurred,
# four sides showed no place like a face, in 130 six sides without a limit on sharpness showed 5.
LOOK_AGAIN = tuple((sides, pixels) for sides in (1.3, 1.6) for pixels in (96, 80, 112))
SAME_LOOK = 0.1
ENOUGH_VIEWS = 2


def search(image: np.ndarray, landmarker: Landmarker, restore: Restore) -> Search:
    """The faces of `image` (uint8 RGB HWC); where none is found, those that only restoring shows.

    Restored views reach down to squares of about a quarter of the photo's longer side. What looked like a
    face as it is and isn't found among the restored ones stays among those left.
    """
    seen = alignment.search(image, landmarker)
    return seen if seen.faces else _added(seen, search_restored(image, landmarker, restore))


def search_restored(image: np.ndarray, landmarker: Landmarker, restore: Restore) -> Search:
    """Like `alignment.search`, in views of `image` that are restored before the detector sees them."""
    views = list(_views(checked_image(image), landmarker, restore))

    def faces_in(view: np.ndarray) -> list[np.ndarray]:
        return _faces_in(view, landmarker, restore) or []

    def confirmed(face: PhotoFace) -> bool:
        agree = sum(any(alignment.apart(look, face) < SAME_LOOK for look in looks) for looks in views)
        for sides, pixels in LOOK_AGAIN:
            if agree >= ENOUGH_VIEWS:
                break
            agree += alignment.another_look(face, image, faces_in, sides, round(sides * pixels)) < SAME_LOOK
        return agree >= ENOUGH_VIEWS

    return alignment.sorted_out([look for looks in views for look in looks], confirmed)


def _views(image: np.ndarray, landmarker: Landmarker, restore: Restore) -> Iterator[list[np.ndarray]]:
    """For each restored view of a square of the photo the landmarks (478, 2) in it, in the photo's pixels."""
    for left, top, side in _squares(*image.shape[:2]):
        part = image[top : top + side, left : left + side]
        if part[::4, ::4].std(axis=(0, 1)).max(initial=0) < FLAT:
            continue
        for shown in SIDES:
            if shown > ENLARGED * max(part.shape[:2]):
                break
            view = _resized(part, shown)
            looks = _faces_in(view, landmarker, restore)
            if looks is None:  # what is sharp enough at this size isn't what is looked for
                break
            scale = np.float32([part.shape[1] / view.shape[1], part.shape[0] / view.shape[0]])
            corner = np.float32([left, top]) - np.float32(0.5)
            yield [(landmarks + np.float32(0.5)) * scale + corner for landmarks in looks]


def _faces_in(view: np.ndarray, landmarker: Landmarker, restore: Restore) -> list[np.ndarray] | None:
    """Landmarks of the faces in a view that is restored, and restored again; None for a sharp one."""
    looks = None
    for _ in range(PASSES):
        view = restore(view)
        if view is None:
            break
        looks = (looks or []) + _with_room(view, landmarker)
    return looks


def _squares(height: int, width: int) -> list[tuple[int, int, int]]:
    """(left, top, side) of overlapping squares, halving, as many levels as `MOST_SQUARES` allow."""
    side, squares = min(max(height, width), 2 * min(height, width)), []
    while not squares or side >= SMALLEST_SQUARE:
        tops, lefts = alignment.starts(height, side), alignment.starts(width, side)
        if len(squares) + len(tops) * len(lefts) > MOST_SQUARES:
            break
        squares += [(left, top, side) for top in tops for left in lefts]
        side = round(side / 2)
    return squares


def _resized(part: np.ndarray, longer: int) -> np.ndarray:
    scale = longer / max(part.shape[:2])
    size = [max(1, round(length * scale)) for length in part.shape[1::-1]]
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _with_room(view: np.ndarray, landmarker: Landmarker) -> list[np.ndarray]:
    """Landmarks of the faces in a view, whose border pixels are continued around it."""
    room = round(ROOM * max(view.shape[:2]))
    framed = cv2.copyMakeBorder(view, room, room, room, room, cv2.BORDER_REPLICATE)
    return [landmarks - np.float32(room) for landmarks in landmarker.faces(framed)]


def _added(first: Search, restored: Search) -> Search:
    """`restored`, and what the first search left, but for places that are faces now."""
    left = [(face, why) for face, why in first.left if not alignment.within(face, restored.faces)]
    return Search(restored.faces, left + restored.left)
