"""Physics: operators against other code, the solver against dense algebra, motions that are found again."""

import cv2
import numpy as np
import pytest
import scipy.optimize
import scipy.signal
import torch
from scipy import ndimage
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from facedeblur_utils.blur import operators as blur_operators
from facedeblur_utils.blur.kernels import arc_motion_kernel, linear_motion_kernel, padded, path_kernel
from facedeblur_utils.physics import blind, paths, solve
from facedeblur_utils.physics.motion import Evidence, Motion, along, kernels_of
from facedeblur_utils.physics.operators import Convolution, Moving, Part

SKEW = np.random.default_rng(1).random((7, 7)).astype(np.float32)
KERNELS = {
    "line": linear_motion_kernel(9, 25),
    "arc": arc_motion_kernel(12, 100, 80),
    "one pixel": np.ones((1, 1), np.float32),
    "not symmetric": SKEW / SKEW.sum(),
    "larger than the picture": arc_motion_kernel(60, 40, 60),
}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def tensor(image):
    """float32 (H, W, C) as (1, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def array(image):
    return image[0].permute(1, 2, 0).numpy()


def box(height, width):
    mask = np.zeros((height, width), bool)
    mask[height // 4 : -height // 3, width // 3 : -width // 4] = True
    return mask


# Operators.


@pytest.mark.parametrize("shape", [(40, 31), (9, 12)])
@pytest.mark.parametrize("name", KERNELS)
def test_reflected_convolution_is_that_of_opencv(name, shape):
    image = noise(*shape, 3)
    expected = blur_operators.convolve(image, KERNELS[name])
    blur = Convolution(torch.from_numpy(KERNELS[name])[None], shape)
    np.testing.assert_allclose(array(blur.apply(tensor(image))), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["line", "arc", "one pixel", "not symmetric"])
def test_convolution_with_context_is_scipy_s_valid_part(name):
    image, kernel = noise(30, 41, 3), KERNELS[name]
    expected = [scipy.signal.convolve2d(image[..., c], kernel, mode="valid") for c in range(3)]
    found = Convolution(torch.from_numpy(kernel)[None], (30, 41), "context").apply(tensor(image))
    np.testing.assert_allclose(array(found), np.stack(expected, -1), atol=1e-5)


def test_each_picture_of_a_batch_has_its_own_kernel():
    motions = [Motion(9, 25), Motion(6, 120, 70), Motion(1, 0)]
    images = torch.from_numpy(noise(3, 2, 24, 20))
    together = Convolution(kernels_of(motions), (24, 20))
    for operation in ("apply", "adjoint"):
        alone = [
            getattr(Convolution(torch.from_numpy(motion.kernel())[None], (24, 20)), operation)(image[None])
            for motion, image in zip(motions, images, strict=True)
        ]
        torch.testing.assert_close(getattr(together, operation)(images), torch.cat(alone), atol=1e-5, rtol=0)
    torch.testing.assert_close(together.apply(images)[2], images[2], atol=1e-5, rtol=0)


def operators_by_name(kernel, shape):
    kernel = torch.from_numpy(kernel.astype(float))[None]
    mask = torch.from_numpy(box(*shape).astype(float))[None, None]
    soft = torch.from_numpy(noise(1, 1, *shape, seed=4).astype(float))
    reflected = Convolution(kernel, shape)
    several = {
        "reflect": reflected,
        "part": Part(reflected, soft),
        "moving": Moving(reflected, mask),
        "moving whole": Moving(reflected, torch.ones_like(mask)),
    }
    if kernel.shape[-1] <= min(shape):
        several["context"] = Convolution(kernel, shape, "context")
    return several


@pytest.mark.parametrize("shape", [(26, 33), (9, 12)])
@pytest.mark.parametrize("name", KERNELS)
def test_adjoints_are_transposes(name, shape):
    for kind, operator in operators_by_name(KERNELS[name], shape).items():
        x = torch.from_numpy(noise(1, 2, *shape, seed=5).astype(float))
        y = torch.from_numpy(noise(*operator.apply(x).shape, seed=6).astype(float))
        forth, back = (operator.apply(x) * y).sum(), (x * operator.adjoint(y)).sum()
        assert float(forth) == pytest.approx(float(back), rel=1e-9), kind


@pytest.mark.parametrize("name", ["line", "arc", "not symmetric"])
def test_part_is_the_composite_that_pastes(name):
    image, mask = noise(40, 31, 3), box(40, 31)
    expected = blur_operators.composite(image, KERNELS[name], mask, "paste")
    blur = Convolution(torch.from_numpy(KERNELS[name])[None], (40, 31))
    found = Part(blur, torch.from_numpy(mask.astype(np.float32))[None, None]).apply(tensor(image))
    np.testing.assert_allclose(array(found), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["line", "arc", "not symmetric"])
def test_moving_is_the_composite_with_a_matte(name):
    # On a background of one colour, where it doesn't matter which of several nearest pixels is continued.
    mask = box(40, 31)
    image = np.where(mask[..., None], noise(40, 31, 3), np.float32([0.2, 0.5, 0.9]))
    expected = blur_operators.composite(image, KERNELS[name], mask, "matte")
    blur = Convolution(torch.from_numpy(KERNELS[name])[None], (40, 31))
    found = Moving(blur, torch.from_numpy(mask.astype(np.float32))[None, None]).apply(tensor(image))
    np.testing.assert_allclose(array(found), expected, atol=1e-5)


def test_what_moves_hides_the_nearest_pixels():
    # The background holds its own coordinates, what moves is black: what shows says where it is from.
    mask = box(40, 31)
    rows, columns = np.mgrid[:40, :31].astype(np.float32)
    image = np.stack([rows, columns], -1) * ~mask[..., None]
    kernel = torch.from_numpy(linear_motion_kernel(25, 10))[None]
    moving = Moving(Convolution(kernel, (40, 31)), torch.from_numpy(mask.astype(np.float32))[None, None])
    behind = array(moving.apply(tensor(image))) / (1 - moving.matte[0, 0].numpy())[..., None]
    distance = np.hypot(behind[..., 0] - rows, behind[..., 1] - columns)
    assert mask.sum() > 200
    np.testing.assert_allclose(distance, ndimage.distance_transform_edt(mask), atol=1e-3)


# Solver.

SHAPE = (8, 7)


def dense(operation, shape=SHAPE):
    """Matrix of `operation` on (H, W) arrays."""
    basis = np.eye(np.prod(shape)).reshape(-1, *shape)
    return np.stack([operation(each).ravel() for each in basis], axis=1)


def dense_problem(kernel, slope):
    """Blur by scipy, and differences over the mean slope of their two pixels, as matrices."""
    blur = dense(lambda x: ndimage.convolve(x, kernel.astype(float), mode="reflect"))
    down = dense(lambda x: np.diff(x, axis=0) / ((slope[1:] + slope[:-1]) / 2))
    right = dense(lambda x: np.diff(x, axis=1) / ((slope[:, 1:] + slope[:, :-1]) / 2))
    return blur, np.concatenate([down, right])


@pytest.mark.parametrize("light", [False, True])
def test_solver_solves_the_normal_equations(light, monkeypatch):
    monkeypatch.setattr(solve, "POWER", 2)  # the prior is quadratic, and one round is all
    kernel, strength = arc_motion_kernel(4, 30, 60), 0.03
    blurred, weight = noise(2, *SHAPE).astype(float), noise(*SHAPE, seed=1).astype(float)
    weight[2, 3] = weight[5] = 0
    slope = 0.3 + 2 * noise(2, *SHAPE, seed=2).astype(float) if light else np.ones((2, *SHAPE))
    expected = []
    for channel in range(2):
        blur, differences = dense_problem(kernel, slope[channel])
        share = weight.ravel() / slope[channel].ravel() ** 2
        normal = blur.T @ (share[:, None] * blur) + strength * differences.T @ differences
        expected.append(np.linalg.solve(normal, blur.T @ (share * blurred[channel].ravel())).reshape(SHAPE))
    how = {"slope": torch.from_numpy(slope)[None]} if light else {}
    found = solve.solve(
        Convolution(torch.from_numpy(kernel.astype(float))[None], SHAPE),
        torch.from_numpy(blurred)[None],
        strength,
        weight=torch.from_numpy(weight)[None, None],
        rounds=1,
        steps=150,
        **how,
    )
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-6)


def test_solver_goes_where_its_own_cost_is_lowest():
    # The objective as the docstring has it, on a picture of one channel, and scipy's search from there.
    kernel, strength = linear_motion_kernel(4, 30), 0.02
    sharp = np.full(SHAPE, 0.2)
    sharp[3:, 2:5] = 0.8
    blur, differences = dense_problem(kernel, np.ones(SHAPE))
    blurred = blur @ sharp.ravel() + 0.02 * np.random.default_rng(3).standard_normal(sharp.size)

    def cost(x):
        sizes = np.sqrt((differences @ x) ** 2 + 0.01**2)
        return np.square(blur @ x - blurred).sum() + strength * (sizes**0.8).sum()

    found = solve.solve(
        Convolution(torch.from_numpy(kernel.astype(float))[None], SHAPE),
        torch.from_numpy(blurred.reshape(1, 1, *SHAPE)),
        strength,
        rounds=60,
        steps=60,
    )
    found = found.numpy().ravel()
    better = scipy.optimize.minimize(cost, found, options={"gtol": 1e-8})
    assert cost(found) == pytest.approx(better.fun, rel=1e-3)
    assert cost(found) < cost(sharp.ravel()) and cost(found) < 0.7 * cost(blurred)
    image = torch.from_numpy(found.reshape(1, 1, *SHAPE))
    own = np.square(blur @ found - blurred).sum() + strength * float(solve.prior(image))
    assert own == pytest.approx(cost(found), rel=1e-6)


def test_prior_of_several_channels_by_hand():
    # Gradients of the channels count together, and each channel is counted.
    x, slope = noise(2, 3, 6, 5).astype(float), 0.5 + noise(2, 3, 6, 5, seed=1).astype(float)
    expected = []
    for picture, rate in zip(x, slope, strict=True):
        down = np.diff(picture, axis=1) / ((rate[:, 1:] + rate[:, :-1]) / 2)
        right = np.diff(picture, axis=2) / ((rate[..., 1:] + rate[..., :-1]) / 2)
        sizes = [np.sqrt((each**2).mean(axis=0) + 0.01**2) for each in (down, right)]
        expected.append(3 * sum((size**0.8).sum() for size in sizes))
    found = solve.prior(torch.from_numpy(x), torch.from_numpy(slope))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_without_blur_and_prior_the_picture_comes_back():
    image = torch.from_numpy(noise(2, 3, 9, 12))
    identity = Convolution(torch.ones(2, 1, 1), (9, 12))
    torch.testing.assert_close(solve.solve(identity, image, 0.0), image, atol=1e-5, rtol=0)
    start = torch.zeros_like(image)
    torch.testing.assert_close(solve.solve(identity, image, 0.0, start=start), image, atol=1e-5, rtol=0)


def test_the_first_guess_is_in_light_where_the_picture_is():
    image, slope = torch.from_numpy(noise(1, 3, 9, 12)), 0.5 + torch.from_numpy(noise(1, 3, 9, 12, seed=1))
    blur = Convolution(kernels_of([Motion(5, 30)]), (9, 12))
    for start in (None, 1 - image):
        found = solve.solve(blur, image, 1e-4, slope=slope, start=start, steps=0)
        torch.testing.assert_close(found, image if start is None else start)


def test_pixels_without_weight_do_not_matter():
    image, weight = torch.from_numpy(noise(1, 3, 20, 20)), torch.ones(1, 1, 20, 20)
    weight[..., 5:9, 6:12] = 0
    other = torch.where(weight > 0, image, 1 - image)
    blur = Convolution(kernels_of([Motion(5, 30)]), (20, 20))
    start = torch.full_like(image, 0.5)
    one, two = (solve.solve(blur, each, 1e-3, weight=weight, start=start) for each in (image, other))
    torch.testing.assert_close(one, two)
    assert (solve.solve(blur, other, 1e-3, start=start) - one).abs().max() > 0.1


def test_pictures_of_a_batch_do_not_mix():
    images = torch.from_numpy(noise(2, 3, 20, 20))
    strength = torch.tensor([1e-4, 1e-2]).reshape(2, 1, 1, 1)
    together = solve.solve(
        Convolution(kernels_of([Motion(5, 30), Motion(3, 90)]), (20, 20)), images, strength
    )
    for row, motion in enumerate((Motion(5, 30), Motion(3, 90))):
        alone = Convolution(torch.from_numpy(motion.kernel())[None], (20, 20))
        found = solve.solve(alone, images[row : row + 1], float(strength[row]))
        torch.testing.assert_close(together[row : row + 1], found, atol=2e-3, rtol=0)


# Motions, on pictures with sharp edges of which `restored` is a slightly smoothed copy, as a network's is.

SIZE = 72


def picture(name, size=SIZE):
    """float32 (size, size, 3)."""
    if name == "astronaut":
        image = data.astronaut()[:200, 120:320]
    else:
        image = data.camera()[64:320, 120:376, None].repeat(3, axis=2)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def smoothed(sharp):
    return np.rint(255 * cv2.GaussianBlur(sharp, (0, 0), 0.8)).astype(np.float32) / 255


def rounded(image):
    return np.rint(255 * image).astype(np.float32) / 255


def evidence(sharp, motion, gamma=1.0):
    blurred = rounded(blur_operators.convolve(sharp, motion.kernel(), gamma))
    return Evidence(tensor(blurred), tensor(smoothed(sharp)), 10, gamma)


def gain(sharp, blurred, solved):
    return psnr(sharp, np.clip(solved, 0, 1)) - psnr(sharp, blurred)


def psnr(sharp, other):
    return peak_signal_noise_ratio(sharp, other, data_range=1)


def test_the_true_kernel_gains_and_a_wrong_one_loses():
    sharp = picture("camera")
    blurred = rounded(blur_operators.convolve(sharp, linear_motion_kernel(8, 30)))

    def solved(motion, strength=5e-5):
        blur = Convolution(kernels_of([motion]), sharp.shape[:2])
        return array(solve.solve(blur, tensor(blurred), strength))

    best = gain(sharp, blurred, solved(Motion(8, 30)))
    assert best > 8
    wrong = [
        gain(sharp, blurred, solved(motion)) for motion in (Motion(9, 30), Motion(8, 42), Motion(8, 120))
    ]
    assert max(wrong) < best - 3 and wrong[2] < 0
    # Far too strong a prior flattens the picture.
    assert gain(sharp, blurred, solved(Motion(8, 30), 0.1)) < best - 5


def test_a_motion_moves_by_pixels_at_its_ends():
    motion = Motion(10, 30, 20)
    assert motion.moved([2, 0, 0]) == Motion(12, 30, 20)
    # An end, 5 pixels from the middle, that moves sideways by a pixel.
    turned = motion.moved([0, 1])
    assert turned.angle - 30 == pytest.approx(np.rad2deg(1 / 5)) and turned.length == 10 and turned.turn == 20
    # The ends of an arc lie length * turn / 8 aside of its middle.
    bent = motion.moved([0, 0, 1])
    assert 10 * np.deg2rad(bent.turn - 20) / 8 == pytest.approx(1) and bent.angle == 30
    assert motion.moved([-20, 0]).length == pytest.approx(1.05) and motion.moved([0, 0, 90]).turn == 180
    assert motion.scaled(1.5) == Motion(15, 30, 20)
    np.testing.assert_array_equal(Motion(7, 40).kernel(), linear_motion_kernel(7, 40))
    np.testing.assert_array_equal(Motion(7, 40, -50).kernel(), arc_motion_kernel(7, 40, -50))


BEND = np.array([[0.0, 0.0], [3.0, 0.5], [5.0, 3.0], [4.0, 6.0], [1.0, 7.0]])  # knots of a path


def test_a_path_is_turned_and_scaled_as_its_picture_is():
    motion = Motion.through(BEND)
    straight = np.hypot(*np.diff(BEND, axis=0).T).sum()
    assert motion.length == pytest.approx(np.hypot(straight, 1)) and motion.turn == 0
    rising = Motion.through(np.array([[-4, 3], [4, -3]]))
    assert rising.angle % 180 == pytest.approx(np.rad2deg(np.arctan2(3, 4)))
    # Seen on screen, counter-clockwise by a quarter.
    np.testing.assert_allclose(motion.turned(90).kernel(), np.rot90(motion.kernel()), atol=1e-6)
    assert motion.turned(90).angle == motion.angle + 90
    larger = motion.scaled(3)
    np.testing.assert_allclose(larger.knots, 3 * np.array(motion.knots))
    assert larger.length == pytest.approx(3 * motion.length) and larger.angle == motion.angle


def test_the_kernel_of_a_path_is_that_of_its_points_and_has_their_gradients():
    knots = torch.tensor(BEND - BEND.mean(axis=0) + [0.3, -0.2], dtype=torch.float64)
    kernel = paths.kernel_of(knots, 7)
    points = along(knots.numpy(), 64)
    shift = points.mean(axis=0)  # `path_kernel` has the middle of the points at its centre
    moved = cv2.warpAffine(
        padded(path_kernel(points), 15), np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]), (15, 15)
    )
    assert kernel.sum() == pytest.approx(1) and (kernel >= 0).all()
    rows, columns = np.mgrid[-7:8, -7:8]
    for values in (kernel.numpy(), moved):
        middle = [(values * columns).sum(), (values * rows).sum()]
        np.testing.assert_allclose(middle, shift, atol=0.02)
    np.testing.assert_allclose(cv2.blur(kernel.float().numpy(), (3, 3)), cv2.blur(moved, (3, 3)), atol=0.004)
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=(15, 15)))

    def value(knots):
        return (weight * paths.kernel_of(knots, 7)).sum()

    assert torch.autograd.gradcheck(value, knots.requires_grad_(), eps=1e-7, atol=1e-5)


def test_cost_and_distance_of_a_kernel_are_those_of_its_motion(monkeypatch):
    sharp, motion = picture("astronaut"), Motion(8, 30)
    view = evidence(sharp, motion, 2.2)
    kernel = kernels_of([motion])[0]
    assert float(view.distance(kernel)) == pytest.approx(view.distances([motion])[0], rel=1e-4)
    assert float(view.cost(kernel, 1e-4)) == pytest.approx(view.costs([motion], 1e-4)[0][0], rel=1e-4)
    # The gradient of the cost, found with the best picture held, is that of the cost with a new best picture.
    monkeypatch.setattr("facedeblur_utils.physics.motion.ROUNDS", 12)
    monkeypatch.setattr("facedeblur_utils.physics.motion.STEPS", 60)
    other = kernels_of([Motion(8, 40)], len(kernel))[0] - kernel
    at = kernel.clone().requires_grad_()
    view.cost(at, 1e-4).backward()
    step = 0.02
    slope = (view.cost(kernel + step * other, 1e-4) - view.cost(kernel - step * other, 1e-4)) / (2 * step)
    assert float((at.grad * other).sum()) == pytest.approx(float(slope), rel=0.15)


def test_kernels_of_several_motions_share_their_middle():
    kernels = kernels_of([Motion(3, 0), Motion(9, 90, 30)], side=15)
    assert kernels.shape == (2, 15, 15)
    np.testing.assert_array_equal(kernels[0], padded(linear_motion_kernel(3, 0), 15))


@pytest.mark.parametrize(
    ("name", "true", "gamma"),
    [
        ("astronaut", Motion(8, 30), 1.0),
        ("camera", Motion(8, 150), 1.0),
        ("astronaut", Motion(12, 80), 2.2),
        ("camera", Motion(5, 100), 2.2),
    ],
)
def test_a_line_is_found_by_distance_and_nearer_by_cost(name, true, gamma):
    view = evidence(picture(name), true, gamma)
    near = view.nearest_line()
    found = view.cheapest(near, 1e-4)
    apart = [
        np.hypot(each.length - true.length, true.length / 2 * np.deg2rad(each.angle - true.angle))
        for each in (near, found)
    ]
    assert apart[1] < apart[0], (near, found)
    assert found.length == pytest.approx(true.length, rel=0.04)
    assert found.angle == pytest.approx(true.angle, abs=3)
    assert near.length == pytest.approx(true.length, rel=0.1) and near.angle == pytest.approx(
        true.angle, abs=5
    )
    if gamma == 1:  # a restored picture is too smooth, so that what it is nearest to is too short
        assert near.length < true.length


@pytest.mark.parametrize("true", [Motion(8, 30), Motion(10, 120, 60)])
def test_cost_is_lowest_at_the_truth(true):
    view = evidence(picture("astronaut"), true)
    lengths = [true.scaled(factor) for factor in (0.88, 0.94, 1, 1.06, 1.12)]
    angles = [Motion(true.length, true.angle + by, true.turn) for by in (-8, 0, 8)]
    turns = [Motion(true.length, true.angle, true.turn + by) for by in (-40, 0, 40)]
    for motions in (lengths, angles, turns):
        costs, errors = view.costs(motions, 1e-4)
        assert motions[costs.argmin()] == true
        assert (errors > 0).all() and (errors < costs).all()
    costs, _ = view.costs(lengths, 1e-4)
    assert costs[0] > costs[1] and costs[-1] > costs[-2]


def test_distance_of_the_restored_picture_is_by_opencv():
    sharp = np.minimum(1.2 * picture("astronaut"), 1)  # parts are too bright to be believed
    motions = [Motion(4 + number % 5, 10 * number) for number in range(18)]
    view = evidence(sharp, Motion(8, 30))
    blurred = rounded(blur_operators.convolve(sharp, linear_motion_kernel(8, 30)))
    believed = blurred.max(axis=2, keepdims=True) < 0.995
    assert 0.02 < 1 - believed.mean() < 0.5
    expected = [
        (believed * np.square(blur_operators.convolve(smoothed(sharp), each.kernel()) - blurred)).mean()
        for each in motions
    ]
    np.testing.assert_allclose(view.distances(motions), expected, rtol=1e-3)


def test_cost_is_the_lowest_value_of_the_objective(monkeypatch):
    """With a quadratic prior, of which dense algebra knows the minimum; in light, with weights."""
    monkeypatch.setattr(solve, "POWER", 2)
    blurred, weight, strength, gamma = noise(*SHAPE, 3), noise(*SHAPE, 1, seed=1), 0.03, 2.2
    blurred[0, 0] = 1  # not to be believed
    motions = [Motion(3, 30), Motion(4, 100, 60)]
    view = Evidence(tensor(blurred), tensor(blurred), 4, gamma, None, tensor(weight))
    costs, errors = view.costs(motions, strength)
    grey = blurred.astype(float).mean(axis=2)
    slope = gamma * np.maximum(grey, 0.1) ** (gamma - 1)
    share = ((blurred.max(axis=2) < 0.995) * weight[..., 0] / slope**2).ravel()
    for motion, cost, error in zip(motions, costs, errors, strict=True):
        blur, differences = dense_problem(motion.kernel(), slope)
        light, third = grey.ravel() ** gamma, strength / 3
        normal = blur.T @ (share[:, None] * blur) + third * differences.T @ differences
        best = np.linalg.solve(normal, blur.T @ (share * light))
        left = (share * np.square(blur @ best - light)).mean()
        roughness = (np.square(differences @ best) + 0.01**2).sum() / grey.size
        assert error == pytest.approx(left, rel=0.01)
        assert cost == pytest.approx(left + third * roughness, rel=0.01)


def test_weight_and_matte_say_what_counts():
    sharp, mask = picture("astronaut"), box(SIZE, SIZE)
    blurred = rounded(blur_operators.composite(sharp, linear_motion_kernel(8, 30), mask))
    blurred[28:34] = noise(6, SIZE, 3)  # across the part that moved
    matte = torch.from_numpy(mask.astype(np.float32))[None, None]
    weight = torch.ones(1, 1, SIZE, SIZE)
    weight[..., 28:34, :] = 0
    given = tensor(blurred), tensor(smoothed(sharp)), 10, 1.0
    found = Evidence(*given, matte, weight).nearest_line()
    assert found.length == pytest.approx(8, rel=0.12) and found.angle == pytest.approx(30, abs=5)
    truth = [Motion(8, 30)]
    right = Evidence(*given, matte, weight).costs(truth, 1e-4)[0][0]
    assert right < 0.5 * Evidence(*given, None, weight).costs(truth, 1e-4)[0][0]
    assert right < 0.5 * Evidence(*given, matte).costs(truth, 1e-4)[0][0]


# All at once.


def test_strength_rises_with_the_error_within_its_limits():
    errors = np.geomspace(1e-9, 1e-2, 30)
    strengths = [blind.strength_for(error) for error in errors]
    assert strengths == sorted(strengths) and strengths[0] == 3e-5 and strengths[-1] == 1.5e-3
    assert blind.strength_for(0) == blind.strength_for(-1e-9) == 3e-5
    # The error of 8 bits in a mean of three channels leaves the strength for clean pictures.
    assert blind.strength_for(1 / 255**2 / 12 / 3) == pytest.approx(5e-5, rel=0.1)
    assert blind.strength_for(4e-6) > 1.5 * blind.strength_for(2e-6)


CASES = {
    "line in stored values": ("astronaut", Motion(8, 30), 1.0),
    "line in light": ("camera", Motion(8, 75), 2.2),
    "arc in light": ("astronaut", Motion(12, 120, 60), 2.2),
    "path in stored values": ("astronaut", Motion.through(1.3 * BEND), 1.0),
    "path in light": ("camera", Motion.through(1.3 * BEND), 2.2),
}


@pytest.fixture(scope="module", params=CASES)
def explained(request):
    name, true, gamma = CASES[request.param]
    sharp = picture(name)
    blurred = rounded(blur_operators.convolve(sharp, true.kernel(), gamma))
    view = tensor(blurred)
    how = blind.explain(view, tensor(smoothed(sharp)), 10)
    return true, gamma, sharp, blurred, how


def test_the_explanation_is_what_happened(explained):
    true, gamma, _, _, how = explained
    assert how.gamma == gamma
    assert bool(how.motion.turn) == bool(true.turn) and bool(how.motion.knots) == bool(true.knots)
    assert how.motion.length == pytest.approx(true.length, rel=0.2 if true.knots else 0.04)
    assert how.motion.angle % 180 == pytest.approx(true.angle % 180, abs=10 if true.knots else 3)
    assert how.motion.turn == pytest.approx(true.turn, abs=20)
    assert 3e-5 <= how.strength < 2e-4  # a picture of 8 bits without noise
    assert how.cost > 0


def test_undoing_what_was_explained_gains(explained):
    *_, sharp, blurred, how = explained
    assert gain(sharp, blurred, array(blind.undo(tensor(blurred), how))) > 8


def test_undoing_in_light_what_was_blurred_in_light():
    sharp = picture("camera")
    blurred = rounded(blur_operators.convolve(sharp, linear_motion_kernel(8, 75), 2.2))
    gains = [
        gain(
            sharp,
            blurred,
            array(
                blind.undo(tensor(blurred), blind.Explanation(Motion(8, 75), gamma, "whole", None, 1e-4, 0.0))
            ),
        )
        for gamma in (2.2, 1.0)
    ]
    assert gains[0] > 8 and gains[0] > gains[1] + 3


def test_a_part_that_moved_is_explained_by_its_mask():
    sharp, mask = picture("astronaut"), torch.from_numpy(disc().astype(np.float32))[None, None]
    blurred = rounded(blur_operators.composite(sharp, linear_motion_kernel(8, 30), disc(), "paste", 2.2))
    how = blind.explain(tensor(blurred), tensor(smoothed(sharp)), 10, masks={"face": mask})
    assert (how.region, how.gamma, how.motion.turn) == ("face", 2.2, 0) and torch.equal(how.matte, mask)
    assert how.motion.length == pytest.approx(8, rel=0.04) and how.motion.angle == pytest.approx(30, abs=3)


def disc():
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (rows - 34) ** 2 + (columns - 38) ** 2 < 20**2


def test_a_disc_that_moved_is_found():
    sharp, kernel = picture("camera"), linear_motion_kernel(8, 30)
    sharp[20:45, 26:51] = 0.5  # within it, where nothing shows that it moved
    blurred = blur_operators.composite(sharp, kernel, disc())
    field = blur_operators.noise_field(blurred.shape, 0.06, np.random.default_rng(0))
    blurred = rounded(blur_operators.add_noise(blurred, field))
    restored = tensor(smoothed(sharp))
    again = tensor(blur_operators.convolve(smoothed(sharp), kernel))
    name, matte = blind.moved_region(tensor(blurred), restored, again, {})
    found = matte[0, 0].numpy() > 0.5
    assert name == "own" and matte.shape == (1, 1, SIZE, SIZE)
    assert (found & disc()).sum() / (found | disc()).sum() > 0.8 and found[24:41, 30:47].all()
    # A mask of what moved is taken rather than a shape of its own, and a wrong one isn't.
    masks = {"right": disc(), "wrong": np.roll(disc(), 15, axis=1)}
    masks = {key: torch.from_numpy(mask.astype(np.float32))[None, None] for key, mask in masks.items()}
    name, matte = blind.moved_region(tensor(blurred), restored, again, masks)
    assert name == "right" and torch.equal(matte, masks["right"])


def test_a_whole_picture_that_moved_is_found():
    sharp, kernel = picture("astronaut"), linear_motion_kernel(8, 30)
    blurred = tensor(rounded(blur_operators.convolve(sharp, kernel)))
    again = tensor(blur_operators.convolve(smoothed(sharp), kernel))
    mask = torch.from_numpy(disc().astype(np.float32))[None, None]
    assert blind.moved_region(blurred, tensor(smoothed(sharp)), again, {"face": mask}) == ("whole", None)


def test_undoing_a_part_gains_in_it_and_leaves_the_rest():
    sharp, mask = picture("astronaut"), disc()
    blurred = rounded(blur_operators.composite(sharp, linear_motion_kernel(8, 30), mask))
    matte = torch.from_numpy(mask.astype(np.float32))[None, None]
    how = blind.Explanation(Motion(8, 30), 1.0, "face", matte, 5e-5, 0.0)
    solved = array(blind.undo(tensor(blurred), how))
    assert gain(sharp[mask], blurred[mask], solved[mask]) > 8
    assert np.abs(solved - sharp)[~mask].mean() < 0.01
