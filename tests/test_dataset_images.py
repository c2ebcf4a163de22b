"""One image through the stages: policies for faces, alignment of a turned photo, with the real MediaPipe."""

import cv2
import numpy as np
import pytest

from facedeblur_utils import downloads
from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.data import faces, mask_cache, recipe, segmentation
from facedeblur_utils.data.mask_cache import MaskCache, Segmentation
from facedeblur_utils.profiles import load_profile

PROFILE = load_profile("smoke")


@pytest.fixture(scope="module")
def face():
    """A face seen from the front."""
    return faces.decode((downloads.fetch("sample_faces") / "000552.jpg").read_bytes())


@pytest.fixture(scope="module")
def landmarker():
    with segmentation.open_landmarker() as opened:
        yield opened


def found(face, head, count=1):
    return Segmentation(face, face, head, count)


def disc(radius, size=64):
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    return x**2 + y**2 < radius**2


def test_why_an_image_leaves():
    large, small, none = disc(20), disc(3), disc(0)
    assert recipe.problem(found(large, large), large, large, PROFILE) == ""
    assert recipe.problem(found(none, large, 0), none, large, PROFILE) == "no face found"
    assert "face covers 0.8 % of the image" in recipe.problem(found(small, large), small, large, PROFILE)
    assert "no person" in recipe.problem(found(large, none), large, none, PROFILE)


def test_the_head_is_a_part_of_the_person_that_is_a_part_of_all():
    person, face = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    person[4:20, 6:14] = True  # head and body
    person[0:3, 17:20] = True  # a bystander
    face[6:11, 8:12] = True
    face[6, 16:18] = True  # an oval that reaches beyond
    assert recipe.head_of(person, face, "all") is person
    one = recipe.head_of(person, face, "person")
    assert one[4:20, 6:14].all() and one.sum() == 16 * 8
    head = recipe.head_of(person, face, "head")
    assert head[4:11, 6:14].all() and head.sum() == 7 * 8  # down to row 10, the chin
    assert person.sum() == 16 * 8 + 9  # what it was given stays as it is
    for region in ("person", "head"):
        assert not recipe.head_of(person, np.zeros_like(face), region).any()
        assert not recipe.head_of(np.zeros_like(face), face, region).any()


def test_a_face_is_filled_out_to_the_outline_of_its_person(face, landmarker):
    """From the side nose and lips lie beyond the oval; the hull of all landmarks stops at the person."""
    oval, outline, person = disc(10), disc(20), disc(15)
    bystander = np.zeros_like(person)
    bystander[:, 50:] = True
    seen = Segmentation(oval, outline | bystander, person | bystander, 2)
    assert recipe.face_of(seen, "oval") is oval
    assert np.array_equal(recipe.face_of(seen, "outline"), person)
    landmarks = segmentation.face_landmarks(face, landmarker)
    masks = [make(landmarks, face.shape[:2]) for make in (segmentation.oval_mask, segmentation.outline_mask)]
    assert not (masks[0] & ~masks[1]).any()


def test_what_is_remarked():
    large = disc(20)
    assert recipe.remarks(found(large, large), 64, 64) == ""
    assert recipe.remarks(found(large, large, 3), 64, 64) == "3 faces, the largest taken"
    assert recipe.remarks(found(large, large), 40, 64) == "enlarged from 40 pixels"


def test_masks_of_two_faces_take_the_larger(face, landmarker, tmp_path):
    both = np.zeros((256, 256, 3), np.uint8) + 128
    square = faces.central_square(face)
    both[40:218, :150] = square[:, 14:164]
    both[100:180, 170:250] = cv2.resize(square, (80, 80), interpolation=cv2.INTER_AREA)
    (seen,) = mask_cache.segment(both[None], None, landmarker)
    if seen.faces < 2:
        pytest.skip("MediaPipe sees only one of the two faces here")
    assert seen.face[:, :150].sum() > 20 * seen.face[:, 150:].sum()


def test_mask_cache_gives_back_what_was_put(face, landmarker, tmp_path, monkeypatch):
    view = faces.resize(faces.central_square(face), 256)[None]
    cache = MaskCache(tmp_path / "masks.sqlite", "one model")
    first = mask_cache.segment(view, cache, landmarker)[0]
    monkeypatch.setattr(segmentation, "head_masks", None)  # a call would fail
    again = mask_cache.segment(view, cache, None)[0]
    np.testing.assert_array_equal(again.face, first.face)
    np.testing.assert_array_equal(again.head, first.head)
    assert again.faces == first.faces == 1
    assert 0.1 < first.face.mean() < 0.5 and (first.face & first.head).sum() > 0.9 * first.face.sum()
    cache.close()
    other = MaskCache(tmp_path / "masks.sqlite", "other model")
    with pytest.raises(TypeError):
        mask_cache.segment(view, other, landmarker)
    other.close()


def test_turned_photo_is_aligned(face, landmarker):
    """A face put into a larger photo, turned by 25°, comes back where CelebA's alignment has it."""
    turn = cv2.getRotationMatrix2D((89, 109), 25, 1.5)
    turn[:, 2] += (240, 180)
    photo = cv2.warpAffine(face, turn, (700, 600), borderValue=(90, 110, 100))
    out = recipe.aligned(photo, landmarker)
    assert out.shape[0] == out.shape[1] == pytest.approx(1.5 * 178, rel=0.12)
    expected = segmentation.face_landmarks(faces.resize(faces.central_square(face), 256), landmarker)
    seen = segmentation.face_landmarks(faces.resize(out, 256), landmarker)
    assert np.linalg.norm(seen - expected, axis=1).mean() < 10
    with pytest.raises(faces.ImageProblem, match="no face found to align"):
        recipe.aligned(np.full((300, 300, 3), 128, np.uint8), landmarker)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_gamma_of_the_profile_is_used(face, gamma):
    profile = load_profile("smoke", {"blur_gamma": gamma})
    sharp = recipe.sharp_face(face, 64).sharp
    pictures, kernels, drawn = recipe.blur_face(sharp, disc(20), disc(28), "a", profile)
    kernel = linear_motion_kernel(drawn["length_1"], drawn["angle_1"])
    np.testing.assert_array_equal(kernels[1], kernel)
    np.testing.assert_array_equal(pictures["SFB1"], operators.convolve(sharp, kernel, gamma))
