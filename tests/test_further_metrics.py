"""MS-SSIM, VIF and GMSD: limits, order, what is said where one can't be computed, and an independent GMSD."""

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter, uniform_filter

from facedeblur_utils.metrics import further
from facedeblur_utils.metrics.further import FurtherMetrics


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(further, "_lpips_network", lambda: (None, "not in tests"))


def images(size, blur=0.0):
    noise = np.random.default_rng(4).random((3, size, size, 3))
    smooth = gaussian_filter(noise, (0, 1.5, 1.5, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.uint8(gaussian_filter(255 * smooth, (0, blur, blur, 0)))


def test_identical_images_score_perfectly():
    values = FurtherMetrics(64)(images(64), images(64), ["a", "b", "c"])
    np.testing.assert_allclose(values["ms_ssim"], 1, atol=1e-5)
    np.testing.assert_allclose(values["vif"], 1, atol=1e-3)
    np.testing.assert_allclose(values["gmsd"], 0, atol=1e-5)
    assert np.isnan(values["lpips"]).all()


def test_more_blur_scores_worse():
    metrics = FurtherMetrics(64)
    steps = [metrics(images(64, blur), images(64), ["a", "b", "c"]) for blur in (0.5, 1.0, 2.0)]
    for name, sign in (("ms_ssim", 1), ("vif", 1), ("gmsd", -1)):
        values = sign * np.stack([step[name] for step in steps])
        assert (np.diff(values, axis=0) < 0).all(), name


def test_small_images_say_what_changes():
    metrics = FurtherMetrics(32)
    values = metrics(images(32, 1.0), images(32), ["a", "b", "c"])
    assert np.isnan(values["vif"]).all() and "41 pixels" in metrics.notes["vif"]
    assert np.isfinite(values["ms_ssim"]).all() and "2 of 5 scales" in metrics.notes["ms_ssim"]
    assert "not in tests" in metrics.notes["lpips"]
    assert "vif" not in FurtherMetrics(41).notes and "ms_ssim" not in FurtherMetrics(161).notes


def test_gmsd_agrees_with_its_definition():
    """Xue et al. 2014, on luma halved by a 2x2 mean, with Prewitt gradients and c = 170 for 8 bits."""
    x, y = images(64, 1.0)[0].astype(float), images(64)[0].astype(float)
    luma = [uniform_filter(a @ [0.299, 0.587, 0.114], 2, origin=-1)[::2, ::2] for a in (x, y)]
    prewitt = np.array([[1, 0, -1]] * 3) / 3
    strength = [
        np.hypot(convolve(a, prewitt, mode="constant"), convolve(a, prewitt.T, mode="constant")) for a in luma
    ]
    similarity = (2 * strength[0] * strength[1] + 170) / (strength[0] ** 2 + strength[1] ** 2 + 170)
    expected = similarity.std()
    value = FurtherMetrics(64)(images(64, 1.0), images(64), ["a", "b", "c"])["gmsd"][0]
    assert value == pytest.approx(expected, rel=0.05)
