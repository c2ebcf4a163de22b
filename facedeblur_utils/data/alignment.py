"""Finds the faces of a photo at any size, and how to turn each into the pose of the training data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from facedeblur_utils.data.segmentation import FACE_OVAL, Landmarker, checked_image, oval_area

# Where CelebA's alignment puts the eyes, as fractions of the central square that the study crops.
LEFT_EYE, RIGHT_EYE = (69.5 / 178, 91.5 / 178), (109.5 / 178, 91.5 / 178)
LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS = (33, 133), (362, 263)  # MediaPipe's landmarks, left as seen
VIEW = 640  # pixels: MediaPipe's detector works on fewer than 200 itself, a larger view gains nothing
SMALLEST_FACE = 24  # pixels between the outermost landmarks; smaller ones are guesses
# The detector finds 39 of 40 sample faces that take a sixth of the view, 22 of them at an eighth.
SMALLEST_SHARE = 1 / 6
FLAT = 4  # standard deviation of 8-bit values: a tile below it is sky or wall
# A face is looked at again, upright, in squares of these sides of its crop. Two looks are of one face where
# its landmarks differ by less, on average, in sizes of the face; other tiles that show it are looks too. Of
# 60 sample faces 59 pass, at blurs of 10 % of the width 6 of 7; of 55 places in pictures without faces that
# the detector takes for one, 4 do.
LOOK_AGAIN = (1.3, 1.6, 2.2)
SAME_LOOK = 0.08
ENOUGH_LOOKS = 2
LOOK_SIDE = 256  # pixels


@dataclass(frozen=True)
class PhotoFace:
    """A face in a photo: its landmarks (478, 2) in pixels, and `to_crop`, the 2x3 similarity transform
    from the photo's pixels to the unit square of the study's face crops."""

    landmarks: np.ndarray
    to_crop: np.ndarray

    @property
    def side(self) -> float:
        """Side of the face's square crop in pixels of the photo."""
        return 1 / float(np.hypot(*self.to_crop[0, :2]))

    @property
    def centre(self) -> tuple[float, float]:
        """x and y of the crop's centre in the photo."""
        turn, shift = self.to_crop[:, :2], self.to_crop[:, 2]
        return tuple(np.linalg.solve(turn, np.array([0.5, 0.5]) - shift).tolist())

    @property
    def size(self) -> float:
        """Pixels between the outermost landmarks, across or down."""
        return float(np.ptp(self.landmarks, axis=0).max())


@dataclass(frozen=True)
class Search:
    """What looks like a face in a photo: `faces`, the largest first, and those `left` alone, with why."""

    faces: list[PhotoFace] = field(default_factory=list)
    left: list[tuple[PhotoFace, str]] = field(default_factory=list)


def find_faces(image: np.ndarray, landmarker: Landmarker) -> list[PhotoFace]:
    """Every face in `image` (uint8 RGB HWC), the largest first; small ones are looked for in tiles."""
    return search(image, landmarker).faces


def search(image: np.ndarray, landmarker: Landmarker) -> Search:
    """`find_faces`, and what only looks like one: parts of another face, and what a second look denies.

    Faces of `SMALLEST_FACE` pixels and more are looked for at every size and shape of a photo.
    """
    looks = list(_candidates(checked_image(image), landmarker))
    return sorted_out(looks, lambda face: _confirmed(face, looks, image, landmarker))


def sorted_out(looks: list[np.ndarray], confirmed: Callable[[PhotoFace], bool]) -> Search:
    """The faces that `looks` (478, 2 each, in pixels of the photo) show, a face once, if `confirmed`."""
    candidates: list[PhotoFace] = []
    for landmarks in looks:
        size = np.ptp(landmarks, axis=0).max()
        if size >= SMALLEST_FACE and not _seen(landmarks, candidates) and _eyes_apart(landmarks):
            candidates.append(PhotoFace(landmarks, crop_transform(landmarks)))
    candidates = [_typical(face, looks) for face in candidates]
    candidates.sort(key=lambda face: oval_area(face.landmarks), reverse=True)
    found = Search()
    for face in candidates:
        if within(face, found.faces):
            found.left.append((face, "a part of another face"))
        elif not confirmed(face):
            found.left.append((face, "not a face at a second look"))
        else:
            found.faces.append(face)
    return found


