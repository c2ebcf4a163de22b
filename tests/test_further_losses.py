"""Table 2.9's further losses: hand calculations, gradients, and worse images that score worse."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve, sobel

from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.metrics import further_losses as losses
from facedeblur_utils.metrics import tasks

SIZE = 24
KERNEL = torch.from_numpy(np.ascontiguousarray(linear_motion_kernel(5.0, 20.0))).double()


def faces(count=2, seed=0):
    """Flat patches with hard edges, double."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, SIZE // 6, SIZE // 6, generator=generator, dtype=torch.float64)
    return coarse.repeat_interleave(6, 2).repeat_interleave(6, 3)


def reblur(images):
    return losses.blur_with_kernels(images, KERNEL.expand(len(images), *KERNEL.shape))


def network(images):
    """Stands in for a heatmap network: bright pixels are the landmarks, at half the resolution."""
    return torch.nn.functional.avg_pool2d(images, 2)


def embed(images):
    """Stands in for a recognition network."""
    return images.diff(dim=3).square().mean(dim=2).flatten(1)


SHARP = faces()
REGIONS = torch.zeros(2, 2, SIZE, SIZE, dtype=torch.bool)
REGIONS[:, 0, 2:10, 2:10] = REGIONS[:, 1, 12:20, 4:20] = True
FLOW = torch.zeros(2, 2, SIZE, SIZE, dtype=torch.float64)
LANDMARKS = losses.heatmap_positions(network(SHARP), (SIZE, SIZE))

# name -> loss of an output (2, 3, 24, 24) in place of SHARP
OF_IMAGES = {
    "local structure": lambda x: losses.local_structure_loss(x, SHARP),
    "heatmap": lambda x: losses.heatmap_loss(network, x, network(SHARP)),
    "landmark": lambda x: losses.landmark_loss(network, x, LANDMARKS),
    "facial structure": lambda x: losses.facial_structure_loss(x, SHARP, REGIONS, torch.ones(2, 2)),
    "identity": lambda x: losses.identity_loss(embed, x, SHARP),
    "reblur": lambda x: losses.reblur_loss(x, reblur(SHARP), reblur),
    "self-measure": losses.self_measure_loss,
    "optical flow": lambda x: losses.optical_flow_loss(x, SHARP, FLOW),
}


@pytest.mark.parametrize("name", OF_IMAGES)
def test_one_value_a_gradient_and_worse_images_score_worse(name):
    loss = OF_IMAGES[name]
    mild, strong = (SHARP + share * (reblur(reblur(SHARP)) - SHARP) for share in (0.3, 1.0))
    values = [loss(image) for image in (SHARP, mild, strong)]
    assert all(value.shape == () for value in values)
    assert values[0] < values[1] < values[2]
    if name != "self-measure":
        assert values[0].item() == pytest.approx(0, abs=1e-6)
    output = (mild + 0.01 * faces(seed=3)).requires_grad_()
    rest = output[1:].detach()
    first = output[:1].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(torch.cat([x, rest])), first, atol=1e-4, fast_mode=True)
    (gradient,) = torch.autograd.grad(loss(output), output)
    assert loss(output - 1e-3 * gradient / gradient.abs().max()) < loss(output)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_half_precision_outside_is_fp32_inside(name):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = OF_IMAGES[name](reblur(SHARP))
    torch.testing.assert_close(value, OF_IMAGES[name](reblur(SHARP)))
    single = losses.local_structure_loss(SHARP.bfloat16(), SHARP.bfloat16())
    assert single.dtype == torch.float32


def test_relativistic_losses_by_hand():
    real, fake = torch.tensor([2.0, 4.0]), torch.tensor([-1.0, 0.0])

    def entropy(logit, wanted):
        probability = 1 / (1 + math.exp(-logit))
        return -math.log(probability if wanted else 1 - probability)

    judge = np.mean([entropy(r + 0.5, True) for r in (2, 4)]) + np.mean(
        [entropy(f - 3, False) for f in (-1, 0)]
    )
    found = losses.relativistic_discriminator_loss(real, fake)
    assert found.item() == pytest.approx(judge / 2, rel=1e-5)
    made = np.mean([entropy(r + 0.5, False) for r in (2, 4)]) + np.mean(
        [entropy(f - 3, True) for f in (-1, 0)]
    )
    assert losses.relativistic_generator_loss(real, fake).item() == pytest.approx(made / 2, rel=1e-5)
    # less real pictures are worse for the generator, better for the judge, and both feel it
    assert losses.relativistic_generator_loss(real, fake - 1) > losses.relativistic_generator_loss(real, fake)
    assert losses.relativistic_discriminator_loss(real, fake - 1) < found
    assert losses.relativistic_generator_loss(real, real).item() == pytest.approx(
        np.mean([math.log(1 + math.exp(1)), math.log(1 + math.exp(-1))]), rel=1e-5
    )
    both = [logits.double().requires_grad_() for logits in (real, fake)]
    assert torch.autograd.gradcheck(losses.relativistic_generator_loss, both)


