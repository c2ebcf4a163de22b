"""BRISQUE against piq, NIQE and PI against hand calculations, and worse pictures that score worse."""

import importlib
import json

import numpy as np
import pytest
import skimage.data
import torch
from scipy import stats

from facedeblur_utils.blur import kernels, operators
from facedeblur_utils.errors import UsageError
from facedeblur_utils.metrics import no_reference
from facedeblur_utils.tools import fit_natural_faces


@pytest.fixture(scope="module")
def face():
    return np.ascontiguousarray(skimage.data.astronaut()[10:138, 130:258])


def blurred(face, length):
    return operators.convolve(face, kernels.linear_motion_kernel(length, 30.0))


def test_brisque_is_piqs(face, monkeypatch):
    vectors = no_reference.load_vectors()
    assert vectors["sv"].shape == (774, 36)
    monkeypatch.setattr(
        importlib.import_module("piq.brisque"),
        "load_url",
        lambda *_, **__: (vectors["sv_coef"], vectors["sv"].clone()),
    )
    pictures = np.stack([face, blurred(face, 6.0)])
    tensor = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    by_piq = importlib.import_module("piq").brisque(tensor, reduction="none")
    np.testing.assert_allclose(no_reference.brisque(pictures), by_piq.flatten(), rtol=2e-3)  # fp32


@pytest.mark.parametrize("score", [no_reference.brisque, no_reference.niqe])
def test_blur_and_noise_score_worse(score, face):
    values = score(np.stack([blurred(face, length) for length in (2.0, 4.0, 8.0)]))
    assert (np.diff(values) > 0).all()
    noise = operators.noise_field(face.shape, 0.15, np.random.default_rng(0))
    assert score(operators.add_noise(face, noise)[None]) > score(face[None])


def test_opinion_and_perceptual_index(face):
    pictures = np.stack([face, blurred(face, 8.0), blurred(face, 16.0)])
    opinions = no_reference.face_opinion(pictures)
    assert ((opinions >= 0) & (opinions <= 10)).all() and (np.diff(opinions) < 0).all()
    np.testing.assert_allclose(no_reference.perceptual_index([4.0, 6.0], [8.0, 3.0]), [3.0, 6.5])


def test_pictures_without_contrast_or_too_small_have_no_score(face):
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    for score in (no_reference.brisque, no_reference.niqe, no_reference.face_opinion):
        assert np.isnan(score(grey)).all()
    assert np.isnan(no_reference.niqe(face[None, :40, :40])).all()


def test_niqe_of_the_model_itself_is_zero_and_its_distance_is_mahalanobis(monkeypatch):
    draw = np.random.default_rng(1)
    features = draw.normal(size=(500, 36))
    model = {"mean": features.mean(axis=0), "covariance": np.cov(features, rowvar=False)}
    monkeypatch.setattr(no_reference, "load_faces", lambda: model)
    monkeypatch.setattr(no_reference, "patch_statistics", lambda image: (features + image, None))
    apart = np.full(36, 2.0)
    by_hand = np.sqrt(apart @ np.linalg.inv(model["covariance"]) @ apart)
    np.testing.assert_allclose(no_reference.niqe([0.0, 2.0]), [0, by_hand], atol=1e-9)


@pytest.mark.parametrize("shape", [0.8, 2.0, 4.0])
def test_shape_of_known_gaussians_is_found(shape):
    values = stats.gennorm.rvs(shape, size=(2, 40000), random_state=3)
    found, left, right = no_reference.gaussian_shape(values)
    np.testing.assert_allclose(found, shape, rtol=0.06)
    deviation = stats.gennorm.std(shape)
    np.testing.assert_allclose([left, right], deviation, rtol=0.03)


def test_patch_statistics_by_hand(face):
    features, sharpness = no_reference.patch_statistics(face[:100, :127])
    assert features.shape == (9, 36) and sharpness.shape == (9,)
    luma = np.round(face[:96, :96] @ [0.299, 0.587, 0.114])
    window = stats.norm.pdf(np.arange(-3, 4), scale=7 / 6)
    window = np.outer(window, window) / window.sum() ** 2
    values, deviations = np.zeros((32, 32)), np.zeros((32, 32))
    for row, column in np.ndindex(32, 32):  # of the patch in the middle
        around = luma[row + 29 : row + 36, column + 29 : column + 36]
        mean = (window * around).sum()
        deviations[row, column] = np.sqrt((window * (around - mean) ** 2).sum())
        values[row, column] = (luma[row + 32, column + 32] - mean) / (deviations[row, column] + 1)
    assert sharpness[4] == pytest.approx(deviations.mean(), rel=1e-3)
    assert features[4, 1] == pytest.approx(np.square(values).mean(), rel=1e-3)
    products = (
        values[:, :-1] * values[:, 1:],
        values[:-1] * values[1:],
        values[:-1, :-1] * values[1:, 1:],
        values[:-1, 1:] * values[1:, :-1],
    )
    for start, product in zip((4, 8, 12, 16), products, strict=True):
        both = [np.square(product[side]).mean() for side in (product < 0, product > 0)]
        np.testing.assert_allclose(features[4, start : start + 2], both, rtol=5e-3)  # luma rounds at halves


def test_weights_say_where_they_come_from():
    for file, word in ((no_reference.BRISQUE_FILE, "source"), (no_reference.FACES_FILE, "command")):
        assert json.loads(file.with_suffix(".json").read_text())[word]
        assert file.stat().st_size < 2e6


def test_another_support_vector_machine_is_refused():
    model = "svm_type epsilon_svr\nrho {}\nSV\n-3 1:0.5 3:0.25 \n2 2:1 36:-1 \n"
    found = fit_natural_faces.support_vectors(model.format(-153.591))
    assert found["sv_coef"].ravel().tolist() == [-3, 2]
    assert found["sv"][:, [0, 1, 2, 35]].tolist() == [[0.5, 0, 0.25, 0], [0, 1, 0, -1]]
    with pytest.raises(UsageError, match="rho"):
        fit_natural_faces.support_vectors(model.format(-155.845))


def test_spoiled_copies_and_the_regression(face):
    generator = np.random.default_rng(2)
    pictures = np.stack([face] * 3)
    copies = np.stack([fit_natural_faces.spoiled(picture, generator) for picture in pictures])
    assert copies.shape == pictures.shape and copies.dtype == np.uint8
    model = {"mean": np.zeros(36), "covariance": np.eye(36)}
    features = generator.normal(size=(400, 36))
    weights = fit_natural_faces.regression(features, 3 + 2 * features[:, 4], model)
    assert weights[4] == pytest.approx(2, abs=0.05) and weights[-1] == pytest.approx(3, abs=0.3)
    fitted = fit_natural_faces.fitted(np.stack([face, blurred(face, 3.0)]))
    assert fitted["covariance"].shape == (36, 36) and np.isfinite(fitted["mean"]).all()