def crop_transform(landmarks: np.ndarray) -> np.ndarray:
    """2x3 similarity transform that puts the eyes of `landmarks` (478, 2) where CelebA's alignment has them.

    From pixels (centre of the first at (0, 0)) to fractions of the crop.
    """
    left, right = (landmarks[list(eye)].mean(axis=0) for eye in (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS))
    # As complex numbers a similarity transform is z -> a z + b.
    (x0, y0), (x1, y1) = left, right
    start, end = complex(x0, y0), complex(x1, y1)
    a = (complex(*RIGHT_EYE) - complex(*LEFT_EYE)) / (end - start)
    b = complex(*LEFT_EYE) - a * start
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _candidates(image: np.ndarray, landmarker: Landmarker) -> Iterator[np.ndarray]:
    """Landmarks in pixels of the photo from squares of it, large ones first; a face may come many times."""
    height, width = image.shape[:2]
    for side in _sides(height, width):
        scale = min(1.0, VIEW / side)
        level = image
        if scale < 1:
            reduced = [max(1, round(length * scale)) for length in (width, height)]
            level = cv2.resize(image, reduced, interpolation=cv2.INTER_AREA)
        across, down = level.shape[1] / width, level.shape[0] / height
        shown = max(1, round(side * scale))
        for top in starts(level.shape[0], shown):
            for left in starts(level.shape[1], shown):
                tile = level[top : top + shown, left : left + shown]
                if tile[::4, ::4].std(axis=(0, 1)).max(initial=0) < FLAT:
                    continue
                for landmarks in landmarker.faces(tile):
                    corner = np.float32([left + 0.5, top + 0.5])
                    yield (landmarks + corner) / np.float32([across, down]) - np.float32(0.5)


def _sides(height: int, width: int) -> list[int]:
    """Sides of the squares to look at, halving, until the smallest face is large enough in the last."""
    if min(height, width) < SMALLEST_FACE:
        return []
    # In a panorama even the largest face takes little of the whole.
    sides, last = [min(max(height, width), 2 * min(height, width))], SMALLEST_FACE / SMALLEST_SHARE
    while sides[-1] > 1.25 * last:
        sides.append(max(round(sides[-1] / 2), round(last)))
    return sides


def starts(length: int, side: int) -> list[int]:
    """Where tiles of `side` begin so that neighbours overlap by half and the last ends with the photo."""
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side / 2))) + 1
    return np.linspace(0, length - side, count).round().astype(int).tolist()


def _seen(landmarks: np.ndarray, found: list[PhotoFace]) -> bool:
    """True where a face of about this size or larger already has its middle in about the same place."""
    middle, size = landmarks.mean(axis=0), np.ptp(landmarks, axis=0).max()
    return any(
        np.abs(other.landmarks.mean(axis=0) - middle).max() < 0.4 * size and other.size < 2 * size
        for other in found
    )


def _eyes_apart(landmarks: np.ndarray) -> bool:
    """False for a face from the side or a tangle, whose eyes say nothing about size and turn."""
    left, right = (landmarks[list(eye)].mean(axis=0) for eye in (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS))
    return bool(np.hypot(*(right - left)) > 0.1 * np.ptp(landmarks, axis=0).max())


def within(face: PhotoFace, others: list[PhotoFace]) -> bool:
    """True where the middle of `face` lies in the oval of one of the `others`."""
    outlines = [cv2.convexHull(other.landmarks[list(FACE_OVAL)].astype(np.float32)) for other in others]
    x, y = face.landmarks.mean(axis=0).tolist()
    return any(cv2.pointPolygonTest(outline, (x, y), False) >= 0 for outline in outlines)


