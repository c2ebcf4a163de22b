"""Finds the faces of a photo at any size, and how to turn each into the pose of the training data."""

from dataclasses import dataclass

import cv2
import numpy as np

from facedeblur_utils.data.segmentation import Landmarker, checked_image, oval_area

# Where CelebA's alignment puts the eyes, as fractions of the central square that the study crops.
LEFT_EYE, RIGHT_EYE = (69.5 / 178, 91.5 / 178), (109.5 / 178, 91.5 / 178)
LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS = (33, 133), (362, 263)  # MediaPipe's landmarks, left as seen
VIEW = 640  # pixels: MediaPipe's detector works on fewer than 200 itself, a larger view gains nothing
TILE_SHARES = (1.0, 0.5, 0.25)  # of the photo's longer side: the detector misses faces under a sixth of it
SMALLEST_FACE = 24  # pixels between the outermost landmarks; smaller ones are guesses


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


def find_faces(image: np.ndarray, landmarker: Landmarker) -> list[PhotoFace]:
    """Every face in `image` (uint8 RGB HWC), the largest first; small ones are looked for in tiles."""
    checked_image(image)
    found: list[np.ndarray] = []
    for top, left, side in _tiles(*image.shape[:2]):
        tile = image[top : top + side, left : left + side]
        scale = min(1.0, VIEW / max(tile.shape[:2]))
        if scale < 1:
            size = [max(1, round(length * scale)) for length in tile.shape[1::-1]]
            tile = cv2.resize(tile, size, interpolation=cv2.INTER_AREA)
        for landmarks in landmarker.faces(tile):
            landmarks = (landmarks + 0.5) / scale - 0.5 + np.float32([left, top])
            if np.ptp(landmarks, axis=0).max() >= SMALLEST_FACE and not _seen(landmarks, found):
                found.append(landmarks)
    found.sort(key=oval_area, reverse=True)
    return [PhotoFace(landmarks, crop_transform(landmarks)) for landmarks in found]


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


def _tiles(height: int, width: int) -> list[tuple[int, int, int]]:
    """Overlapping squares (top, left, side): the whole photo first, then smaller and smaller ones."""
    tiles = []
    longer = max(height, width)
    for share in TILE_SHARES:
        side = round(longer * share)
        if share < 1 and side < VIEW / 2:
            break  # the photo is too small to hold more
        for top in _starts(height, side):
            tiles += [(top, left, side) for left in _starts(width, side)]
    return tiles


def _starts(length: int, side: int) -> list[int]:
    """Where tiles of `side` begin so that neighbours overlap by half and the last ends with the photo."""
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side / 2))) + 1
    return np.linspace(0, length - side, count).round().astype(int).tolist()


def _seen(landmarks: np.ndarray, found: list[np.ndarray]) -> bool:
    """True where a face that was found already has its middle in about the same place."""
    middle, size = landmarks.mean(axis=0), np.ptp(landmarks, axis=0).max()
    return any(np.abs(other.mean(axis=0) - middle).max() < 0.4 * size for other in found)
