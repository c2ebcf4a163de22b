"""Notebook 11: its runs, its scores and what is said of them."""

import numpy as np
import pandas as pd
import pytest
from print_checks import assert_ready

from facedeblur_utils.errors import UsageError
from facedeblur_utils.literature import loader
from facedeblur_utils.profiles import LOSS_RUNS, LOSS_TERMS, load_profile
from facedeblur_utils.reporting import loss_results
from facedeblur_utils.training import experiments, losses


def test_every_run_of_the_comparison_has_terms_and_a_network():
    profile = load_profile("losses")
    runs = experiments.loss_runs(profile, LOSS_RUNS)
    assert set(runs) == set(LOSS_RUNS) and set(profile.loss_runs) <= set(LOSS_RUNS)
    for name, run in runs.items():
        assert {term for term, _ in run.losses} <= set(losses.TERMS)
        assert len(run.losses) == 1 + ("_plus_" in name)
        assert experiments.named_run(profile, name) == run
    assert runs["N_plus_landmark"].losses == (("l1", 1.0), ("landmark", 0.077))
    assert runs["A_mse"].network == "autoencoder" and runs["A_mse"].epochs == 3 * runs["N_l1"].epochs


def test_every_loss_of_table_2_9_is_tried():
    assert set(loss_results.ROWS) | {"ssim"} == set(LOSS_TERMS)
    assert sorted(loss_results.ROWS.values()) == loader.load("2.9")["number"].tolist()
    tried = {loss_results.words(name).partition(" + ")[2] for name in load_profile("losses").loss_runs}
    added = {term.replace("_", " ") for term in LOSS_TERMS if term not in ("mse", "l1")}
    assert added <= tried


def test_an_unknown_loss_is_refused():
    with pytest.raises(UsageError, match="loss_runs.*N_much"):
        load_profile("smoke", {"loss_runs": ["N_much"]})


@pytest.mark.parametrize(
    ("name", "said"), [("N_l1", "l1"), ("N_plus_local_structure", "l1 + local structure"), ("A_mse", "mse")]
)
def test_names_in_words(name, said):
    assert loss_results.words(name) == said


def made_up() -> pd.DataFrame:
    """Three seeds: the landmark term halves landmark errors and costs pixels, identity does nothing."""
    values = {  # (psnr, landmark error, distance) of each seed
        "input": [(24.0, 0.05, 0.5)],
        "N_l1": [(26.0, 0.04, 0.4), (26.2, 0.042, 0.41), (25.8, 0.038, 0.39)],
        "N_plus_landmark": [(25.5, 0.02, 0.4), (25.7, 0.022, 0.41), (25.3, 0.018, 0.39)],
        "N_plus_identity": [(26.0, 0.04, 0.41), (26.2, 0.042, 0.40), (25.8, 0.038, 0.39)],
        "N_plus_ssim": [(26.0, 0.04, 0.4), (26.2, 0.042, 0.41), (25.8, 0.038, 0.39)],
        "N_plus_perceptual": [(26.0, 0.05, 0.4), (26.2, 0.052, 0.41), (25.8, 0.048, 0.39)],
        "N_plus_adversarial": [(26.0, 0.05, 0.4), (26.2, 0.052, 0.41), (25.8, 0.048, 0.39)],
    }
    rows = [
        (loss, seed if loss != "input" else 0, metric, value)
        for loss, seeds in values.items()
        for seed, each in enumerate(seeds, start=1)
        for metric, value in zip(("psnr", "landmark_error", "distance"), each, strict=True)
    ]
    return pd.DataFrame(rows, columns=["loss", "seed", "metric", "value"])


def test_the_table_has_means_and_deviations_over_seeds():
    table = loss_results.loss_table(made_up())
    assert table.loc[("Restorer", "l1"), "PSNR (dB)"] == "26.00 ± 0.20"
    assert table.loc[("Restorer", "l1 + landmark"), "NME (%) ↓"] == "2.00 ± 0.20"
    assert table.loc[("", "Blurred input"), "distance ↓"] == "0.500"


def test_changes_are_paired_by_seed_and_positive_where_better():
    changes = loss_results.differences(made_up())
    landmark = changes[(changes["term"] == "landmark") & (changes["metric"] == "landmark_error")]
    assert np.allclose(landmark["value"], 0.02) and landmark["seed"].tolist() == [1, 2, 3]
    pixels = changes[(changes["term"] == "landmark") & (changes["metric"] == "psnr")]
    assert np.allclose(pixels["value"], -0.5)


def test_the_table_of_changes_has_a_row_for_each_loss_of_table_2_9():
    table = loss_results.change_table(made_up())
    assert list(table.index) == [term.replace("_", " ") for term in loss_results.ROWS]
    assert table.loc["l1", "alone (dB)"] == "26.00 ± 0.20" and table.loc["mse", "alone (dB)"] == ""
    assert table.loc["landmark", "N: PSNR"] == "-0.50 ± 0.00"
    assert table.loc["landmark", "N: NME"] == "+2.00 ± 0.00"  # points; half of the error is gone
    assert table.loc["identity", "N: distance"] == "+0.000 ± 0.010"
    assert (table.loc["landmark", ["A: PSNR", "A: NME", "A: distance"]] == "").all()


def test_what_is_said():
    said = loss_results.sentences(made_up(), loader.load("2.9"))
    assert "**landmark** added, restorer: NME better (+2.000 ± 0.000 points over 3 seeds" in said
    assert "**identity** added, restorer: distance no clear change (+0.000 ± 0.010 over 3 seeds" in said
    # Ratings of landmark, identity (high), perceptual, adversarial (medium) against 2, 0, -1 and -1 points.
    assert "+0.94 with NME (restorer)" in said


def test_the_figure_is_as_wide_as_a_column(tmp_path):
    figure = loss_results.change_figure(loss_results.differences(made_up()))
    assert figure.get_size_inches()[0] == pytest.approx(loss_results.COLUMN)
    assert len(figure.axes) == 3
    assert_ready(figure, tmp_path)
