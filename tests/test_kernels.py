"""Kernels: sum, centre, second moments, direction on screen, limits, bad values."""

import numpy as np
import pytest
from scipy import integrate, ndimage

from facedeblur_utils.blur.kernels import (
    arc_motion_kernel,
    disk_kernel,
    linear_motion_kernel,
    padded,
    path_kernel,
    smooth_path,
    unpadded,
)
from facedeblur_utils.errors import UsageError

LENGTHS = (1.5, 3, 5, 9.6, 20.25, 38.4)
ANGLES = (0, 3, 30, 45, 77.7, 90, 135, 179)


def moments(kernel):
    """Sum, centroid and second moments with y upwards, as on screen."""
    kernel = kernel.astype(float)
    reach = len(kernel) // 2
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(reach, -reach - 1, -1))
    total = kernel.sum()
    centre = (kernel * x).sum(), (kernel * y).sum()
    return total, centre, (kernel * x * x).sum(), (kernel * y * y).sum(), (kernel * x * y).sum()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("angle", ANGLES)
def test_linear_kernel_is_a_centred_density(length, angle):
    kernel = linear_motion_kernel(length, angle)
    assert kernel.dtype == np.float32
    assert kernel.shape[0] == kernel.shape[1] and kernel.shape[0] % 2 == 1
    assert kernel.min() >= 0
    total, centre, *_ = moments(kernel)
    assert total == pytest.approx(1, abs=1e-6)
    assert centre == pytest.approx((0, 0), abs=1e-6)
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("angle", ANGLES)
def test_second_moments_give_length_and_angle(length, angle):
    _, _, xx, yy, xy = moments(linear_motion_kernel(length, angle))
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along = xx * cos**2 + yy * sin**2 + 2 * xy * sin * cos
    across = xx + yy - along
    # Bilinear sharing adds up to 1/4 px² per axis to the variance of the path, and nothing to xy.
    line = length**2 / 12
    assert line - 1 / 12 - 1e-6 <= along <= line + 1 / 4
    assert -1e-6 <= across <= 1 / 4
    assert xy == pytest.approx((length**2 - 1) / 12 * sin * cos, abs=1e-5)
    if length >= 5:
        principal = np.rad2deg(np.arctan2(2 * xy, xx - yy)) / 2
        assert abs((principal - angle + 90) % 180 - 90) < 1


def test_long_line_is_as_long_as_asked():
    _, _, xx, *_ = moments(linear_motion_kernel(40, 0))
    assert np.sqrt(12 * xx) == pytest.approx(40, rel=0.002)


def test_angle_turns_counter_clockwise_on_screen():
    kernel = linear_motion_kernel(9, 45)
    assert kernel[0, -1] > 0 and kernel[-1, 0] > 0  # upper right to lower left
    assert kernel[0, 0] == 0 and kernel[-1, -1] == 0
    vertical = linear_motion_kernel(9, 90)
    assert np.count_nonzero(vertical.any(axis=0)) == 1


def test_periodic_in_180_degrees():
    np.testing.assert_allclose(linear_motion_kernel(7.3, 20), linear_motion_kernel(7.3, 200), atol=1e-7)
    np.testing.assert_allclose(
        np.rot90(linear_motion_kernel(7.3, 20)), linear_motion_kernel(7.3, 110), atol=1e-7
    )


def test_hand_calculation():
    # sqrt(5) makes a path of 2 px: 1/4 at each end, 1/2 in the middle (area under the tents).
    np.testing.assert_allclose(linear_motion_kernel(np.sqrt(5), 0)[1], [0.25, 0.5, 0.25], atol=1e-6)


@pytest.mark.parametrize("length", [0, 0.5, 1])
def test_short_lines_are_the_identity(length):
    np.testing.assert_array_equal(linear_motion_kernel(length, 33), [[1]])


def test_kernel_changes_little_with_length_and_angle():
    # Pixels up to a distance from a line at 5 and at 5.01 px: no jump in the kernel.
    a, b = linear_motion_kernel(5, 10), linear_motion_kernel(5.01, 10.05)
    assert np.abs(padded(a, 9) - padded(b, 9)).max() < 0.005