def test_local_structure_by_hand():
    ramp = torch.arange(10.0).expand(1, 1, 8, 10) / 20
    across, down = losses.sobel(ramp)
    torch.testing.assert_close(across, torch.full((1, 1, 6, 8), 0.05))
    assert down.abs().max() < 1e-6
    # flat against the ramp: slope 0.05 along rows, none along columns, edges as strong as the slope
    value = losses.local_structure_loss(torch.zeros_like(ramp), ramp)
    assert value.item() == pytest.approx(0.05 + math.sqrt(0.05**2 + 1e-6) - 1e-3, rel=1e-4)
    plane = SHARP[0, 0].numpy()
    for slope, axis in zip(losses.sobel(SHARP[:1, :1]), (1, 0), strict=True):
        np.testing.assert_allclose(slope[0, 0], sobel(plane, axis)[1:-1, 1:-1] / 8, atol=1e-12)


def test_heatmaps_and_landmarks_by_hand():
    points = torch.tensor([[[10.0, 4.0], [5.5, 12.25]]])
    maps = losses.gaussian_heatmaps(points, (SIZE, SIZE))
    assert maps[0, 0, 4, 10] == 1 and maps[0, 0, 4, 13].item() == pytest.approx(math.exp(-9 / 4.5))
    torch.testing.assert_close(losses.heatmap_positions(maps, (SIZE, SIZE)), points, atol=0.01, rtol=0)
    # a heatmap of half the size: its pixel (row 1, column 2) covers columns 4 and 5, rows 2 and 3
    spot = torch.zeros(1, 1, 12, 12)
    spot[0, 0, 1, 2] = 3.0
    torch.testing.assert_close(losses.heatmap_positions(spot, (24, 24)), torch.tensor([[[4.5, 2.5]]]))
    moved = points + torch.tensor([3.0, 4.0])
    image = torch.zeros(1, 3, SIZE, SIZE)
    assert losses.landmark_loss(lambda _: maps, image, moved).item() == pytest.approx(5 / SIZE, rel=1e-3)
    assert losses.heatmap_loss(lambda _: maps, image, maps + 0.5).item() == pytest.approx(0.25)
    empty = losses.heatmap_positions(torch.zeros(1, 1, 4, 4), (4, 4))
    assert torch.isfinite(empty).all()


def test_facial_structure_by_hand():
    target = torch.zeros(1, 3, 8, 8)
    regions = torch.zeros(1, 3, 8, 8)
    regions[0, 0, :2], regions[0, 1, 4:] = 1, 1  # 16 and 32 pixels, and a part that isn't there
    output = target.clone()
    output[:, :, :2], output[:, :, 4:], output[:, :, 2:4] = 0.3, 0.6, 0.9
    value = losses.facial_structure_loss(output, target, regions, torch.tensor([[1.0, 0.5, 1.0]]))
    assert value.item() == pytest.approx((1 * 0.3 + 0.5 * 0.6) / 1.5)
    assert losses.facial_structure_loss(output, target, regions, torch.zeros(1, 3)).item() == 0
    with pytest.raises(ValueError, match="regions"):
        losses.facial_structure_loss(output, target, regions, torch.ones(1, 2))


