"""A field of line blurs read from a picture: constant, in halves, on a wall, with and without a guess."""

import numpy as np
import pytest
import skimage.data
from print_checks import assert_ready

from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.blur.kinds import field_blur
from facedeblur_utils.blur.operators import convolve
from facedeblur_utils.errors import UsageError
from facedeblur_utils.physics import field as fields
from facedeblur_utils.reporting import physics_results


def picture(size=128):
    return np.ascontiguousarray(skimage.data.astronaut()[: 2 * size : 2, 100 : 100 + 2 * size : 2])


def vectors(length, angle, cells=5):
    one = length * np.array([np.cos(np.deg2rad(angle)), -np.sin(np.deg2rad(angle))])
    return np.broadcast_to(one, (cells, cells, 2))


@pytest.mark.parametrize(("length", "angle"), [(9, 25), (14, 90), (12, 172)])
def test_a_line_is_found_everywhere(length, angle):
    blurred = convolve(picture(), linear_motion_kernel(length, angle))
    found = fields.estimate_field(blurred, picture())
    errors = fields.field_errors(found, vectors(length, angle))
    assert errors["length"] < 0.03 and errors["angle"] < 3 and errors["end point"] < 0.6
    assert np.median(found.confidence) > 0.95
    blind = fields.field_errors(fields.estimate_field(blurred), vectors(1, angle))
    assert blind["angle"] < 25  # 45 by chance


def test_two_halves_are_told_apart():
    left, right = (convolve(picture(), linear_motion_kernel(12, angle)) for angle in (0, 90))
    blurred = left.copy()
    blurred[:, 64:] = right[:, 64:]
    found = fields.estimate_field(blurred, picture()).angles
    near = np.minimum(found, 180 - found)
    assert np.median(near[:, :2]) < 3 and np.median(np.abs(found[:, 3:] - 90)) < 3


def test_an_affine_field_is_followed():
    slopes = np.array([[0.05, -0.06], [0.04, 0.02]])
    blur = field_blur(128, np.array([10.0, -4.0]), slopes)
    found = fields.estimate_field(blur.apply(picture()), picture())
    np.testing.assert_allclose(fields.true_vectors(blur, 128)[2, 2], [10, -4], rtol=0.01)
    true = np.einsum("ij,yxj->yxi", slopes, fields.cell_centres(128) - 63.5) + [10.0, -4.0]
    errors = fields.field_errors(found, true)
    assert errors["angle"] < 5 and errors["end point"] < 1.5
    one = fields.field_errors(fields.Field(found.centres, vectors(10.8, 22), found.confidence), true)
    assert errors["end point"] < one["end point"]


def test_errors_by_hand():
    found = fields.Field(fields.cell_centres(10, 1), np.array([[[3.0, 0.0]]]), np.ones((1, 1)))
    errors = fields.field_errors(found, np.array([[[-4.0, 0.0]]]))
    assert errors == {"length": 0.25, "angle": 0.0, "end point": 1.0}
    assert found.angles == 0 and found.lengths == 3
    np.testing.assert_array_equal(fields.cell_centres(10, 2)[0, 1], [7, 2])
    tilted = fields.Field(found.centres, np.array([[[0.0, -2.0]]]), np.ones((1, 1)))
    assert tilted.angles == 90


def test_a_plain_wall_gives_no_confidence_and_bad_input_one_line():
    wall = np.full((64, 64, 3), 90, np.uint8)
    assert fields.estimate_field(wall, wall).confidence.max() < 0.01
    assert fields.estimate_field(wall).confidence.max() < 0.01
    with pytest.raises(UsageError, match="square uint8"):
        fields.estimate_field(wall[:50])
    with pytest.raises(UsageError, match="one shape"):
        fields.estimate_field(wall, wall[:32, :32])


def test_figure_draws_a_stroke_for_each_sure_cell(tmp_path):
    found = fields.estimate_field(convolve(picture(), linear_motion_kernel(9, 25)), picture())
    figure = physics_results.fields_figure(picture(), {"found": found}, np.array(vectors(9, 25)))
    sharp, true, drawn = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["blurred", "true", "found"]
    assert_ready(figure, tmp_path)
    assert len(drawn.lines) == (found.confidence > physics_results.SURE).sum() and len(true.lines) == 25
    x, y = true.lines[0].get_data()
    assert np.hypot(*np.diff([x, y]).ravel()) == pytest.approx(9)
