"""Faces that only restored views show: found where they are, none elsewhere, no work for sharp ones."""

import numpy as np
import pytest
import skimage
from everything import sample, scene

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.data import alignment, segmentation
from facedeblur_utils.data.alignment import PhotoFace, Search
from facedeblur_utils.models import published
from facedeblur_utils.photo import deblur, search


@pytest.fixture(scope="module")
def landmarker():
    with segmentation.open_landmarker() as opened:
        yield opened


@pytest.fixture(scope="module")
def restore():
    return deblur.view_restorer(published.load(), deblur.SHARP_ENOUGH)


def blurred(image, share, angle=30.0):
    return operators.convolve(image, linear_motion_kernel(share * min(image.shape[:2]), angle))


def test_faces_too_blurred_for_the_detector_are_found_where_they_are(landmarker, restore):
    before, offs = 0, []
    for number in (4, 7, 8, 14, 20, 26):
        (true,) = alignment.find_faces(sample(number, 0), landmarker)
        photo = blurred(sample(number, 0), 0.18)
        before += len(alignment.find_faces(photo, landmarker))
        for face in search.search(photo, landmarker, restore).faces:
            offs.append(np.hypot(*np.subtract(face.centre, true.centre)) / true.side)
            assert 2 / 3 < face.side / true.side < 3 / 2
    assert before <= 1 and len(offs) >= 5 and max(offs) < 0.1


def test_a_blurred_face_is_found_in_a_part_of_a_larger_photo(landmarker, restore):
    photo = scene(450, 700, (blurred(sample(14, 0), 0.18), 190, 420))
    assert not alignment.find_faces(photo, landmarker)
    done = deblur.deblur_photo(photo, landmarker=landmarker)
    (face,) = done.faces
    assert np.abs(np.subtract(face.centre, (509, 299))).max() < 15
    assert "1 face restored" in done.text and not (done.image != photo)[:, :300].any()


def test_where_the_detector_finds_a_face_nothing_is_restored_to_look_for_more(landmarker):
    def restore(view):
        raise AssertionError

    assert len(search.search(sample(14, 0), landmarker, restore).faces) == 1


def test_no_face_is_found_in_blurred_pictures_without_one(landmarker, restore):
    rng = np.random.default_rng(0)
    cloud = np.repeat(np.repeat(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), 20, axis=0), 20, axis=1)
    for picture in (cloud, skimage.data.coffee()[:200, :300], np.dstack([skimage.data.coins()[:200]] * 3)):
        photo = blurred(np.ascontiguousarray(picture), 0.1)
        assert not search.search_restored(photo, landmarker, restore).faces


class Pretending:
    """A detector that sees a face, filling the view, in views of some sides (with their room) alone."""

    def __init__(self, landmarks, sides):
        self.landmarks, self.sides = landmarks, {side + 2 * round(search.ROOM * side) for side in sides}

    def faces(self, view):
        side = max(view.shape)
        return [self.landmarks * np.float32(side / 2) + side / 4] if side in self.sides else []


@pytest.mark.parametrize(("sides", "count"), [((96,), 0), ((96, 112), 1), ((80, 128), 1)])
def test_a_face_counts_if_two_views_show_it_alike(landmarker, sides, count):
    (true,) = landmarker.faces(sample(14, 0)[20:198])
    photo = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    seen = search.search_restored(photo, Pretending(true / 178, sides), lambda view: view)
    assert len(seen.faces) == count
    assert [why for _, why in seen.left] == ([] if count else ["not a face at a second look"])
    if count:
        assert np.abs(seen.faces[0].landmarks - true * 300 / 178).max() < 3  # pixels


def test_sharp_views_are_not_looked_at(landmarker):
    asked = []
    (true,) = landmarker.faces(sample(14, 0)[20:198])
    everywhere = Pretending(true / 178, search.SIDES)
    photo = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    assert search.search_restored(photo, everywhere, lambda view: asked.append(view.shape)) == Search()
    assert asked == [(search.SIDES[0],) * 2 + (3,)]  # and one size tells


def test_what_is_a_face_once_restored_is_not_left(landmarker):
    (true,) = landmarker.faces(sample(14, 0))
    face = PhotoFace(true, alignment.crop_transform(true))
    far = PhotoFace(true + 500, alignment.crop_transform(true + 500))
    both = search._added(Search(left=[(face, "a"), (far, "b")]), Search([face]))
    assert both.faces == [face] and both.left == [(far, "b")]


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (512, 512), (4000, 6000), (330, 5000), (9000, 1400)])
def test_squares_cover_a_photo_and_are_not_too_many(shape):
    squares = search._squares(*shape)
    assert 1 <= len(squares) <= 48
    covered = np.zeros((100, 100), bool)
    for left, top, side in squares:
        if side == squares[-1][2]:
            rows, columns = ((np.arange(100) + 0.5) / 100 * length for length in shape)
            covered |= np.outer(
                np.abs(rows - top - side / 2) <= side / 2, abs(columns - left - side / 2) <= side / 2
            )
    assert covered.all()
