"""Kernels: sum, centre, second moments, direction on screen, limits, bad values."""

import numpy as np
import pytest

from facedeblur_utils.blur.kernels import disk_kernel, linear_motion_kernel, padded
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
