"""FID, IS, AFLD and AFICS against closed forms, with networks that stand in for the downloaded ones."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from facedeblur_utils.errors import StudyError
from facedeblur_utils.metrics import set_scores
from facedeblur_utils.metrics.tasks import average_identity_similarity, average_landmark_distance


def pictures(count=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)


def channel_means(x):
    return [x.mean(dim=(2, 3), keepdim=True)]


def test_fid_is_the_distance_of_two_gaussians(monkeypatch):
    monkeypatch.setattr(set_scores, "feature_network", lambda: channel_means)
    first, second = pictures(), pictures(seed=1) // 2
    features = [images.reshape(40, 64, 3).mean(axis=1) / 255 for images in (first, second)]
    means, covariances = zip(*((f.mean(axis=0), np.cov(f, rowvar=False)) for f in features), strict=True)
    expected = np.sum((means[0] - means[1]) ** 2)
    expected += np.trace(covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    assert set_scores.fid(first, second) == pytest.approx(expected, rel=1e-3)
    assert set_scores.fid(first, first) == pytest.approx(0, abs=1e-5)


def test_inception_score_counts_the_classes_that_are_told_apart(monkeypatch):
    images = np.zeros((40, 4, 4, 3), np.uint8)
    images[::2] = 255
    certain = lambda x: 10 * torch.stack([x.mean(dim=(1, 2, 3)), -x.mean(dim=(1, 2, 3))], dim=1)  # noqa: E731
    monkeypatch.setattr(set_scores, "class_network", lambda: certain)
    assert set_scores.inception_score(images) == pytest.approx(2, abs=1e-3)
    assert set_scores.inception_score(images[1::2]) == pytest.approx(1, abs=1e-3)


def test_missing_weights_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(set_scores, "obtainable", lambda url: False)
    for score, call in (("FID", set_scores.feature_network), ("IS", set_scores.class_network)):
        with pytest.raises(StudyError, match=f"{score} needs InceptionV3's weights") as caught:
            call()
        assert "\n" not in str(caught.value) and "inception" in str(caught.value)


def test_average_landmark_distance_by_hand():
    true = np.zeros((4, 2))
    found = [np.array([[3.0, 4.0], [0, 0], [0, 3], [0, 0]]), None, np.tile([0.0, 1.0], (4, 1))]
    assert average_landmark_distance(found, [true, true, true]) == pytest.approx(1.5)  # of 2 and 1
    assert np.isnan(average_landmark_distance([None], [true]))
    with pytest.raises(ValueError):
        average_landmark_distance(found, [true])


def test_average_identity_similarity_by_hand():
    first, second = pictures(2), pictures(2, seed=1)
    vectors = {first.tobytes(): [[1.0, 0.0], [2.0, 0.0]], second.tobytes(): [[0.0, 3.0], [1.0, 1.0]]}
    value = average_identity_similarity(lambda images: np.array(vectors[images.tobytes()]), first, second)
    assert value == pytest.approx((0 + np.sqrt(0.5)) / 2)
    with pytest.raises(ValueError, match="one shape"):
        average_identity_similarity(lambda images: images, first, second[:1])