@pytest.mark.parametrize("radius", [0.7, 1.5, 4, 7.25])
def test_disk_kernel(radius):
    kernel = disk_kernel(radius)
    total, centre, xx, yy, xy = moments(kernel)
    assert total == pytest.approx(1, abs=1e-6) and centre == pytest.approx((0, 0), abs=1e-6)
    assert kernel.min() >= 0 and kernel.shape[0] % 2 == 1
    # A disc has variance r²/4 per axis; the pixels' own width adds 1/12 at most, quantising some noise.
    assert xx == pytest.approx(radius**2 / 4 + 1 / 12, abs=0.09)
    assert xx == pytest.approx(yy, rel=1e-5) and abs(xy) < 1e-5
    if radius >= 1.5:
        assert kernel[len(kernel) // 2, len(kernel) // 2] == pytest.approx(1 / (np.pi * radius**2), rel=0.02)


def test_disk_of_radius_zero_is_the_identity():
    np.testing.assert_array_equal(disk_kernel(0), [[1]])


@pytest.mark.parametrize("bad", [-1, np.nan, np.inf])
def test_impossible_values(bad):
    with pytest.raises(UsageError, match="finite"):
        linear_motion_kernel(bad, 0)
    with pytest.raises(UsageError, match="finite"):
        disk_kernel(bad)


def check_density(kernel):
    """What holds for every kernel: a centred density in the smallest odd square."""
    assert kernel.dtype == np.float32 and kernel.shape[0] == kernel.shape[1] and len(kernel) % 2 == 1
    total, centre, *_ = moments(kernel)
    assert kernel.min() >= 0 and total == pytest.approx(1, abs=1e-6)
    assert centre == pytest.approx((0, 0), abs=1e-5)
    assert max(kernel[0].max(), kernel[-1].max(), kernel[:, 0].max(), kernel[:, -1].max()) > 0


def test_path_kernel_is_the_mean_of_moved_impulses():
    rng = np.random.default_rng(5)
    points = rng.uniform(-3, 4, (7, 2))
    centred = points - points.mean(axis=0)
    impulse = np.zeros((11, 11))
    impulse[5, 5] = 1
    moved = [ndimage.shift(impulse, (y, x), order=1, mode="constant") for x, y in centred]
    kernel = path_kernel(points)
    check_density(kernel)
    np.testing.assert_allclose(padded(kernel, 11), np.mean(moved, axis=0), atol=1e-6)


def test_path_kernel_of_whole_pixels_by_hand():
    # Equal times left, right, above and below: the last row and column belong to the kernel.
    kernel = path_kernel([[-1, 0], [1, 0], [0, -1], [0, 1]])
    np.testing.assert_allclose(kernel, [[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], atol=1e-7)
    np.testing.assert_array_equal(path_kernel([[5.3, -2]]), [[1]])  # where a path lies doesn't matter


@pytest.mark.parametrize("length", [1.5, 5, 20.25])
@pytest.mark.parametrize("angle", [0, 30, 77.7, 90, 135])
def test_an_arc_that_does_not_turn_is_a_line(length, angle):
    arc, line = arc_motion_kernel(length, angle, 0), linear_motion_kernel(length, angle)
    # The sampling of the path leaves up to 2e-4 of the middle pixel's share, where a tent has its kink.
    np.testing.assert_allclose(padded(arc, len(line)), line, atol=2.5e-4)


@pytest.mark.parametrize(
    ("length", "angle", "turn"), [(9, 20, 60), (15.5, 100, -90), (7, 0, 180), (25, 64, 10)]
)
def test_second_moments_of_an_arc_are_those_of_a_circle(length, angle, turn):
    kernel = arc_motion_kernel(length, angle, turn)
    check_density(kernel)
    # A circle of radius `path / swing`, y upwards, in time from -1/2 to 1/2.
    path, swing, middle = np.sqrt(length**2 - 1), np.deg2rad(turn), np.deg2rad(angle)

    def place(time):
        direction = middle + swing * time
        return path / swing * np.array([np.sin(direction), -np.cos(direction)])

    centre = integrate.quad_vec(place, -0.5, 0.5)[0]

    def products(time):
        (x, y), (part_x, part_y) = place(time) - centre, (place(time) - centre) % 1
        # Bilinear sharing adds f (1 - f) to the variance of a point that lies f behind a pixel.
        return np.array([x * x + part_x * (1 - part_x), y * y + part_y * (1 - part_y), x * y])

    expected = integrate.quad_vec(products, -0.5, 0.5, epsabs=1e-6, limit=2000)[0]
    _, _, xx, yy, xy = moments(kernel)
    assert (xx, yy, xy) == pytest.approx(tuple(expected), abs=0.003 * length)


def test_an_arc_bends_to_the_side_to_which_it_turns():
    # To the right, first downwards and then upwards on screen: its middle lies low, its ends high.
    kernel = arc_motion_kernel(12, 0, 90)
    rows = np.arange(len(kernel)) - len(kernel) // 2
    heights = (kernel * rows[:, None]).sum(axis=0)
    assert heights[len(kernel) // 2] > 0 > max(heights[1], heights[-2])
    np.testing.assert_allclose(kernel, kernel[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(arc_motion_kernel(12, 0, -90), kernel[::-1], atol=1e-6)
    # There and back is the same blur.
    np.testing.assert_allclose(arc_motion_kernel(12, 180, -90), kernel, atol=1e-6)


def test_a_smooth_path_has_its_length_at_constant_speed():
    for seed in range(5):
        points = smooth_path(np.random.default_rng(seed), 12)
        steps = np.hypot(*np.diff(points, axis=0).T)
        # Sixteen points a pixel: between the first and the last lies all but a step. Chords are never longer.
        assert len(points) == 192 and steps.max() <= 1 / 16 + 1e-9
        assert steps.sum() == pytest.approx(12 * 191 / 192, rel=0.01)
        check_density(path_kernel(points))
    np.testing.assert_array_equal(points, smooth_path(np.random.default_rng(4), 12))
    assert np.abs(points - smooth_path(np.random.default_rng(5), 12)).max() > 0.5
    # It is curved: no line through it comes near all of its points.
    assert np.linalg.svd(points - points.mean(axis=0))[1].min() > 0.5


@pytest.mark.parametrize("length", [0, 1])
def test_short_arcs_are_the_identity(length):
    np.testing.assert_array_equal(arc_motion_kernel(length, 33, 40), [[1]])


@pytest.mark.parametrize("bad", [(-1, 0, 0), (np.nan, 0, 0), (5, np.inf, 0), (5, 0, np.nan)])
def test_impossible_arcs(bad):
    with pytest.raises(UsageError, match="an arc needs finite values"):
        arc_motion_kernel(*bad)


@pytest.mark.parametrize("bad", [np.zeros((0, 2)), np.zeros((4, 3)), np.zeros(2), [[0, np.nan]]])
def test_impossible_paths(bad):
    with pytest.raises(UsageError, match="a path needs finite points"):
        path_kernel(bad)


def test_padding_is_taken_off_again():
    kernel = linear_motion_kernel(5, 30)
    np.testing.assert_array_equal(unpadded(padded(kernel, 15)), kernel)
    np.testing.assert_array_equal(unpadded(np.ones((1, 1))), [[1]])
