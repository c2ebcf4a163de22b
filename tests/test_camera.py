"""From light to a file and noises: round trips, closed forms, what each step adds, seeds."""

import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from facedeblur_utils.blur import noise, operators
from facedeblur_utils.blur.camera import CAMERAS, SHOT, WHITE, Camera, photograph
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.errors import UsageError

KERNEL = linear_motion_kernel(7, 30)


def picture():
    return np.ascontiguousarray(skimage.data.astronaut()[::4, ::4])


def still(light):
    return light


def shaken(light):
    return operators.convolve(light, KERNEL)


def taken(camera, blur=still, sharp=None, seed=0):
    return photograph(picture() if sharp is None else sharp, blur, np.random.default_rng(seed), camera)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_nothing_happens_without_motion_noise_and_sensor(gamma):
    np.testing.assert_array_equal(taken(Camera(gamma=gamma)), picture())


def test_a_plain_colour_survives_the_sensor():
    plain = np.full((16, 16, 3), [200, 120, 80], np.uint8)
    assert np.abs(taken(Camera(raw=True), sharp=plain).astype(int) - plain).max() <= 1
    edge = plain.copy()
    edge[:, 8:] = [40, 90, 160]
    out = taken(Camera(raw=True), sharp=edge).astype(int)
    assert np.abs(out - edge)[:, [7, 8]].max() > 10  # colours that were interpolated


def test_presets_blur_stored_values_or_light():
    expected = operators.convolve(picture(), KERNEL)
    np.testing.assert_allclose(taken(CAMERAS["stored"], shaken).astype(int), expected, atol=1)
    expected = operators.convolve(picture(), KERNEL, 2.2)
    np.testing.assert_allclose(taken(CAMERAS["light"], shaken).astype(int), expected, atol=1)


def test_highlights_spread_further_than_white():
    """A white dot in the dark leaves (1 + beyond) times the light of its kernel."""
    dark = np.zeros((31, 31, 3), np.uint8)
    dark[15, 15] = 255
    camera = Camera(gamma=1.0, highlights=(1.5, 1.5))
    out = taken(camera, shaken, dark)[..., 0].astype(int)
    kernel = np.zeros((31, 31))
    reach = len(KERNEL) // 2
    kernel[15 - reach : 16 + reach, 15 - reach : 16 + reach] = KERNEL
    assert np.abs(out - 255 * np.clip(2.5 * kernel, 0, 1)).max() <= 1
    grey = np.full_like(dark, round(255 * WHITE) - 1)
    np.testing.assert_array_equal(taken(camera, shaken, grey), grey)


def test_noise_of_a_camera_is_as_strong_as_drawn():
    grey = np.full((128, 128, 3), 128, np.uint8)
    camera = Camera(gamma=1.0, shot=(SHOT[1], SHOT[1]), read=(0.003, 0.003))
    out = taken(camera, sharp=grey) / 255
    level = 128 / 255
    assert out.mean() == pytest.approx(level, abs=1e-3)
    wanted = SHOT[1] * level + 0.003**2 + (1 / 255) ** 2 / 12  # and rounding
    assert out.var() == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize("name", CAMERAS)
def test_a_camera_draws_from_its_generator_alone(name):
    one, again, other = (taken(CAMERAS[name], shaken, seed=seed) for seed in (3, 3, 4))
    assert one.dtype == np.uint8 and one.shape == picture().shape
    np.testing.assert_array_equal(one, again)
    assert (one != other).any() == (CAMERAS[name].highlights[1] + CAMERAS[name].shot[1] > 0)


GREY = np.full((200, 200, 3), 0.4, np.float32)
MOMENTS = {  # name -> strength, variance, fourth moment over squared variance (None: not looked at)
    "gaussian": (0.05, 0.05**2, 3.0),
    "poisson": (500.0, 0.4 / 500, 3.0 + 1 / 200),
    "laplace": (0.05, 0.05**2, 6.0),
    "poisson_gaussian": (1e-3, 1e-3 * 0.4 + 0.002**2, 3.0),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_noises_have_their_moments(name):
    strength, variance, fourth = MOMENTS[name]
    out = noise.NOISES[name](GREY, np.random.default_rng(1), strength) - 0.4
    assert out.dtype == np.float32 and out.mean() == pytest.approx(0, abs=1e-3)
    assert out.var() == pytest.approx(variance, rel=0.02)
    assert (out.astype(float) ** 4).mean() / out.var() ** 2 == pytest.approx(fourth, rel=0.06)
    again = noise.NOISES[name](GREY, np.random.default_rng(1), strength) - 0.4
    np.testing.assert_array_equal(out, again)


def test_salt_and_pepper_are_as_many_as_asked():
    out = noise.salt_and_pepper(GREY, np.random.default_rng(2), 0.1)
    assert (out == 0).all(axis=2).mean() == pytest.approx(0.05, abs=0.005)
    assert (out == 1).all(axis=2).mean() == pytest.approx(0.05, abs=0.005)
    assert set(np.unique(out)) == {np.float32(0), np.float32(0.4), np.float32(1)}
    bright = np.full((50, 50, 3), 0.99, np.float32)
    assert all(make(bright, np.random.default_rng(0)).max() <= 1 for make in noise.NOISES.values())


@pytest.mark.parametrize(("shot", "read"), [(1e-3, 0.0), (4e-4, 0.004), (0.0, 0.01)])
def test_noise_is_read_from_a_picture(shot, read):
    smooth = ndimage.gaussian_filter(skimage.data.camera() / 255, 3).astype(np.float32)
    noisy = noise.poisson_gaussian(smooth, np.random.default_rng(5), shot, read)
    found = noise.estimate_noise(noisy)
    assert found[0] == pytest.approx(shot, rel=0.15, abs=5e-5)
    assert found[1] ** 2 == pytest.approx(read**2, rel=0.3, abs=5e-6)


def test_what_noise_cannot_be_is_said():
    with pytest.raises(UsageError, match="positive number of photons"):
        noise.poisson(GREY, np.random.default_rng(0), 0)
    with pytest.raises(UsageError, match="float32"):
        noise.estimate_noise(np.zeros((8, 8), np.uint8))
    assert noise.estimate_noise(np.zeros((8, 8), np.float32)) == (0.0, 0.0)