def _typical(face: PhotoFace, looks: list[np.ndarray]) -> PhotoFace:
    """The look at this face that most others agree with: in a large tile its landmarks may be off."""
    middle = face.landmarks.mean(axis=0)
    same = [look for look in looks if np.abs(look.mean(axis=0) - middle).max() < 0.2 * face.size]
    same = [look for look in same if 0.7 < np.ptp(look, axis=0).max() / face.size < 1.4]
    if len(same) < 3:
        return face
    apart = [sum(np.hypot(*(look - other).T).mean() for other in same) for look in same]
    best = same[int(np.argmin(apart))]
    return PhotoFace(best, crop_transform(best)) if _eyes_apart(best) else face


def _confirmed(face: PhotoFace, looks: list[np.ndarray], image: np.ndarray, landmarker: Landmarker) -> bool:
    """True where other tiles, or upright views around it, show the same face again."""
    agree = sum(apart(other, face) < SAME_LOOK for other in looks) - 1  # one of them is this very look
    for side in LOOK_AGAIN:
        if agree >= ENOUGH_LOOKS:
            break
        agree += another_look(face, image, landmarker.faces, side, LOOK_SIDE) < SAME_LOOK
    return agree >= ENOUGH_LOOKS


def apart(look: np.ndarray, face: PhotoFace) -> float:
    """Mean distance of the landmarks `look` (478, 2) from those of `face`, in sizes of the face."""
    return float(np.hypot(*(look - face.landmarks).T).mean() / face.size)


def another_look(
    face: PhotoFace,
    image: np.ndarray,
    faces_in: Callable[[np.ndarray], list[np.ndarray]],
    sides: float,
    pixels: int,
) -> float:
    """Mean distance of landmarks found in an upright view, in sizes of the face; infinite where none is.

    The view is a square of `sides` times the face's crop, `pixels` wide; `faces_in` finds landmarks in it.
    """
    around = face.to_crop / sides
    around[:, 2] += 0.5 - 0.5 / sides
    around *= pixels
    around[:, 2] -= 0.5  # from the corner of the view to the centre of its first pixel
    view = cut(image, around, pixels)
    expected = face.landmarks @ around[:, :2].T + around[:, 2]
    size = np.ptp(expected, axis=0).max()
    again = (np.hypot(*(found - expected).T).mean() / size for found in faces_in(view))
    return float(min(again, default=np.inf))


def cut(photo: np.ndarray, to_crop: np.ndarray, size: int) -> np.ndarray:
    """The square (size, size, 3) that `to_crop` (2x3, pixels to pixels) cuts out of a photo.

    A large part is averaged down first, so that nothing aliases; borders are mirrored.
    """
    scale = float(np.hypot(*to_crop[0, :2]))
    if scale < 1:
        photo, to_crop = _around(photo, to_crop, size)
        small = [max(1, round(side * scale)) for side in photo.shape[1::-1]]
        sx, sy = (new / old for new, old in zip(small, photo.shape[1::-1], strict=True))
        photo = cv2.resize(photo, small, interpolation=cv2.INTER_AREA)
        # Pixel x of the photo lies at (x + 0.5) sx - 0.5 of the reduced one.
        shrink = np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5], [0, 0, 1]])
        to_crop = to_crop @ np.linalg.inv(shrink)
    return cv2.warpAffine(
        photo, to_crop, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


def _around(photo: np.ndarray, to_crop: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of a photo that a crop needs, with a margin, and the transform from there to the crop."""
    corners = cv2.invertAffineTransform(to_crop) @ np.array([[0, size, 0, size], [0, 0, size, size], [1] * 4])
    margin = 0.1 * np.ptp(corners, axis=1).max() + 4
    left, top = np.maximum(np.floor(corners.min(axis=1) - margin).astype(int), 0)
    right, bottom = np.ceil(corners.max(axis=1) + margin).astype(int)
    part = photo[top:bottom, left:right]
    if not part.size:
        return photo, to_crop
    moved = to_crop.copy()
    moved[:, 2] += to_crop[:, :2] @ [left, top]
    return part, moved
