"""Physics in photos: the motion is found, told, and undone in all pixels, or the network's result stays."""

import cv2
import numpy as np
import pytest
import torch
from everything import sample

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.frames import blur_by_frames, line_frames, reduced_from_finer
from facedeblur_utils.blur.kernels import disk_kernel, linear_motion_kernel
from facedeblur_utils.data import alignment
from facedeblur_utils.data.segmentation import open_landmarker
from facedeblur_utils.errors import UsageError
from facedeblur_utils.models import published
from facedeblur_utils.photo import command, deblur, motion
from facedeblur_utils.physics.blind import Explanation
from facedeblur_utils.physics.motion import Motion

WIDTH = 178


@pytest.fixture(scope="module")
def landmarker():
    with open_landmarker() as landmarker:
        yield landmarker


def psnr(one, other):
    inner = slice(25, -25)  # what lies at the border has moved in from outside
    return 10 * np.log10(255**2 / np.mean((one[inner, inner].astype(float) - other[inner, inner]) ** 2))


@pytest.fixture(scope="module")
def light(landmarker):
    """A face blurred as light by another code, and what `deblur_photo` makes of it by each method."""
    face = sample(121, 0)
    blurred = blur_by_frames(face, line_frames(0.1 * WIDTH, 35.0), 2.2)
    done = {
        method: deblur.deblur_photo(blurred, method=method, landmarker=landmarker)
        for method in ("restorer", "both")
    }
    return reduced_from_finer(face), blurred, done


def test_physics_gains_more_than_the_network_alone(light):
    sharp, blurred, done = light
    before = psnr(blurred, sharp)
    gains = {method: psnr(one.image, sharp) - before for method, one in done.items()}
    print({method: round(gain, 2) for method, gain in gains.items()})
    assert gains["restorer"] > 1.5 and gains["both"] > gains["restorer"] + 2


def test_the_motion_is_told_in_pixels_of_the_photo(light):
    _, _, done = light
    (found,) = done["both"].motions
    assert found.kept and found.motion.length == pytest.approx(0.1 * WIDTH, rel=0.1)
    assert found.motion.angle == pytest.approx(35, abs=3)
    assert found.how.gamma == 2.2 and str(found) in done["both"].text
    assert done["restorer"].motions == [None] and "moved" not in done["restorer"].text


def test_an_angle_is_told_as_it_is_in_the_photo():
    landmarks = np.zeros((478, 2), np.float32)
    turn = np.deg2rad(20)
    # The crop is the photo turned by 20 degrees (clockwise as seen, rows grow downwards) and halved.
    to_crop = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0]]) / 256
    face = alignment.PhotoFace(landmarks, to_crop)
    there = deblur._turned(Motion(10, 30, 5), face, 128)
    assert (there.length, there.angle, there.turn) == pytest.approx((20, 50, 5))
    back = deblur._turned(there, face, 128, back=True)
    assert (back.length, back.angle) == pytest.approx((10, 30))


def test_a_path_that_is_no_arc_is_told():
    knots = np.array([[0.0, 0.0], [4.0, 0.0], [6.0, 3.0]])
    how = Explanation(Motion.through(knots), 1.0, "whole", None, 1e-4, 0.0)
    text = str(deblur.Found(how, 0.7, how.motion.scaled(2), True))
    assert text.startswith("moved 15.3 px at") and "along a curve (everything" in text
    assert "curve" not in str(deblur.Found(how, 0.7, Motion(5, 30), True))


def test_what_no_motion_explains_is_not_undone(landmarker):
    sharp = sample(14, 0)
    blurred = operators.convolve(sharp, disk_kernel(0.03 * WIDTH))
    by_network = deblur.deblur_photo(blurred, method="restorer", landmarker=landmarker)
    done = deblur.deblur_photo(blurred, method="both", landmarker=landmarker)
    assert done.motions and not done.motions[0].kept and "not undone" in done.text
    assert psnr(done.image, sharp) > psnr(by_network.image, sharp) - 0.5
    # Where no network judges it, an uncertain motion changes nothing.
    steps = deblur.Steps(published.load(), "both", deblur.SHARP_ENOUGH, 128)
    part = motion.Part(*(blurred[:128, :128],) * 3, np.ones((128, 128), np.float32))
    how = Explanation(Motion(9.0, 30.0), 1.0, "whole", None, 1e-4, 0.0)
    pixels, found = deblur._chosen(part, how, how.motion, steps)
    assert not found.kept and pixels is part.restored


def test_a_whole_picture_is_undone_too():
    face = sample(122, 0)
    blurred = operators.convolve(face, linear_motion_kernel(0.08 * WIDTH, 65.0))
    done = deblur.deblur_photo(blurred, everywhere=True, method="physics")
    assert psnr(done.image, face) > psnr(blurred, face) + 6
    assert "the whole picture was restored" in done.text and "; it moved 14" in done.text


@pytest.mark.parametrize("factor", [1, 3])
def test_the_refiner_s_change_is_laid_over_the_solved_part_enlarged(factor):
    size = 48
    kernel = linear_motion_kernel(5 * factor, 20)
    sharp = cv2.resize(sample(121, 0)[30:126, 30:126], (size * factor,) * 2, interpolation=cv2.INTER_AREA)
    fine = operators.convolve(sharp, kernel)
    view = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)
    part = motion.Part(view, view, fine, np.ones((size, size), np.float32))
    how = Explanation(Motion(5.0, 20.0), 1.0, "whole", None, 1e-4, 0.0)
    change = np.zeros((size, size, 3), np.float32)
    change[10:30, 10:30] = 0.2  # a network that adds a square

    class Adds(torch.nn.Conv2d):
        def forward(self, views):
            return views[:, 6:] + torch.from_numpy(change.transpose(2, 0, 1))

    plain, mended = (motion.undone(part, how, refiner, True)[0] for refiner in (None, Adds(9, 3, 1)))
    assert plain.shape == mended.shape == fine.shape
    added = mended.astype(float) - plain
    inside, outside = np.s_[12 * factor : 28 * factor, 12 * factor : 28 * factor], np.s_[34 * factor :]
    dark = plain[inside] < 200  # where it isn't clipped
    assert dark.mean() > 0.5 and added[inside][dark].mean() == pytest.approx(51, abs=1)
    assert np.abs(added[outside]).max() <= 1


def test_a_view_has_room_and_puts_the_face_in_its_middle():
    face = alignment.PhotoFace(np.zeros((478, 2), np.float32), np.array([[0.01, 0, -0.5], [0, 0.01, -0.3]]))
    to_view = deblur._to_pixels(face, 160, 1.25)
    corners = np.array([[50, 30, 1], [150, 130, 1]])  # of the face's crop in the photo
    np.testing.assert_allclose(corners @ to_view.T, [[15.5, 15.5], [143.5, 143.5]], atol=1e-9)


def test_unknown_methods_are_refused(tmp_path, capsys):
    with pytest.raises(UsageError, match="unknown method 'magic'"):
        deblur.deblur(np.zeros((64, 64, 3), np.uint8), method="magic")
    with pytest.raises(SystemExit) as stop:
        command.main(["a.png", "b.png", "--method", "magic"])
    assert stop.value.code == 2
