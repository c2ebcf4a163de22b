"""The declared contrasts: the unit is the training seed, and a difference of checkpoints is none."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_hypothesis_tests import made_up

from facedeblur_utils.data.datasets import PAIRS
from facedeblur_utils.evaluation import contrasts

INSIDE = {"region": "face"}
NO_SPREAD = contrasts.spread_within({})


def by_seed(shifts):
    """Scores of one image per seed whose segmented network is better by `shifts`."""
    parts = []
    for seed, shift in enumerate(shifts, 1):
        part = made_up({"A": shift, "G": shift}, images=12, noise=0.0).assign(**INSIDE)
        name = part["model"] if seed == 1 else part["model"] + f".seed{seed}"
        parts.append(part.assign(model=name))
    return pd.concat(parts)


def test_eight_are_declared_inside_the_face():
    assert len(contrasts.CONTRASTS) == 8 and contrasts.REGION == "face"
    assert {str(c) for c in contrasts.CONTRASTS} == {
        "ASB1SD - ASFB1", "ASB2SM - ASFB2", "GSB1SD - GSFB1", "GSB2SM - GSFB2",
    }  # fmt: skip


def test_many_images_of_one_seed_decide_nothing():
    table = contrasts.test_contrasts(made_up({"A": 2.0, "G": 2.0}, images=200).assign(**INSIDE))
    assert (table["verdict"] == "open: one seed").all() and table["low"].isna().all()
    assert (contrasts.print_table(table, NO_SPREAD)["p (Holm)"] == "").all()


def test_seeds_that_disagree_leave_it_open():
    """Each difference is far from 0 over images; over seeds it isn't, as between checkpoints."""
    table = contrasts.test_contrasts(by_seed([0.6, -0.5, 0.5, -0.4, 0.1]))
    assert (table["verdict"] == "open").all()


def test_seeds_that_agree_decide():
    assert (contrasts.test_contrasts(by_seed([1.0, 1.1, 0.9]))["verdict"] == "segmented better").all()
    assert (contrasts.test_contrasts(by_seed([-1.0, -1.1, -0.9]))["verdict"] == "segmented worse").all()


def test_small_and_equal_are_told_apart_from_unknown():
    assert (contrasts.test_contrasts(by_seed([0.02, -0.03, 0.01]))["verdict"] == "within 0.25 dB").all()
    both = contrasts.test_contrasts(by_seed([0.10, 0.11, 0.10, 0.09]))
    assert (both["verdict"] == "segmented better, within 0.25 dB").all()


def test_interval_and_tests_are_those_of_closed_forms():
    differences = np.array([0.31, 0.12, 0.25, 0.04, 0.18])
    found = contrasts.over_seeds(differences)
    half = stats.t.ppf(0.975, 4) * differences.std(ddof=1) / np.sqrt(5)
    assert found["low"] == pytest.approx(differences.mean() - half)
    assert found["high"] == pytest.approx(differences.mean() + half)
    assert found["p"] == pytest.approx(stats.ttest_rel(differences, np.zeros(5)).pvalue)
    # At level p both one-sided tests reject: the interval of 1 - 2 p touches the nearer limit.
    reach = stats.t.ppf(1 - found["p (equal)"], 4) * differences.std(ddof=1) / np.sqrt(5)
    assert differences.mean() + reach == pytest.approx(contrasts.EQUAL)


def test_spread_within_a_training_is_that_of_its_last_epochs():
    history = pd.DataFrame({"val_psnr": [10.0, 20.0, *[25.0, 25.4] * 5], "val_ssim": 0.8})
    steady = pd.DataFrame({"val_psnr": np.full(12, 24.0), "val_ssim": 0.7})
    found = contrasts.spread_within({("ASFB1", 1): history, ("ASFB2", 1): steady, ("NSFB1", 1): history})
    half = np.std([25.0, 25.4] * 5, ddof=1) / 2
    assert found.to_dict() == {("psnr", "autoencoder"): pytest.approx(half), ("ssim", "autoencoder"): 0}
    table = contrasts.print_table(contrasts.test_contrasts(by_seed([0.1])), found)
    assert table["In a run"].tolist() == pytest.approx([half] * 4 + [np.nan] * 4, nan_ok=True)


def test_the_mean_effect_is_over_networks_pairs_and_test_sets():
    rows = []
    for letter, network in (("A", 0), ("G", 2)):
        for number, pair in enumerate(PAIRS):
            for place, dataset in enumerate(("SB1SD", "SB2SM")):
                for seed, later in (("", 0), (".seed2", 100)):
                    effect = network + 10 * number + 40 * place + later
                    rows.append((letter + pair[0] + seed, dataset, 20.0))
                    rows.append((letter + pair[1] + seed, dataset, 20.0 + effect))
    scores = pd.DataFrame(rows, columns=["model", "dataset", "value"])
    scores = scores.assign(image_id="1", region="face", metric="psnr")
    found = contrasts.mean_effect(scores, ("SB1SD", "SB2SM"), "face")
    assert found.tolist() == [1 + 5 + 20, 1 + 5 + 20 + 100]
    assert contrasts.interval_text(np.array([1.0, 3.0])) == "+2.00 dB (-10.71 to +14.71)"  # t is 12.706
    assert contrasts.interval_text(np.array([-1.0])) == "-1.00 dB"
