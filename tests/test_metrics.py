"""PSNR and SSIM against scikit-image, torchmetrics and arithmetic by hand; limits, masks and gradients."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.metrics.psnr_ssim import psnr, ssim

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


def test_ssim_of_too_small_images():
    with pytest.raises(ValueError, match="at least 11"):
        ssim(torch.rand(1, 3, 10, 20), torch.rand(1, 3, 10, 20))