def test_parts_of_the_face_and_how_visible_they_are():
    landmarks = np.full((478, 2), -9.0, np.float32)
    centres = {"left eye": (10, 10), "right eye": (30, 10), "nose": (20, 20), "mouth": (20, 32)}
    for name, points in tasks.PARTS.items():
        angles = np.linspace(0, 2 * np.pi, len(points), endpoint=False)
        radius = 2 if name == "right eye" else 4  # turned away
        landmarks[list(points)] = np.array(centres[name]) + radius * np.stack(
            [np.cos(angles), np.sin(angles)], 1
        )
    masks, visible = tasks.face_parts(landmarks, (40, 40))
    assert masks.shape == (4, 40, 40) and masks[2, 20, 20] and not masks[0, 20, 20]
    assert masks[3].sum() == pytest.approx(math.pi * 16, rel=0.25)
    np.testing.assert_allclose(visible, [1, 0.5, 1, 1], atol=0.02)
    cut = tasks.face_parts(landmarks, (32, 40))[1]  # the image ends above the lower half of the mouth
    assert cut[3] == pytest.approx(0.5, abs=0.1) and cut[2] == 1


def test_identity_by_hand():
    vectors = {0.0: [[1.0, 2.0]], 1.0: [[4.0, 2.0]]}
    images = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    value = losses.identity_loss(lambda x: torch.tensor(vectors[x[0, 0, 0, 0].item()]), *images)
    assert value.item() == pytest.approx(1.5)


def test_reblur_by_hand():
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(2, 3, 12, 16, generator=generator, dtype=torch.float64)
    kernels = torch.rand(2, 5, 5, generator=generator, dtype=torch.float64)
    found = losses.blur_with_kernels(images, kernels)
    for image, kernel, blurred in zip(images, kernels, found, strict=True):
        by_scipy = convolve(image[1].numpy(), kernel.numpy(), mode="mirror")
        np.testing.assert_allclose(blurred[1], by_scipy, atol=1e-12)
    value = losses.reblur_loss(images, found + 0.25, lambda x: losses.blur_with_kernels(x, kernels))
    assert value.item() == pytest.approx(0.25)


def test_self_measure_by_hand():
    step = torch.zeros(1, 1, 6, 12, dtype=torch.float64)
    step[..., 6:] = 1  # slopes 0.5 at two of ten columns, none along columns
    slopes = np.array([0.5] * 2 + [0.0] * 18)
    by_hand = np.abs(slopes).mean() / np.sqrt((slopes**2).mean())
    assert losses.self_measure_loss(step).item() == pytest.approx(by_hand, rel=1e-5)
    assert losses.self_measure_loss(3 * step).item() == pytest.approx(by_hand, rel=1e-5)
    assert losses.self_measure_loss(torch.ones_like(step)).item() == 0


def test_optical_flow_by_hand():
    second = torch.roll(SHARP, (2, 3), dims=(2, 3))  # everything moves 3 right and 2 down
    flow = torch.empty_like(FLOW)
    flow[:, 0], flow[:, 1] = 3.0, 2.0
    assert losses.optical_flow_loss(SHARP, second, flow).item() == pytest.approx(0, abs=1e-9)
    assert losses.optical_flow_loss(SHARP, second, FLOW) > 0.05
    brighter = losses.optical_flow_loss(SHARP, second + 0.125, flow)
    assert brighter.item() == pytest.approx(0.125)
    # half a pixel: the mean of two neighbours, by linear interpolation
    ramp = (torch.arange(8.0) / 8).expand(1, 1, 4, 8)
    half = torch.zeros(1, 2, 4, 8)
    half[:, 0] = 0.5
    assert losses.optical_flow_loss(ramp, ramp, half).item() == pytest.approx(1 / 16)


def test_dense_flow_finds_a_shift():
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (12, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    flow = losses.dense_flow(coarse, np.roll(coarse, (2, 3), axis=(0, 1)))
    assert flow.shape == (1, 2, 96, 96)
    middle = flow[0, :, 24:72, 24:72].mean(dim=(1, 2))
    np.testing.assert_allclose(middle, [3, 2], atol=0.3)


def test_wrong_shapes_are_refused():
    for call in (
        lambda: losses.local_structure_loss(SHARP, SHARP[:1]),
        lambda: losses.heatmap_loss(network, SHARP, SHARP),
        lambda: losses.landmark_loss(network, SHARP, LANDMARKS[:, :2]),
        lambda: losses.reblur_loss(SHARP, SHARP[:1], reblur),
        lambda: losses.optical_flow_loss(SHARP, SHARP[:1], FLOW),
    ):
        with pytest.raises(ValueError, match="one shape"):
            call()
