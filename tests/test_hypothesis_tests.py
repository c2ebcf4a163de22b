"""The statistics on made-up data with known answers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation import statistics as ht


def made_up(shift, images=40, seeds=1, noise=1.0):
    """Scores in which segmented training adds `shift[letter]` dB to every image, give or take noise."""
    rng = np.random.default_rng(0)
    rows = []
    for dataset in DATASETS:
        level = rng.normal(25, 3, images)  # images differ far more than models
        for letter in "AG":
            for trained in DATASETS:
                segmented = trained in ("SB1SD", "SB2SM")
                for seed in range(1, seeds + 1):
                    name = letter + trained + ("" if seed == 1 else f".seed{seed}")
                    values = level + shift[letter] * segmented + rng.normal(0, noise, images)
                    for metric, scale in (("psnr", 1), ("ssim", 0.01)):
                        rows += [
                            (name, dataset, f"{i:03d}", "whole", metric, scale * value)
                            for i, value in enumerate(values)
                        ]
    return pd.DataFrame(rows, columns=["model", "dataset", "image_id", "region", "metric", "value"])


def test_known_effects_are_found_and_their_absence_too():
    tests = ht.test_hypothesis(made_up({"A": 2.0, "G": 0.0}), seed=1)
    assert len(tests) == 2 * 2 * 2 * 4
    found = tests[tests["network"] == "autoencoder"]
    assert (found["verdict"] == "H1, segmented better").all()
    assert ((found["low"] < found["difference"]) & (found["difference"] < found["high"])).all()
    psnr = found[found["metric"] == "psnr"]
    assert psnr["difference"].between(1.2, 2.8).all() and (psnr["effect"] > 0.5).all()
    assert (tests[tests["network"] == "GAN"]["verdict"] == "H0 kept").all()


def test_regions_are_tested_apart():
    scores = made_up({"A": 2.0, "G": 2.0})
    both = pd.concat([scores, made_up({"A": -2.0, "G": -2.0}).assign(region="face")])
    assert (ht.test_hypothesis(both, seed=1)["verdict"] == "H1, segmented better").all()
    assert (ht.test_hypothesis(both, seed=1, region="face")["verdict"] == "H1, segmented worse").all()


def test_a_loss_is_called_worse():
    tests = ht.test_hypothesis(made_up({"A": -2.0, "G": -2.0}), seed=1)
    assert (tests["verdict"] == "H1, segmented worse").all()


def test_seeds_are_averaged_and_counted():
    tests = ht.test_hypothesis(made_up({"A": 2.0, "G": 2.0}, seeds=3), seed=1)
    assert (tests["images"] == 40).all() and (tests["seeds_agreeing"] == 3).all()


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        low, high = ht.bootstrap_interval(rng.normal(0.3, 1, 60), rng)
        hits += low <= 0.3 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_holm_by_hand():
    # smallest first: 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.5 * 1, never falling
    np.testing.assert_allclose(ht.holm([0.03, 0.01, 0.5, 0.02]), [0.06, 0.04, 0.5, 0.06])
    assert ht.holm([0.9, 0.8]).max() == 1


def test_verdicts_follow_the_corrected_p_values():
    tests = ht.test_hypothesis(made_up({"A": 0.45, "G": 0.3}), seed=1)
    np.testing.assert_allclose(tests["p (Holm)"], ht.holm(tests["p"]))
    between = (tests["p"] < ht.LEVEL) & (tests["p (Holm)"] >= ht.LEVEL)
    assert between.any()  # found alone, but not among 32 tests
    assert (tests["verdict"][between] == "H0 kept").all()


def test_rank_biserial_by_hand():
    # ranks of 1, 2, 3, 4 with the second negative: (1 + 3 + 4 - 2) / 10
    assert ht.rank_biserial(np.array([0.1, -0.2, 0.3, 0.4])) == pytest.approx(0.6)
    assert ht.rank_biserial(np.array([1.0, 2.0])) == 1
    assert ht.rank_biserial(np.zeros(3)) == 0


def test_wilcoxon_limits():
    assert ht.wilcoxon(np.zeros(10)) == 1
    # ten differences of one sign, exactly: 2 / 2 ** 10
    assert ht.wilcoxon(np.arange(1.0, 11)) == pytest.approx(2 / 2**10)
    values = np.random.default_rng(1).normal(0.2, 1, 30)
    assert ht.wilcoxon(values) == pytest.approx(stats.wilcoxon(values, np.zeros(30)).pvalue)
