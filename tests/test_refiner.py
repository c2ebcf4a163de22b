"""The network after physics: what it is shown, what it starts from, and how it is trained."""

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from facedeblur_utils.blur.kernels import generator_for
from facedeblur_utils.errors import StudyError
from facedeblur_utils.models import published
from facedeblur_utils.models.apply import restore
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.models.refiner import Refiner, load_refiner, refiner_from_restorer
from facedeblur_utils.physics import examples
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.training import experiments, setup
from facedeblur_utils.training.mixed import SolvedPairs

SHARP = np.ascontiguousarray(data.astronaut()[30:126, 180:276])
MASKS = {"head": np.zeros((96, 96), bool), "face": np.zeros((96, 96), bool)}
MASKS["head"][20:80, 20:80] = True
MASKS["face"][30:60, 30:60] = True


@pytest.fixture(scope="module")
def restorer():
    return published.load()


def error(one, other):
    return float(np.square(one.astype(float) - other).mean())


def solved(number, restorer):
    random = generator_for(1, "test", str(number))
    return np.split(examples.nearly_solved(random, SHARP, MASKS, restorer, "paste"), 3, axis=2)


def test_training_begins_with_what_the_restorer_does_to_the_solved_picture(restorer):
    views = np.random.default_rng(1).integers(0, 256, (2, 32, 40, 9), np.uint8)
    network = refiner_from_restorer(NETWORKS["refiner"].width)
    output = restore(network, views)
    assert output.shape == (2, 32, 40, 3)
    np.testing.assert_array_equal(output, restore(restorer, np.ascontiguousarray(views[..., 6:])))
    with pytest.raises(StudyError, match="does not hold weights"):
        refiner_from_restorer(8)


def test_a_new_one_leaves_the_solved_picture_as_it_is_and_looks_at_all_three():
    network, views = Refiner(4), torch.rand(1, 9, 24, 24)
    torch.testing.assert_close(network(views), views[:, 6:])
    torch.nn.init.normal_(network.last.weight)
    found = network(views)
    for first in (0, 3, 6):
        other = views.clone()
        other[:, first : first + 3] = 0.5
        assert (network(other) - found).abs().max() > 1e-4


def test_its_weights_are_averaged_in_every_profile():
    profile = load_profile("smoke")
    run = experiments.refiner_run(profile)
    net = torch.nn.Linear(1, 1)
    optimizers = {"refiner": torch.optim.SGD(net.parameters(), lr=1.0)}
    average = setup.average_of(run, profile, {"refiner": net}, optimizers, torch.device("cpu"))
    assert average is not None and NETWORKS["blurrer"].average_in(profile) == 0


def test_its_size_is_told_without_reading_weights(monkeypatch):
    monkeypatch.setattr(published, "load", lambda: pytest.fail("weights were read"))
    profile = load_profile("smoke")
    assert setup.disk_needed(experiments.refiner_run(profile), profile) > 4 * 1_000_000


@pytest.mark.parametrize("share, least", [(0, 6), (1, 4)])  # along lines and arcs, and along any path
def test_pictures_are_blurred_restored_and_solved(share, least, restorer, monkeypatch):
    monkeypatch.setattr(examples, "OTHER_SHARE", share)
    better = []
    for number in range(8):
        blurred, restored, done = solved(number, restorer)
        np.testing.assert_array_equal(restored, restore(restorer, blurred[None])[0])
        better.append(error(done, SHARP) < error(blurred, SHARP))
    assert sum(better) >= least  # a motion that is far off makes some worse
    again = solved(3, restorer)
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(solved(3, restorer)))


def test_without_errors_the_motion_is_the_true_one(restorer, monkeypatch):
    monkeypatch.setattr(examples, "OTHER_SHARE", 0)
    off = [error(solved(number, restorer)[2], SHARP) for number in range(6)]
    for name in ("ERRORS", "LENGTH_ERROR", "OTHER_GAMMA", "EDGE_ERROR"):
        monkeypatch.setattr(examples, name, (0, 0, 0) if name == "ERRORS" else 0)
    assert np.mean([error(solved(number, restorer)[2], SHARP) for number in range(6)]) < np.mean(off)


def test_each_face_has_its_own_few_draws(monkeypatch, restorer):
    calls, sizes = [], []

    class Faces:
        image_ids, size = ["a", "b"], 96

        def batch(self, indices):
            return None, np.stack([SHARP] * len(indices))

        def mask_batch(self, part, indices):
            return np.stack([MASKS[part]] * len(indices))

    def made(random, sharp, masks, network, composite):
        calls.append(random.integers(1 << 30))
        sizes.append((len(sharp), masks["head"].sum()))
        return np.dstack([sharp, sharp, sharp])

    monkeypatch.setattr("facedeblur_utils.training.mixed.face_pairs.open_pairs", lambda *args: Faces())
    monkeypatch.setattr("facedeblur_utils.training.mixed.nearly_solved", made)
    monkeypatch.setattr("facedeblur_utils.training.mixed.SOLVED_DRAWS", 3)
    pairs = SolvedPairs(None, load_profile("smoke"))
    views, sharp = pairs.draw([1, 0], 7, 1)
    # The first of these two is the last draw of its face: half as large, amid its mirror images.
    assert sizes == [(48, MASKS["head"].sum() / 4), (96, MASKS["head"].sum())]
    half = cv2.resize(SHARP, (48, 48), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(sharp[0, 24:72, 24:72], half)
    np.testing.assert_array_equal(sharp[0, :24], sharp[0, 24:48][::-1])
    np.testing.assert_array_equal(sharp[0, :, 72:], sharp[0, :, 48:72][:, ::-1])
    np.testing.assert_array_equal(sharp[1], SHARP)
    for part in range(0, 9, 3):
        np.testing.assert_array_equal(views[..., part : part + 3], sharp)
    assert views.shape == (2, 96, 96, 9) and sharp.shape == (2, 96, 96, 3)
    for epoch in (2, 3, 4):
        pairs.draw([0, 1], 7, epoch)
    assert len(calls) == len(set(calls)) == 6  # the fourth epoch has the first one's draws
    np.testing.assert_array_equal(pairs.draw([0], 7, 4)[0][0], views[1])
    assert sum(side == 48 for side, _ in sizes) == 2
    pairs.draw([0, 1], 8, 1)
    assert len(set(calls)) == 8  # another seed


def test_the_published_one_mends_what_the_solver_left(restorer):
    network, before, after = load_refiner(), [], []
    for number in range(8):
        views = solved(number, restorer)
        before.append(error(views[2], SHARP))
        after.append(error(restore(network, np.concatenate(views, axis=2)[None])[0], SHARP))
    assert np.mean(after) < 0.97 * np.mean(before)
    assert published.REFINER.stat().st_size < 8e6
