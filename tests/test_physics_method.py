"""The blind method as a whole: what it trusts, and what it leaves to the network."""

import numpy as np
import pytest
import torch
from skimage import data

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.models.apply import to_tensor
from facedeblur_utils.physics import method
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


@pytest.mark.parametrize("sure, kept", [(method.SURE, "solved"), (method.SURE - 0.01, "restored")])
def test_an_uncertain_motion_is_not_undone(sure, kept):
    done = method.Deblurring(np.zeros(3), np.ones(3), explained(Motion(5, 0)), sure)
    assert done.image is getattr(done, kept)
