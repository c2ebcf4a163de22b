"""Test sets that are made anew: the study's own again, further draws, a matte, the head alone."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from facedeblur_utils.blur import operators
from facedeblur_utils.data import recipe
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation import remade_sets
from facedeblur_utils.evaluation.contrasts import CONTRASTS
from facedeblur_utils.evaluation.remade_sets import OWN, REMADE, Remade, remade
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.training.experiments import MODELS

PROFILE = load_profile("smoke")


class Pairs:
    """Two noisy faces with a head that reaches below the face."""

    def __init__(self, name):
        self.name, self.image_ids = name, ["000001", "000002"]
        self.sharp = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
        self.face_masks, self.head_masks = np.zeros((2, 2, 32, 32), bool)
        self.face_masks[:, 10:20, 10:22] = True
        self.head_masks[:, 5:32, 6:26] = True


def made(name, kind, draw=0):
    return np.stack(list(remade(Pairs(name), PROFILE, kind, draw)))


@pytest.mark.parametrize("name", DATASETS)
def test_the_first_draw_is_the_studys_own(name):
    pairs, row = Pairs(name), DATASETS[name]
    for index, image_id in enumerate(pairs.image_ids):
        sharp = pairs.sharp[index]
        blurred = recipe.drawn_blur(PROFILE, row.blur, image_id, 32).apply(sharp)
        mask = {"head": pairs.head_masks, "face": pairs.face_masks}[row.mask][index] if row.mask else True
        np.testing.assert_array_equal(made(name, OWN)[index], np.where(np.atleast_3d(mask), blurred, sharp))


def test_draws_differ_and_do_not_hang_on_each_other():
    first, second = made("SFB1", OWN), made("SFB1", REMADE[1], 1)
    assert (first != second).any() and len(np.unique(made("SFB1", REMADE[1], 2) == second)) == 2
    np.testing.assert_array_equal(second, made("SFB1", REMADE[1], 1))


def test_the_head_alone_leaves_what_is_below_the_chin_sharp():
    kind = Remade("head alone", ("SB1SD",), head=True)
    pairs, picture = Pairs("SB1SD"), made("SB1SD", kind)
    np.testing.assert_array_equal(picture[:, 20:], pairs.sharp[:, 20:])
    np.testing.assert_array_equal(picture[:, :20], made("SB1SD", OWN)[:, :20])


def test_a_matte_is_laid_as_the_operator_does():
    pairs, kind = Pairs("SB2SM"), Remade("matte", ("SB2SM",), composite="matte")
    blur = recipe.drawn_blur(PROFILE, 2, "000002", 32)
    wanted = operators.composite(pairs.sharp[1], blur.kernel, pairs.face_masks[1], "matte")
    np.testing.assert_array_equal(made("SB2SM", kind)[1], wanted)


def test_draws_of_a_face_count_together():
    """Ten draws are no more faces: the interval is that of the faces' means."""
    rng = np.random.default_rng(3)
    rows = [
        ("further kernels", model, contrast.dataset, f"{face:06d}", draw, 20 + rng.normal() * (face % 2))
        for contrast in CONTRASTS
        for model in MODELS
        for face in range(6)
        for draw in range(4)
    ]
    scores = pd.DataFrame(rows, columns=remade_sets.COLUMNS).drop_duplicates(remade_sets.COLUMNS[:-1])
    table = remade_sets.remade_contrasts(scores, 1)
    assert len(table) == len(CONTRASTS) and set(table["faces"]) == {6} and set(table["draws"]) == {4}
    means = scores.groupby(["model", "dataset", "image_id"])["value"].mean()
    apart = means["ASB1SD", "SFB1"] - means["ASFB1", "SFB1"]
    assert table.loc[0, "difference"] == pytest.approx(apart.mean())
    collapsed = scores.groupby(["set", "model", "dataset", "image_id"], as_index=False)["value"].mean()
    alone = remade_sets.remade_contrasts(collapsed.assign(draw=0), 1)
    pd.testing.assert_frame_equal(table.drop(columns="draws"), alone.drop(columns="draws"))


def test_another_seed_changes_every_draw():
    one, other = (
        recipe.drawn_blur(dataclasses.replace(PROFILE, seed=seed), 1, "000001", 32).parameters
        for seed in (1, 2)
    )
    assert all(one[key] != other[key] for key in one)
