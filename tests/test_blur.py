"""Blur: true convolution with mirrored borders, composites that keep to their mask, noise."""

import numpy as np
import pytest
from scipy import ndimage

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.frames import arc_frames, blur_by_frames, line_frames, reduced_from_finer
from facedeblur_utils.blur.kernels import arc_motion_kernel, disk_kernel, linear_motion_kernel
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.errors import UsageError
from facedeblur_utils.profiles import load_profile

RNG = np.random.default_rng(0)


def image(size=40, dtype=np.uint8):
    pixels = RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)
    return pixels if dtype == np.uint8 else (pixels / 255).astype(np.float32)


def box_mask(size=40, margin=12):
    mask = np.zeros((size, size), bool)
    mask[margin:-margin, margin:-margin] = True
    return mask


def reference(pixels, kernel):
    """scipy's convolution with the same borders, in double precision."""
    return np.stack(
        [ndimage.convolve(pixels[..., c].astype(float), kernel, mode="reflect") for c in range(3)], -1
    )


KERNELS = {
    "short line": linear_motion_kernel(4, 20),
    "long line": linear_motion_kernel(25, 70),
    "long flat line": linear_motion_kernel(31.3, 170),
    "disc": disk_kernel(7),
    "not symmetric": (lambda k: k / k.sum())(RNG.random((5, 7)).astype(np.float32)),
    "large, not symmetric": (lambda k: k / k.sum())(RNG.random((17, 17)).astype(np.float32)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_convolution_agrees_with_scipy(name):
    pixels = image()
    out = operators.convolve(pixels, KERNELS[name])
    assert out.dtype == np.uint8
    assert np.abs(out - reference(pixels, KERNELS[name])).max() <= 0.51
    as_float = image(dtype=np.float32)
    np.testing.assert_allclose(
        operators.convolve(as_float, KERNELS[name]), reference(as_float, KERNELS[name]), atol=1e-5
    )


@pytest.mark.parametrize("name", KERNELS)
def test_impulse_gives_the_kernel_and_constant_stays(name):
    kernel = KERNELS[name]
    impulse = np.zeros((41, 41, 3), np.float32)
    impulse[20, 20] = 1
    rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    out = operators.convolve(impulse, kernel)[20 - rows : 21 + rows, 20 - columns : 21 + columns, 1]
    np.testing.assert_allclose(out, kernel, atol=1e-6)
    flat = np.full((41, 41, 3), 137, np.uint8)
    np.testing.assert_array_equal(operators.convolve(flat, kernel), flat)


def test_linear_blur_does_not_shift():
    spot = np.zeros((41, 41, 3), np.float32)
    spot[18:22, 17:21] = 1
    out = operators.convolve(spot, linear_motion_kernel(9.3, 25))[..., 0]
    assert ndimage.center_of_mass(out) == pytest.approx(ndimage.center_of_mass(spot[..., 0]), abs=1e-4)


def test_kernel_larger_than_the_image():
    tiny = image(8)
    kernel = linear_motion_kernel(15, 30)
    assert np.abs(operators.convolve(tiny, kernel) - reference(tiny, kernel)).max() <= 0.51


def test_gamma_blurs_light():
    edge = np.zeros((20, 20, 3), np.uint8)
    edge[:, 10:] = 255
    kernel = linear_motion_kernel(6, 0)
    expected = 255 * (reference(edge / 255.0, kernel)) ** (1 / 2.2)
    assert np.abs(operators.convolve(edge, kernel, gamma=2.2) - expected).max() <= 0.51
    assert (
        operators.convolve(edge, kernel, gamma=2.2)[10, 9, 0]
        > operators.convolve(edge, kernel)[10, 9, 0] + 20
    )


def test_paste_is_blurred_inside_and_sharp_outside():
    pixels, mask, kernel = image(), box_mask(), linear_motion_kernel(7, 40)
    out = operators.composite(pixels, kernel, mask)
    np.testing.assert_array_equal(out[~mask], pixels[~mask])
    np.testing.assert_array_equal(out[mask], operators.convolve(pixels, kernel)[mask])


def test_matte_touches_only_the_reach_of_the_mask():
    pixels, mask, kernel = image(), box_mask(), linear_motion_kernel(7, 40)
    reach = ndimage.binary_dilation(mask, kernel[::-1, ::-1] > 0)
    out = operators.composite(pixels, kernel, mask, "matte")
    np.testing.assert_array_equal(out[~reach], pixels[~reach])
    trail = reach & ~mask
    assert np.abs(out[trail].astype(int) - pixels[trail]).mean() > 5
    # Where the whole kernel lies inside the mask both ways agree.
    core = ndimage.binary_erosion(mask, kernel > 0)
    assert core.any()
    pasted = operators.composite(pixels, kernel, mask)
    assert np.abs(out[core].astype(int) - pasted[core]).max() <= 1


def test_matte_lets_no_background_into_the_face():
    # White face on a black background: pasted, the face darkens at its edge because the black leaks in and
    # nothing is seen outside. Matted, the face keeps its own colour times its share of the exposure.
    mask = box_mask()
    pixels = np.zeros((40, 40, 3), np.float32)
    pixels[mask] = 1
    kernel = linear_motion_kernel(9, 0)
    share = ndimage.convolve(mask.astype(float), kernel, mode="reflect")
    np.testing.assert_allclose(operators.composite(pixels, kernel, mask, "matte")[..., 0], share, atol=1e-5)
    # A face of the background's own colour can't be seen to move.
    flat = np.full((40, 40, 3), 90, np.uint8)
    np.testing.assert_array_equal(operators.composite(flat, kernel, mask, "matte"), flat)


@pytest.mark.parametrize("mode", operators.MODES)
def test_empty_and_full_masks(mode):
    pixels, kernel = image(), linear_motion_kernel(7, 40)
    empty, full = np.zeros((40, 40), bool), np.ones((40, 40), bool)
    np.testing.assert_array_equal(operators.composite(pixels, kernel, empty, mode), pixels)
    np.testing.assert_array_equal(
        operators.composite(pixels, kernel, full, mode), operators.convolve(pixels, kernel)
    )


def test_noise_has_the_standard_deviation_asked_for():
    field = operators.noise_field((200, 200, 3), 0.03, np.random.default_rng(1))
    assert field.std() == pytest.approx(0.03, rel=0.01)
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = operators.add_noise(grey, field)
    assert noisy.dtype == np.uint8 and (noisy / 255.0).std() == pytest.approx(0.03, rel=0.02)
    np.testing.assert_array_equal(field, operators.noise_field((200, 200, 3), 0.03, np.random.default_rng(1)))


def smooth_picture(size=64):
    """uint8 (size, size, 3), so smooth that a finer resolution shows nothing new."""
    wide = ndimage.gaussian_filter(np.random.default_rng(8).standard_normal((size, size, 3)), (3, 3, 0))
    return np.rint(255 * (0.5 + 0.4 * wide / np.abs(wide).max())).astype(np.uint8)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
@pytest.mark.parametrize(
    ("frames", "kernel", "other"),
    [
        (line_frames(9, 25), linear_motion_kernel(9, 25), linear_motion_kernel(9, -25)),
        (arc_frames(16, 60, 150), arc_motion_kernel(16, 60, 150), arc_motion_kernel(16, 60, -150)),
    ],
    ids=["line", "arc"],
)
def test_frames_average_to_what_the_kernel_gives(gamma, frames, kernel, other):
    sharp = smooth_picture()
    averaged = blur_by_frames(sharp, frames, gamma).astype(int)
    convolved = operators.convolve(sharp, kernel, gamma)
    # 0.1 grey values apart on average, of 4 to 7 that the blur changes.
    assert np.abs(averaged - convolved).max() <= 2 and np.abs(averaged - convolved).mean() < 0.15
    assert np.abs(averaged - operators.convolve(sharp, other, gamma)).mean() > 2
    # Light and stored values are told apart, wherever the path begins.
    assert np.abs(averaged - operators.convolve(sharp, kernel, 3.2 - gamma).astype(int)).mean() > 0.4
    np.testing.assert_array_equal(blur_by_frames(sharp, frames + 5, gamma), averaged)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_frames_keep_a_constant_picture(gamma):
    flat = np.full((12, 9, 3), (0, 137, 255), np.uint8)
    np.testing.assert_array_equal(blur_by_frames(flat, line_frames(5, 40), gamma), flat)


def test_reduced_from_finer_by_hand():
    # OpenCV's cubic (Keys 1981 with a = -0.75) read at the four finer pixels of each pixel, and their mean.
    def cubic(x):
        x = abs(x)
        return 1.25 * x**3 - 2.25 * x**2 + 1 if x <= 1 else -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) * (x < 2)

    taps = [np.mean([cubic(at - j) for at in (-0.375, -0.125, 0.125, 0.375)]) for j in range(-2, 3)]
    sharp = image(24) // 2 + 64  # nothing clips on the way
    expected = ndimage.convolve1d(sharp.astype(float), taps, axis=0, mode="nearest")
    expected = np.clip(ndimage.convolve1d(expected, taps, axis=1, mode="nearest"), 0, 255)
    found = reduced_from_finer(sharp)
    assert found.dtype == np.uint8 and found.shape == sharp.shape
    assert np.abs(found - expected)[2:-2, 2:-2].max() <= 1.01
    assert np.abs(found - sharp.astype(int)).max() > 10  # it isn't the picture itself


def test_jpeg_loses_more_at_lower_quality_and_keeps_the_shape():
    wide = np.kron(smooth_picture(32)[:24], np.ones((2, 2, 1), np.uint8))
    losses = [
        np.square(operators.jpeg(wide, quality) - wide.astype(float)).mean() for quality in (99, 80, 40, 5)
    ]
    assert operators.jpeg(wide, 80).shape == (48, 64, 3) and operators.jpeg(wide, 80).dtype == np.uint8
    assert losses == sorted(losses) and 0 < losses[0] < 8 < 50 < losses[-1]
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200  # the order of the channels stays
    assert np.abs(operators.jpeg(red, 95).astype(int) - red).max() < 6


def test_wrong_inputs():
    with pytest.raises(UsageError, match="odd sides"):
        operators.convolve(image(), np.ones((2, 2), np.float32) / 4)
    with pytest.raises(UsageError, match="float64"):
        operators.convolve(image().astype(float), linear_motion_kernel(3, 0))
    with pytest.raises(UsageError, match="unknown composite"):
        operators.composite(image(), linear_motion_kernel(3, 0), box_mask(), "blend")
    with pytest.raises(UsageError, match="same height"):
        operators.composite(image(), linear_motion_kernel(3, 0), box_mask(20, 5))


@pytest.mark.parametrize("shape", [(40, 31, 3), (9, 12)])
def test_adjoint_is_the_transpose(shape):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, *shape), np.float32)
    kernel = rng.random((15, 11)).astype(np.float32)
    forth = (operators.convolve(x, kernel).astype(float) * y).sum()
    back = (x.astype(float) * operators.convolve_adjoint(y, kernel)).sum()
    assert forth == pytest.approx(back, rel=1e-3)
    assert (x.astype(float) * operators.convolve(y, kernel)).sum() != pytest.approx(forth, rel=0.05)


