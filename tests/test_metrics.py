"""PSNR and SSIM against scikit-image, torchmetrics and arithmetic by hand; limits, masks and gradients."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.metrics.psnr_ssim import psnr, ssim, ssim_region

SKIMAGE = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 1,
    "channel_axis": 2,
}


def nhwc(images):
    return images.permute(0, 2, 3, 1).numpy()


def faces(count=4, size=40, seed=0):
    """Smooth patches, as faces are, with some noise on top."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, size // 8, size // 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (smooth + 0.03 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def noisy(images, amount, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (images + amount * torch.randn(images.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("size", [(40, 40), (33, 57), (11, 11), (128, 96)])
@pytest.mark.parametrize("amount", [0.01, 0.1, 0.5])
def test_agrees_with_scikit_image(size, amount):
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(3, 3, *size, generator=generator)
    output = noisy(target, amount)
    pairs = list(zip(nhwc(output), nhwc(target), strict=True))
    by_skimage = [structural_similarity(x, y, **SKIMAGE) for x, y in pairs]
    np.testing.assert_allclose(ssim(output, target).numpy(), by_skimage, atol=1e-5)
    by_skimage = [peak_signal_noise_ratio(y, x, data_range=1) for x, y in pairs]
    np.testing.assert_allclose(psnr(output, target).numpy(), by_skimage, atol=1e-4)


def test_agrees_with_torchmetrics_inside_the_border():
    target = faces(size=64)
    output = noisy(target, 0.1)
    # torchmetrics also averages over windows that reach out of the image; its map lets us leave them out.
    _, windows = structural_similarity_index_measure(
        output, target, data_range=1.0, kernel_size=11, sigma=1.5, return_full_image=True
    )
    expected = windows[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
    np.testing.assert_allclose(ssim(output, target), expected, atol=1e-4)


def test_masked_ssim_averages_scikit_images_map():
    target = faces(2)
    output = noisy(target, 0.1)
    mask = torch.rand(2, 40, 40, generator=torch.Generator().manual_seed(5)) < 0.3
    for value, x, y, m in zip(ssim(output, target, mask), nhwc(output), nhwc(target), mask, strict=True):
        windows = structural_similarity(x, y, full=True, **SKIMAGE)[1].mean(axis=2)
        inside = m[5:-5, 5:-5].numpy()
        assert value.item() == pytest.approx(windows[5:-5, 5:-5][inside].mean(), abs=1e-5)


def test_psnr_by_hand():
    target = torch.full((1, 3, 12, 12), 0.5)
    assert psnr(target + 0.1, target).item() == pytest.approx(20.0, abs=1e-4)  # -10 log10(0.1 ** 2)
    one_channel = target.clone()
    one_channel[:, 0] += 0.1
    assert psnr(one_channel, target).item() == pytest.approx(20 + 10 * math.log10(3), abs=1e-4)


def test_ssim_of_constant_images_by_hand():
    dark, light = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)  # no structure: luminance alone
    assert ssim(dark, light).item() == pytest.approx(expected, abs=1e-4)
    assert ssim(dark, dark).item() == pytest.approx(1.0, abs=1e-5)


def test_identical_images():
    images = faces()
    assert torch.isinf(psnr(images, images)).all()
    np.testing.assert_allclose(ssim(images, images), 1, atol=1e-6)


def test_mask_of_all_pixels_changes_nothing():
    target = faces()
    output = noisy(target, 0.1)
    mask = torch.ones(4, 40, 40, dtype=torch.bool)
    torch.testing.assert_close(psnr(output, target, mask), psnr(output, target))
    torch.testing.assert_close(ssim(output, target, mask[:, None]), ssim(output, target))


def test_mask_of_one_pixel_and_empty_mask():
    target = faces(2)
    output = noisy(target, 0.1)
    mask = torch.zeros(2, 40, 40, dtype=torch.bool)
    mask[0, 20, 21] = True
    error = (output - target)[0, :, 20, 21].square().mean().item()
    values = psnr(output, target, mask)
    assert values[0].item() == pytest.approx(-10 * math.log10(error), abs=1e-3)
    assert torch.isfinite(ssim(output, target, mask)[0])
    assert torch.isnan(values[1])
    assert torch.isnan(ssim(output, target, mask)[1])
    edge = torch.zeros(2, 40, 40, dtype=torch.bool)
    edge[:, 0, 0] = True  # no window of SSIM is centred in the outer five pixels
    assert torch.isfinite(psnr(output, target, edge)).all()
    assert torch.isnan(ssim(output, target, edge)).all()


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_only_the_mask_counts(metric):
    target = faces(1)
    output = noisy(target, 0.1)
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[:, :, :15] = True
    spoiled = output.clone()
    spoiled[..., 25:] = 0  # further from the mask than a window reaches
    assert metric(spoiled, target, mask).item() == pytest.approx(metric(output, target, mask).item())
    assert metric(spoiled, target).item() < metric(output, target).item()


def square_mask(count=1, size=40):
    mask = torch.zeros(count, size, size, dtype=torch.bool)
    mask[:, 9:28, 12:33] = True
    return mask


def test_a_perfect_face_in_noise_is_perfect_in_its_region_alone():
    target, mask = faces(1), square_mask()
    output = torch.where(mask[:, None], target, noisy(target, 0.5))
    assert ssim_region(output, target, mask).item() == pytest.approx(1, abs=1e-6)
    assert ssim(output, target, mask).item() < 0.9
    assert torch.isinf(psnr(output, target, mask)).all()
    mirrored = torch.where(mask[:, None], noisy(target, 0.5), target)
    assert ssim_region(mirrored, target, mask).item() < ssim(mirrored, target, mask).item()


