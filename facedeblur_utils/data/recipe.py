"""One image through the data stages: decode, crop, masks, two blurs, four pictures."""

from dataclasses import dataclass

import cv2
import numpy as np

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import generator_for
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.data import faces
from facedeblur_utils.data.alignment import find_faces
from facedeblur_utils.data.datasets import DATASETS, DRAWS
from facedeblur_utils.data.mask_cache import Segmentation
from facedeblur_utils.data.segmentation import Landmarker
from facedeblur_utils.profiles import Profile

VIEW_SIZE = 256  # pixels; masks are found at this size where the source has it, then reduced
SMALLEST_HEAD = 0.02  # share of the image; less means that the person was missed


@dataclass(frozen=True)
class Face:
    """A sharp face, uint8 (S, S, 3), the larger view of it that is segmented, and its side at the source."""

    sharp: np.ndarray
    view: np.ndarray
    side: int


def sharp_face(pixels: np.ndarray, size: int) -> Face:
    """Central square of `pixels` (H, W, 3) at `size`, and a view of at most 256 pixels for the masks.

    Raises faces.ImageProblem where the image is too small.
    """
    square = faces.central_square(pixels)
    faces.check_side(len(square), size)
    return Face(faces.resize(square, size), faces.resize(square, max(size, VIEW_SIZE)), len(square))


def aligned(pixels: np.ndarray, landmarker: Landmarker) -> np.ndarray:
    """The largest face of a photo (H, W, 3), turned and cropped to a square as CelebA aligns its faces.

    Borders are mirrored where the crop reaches beyond the photo. Raises faces.ImageProblem without a face.
    """
    found = find_faces(pixels, landmarker)
    if not found:
        raise faces.ImageProblem("no face found to align")
    side = max(1, round(found[0].side))
    transform = found[0].to_crop * side
    transform[:, 2] -= 0.5  # from the corner of the crop to the centre of its first pixel
    return cv2.warpAffine(
        pixels, transform, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def head_of(person: np.ndarray, face: np.ndarray, region: str) -> np.ndarray:
    """The part of a mask of persons that counts as the head, bool (H, W); `face` is the oval's mask.

    `region` is `all` (as the segmenter gives it: head, shoulders, bystanders), `person` (the connected part
    that holds most of the face) or `head` (that part down to the chin, the oval's lowest row).
    """
    if region == "all":
        return person
    _, labels = cv2.connectedComponents(person.astype(np.uint8))
    inside = np.bincount(labels[face], minlength=2)[1:]
    kept = labels == 1 + inside.argmax() if inside.any() else np.zeros_like(person)
    if region == "head":
        kept[np.flatnonzero(face.any(axis=1)).max(initial=-1) + 1 :] = False
    return kept


def face_of(found: Segmentation, region: str) -> np.ndarray:
    """The part of an image that counts as the face, bool (H, W).

    `region` is `oval` (MediaPipe's, which cuts through faces seen from the side) or `outline`: the oval and
    what lies between it and the person's outline, as far as the hull of all landmarks reaches.
    """
    if region == "oval":
        return found.face
    return found.face | (found.outline & head_of(found.head, found.face, "person"))


def remarks(found: Segmentation, side: int, size: int) -> str:
    """What is worth knowing about an image that stays: several faces, enlarged."""
    said = []
    if found.faces > 1:
        said.append(f"{found.faces} faces, the largest taken")
    if side < size:
        said.append(f"enlarged from {side} pixels")
    return ", ".join(said)


def problem(found: Segmentation, face: np.ndarray, head: np.ndarray, profile: Profile) -> str:
    """Why a segmented image leaves the study; empty where it stays."""
    if not found.faces:
        return "no face found"
    if face.mean() < profile.smallest_face:
        return f"face covers {100 * face.mean():.1f} % of the image, under {100 * profile.smallest_face:g} %"
    if head.mean() < SMALLEST_HEAD:
        return "no person found around the face"
    return ""


def drawn_blur(profile: Profile, number: int, image_id: str, size: int):
    """The blur of draw 1 or 2 for one image of `size` pixels, of the profile's kind; see `blur.kinds`."""
    random = generator_for(profile.seed, f"blur {number}", image_id)
    return BLURS[profile.blur_kind](random, size, profile)


def blur_face(
    sharp: np.ndarray, face: np.ndarray, head: np.ndarray, image_id: str, profile: Profile
) -> tuple[dict[str, np.ndarray], dict[int, np.ndarray], dict[str, float]]:
    """The blurred pictures of one face by dataset name, and the kernels and parameters of its two blurs.

    Datasets of one blur get the same blur and the same noise. Those that aren't stored are left out. A blur
    that no kernel describes has the one of the picture's middle.
    """
    masks = {"face": face, "head": head}
    pictures, kernels, drawn = {}, {}, {}
    for number in DRAWS:
        blur = drawn_blur(profile, number, image_id, len(sharp))
        drawn |= {f"{name}_{number}": value for name, value in blur.parameters.items()}
        kernels[number] = blur.kernel
        stored = [row for row in DATASETS.values() if row.blur == number and row.stored(profile)]
        for row in stored:
            if row.mask:
                pictures[row.name] = blur.under(sharp, masks[row.mask], profile.composite)
            else:
                pictures[row.name] = blur.apply(sharp)
        if profile.noise:
            generator = generator_for(profile.seed, f"noise {number}", image_id)
            field = operators.noise_field(sharp.shape, profile.noise, generator)
            for row in stored:
                pictures[row.name] = operators.add_noise(pictures[row.name], field)
    return pictures, kernels, drawn