def test_kinds_of_blur_are_seeded_and_keep_a_constant_picture():
    for sampler in BLURS.values():
        one, again, other = (sampler(np.random.default_rng(seed), 64) for seed in (1, 1, 2))
        assert one.parameters == again.parameters != other.parameters
        grey = np.full((64, 64, 3), 0.4, np.float32)
        np.testing.assert_allclose(one.apply(grey), grey, atol=1e-6)
    drawn = [BLURS["line"](np.random.default_rng(seed), 100).parameters for seed in range(300)]
    lengths = [parameters["length"] for parameters in drawn]
    assert 5 <= min(lengths) < 5.3 and 14.7 < max(lengths) <= 15
    narrow = BLURS["line"](np.random.default_rng(1), 100, load_profile("smoke", {"blur_length": [0.2, 0.2]}))
    assert narrow.parameters["length"] == 20


def test_doors_lead_to_the_functions():
    import facedeblur_utils.blur as door
    from facedeblur_utils import data, evaluation
    from facedeblur_utils.data.segmentation import face_mask, head_mask
    from facedeblur_utils.metrics.psnr_ssim import psnr, ssim

    assert (door.linear_motion_kernel, door.disk_kernel) == (linear_motion_kernel, disk_kernel)
    assert (door.convolve, door.composite, door.BLURS) == (operators.convolve, operators.composite, BLURS)
    assert (data.face_mask, data.head_mask) == (face_mask, head_mask)
    assert (evaluation.psnr, evaluation.ssim) == (psnr, ssim)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        door.nothing  # noqa: B018
