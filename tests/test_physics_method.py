"""The blind method as a whole: what it trusts, and what it leaves to the network."""

import numpy as np
import pytest
import torch
from skimage import data

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.models.apply import to_tensor
from facedeblur_utils.physics import blind, method
from facedeblur_utils.physics.blind import Explanation
from facedeblur_utils.physics.motion import Motion

SHARP = np.ascontiguousarray(data.astronaut()[30:126, 180:276])


def explained(motion, matte=None):
    return Explanation(motion, 1.0, "whole", matte, 5e-5, 0.0)


def blurred(length=9.0, angle=30.0):
    return operators.convolve(SHARP, linear_motion_kernel(length, angle))


def confidence(view, restored, how):
    return method.confidence(to_tensor(view[None]), to_tensor(restored[None]), how)


def test_the_true_motion_of_a_sharp_guess_is_certain_and_a_wrong_one_is_not():
    assert confidence(blurred(), SHARP, explained(Motion(9.0, 30.0))) > 0.95
    assert confidence(blurred(), SHARP, explained(Motion(9.0, 120.0))) < method.SURE
    assert confidence(blurred(), SHARP, explained(Motion(1.05, 30.0))) < 0.1  # explains nothing


def test_nothing_is_certain_where_the_network_changed_nothing():
    assert confidence(SHARP, SHARP, explained(Motion(9.0, 30.0))) == 0
    empty = torch.zeros(1, 1, 96, 96)
    assert confidence(blurred(), SHARP, explained(Motion(9.0, 30.0), empty)) == 0


def test_only_the_region_that_moved_counts():
    half = torch.zeros(1, 1, 96, 96)
    half[..., :48] = 1
    view = np.where(half[0, 0].numpy()[..., None] > 0, blurred(), 255 - SHARP).astype(np.uint8)
    assert confidence(view, SHARP, explained(Motion(9.0, 30.0), half)) > 0.95
    assert confidence(view, SHARP, explained(Motion(9.0, 30.0))) < method.SURE


@pytest.mark.parametrize(
    "sure, refiner, expected",
    [
        (method.LIKELY, 5, (0, 4, 5)),
        (method.LIKELY, 1, (0, 0, 1)),  # it doesn't keep what was solved
        (method.LIKELY - 0.01, 5, (0, 0, 0)),
        (method.SURE, None, (0, 4, 4)),
        (method.SURE - 0.01, None, (0, 0, 0)),
    ],
)
def test_an_uncertain_motion_is_not_undone(sure, refiner, expected, monkeypatch):
    steps = {"restore": np.zeros((1, 8, 8, 3), np.uint8), "masks_in": {}, "explain": explained(Motion(5, 0))}
    steps |= {"confidence": sure, "undo": torch.full((1, 3, 8, 8), 4 / 255)}
    steps |= {"refine": np.full((8, 8, 3), refiner or 0, np.uint8)}
    for name, value in steps.items():
        monkeypatch.setattr(method, name, lambda *args, value=value, **options: value)
    network = None if refiner is None else object()
    done = method.deblur_by_physics(np.zeros((8, 8, 3), np.uint8), None, None, refiner=network)
    assert tuple(int(each[0, 0, 0]) for each in (done.restored, done.solved, done.refined)) == expected


@pytest.mark.parametrize("refined, kept", [(3, False), (5, False), (6, True), (10, True)])
def test_what_is_clearly_nearer_to_the_solved_picture_is_kept(refined, kept):
    pictures = (np.full((4, 4, 3), value, np.uint8) for value in (refined, 0, 10))
    assert method.keeps(*pictures) is kept


class View:
    """Evidence whose reblurred picture is `off`, at a `cost`; `error` is what a weak prior leaves."""

    matte = None

    def __init__(self, off, cost, error):
        self.off, self.cost, self.error = off, cost, error

    def nearest_line(self):
        return Motion(9.0, 30.0)

    def costs(self, motions, strength):
        return np.array([self.cost]), np.array([self.error])

    def reblurred(self, motion):
        return torch.full((1, 3, 8, 8), self.off)


@pytest.mark.parametrize("error, chosen", [(1e-6, 1), (1e-4, 0)])
def test_cost_tells_light_from_stored_values_only_without_noise(error, chosen, monkeypatch):
    monkeypatch.setattr(blind, "nearest_path", lambda view, line: (None, 1.0))
    views = [View(0.10, 2.0, error), View(0.11, 1.0, error)]  # the first is nearer, the second cheaper
    found, line, knots, strength = blind._domain(views, torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8))
    assert found is views[chosen] and line == Motion(9.0, 30.0) and knots is None
    assert (strength < blind.NOISY) == bool(chosen)


BEND = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 1.0], [4.0, 3.0], [3.0, 5.0]])


@pytest.mark.parametrize(
    "share, in_part, chosen, bent",
    [(0.89, False, 1, True), (0.95, False, 0, True), (0.97, False, 0, False), (0.95, True, 0, False)],
)
def test_only_a_path_that_is_clearly_nearer_tells_light_from_stored_values(
    share, in_part, chosen, bent, monkeypatch
):
    class Bent(View):
        reach = 9

        def reblurred_by(self, kernel):
            return torch.full((1, 3, 8, 8), self.off / 2 if self is views[1] else self.off)

    views = [Bent(0.10, 1.0, 1e-4), Bent(0.11, 1.0, 1e-4)]  # along its path the second is nearer
    for view in views:
        view.matte = torch.ones(1, 1, 8, 8) if in_part else None
    monkeypatch.setattr(blind, "nearest_path", lambda view, line: (BEND, share))
    found, line, knots, _ = blind._domain(views, torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8))
    assert found is views[chosen] and line == Motion(9.0, 30.0)
    assert (knots is BEND) == bent


def test_what_did_not_move_is_not_refined():
    half = torch.zeros(1, 1, 96, 96)
    half[..., :48] = 1
    white = torch.nn.Conv2d(9, 3, 1)
    torch.nn.init.ones_(white.bias)
    torch.nn.init.zeros_(white.weight)
    done = method.refine(white, blurred(), SHARP, SHARP, explained(Motion(9.0, 30.0), half))
    assert (done[:, :48] == 255).all()
    np.testing.assert_array_equal(done[:, 56:], blurred()[:, 56:])
