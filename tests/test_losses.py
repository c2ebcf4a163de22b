"""Losses against hand calculations, and their gradients."""

import hashlib
import math

import pytest
import torch
from skimage.metrics import structural_similarity

from facedeblur_utils.models.thesis import Discriminator, Generator
from facedeblur_utils.training import losses, vgg


@pytest.fixture(scope="module")
def features():
    return vgg.Features(vgg.RANDOM)


def test_autoencoder_terms_by_hand(features):
    torch.manual_seed(0)
    output, target = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    terms = losses.autoencoder_terms(output, target, features)
    assert terms["mse"].item() == pytest.approx(((output - target) ** 2).mean().item())
    difference = features(output) - features(target)
    assert terms["perceptual"].item() == pytest.approx((difference**2).mean().item(), rel=1e-5)
    total = losses.weighted_sum(terms, losses.WEIGHTS["autoencoder"])
    assert total.item() == pytest.approx(terms["mse"].item() + 0.001 * terms["perceptual"].item())
    kept = losses.autoencoder_terms(output, target, features, features(target))
    assert kept["perceptual"].item() == terms["perceptual"].item()


def test_generator_terms_by_hand():
    torch.manual_seed(0)
    target = torch.rand(1, 3, 32, 32)
    output = (target + 0.1).clamp(0, 1)
    logits = torch.tensor([0.7])
    terms = losses.generator_terms(output, target, logits)
    assert terms["adversarial"].item() == pytest.approx(math.log(1 + math.exp(-0.7)))
    tanh_range = ((2 * output - 1) - (2 * target - 1)).square().mean().item()
    assert terms["content"].item() == pytest.approx(tanh_range, rel=1e-5)
    oracle = structural_similarity(
        output[0].numpy(),
        target[0].numpy(),
        channel_axis=0,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert terms["ssim"].item() == pytest.approx(1 - oracle, abs=1e-4)
    total = losses.weighted_sum(terms, losses.WEIGHTS["gan"])
    parts = terms["adversarial"] + 100 * terms["content"] + terms["ssim"]
    assert total.item() == pytest.approx(parts.item())


def test_perfect_output_costs_nothing(features):
    target = torch.rand(1, 3, 32, 32)
    assert losses.weighted_sum(
        losses.autoencoder_terms(target, target, features), losses.WEIGHTS["autoencoder"]
    ).item() == pytest.approx(0, abs=1e-7)
    terms = losses.generator_terms(target, target, torch.tensor([50.0]))
    assert losses.weighted_sum(terms, losses.WEIGHTS["gan"]).item() == pytest.approx(0, abs=1e-5)


def test_discriminator_loss_by_hand():
    real, fake = torch.tensor([2.0]), torch.tensor([-1.0])
    by_hand = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(by_hand)
    assert losses.discriminator_loss(fake, real) > losses.discriminator_loss(real, fake)


@pytest.mark.parametrize("name", list(losses.WEIGHTS["gan"]))
def test_every_term_reaches_the_generator(name):
    torch.manual_seed(0)
    generator, discriminator = Generator(4, blocks=1), Discriminator(4)
    output = generator(torch.rand(2, 3, 32, 32))
    losses.generator_terms(output, torch.rand(2, 3, 32, 32), discriminator(output))[name].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in generator.parameters())


def test_vgg_layers_normalisation_and_frozen_weights(features):
    assert features(torch.rand(1, 3, 32, 32)).shape == (1, 512, 4, 4)
    convolutions = [layer for layer in features.layers if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) == 10  # conv1_1 ... conv4_2
    assert features.layers[-1] is convolutions[-1]
    assert not any(parameter.requires_grad for parameter in features.parameters())
    seen = []
    handle = features.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features(torch.tensor(vgg.MEAN).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    handle.remove()
    assert seen[0].abs().max() < 1e-6


def test_random_vgg_is_the_same_every_time_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first, second = vgg.Features(vgg.RANDOM), vgg.Features(vgg.RANDOM)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.layers[0].weight, second.layers[0].weight)


def test_imagenet_weights_are_verified_and_trimmed(tmp_path, monkeypatch):
    """A file with torchvision's names is taken where its hash fits, and refused where it does not."""
    monkeypatch.setenv("FACEDEBLUR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACEDEBLUR_ASSETS", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(vgg, "URL", "http://127.0.0.1:9/vgg19-dcbb9e9d.pth")
    state = {f"features.{n}": v for n, v in vgg.Features(vgg.RANDOM).layers.state_dict().items()}
    state["features.0.bias"] = torch.full((64,), 0.25)
    torch.save(state | {"classifier.0.weight": torch.zeros(3)}, tmp_path / "vgg19-dcbb9e9d.pth")
    kind, line = vgg.available_kind()
    assert kind == vgg.RANDOM
    assert "wrong SHA-256" in line and "not reachable" in line and "\n" not in line

    genuine = hashlib.sha256((tmp_path / "vgg19-dcbb9e9d.pth").read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(vgg, "HASH_PREFIX", genuine)
    kind, line = vgg.available_kind()
    assert kind == vgg.IMAGENET
    assert vgg.Features(kind).layers[0].bias[0].item() == 0.25