def test_nothing_outside_a_region_counts():
    target, mask = faces(1), square_mask()
    output = noisy(target, 0.1)
    value = ssim_region(output, target, mask)
    for outside in (0.0, 1.0, float("nan")):
        torch.testing.assert_close(
            ssim_region(output.masked_fill(~mask[:, None], outside), target, mask), value
        )


def test_region_of_all_pixels_is_scikit_images_score():
    target = faces()
    output = noisy(target, 0.1)
    by_skimage = [
        structural_similarity(x, y, **SKIMAGE) for x, y in zip(nhwc(output), nhwc(target), strict=True)
    ]
    everywhere = torch.ones(4, 1, 40, 40, dtype=torch.bool)
    np.testing.assert_allclose(ssim_region(output, target, everywhere), by_skimage, atol=1e-5)


def test_ssim_in_a_region_by_hand():
    """Window by window: weighted moments of the window's pixels in the mask, each window by its share."""
    target, mask = faces(1, size=16).double(), torch.zeros(1, 16, 16, dtype=torch.bool)
    output = noisy(target, 0.1)
    mask[:, 3:9, 6:] = True
    gauss = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    gauss = np.outer(gauss, gauss) / gauss.sum() ** 2
    scores, shares = [], []
    for channel in range(3):
        x, y, inside = output[0, channel].numpy(), target[0, channel].numpy(), mask[0].numpy()
        for i in range(6):
            for j in range(6):
                window = (slice(i, i + 11), slice(j, j + 11))
                chosen = inside[window]
                weights = gauss[chosen]
                cov = np.cov(x[window][chosen], y[window][chosen], aweights=weights, bias=True)
                mx, my = (np.average(a[window][chosen], weights=weights) for a in (x, y))
                value = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
                value *= (2 * cov[0, 1] + 9e-4) / (cov[0, 0] + cov[1, 1] + 9e-4)
                scores.append(value)
                shares.append(weights.sum())
    by_hand = np.average(scores, weights=shares)
    assert ssim_region(output, target, mask).item() == pytest.approx(by_hand, abs=1e-9)


def test_thin_and_empty_regions():
    target = faces(2)
    mask = torch.zeros(2, 40, 40, dtype=torch.bool)
    mask[0, 20, 10:30] = True  # one row: no window lies wholly inside
    values = ssim_region(noisy(target, 0.1), target, mask)
    assert 0 < values[0] < 1 and torch.isnan(values[1])


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_more_noise_and_longer_blur_score_worse(metric):
    target = faces(size=48)
    scores = torch.stack([metric(noisy(target, amount), target) for amount in (0.02, 0.05, 0.1, 0.2)])
    assert (scores[1:] < scores[:-1]).all()
    scores = []
    for length in (2, 4, 6, 9, 13):
        kernel = torch.from_numpy(np.ascontiguousarray(linear_motion_kernel(length, 30.0)))
        half = kernel.shape[0] // 2
        padded = torch.nn.functional.pad(target, [half] * 4, mode="reflect")
        weights = kernel.expand(3, 1, *kernel.shape)
        scores.append(metric(torch.nn.functional.conv2d(padded, weights, groups=3), target))
    scores = torch.stack(scores)
    assert (scores[1:] < scores[:-1]).all()


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_gradient_points_towards_the_target(metric):
    target = faces(2).double()
    output = noisy(target, 0.1).requires_grad_()
    loss = -metric(output, target).sum()
    loss.backward()
    assert -metric(output - 0.01 * output.grad / output.grad.abs().max(), target).sum() < loss
    small = output.detach()[:1, :, :12, :12].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: metric(x, target[:1, :, :12, :12]), small)


def test_autocast_does_not_change_ssim():
    target = faces()
    output = noisy(target, 0.02)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = ssim(output, target)
    torch.testing.assert_close(inside, ssim(output, target))


def test_same_value_with_and_without_gradients_and_in_any_batch():
    target = faces(7, size=64)
    output = noisy(target, 0.1)
    single = torch.cat([ssim(output[i : i + 1], target[i : i + 1]) for i in range(7)])
    torch.testing.assert_close(ssim(output, target), single)
    torch.testing.assert_close(ssim(output.clone().requires_grad_(), target).detach(), single)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_wrong_inputs(metric):
    images = faces(2)
    with pytest.raises(ValueError, match="same shape"):
        metric(images, images[:1])
    with pytest.raises(ValueError, match="floats in"):
        metric(images.mul(255).byte(), images)
    with pytest.raises(ValueError, match="mask must have shape"):
        metric(images, images, torch.ones(2, 3, 40))


def test_ssim_in_a_region_worsens_with_noise_and_has_a_gradient():
    target, mask = faces(1), square_mask()
    steps = torch.cat([ssim_region(noisy(target, amount), target, mask) for amount in (0.02, 0.1, 0.3)])
    assert (steps[1:] < steps[:-1]).all()
    output = noisy(target, 0.1).requires_grad_()
    ssim_region(output, target, mask).sum().backward()
    inside = output.grad.abs().sum(dim=1) > 0
    assert inside[mask].all() and not inside[~mask].any()


def test_ssim_of_too_small_images():
    with pytest.raises(ValueError, match="at least 11"):
        ssim_region(torch.rand(1, 3, 20, 10), torch.rand(1, 3, 20, 10), torch.ones(1, 20, 10))
    with pytest.raises(ValueError, match="at least 11"):
        ssim(torch.rand(1, 3, 10, 20), torch.rand(1, 3, 10, 20))
