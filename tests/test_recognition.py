"""The face embedding and what is counted from it: hand calculations, made-up vectors, and real faces."""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest
import torch

from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation import recognition_scores
from facedeblur_utils.metrics import recognition
from facedeblur_utils.models import face_embedding
from facedeblur_utils.paths import run_paths
from facedeblur_utils.reporting import result_tables


def test_recognition_by_hand():
    gallery = np.array([[0.0], [1.0], [5.0]])
    # The first is nearest to its own face, the second nearest to another's.
    found = recognition.recognition(np.array([[0.2], [4.0]]), gallery, [0, 1])
    assert found.rank_one == 0.5
    assert found.distance == pytest.approx((0.2 + 3.0) / 2)
    # Own: 0.2, 3.0; others: 0.8, 4.8, 4.0, 1.0. A limit of 0.8 accepts no other and refuses one own.
    assert found.true_accepts == 0.5
    # Between 1.0 and 3.0 half of the others are accepted and half of the own refused.
    assert found.equal_error_rate == pytest.approx(0.5)


@pytest.mark.parametrize(("same", "different", "rate"), [([1, 2], [3, 4], 0.0), ([3, 4], [1, 2], 1.0)])
def test_equal_error_rate_of_what_can_be_told_apart(same, different, rate):
    assert recognition.equal_error_rate(np.array(same), np.array(different)) == rate


def test_equal_error_rate_of_two_normal_distributions():
    random = np.random.default_rng(0)
    same, different = random.normal(0, 1, 20_000), random.normal(2, 1, 40_000)
    # Both errors are the normal distribution's tail beyond one standard deviation.
    assert recognition.equal_error_rate(same, different) == pytest.approx(0.1587, abs=0.005)


def test_nobody_else_and_no_probe():
    with pytest.raises(ValueError, match="gallery of 1"):
        recognition.recognition(np.zeros((1, 2)), np.zeros((1, 2)), [0])
    assert np.isnan(recognition.recognition(np.zeros((0, 2)), np.zeros((3, 2)), []).rank_one)


def test_the_square_of_a_made_up_face():
    landmarks = np.zeros((478, 2))
    for points, place in zip(((33, 133), (362, 263), (61, 291)), ((40, 50), (80, 50), (60, 95)), strict=True):
        landmarks[list(points)] = place
    left, top, right, bottom = recognition.face_square(landmarks)
    side = np.hypot(20, 45) / 0.45
    assert right - left == pytest.approx(side) and bottom - top == pytest.approx(side)
    assert (left + right) / 2 == pytest.approx(60) and top + 0.43 * side == pytest.approx(65)


def test_arrays_are_read_as_tensorflow_writes_them(tmp_path):
    rows = [
        {"name": "a", "shape": [2], "dtype": "float32"},
        {"name": "b", "shape": [1, 3], "dtype": "float32",
         "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
    ]  # fmt: skip
    manifest, data = tmp_path / "manifest.json", tmp_path / "data.bin"
    manifest.write_text(json.dumps([{"weights": rows, "paths": ["data.bin"]}]))
    data.write_bytes(np.array([1.5, -2], np.float32).tobytes() + bytes([0, 2, 255]))
    arrays = face_embedding.read_arrays(data, manifest)
    assert arrays["a"].tolist() == [1.5, -2] and arrays["b"].tolist() == [[-1, 0, 126.5]]
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(StudyError, match="10 bytes"):
        face_embedding.read_arrays(data, manifest)


def test_a_padded_block_by_hand():
    """4 x 4 pixels stride to 2 x 2 beside the convolution's 1 x 1, and channels are filled with 0."""
    block = face_embedding._Residual(1, 2, stride=2)
    for convolution in (block.conv1, block.conv2):
        torch.nn.init.zeros_(convolution[0].weight)
        torch.nn.init.zeros_(convolution[0].bias)
    block.conv2[1].bias.data += 7
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    with torch.no_grad():
        first, second = block(image)[0]
    assert first.tolist() == [[2.5 + 7, 4.5], [10.5, 12.5]]
    assert second.tolist() == [[7, 0], [0, 0]]


@pytest.fixture(scope="module")
def network():
    try:
        return face_embedding.load_embedding()
    except StudyError as reason:
        pytest.skip(str(reason))


def test_the_published_network_has_gradients_and_ignores_the_size(network):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    squares = torch.tensor([[0.0, 0, 64, 64], [8, 8, 56, 56]])
    network_of = recognition.embed(network, images, squares)
    assert network_of.shape == (2, 128)
    network_of.square().sum().backward()
    assert images.grad.abs().sum(dim=(1, 2, 3)).min() > 0
    assert images.grad[1, :, 0, 0].abs().sum() == 0  # beyond the square


class Faces:
    """Three made-up test faces, one validation and one training face; the second has no landmarks."""

    shades = {"test": (10, 20, 60), "val": (100,), "train": (200,)}

    def __init__(self, split):
        self.images = np.stack([np.full((8, 8, 3), shade, np.uint8) for shade in self.shades[split]])

    def __len__(self):
        return len(self.images)

    def batch(self, indices):
        return self.images[indices], self.images[indices]


@pytest.fixture
def made_up(monkeypatch):
    def landmarks(image, landmarker):
        return None if image[0, 0, 0] == 20 else np.random.default_rng(0).random((478, 2)) * 8

    monkeypatch.setattr(recognition_scores.face_pairs, "open_pairs", lambda paths, name, split: Faces(split))
    monkeypatch.setattr(recognition_scores.segmentation, "open_landmarker", contextlib.nullcontext)
    monkeypatch.setattr(recognition_scores.segmentation, "face_landmarks", landmarks)
    monkeypatch.setattr(recognition_scores, "load_embedding", lambda: None)
    means = lambda network, images, squares: images.reshape(len(images), -1, 3).mean(axis=1)  # noqa: E731
    monkeypatch.setattr(recognition_scores, "embeddings", means)


def test_probes_are_compared_with_all_sharp_faces_that_have_landmarks(made_up, tmp_path):
    """The first output became as bright as the validation face; the third stayed as it was."""
    paths = run_paths("smoke", tmp_path)
    changed = lambda pairs, rows: np.where(rows == 0, 100, 60).repeat(192).reshape(-1, 8, 8, 3)  # noqa: E731
    scores = recognition_scores.recognise({"changed": changed}, paths)
    table = result_tables.recognition_table(scores, {"rank_one": "rank 1 (%)", "equal_error_rate": "EER (%)"})
    assert table.loc["changed", ("SFB1", "rank 1 (%)")] == 50
    assert table.loc["changed", ("SFB1", "EER (%)")] > 0
    assert table.loc[result_tables.MIRRORED_LABEL, ("SFB1", "rank 1 (%)")] == 100
    distance = scores[(scores["metric"] == "distance") & (scores["dataset"] == "SFB2")].set_index("model")
    assert distance.loc["changed", "value"] == pytest.approx(np.sqrt(3) * 90 / 2, rel=1e-6)
    assert len(pd.read_csv(paths.recognition_scores)) == len(scores)


def test_without_the_embedding_it_is_said_and_the_table_is_empty(made_up, monkeypatch, tmp_path, capsys):
    def missing():
        raise StudyError("asset 'face_embedding' is not available")

    monkeypatch.setattr(recognition_scores, "load_embedding", missing)
    scores = recognition_scores.recognise({}, run_paths("smoke", tmp_path))
    assert "Recognition is left out: asset 'face_embedding'" in capsys.readouterr().out
    assert not len(result_tables.recognition_table(scores, {"rank_one": "rank 1 (%)"}))
