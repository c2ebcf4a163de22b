"""What a face program gets out of a restored image: a face, its landmarks in place, the same person?"""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from facedeblur_utils.data import segmentation

# MediaPipe's landmark numbers of the corners; left and right as seen in the image.
EYE_CORNERS = (33, 133, 362, 263)
OUTER_EYE_CORNERS = (33, 263)
MOUTH_CORNERS = (61, 291)
# Outlines: brow and lower lid of each eye, the nose, the outer lips.
# fmt: off
PARTS = {
    "left eye": (46, 53, 52, 65, 55, 70, 63, 105, 66, 107, 33, 7, 163, 144, 145, 153, 154, 155, 133),
    "right eye": (
        276, 283, 282, 295, 285, 300, 293, 334, 296, 336, 263, 249, 390, 373, 374, 380, 381, 382, 362,
    ),
    "nose": (168, 197, 195, 5, 4, 1, 2, 97, 98, 64, 48, 115, 220, 326, 327, 294, 278, 344, 440),
    "mouth": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
}
# fmt: on


def interocular(landmarks: np.ndarray) -> float:
    """Distance between the outer corners of the eyes, pixels; `landmarks` (478, 2)."""
    left, right = landmarks[list(OUTER_EYE_CORNERS)]
    return float(np.linalg.norm(left - right))


def landmark_error(found: np.ndarray | None, true: np.ndarray | None) -> float:
    """Mean distance between two sets of landmarks (478, 2) over the inter-ocular distance of `true`.

    NaN where either image has no face. 0.01 means one hundredth of the distance between the eyes.
    """
    if found is None or true is None:
        return float("nan")
    return float(np.linalg.norm(found - true, axis=1).mean() / interocular(true))


def average_landmark_distance(found: list[np.ndarray | None], true: list[np.ndarray | None]) -> float:
    """AFLD (Table 2.7, Zhang et al. 2024): mean distance of landmarks over points and images, pixels.

    Landmarks (K, 2) of each restored image and of its sharp one, None where no face is found: such pairs
    don't count, so give their share beside it. NaN where no pair counts. Raises ValueError for lists of
    different lengths.
    """
    pairs = [(a, b) for a, b in zip(found, true, strict=True) if a is not None and b is not None]
    means = [np.linalg.norm(a - b, axis=1).mean() for a, b in pairs]
    return float(np.mean(means)) if means else float("nan")


def average_identity_similarity(
    embed: Callable[[np.ndarray], np.ndarray], outputs: np.ndarray, sharp: np.ndarray
) -> float:
    """AFICS (Table 2.7, Zhang et al. 2024): mean cosine similarity of the persons in two sets, -1 to 1.

    `embed` maps uint8 (N, H, W, 3) faces to (N, D) vectors of a face recognition network, which says what
    the score means. Raises ValueError for sets of different shapes.
    """
    if outputs.shape != sharp.shape:
        raise ValueError(f"AFICS needs two sets of one shape, got {outputs.shape} and {sharp.shape}")
    first, second = (np.asarray(embed(images), np.float64) for images in (outputs, sharp))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / lengths).mean())


class TaskScores:
    """Scores images against the landmarks of their sharp originals, which are found once per image id."""

    def __init__(self, landmarker: segmentation.Landmarker):
        self._landmarker = landmarker
        self._true: dict[str, np.ndarray | None] = {}

    def __call__(self, outputs: np.ndarray, sharp: np.ndarray, image_ids: list[str]) -> dict[str, np.ndarray]:
        """`face_found` (1 or 0) and `landmark_error` of uint8 (B, H, W, 3) images, (B,) each."""
        found, errors = [], []
        for output, original, image_id in zip(outputs, sharp, image_ids, strict=True):
            if image_id not in self._true:
                self._true[image_id] = segmentation.face_landmarks(original, self._landmarker)
            landmarks = segmentation.face_landmarks(output, self._landmarker)
            found.append(float(landmarks is not None))
            errors.append(landmark_error(landmarks, self._true[image_id]))
        return {"face_found": np.array(found), "landmark_error": np.array(errors)}


def face_parts(landmarks: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Masks (4, height, width) of `PARTS`, bool, and how visible each is, (4,) from 0 to 1.

    A part is the hull of its `landmarks` (478, 2), pixels. It is visible by the share of its points inside
    the image, and an eye in a turned head also by its width over that of the wider eye.
    """
    masks = np.zeros((len(PARTS), *shape), np.uint8)
    corners = [landmarks[list(points)] for points in PARTS.values()]
    for mask, points in zip(masks, corners, strict=True):
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1)
    limits = np.array(shape[::-1]) - 0.5  # pixels reach half a pixel beyond their centres
    inside = [((points >= -0.5) & (points < limits)).all(axis=1).mean() for points in corners]
    widths = [float(np.ptp(points[:, 0])) for points in corners[:2]]
    turned = [width / max(*widths, 1e-6) for width in widths] + [1.0, 1.0]
    return masks.astype(bool), np.array(inside) * np.array(turned)


@lru_cache(maxsize=256)
def _boxes_of_bytes(pixels: bytes, shape: tuple[int, int, int], aspect: float) -> dict[str, tuple]:
    image = np.frombuffer(pixels, np.uint8).reshape(shape)
    landmarks = segmentation.face_landmarks(image)
    height, width = shape[:2]
    if landmarks is None:  # where aligned CelebA faces have their eyes and mouth
        across = 0.25 * width
        centres = {"eyes": (0.50 * width, 0.51 * height), "mouth": (0.50 * width, 0.74 * height)}
    else:
        across = interocular(landmarks)
        centres = {
            "eyes": landmarks[list(EYE_CORNERS)].mean(axis=0),
            "mouth": landmarks[list(MOUTH_CORNERS)].mean(axis=0),
        }
    wide = min(round(1.6 * across), width)
    tall = min(round(1.6 * across / aspect), height)
    boxes = {}
    for name, (x, y) in centres.items():
        left = int(np.clip(round(x - wide / 2), 0, width - wide))
        top = int(np.clip(round(y - tall / 2), 0, height - tall))
        boxes[name] = (left, top, left + wide, top + tall)
    return boxes


def feature_boxes(sharp: np.ndarray, aspect: float = 1.5) -> dict[str, tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) around eyes and mouth of a uint8 RGB image, `aspect` wide to tall."""
    return _boxes_of_bytes(sharp.tobytes(), sharp.shape, aspect)
