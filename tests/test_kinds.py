"""Kinds of blur against closed forms, scipy and the line; moved pictures, parts, and datasets of them."""

import dataclasses

import numpy as np
import pytest
import skimage.data
from scipy import ndimage, special

from facedeblur_utils.blur import kinds, operators, trajectories
from facedeblur_utils.blur.blurs import KernelBlur, MovedBlur
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.data import recipe
from facedeblur_utils.errors import UsageError
from facedeblur_utils.profiles import BLUR_KINDS, KIND_RUNS, load_profile
from facedeblur_utils.training import experiments

SIZE = 48


def drawn(kind, seed=0, size=SIZE, profile=None):
    return BLURS[kind](np.random.default_rng(seed), size, profile)


def photograph(size=96):
    picture = skimage.data.astronaut()[40:232, 130:322]
    return picture.reshape(size, 192 // size, size, 192 // size, 3).mean(axis=(1, 3)).astype(np.float32) / 255


def square(size=SIZE):
    mask = np.zeros((size, size), bool)
    mask[16:32, 14:30] = True
    return mask


def spread(kernel):
    """Variance (px²) of a kernel along x and y."""
    at = np.arange(len(kernel)) - len(kernel) // 2
    rows, columns = kernel.sum(axis=1), kernel.sum(axis=0)
    return [float((line * at**2).sum() - (line * at).sum() ** 2) for line in (columns, rows)]


def test_names_agree_between_profiles_and_tables():
    assert tuple(BLURS) == tuple(kinds.SETTINGS) == BLUR_KINDS
    assert all(set(experiments.kinds_in(name)) <= set(BLURS) for name in KIND_RUNS)
    assert experiments.kinds_in("line_light") == ("line_light",)
    assert experiments.kinds_in("line_face") == experiments.kinds_in("line_head") == ("line",)


@pytest.mark.parametrize("kind", BLUR_KINDS)
def test_each_kind_is_an_operator_with_its_transpose(kind):
    blur = drawn(kind)
    x, y = np.random.default_rng(1).standard_normal((2, SIZE, SIZE, 3)).astype(np.float32)
    forth = (blur.linear(x).astype(float) * y).sum()
    assert forth == pytest.approx((x.astype(float) * blur.adjoint(y)).sum(), rel=1e-4, abs=1e-3)
    assert blur.adjoint(x[..., 0]).shape == (SIZE, SIZE)


@pytest.mark.parametrize("kind", BLUR_KINDS)
def test_each_kind_keeps_range_type_and_light_and_blurs(kind):
    blur, picture = drawn(kind, 3), photograph(SIZE)
    out = blur.apply(picture)
    assert out.dtype == np.float32 and out.min() >= 0 and out.max() <= 1
    assert np.abs(out - picture).mean() > 0.005
    whole = np.rint(255 * picture).astype(np.uint8)
    as_float = 255 * blur.apply(whole.astype(np.float32) / 255)
    assert np.abs(blur.apply(whole) - as_float).max() < 0.51
    light, gamma = picture**blur.gamma, blur.gamma
    assert blur.linear(light).mean() == pytest.approx(light.mean(), rel=0.02)
    np.testing.assert_allclose(out, np.clip(blur.linear(light), 0, 1) ** (1 / gamma), atol=1e-5)
    assert blur.kernel.min() >= 0 and blur.kernel.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", BLUR_KINDS)
def test_no_kernel_is_larger_than_what_is_kept_for_it(kind):
    profile = load_profile("smoke", {"blur_kind": kind, "blur_length": [0.3, 0.3]})
    side = kinds.longest_kernel(profile)
    assert side % 2 == 1
    assert all(len(drawn(kind, seed, 32, profile).kernel) <= side for seed in range(40))


def test_disc_and_gaussian_have_their_variances():
    disc = kinds.disc(None, SIZE, 20.0, 0.0).kernel
    assert spread(disc) == pytest.approx([10**2 / 4 + 1 / 12] * 2, rel=0.01)  # pixels are squares
    gaussian = kinds.gaussian(None, SIZE, 20.0, 0.0)
    assert spread(gaussian.kernel) == pytest.approx([20**2 / 12] * 2, rel=0.04)  # cut at 3 sigma
    assert gaussian.parameters["sigma"] == pytest.approx(20 / np.sqrt(12), abs=1e-4)


@pytest.mark.parametrize("path", [trajectories.inertial_path, trajectories.gaussian_process_path])
def test_paths_have_their_length(path):
    points = path(np.random.default_rng(5), 17.0)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert steps.sum() == pytest.approx(17, rel=0.01)
    if path is trajectories.inertial_path:  # constant speed; only the direction changes
        assert np.ptp(steps) < 1e-9


def test_inertial_paths_differ_from_lines_as_the_source_wants():
    """Between nearly straight (no anxiety) and turned back on themselves."""
    straightness = [
        np.linalg.norm(path[-1] - path[0]) / 10
        for path in (trajectories.inertial_path(np.random.default_rng(seed), 10.0) for seed in range(200))
    ]
    assert max(straightness) > 0.97 and min(straightness) < 0.4


def test_gaussian_process_has_the_matern_covariance():
    """Against the general formula with a Bessel function."""
    root = trajectories._matern_root()
    time = np.linspace(0, 1, trajectories.KNOTS)
    scaled = np.sqrt(3) * np.abs(time[:, None] - time) / trajectories.TIME_SCALE + 1e-12
    expected = 2**-0.5 / special.gamma(1.5) * scaled**1.5 * special.kv(1.5, scaled)
    np.testing.assert_allclose(root @ root.T, expected, atol=1e-6)


def test_moved_picture_is_the_mean_of_scipys():
    blur, picture = drawn("shake", 2), photograph(SIZE)
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    total = np.zeros(picture.shape)
    for matrix in blur.instants:
        x, y, scale = np.tensordot(matrix, np.stack([columns, rows, np.ones_like(rows)]), axes=1)
        at = [y / scale + (SIZE - 1) / 2, x / scale + (SIZE - 1) / 2]
        total += np.stack(
            [ndimage.map_coordinates(picture[..., c], at, order=1, mode="reflect") for c in range(3)], -1
        )
    np.testing.assert_allclose(blur.apply(picture), total / len(blur.instants), atol=2e-4)


@pytest.mark.parametrize("angle", [0, 35, 90, 140])
def test_a_constant_field_is_a_line(angle):
    vector = 9 * np.array([np.cos(np.deg2rad(angle)), -np.sin(np.deg2rad(angle))])
    field, picture = kinds.field_blur(96, vector, np.zeros((2, 2))), photograph()
    assert (field.parameters["length"], field.parameters["angle"]) == (9, angle)
    line = operators.convolve(picture, linear_motion_kernel(9, angle))
    assert np.abs(field.apply(picture) - line).max() < 0.012  # of the range
    assert np.abs(field.kernel - _fitted(linear_motion_kernel(9, angle), field.kernel)).max() < 0.04
    turned = operators.convolve(picture, linear_motion_kernel(9, angle + 20))
    assert np.abs(field.apply(picture) - turned).max() > 0.05


def _fitted(kernel, like):
    border = (len(like) - len(kernel)) // 2
    return np.pad(kernel, border) if border >= 0 else kernel[-border:border, -border:border]


def test_a_field_blurs_each_side_along_its_own_vector():
    """A zoom: the left and right edges blur along x, the middle not at all."""
    picture = np.tile((np.arange(SIZE) % 8 < 4).astype(np.float32)[:, None], (1, 3))[None].repeat(SIZE, 0)
    field = kinds.field_blur(SIZE, np.zeros(2), np.array([[0.3, 0], [0, 0]]))
    out = field.apply(picture)[..., 0]
    contrast = np.ptp(out[:, 4:12], axis=1).mean(), np.ptp(out[:, 20:28], axis=1).mean()
    assert contrast[0] < 0.7 < contrast[1]


@pytest.mark.parametrize("count", [7, 13])
def test_frames_of_a_constant_motion_are_a_line(count):
    """Within 4 % of the range for 7 frames of a motion of 9 pixels, and 2 % for 13."""
    length, picture = 9.0, photograph()
    instants = np.tile(np.eye(3), (count, 1, 1))
    instants[:, 0, 2] = np.linspace(-0.5, 0.5, count) * length * (count - 1) / count
    frames = MovedBlur({}, 1.0, instants).apply(picture)
    line = operators.convolve(picture, linear_motion_kernel(np.hypot(length, 1), 0))
    assert np.abs(frames - line).max() < (0.04 if count == 7 else 0.02)


@pytest.mark.parametrize("mode", operators.MODES)
@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_a_kernel_laid_under_a_mask_is_the_studys_composite(mode, gamma):
    kernel, picture = linear_motion_kernel(7, 40), np.rint(255 * photograph(SIZE)).astype(np.uint8)
    blur = KernelBlur({}, gamma, kernel)
    expected = operators.composite(picture, kernel, square(), mode, gamma)
    out = operators.laid_under(picture, blur.linear, square(), mode, gamma)
    assert np.abs(out.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(blur.under(picture, square(), mode), expected)


def test_frames_of_a_head_leave_the_background_still():
    profile = load_profile("smoke", {"blur_length": [0.1, 0.1]})
    picture, blur = np.rint(255 * photograph(SIZE)).astype(np.uint8), drawn("frames", 4, SIZE, profile)
    out = blur.under(picture, square(), "matte")
    reach = ndimage.binary_dilation(square(), iterations=2 * int(np.ceil(blur.parameters["length"])))
    np.testing.assert_array_equal(out[~reach], picture[~reach])
    assert (out[square()] != picture[square()]).mean() > 0.5
    nothing = np.zeros_like(square())
    np.testing.assert_array_equal(blur.under(picture, nothing, "matte"), picture)
    with pytest.raises(UsageError, match="unknown composite 'blend'"):
        blur.under(picture, square(), "blend")
    with pytest.raises(UsageError, match="same height and width"):
        blur.under(picture, square(40), "matte")
    with pytest.raises(UsageError, match="uint8 or float32"):
        blur.apply(picture.astype(np.int32))


@pytest.mark.parametrize("kind", ["trajectory", "shake", "line_light"])
def test_datasets_of_a_pair_share_a_blur_of_any_kind(kind):
    profile = load_profile("smoke", {"blur_kind": kind, "composite": "matte"})
    sharp, face = np.rint(255 * photograph(SIZE)).astype(np.uint8), square()
    pictures, kernels, drawn_values = recipe.blur_face(sharp, face, face, "a", profile)
    blur = recipe.drawn_blur(profile, 2, "a", SIZE)
    np.testing.assert_array_equal(pictures["SFB2"], blur.apply(sharp))
    np.testing.assert_array_equal(pictures["SB2SM"], blur.under(sharp, face, "matte"))
    np.testing.assert_array_equal(kernels[2], blur.kernel)
    assert drawn_values["length_2"] == blur.parameters["length"] != drawn_values["length_1"]
    assert kinds.gamma_of(profile) == (2.2 if kind == "line_light" else 1.0)
    other = dataclasses.replace(profile, seed=profile.seed + 1)
    assert (recipe.drawn_blur(other, 2, "a", SIZE).apply(sharp) != pictures["SFB2"]).any()
