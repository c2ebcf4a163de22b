"""The discussion's sentences follow the numbers."""

import numpy as np
import pandas as pd
import pytest

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation.metric_audit import STUDY
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.reporting import discussion, thesis_results
from facedeblur_utils.reporting.result_tables import EPOCH_MODELS, INPUT_LABEL, MODELS

SPREAD = pd.Series({("psnr", "GAN"): 0.41, ("ssim", "GAN"): 0.02})
COLUMNS = pd.MultiIndex.from_product([DATASETS, ["PSNR", "SSIM"]])


@pytest.fixture
def gains():
    table = pd.DataFrame(-1.0, index=["Physics (knows the kernel)", *MODELS], columns=COLUMNS)
    table.loc["ASFB2", ("SFB2", "PSNR")] = 2.5
    table.loc["GSB2SM", ("SFB1", "PSNR")] = 9.0  # not its own test set
    return table


def test_only_own_test_sets_count_as_deblurring(gains):
    text = discussion.on_restoring(gains)
    assert "1 of 8 models" in text and "+2.50 dB (ASFB2)" in text and "9.00" not in text
    assert "SFB2 gains -1.00 dB" in text


def test_most_below_their_input_is_said_first(gains):
    assert "Most stay below their own blurred input: 1 of 8" in discussion.on_restoring(gains)
    for model in MODELS:
        gains.loc[model, (model[1:], "PSNR")] = 0.5
    assert "Most do: 8 of 8" in discussion.on_restoring(gains)


def test_causes_are_those_of_the_experiments(tmp_path, monkeypatch):
    rows = pd.read_csv(discussion.BELOW_INPUT)
    chosen = (rows["network"] == "gan") & (rows["change"] == "output is added to the input")
    rows.loc[chosen, "gain in PSNR"] = 7.77
    rows.to_csv(tmp_path / "rows.csv", index=False)
    monkeypatch.setattr(discussion, "BELOW_INPUT", tmp_path / "rows.csv")
    assert "+7.77 dB" in discussion.on_causes()


def test_what_is_said_is_kept_and_shortened_runs_are_marked(tmp_path):
    study, sample = RunPaths("study", tmp_path), RunPaths("sample", tmp_path)
    text = discussion.write("05", ["**One.** 1", "**Two.** 2"], study)
    assert study.discussion("05").read_text() == text + "\n" == "**One.** 1\n\n**Two.** 2\n"
    assert "not a result" in discussion.write("05", ["**One.** 1"], sample)


def test_verdicts_are_counted():
    tests = pd.DataFrame(
        {
            "verdict": ["H0 kept", "H1, segmented better", "H1, segmented worse", "H1, segmented better"],
            "test set": ["SFB1", "SB1SD", "SFB2", "SFB2"],
            "effect": [0.1, 0.5, -0.9, 0.2],
            "metric": "psnr",
            "compared": "GSB1SD - GSFB1",
            "seeds": 3,
        }
    )
    text = discussion.on_hypothesis(tests)
    assert (
        "averaged over 3 training seeds, H0 is kept in 1 of 4" in text
        and "better in 2 and worse in 1" in text
    )
    assert "in 1 of 1 on partly blurred" in text and "in 1 of 3 on fully blurred" in text
    assert "-0.90 (PSNR, GSB1SD - GSFB1 on SFB2)" in text


def test_contrasts_are_told_with_their_seeds():
    rows = {"verdict": ["open", "segmented better"], "seeds": 3, "difference": [0.1, 0.6]}
    rows |= {"low": [-0.2, 0.4], "high": [0.4, 0.8], "compared": "ASB2SM - ASFB2", "test set": "SB2SM"}
    text = discussion.on_contrasts(pd.DataFrame(rows), SPREAD)
    assert "2 inside the face, over 3 training seeds: 1 open; 1 segmented better." in text
    assert "ASB2SM - ASFB2 on SB2SM: +0.60 dB (+0.40 to +0.80), segmented better." in text
    assert "one training: 0.41 dB (GAN)" in text
    text = discussion.on_contrasts(pd.DataFrame(rows | {"seeds": 1}), SPREAD)
    assert "One training seed decides none of the 2" in text and "better" not in text


def shifted(shifts):
    """Scores of twins: `shifts[region, kind of test set][seed]` is what segmented training adds, in dB."""
    rows = [
        (letter + trained + ("" if seed == 1 else f".seed{seed}"), dataset, image, region, "psnr", value)
        for (region, kind), by_seed in shifts.items()
        for dataset in discussion.KINDS[kind]
        for seed, shift in enumerate(by_seed, 1)
        for letter in "AG"
        for trained in DATASETS
        for image, base in (("1", 20.0), ("2", 26.0))
        for value in [base + shift * (trained in discussion.KINDS["partly"])]
    ]
    return pd.DataFrame(rows, columns=["model", "dataset", "image_id", "region", "metric", "value"])


def test_faces_and_whole_images_are_told_apart():
    verdicts = ["H0 kept", "H1, segmented better", "H1, segmented worse"]
    in_face = pd.DataFrame({"verdict": verdicts, "seeds": 1})
    shifts = {("whole", "partly"): [2], ("face", "partly"): [0.25], ("whole", "fully"): [-1]}
    text = discussion.on_faces(shifted(shifts | {("face", "fully"): [-2]}), in_face)
    assert "better in 1 and worse in 1 of 3" in text
    assert "by +2.00 dB over the whole image and +0.25 dB in the face" in text
    assert "by -1.00 dB and -2.00 dB (means" in text and "seeds" not in text
    shifts |= {("whole", "partly"): [2, 4], ("face", "partly"): [0, 0], ("whole", "fully"): [1, 1]}
    text = discussion.on_faces(shifted(shifts | {("face", "fully"): [0, 1]}), in_face.assign(seeds=2))
    # Half the distance of two seeds, times Student's t with one degree of freedom, 12.706.
    assert "by +3.00 dB (-9.71 to +15.71) over the whole image" in text and "over 2 training seeds" in text


def test_best_epochs_are_counted():
    rising = pd.DataFrame({"epoch": range(1, 11), "val_psnr": range(20, 30), "mse": [0.01] * 5 + [0.001] * 5})
    falling = rising.assign(val_psnr=rising["val_psnr"].to_numpy()[::-1])
    text = discussion.on_overfitting({"ASFB1": rising, "GSFB2": falling})
    assert "1 of 2 runs" in text and "and 1 in the first half" in text
    assert "4.50 dB on average and at most 9.00 dB (GSFB2, best at epoch 1 of 10)" in text
    # A tenth of the error is -10 dB; the mean PSNR of epochs 6-10 is 5 above that of 1-5, or below it.
    assert "autoencoders: training error -10.00 dB, validation PSNR +5.00 dB" in text
    assert "GANs: training error -10.00 dB, validation PSNR -5.00 dB" in text


def test_one_epoch_has_no_second_half():
    one = pd.DataFrame({"epoch": [1], "val_psnr": [20.0], "content": [0.1]})
    assert discussion.second_half(one) == {"training": 0, "validation": 0}


def test_the_thesis_beside_itself_differs_by_nothing():
    table = thesis_results.printed_table("table_5_4", pd.DataFrame(columns=COLUMNS))
    audit = pd.DataFrame(
        {"metric": ["psnr", "ssim", "ssim"], "shift of GANs": [-6.02, 0.0, 0.2]},
        index=[discussion.PEAK, f"SSIM, {STUDY}", "SSIM, other"],
    )
    text = discussion.on_networks(table, audit)
    means = thesis_results.own_set_means(table)
    gap = means.loc["autoencoder", "PSNR"] - means.loc["GAN", "PSNR"]
    assert text.count(f"{gap:+.2f} dB") == 2 and "1 of 1 conventions" in text
    beside = thesis_results.beside_thesis("table_5_4", table)
    assert (beside["PSNR", "difference"] == 0).all()


def test_the_thesis_agrees_with_itself_and_not_with_its_reverse():
    table = thesis_results.printed_table("table_5_4", pd.DataFrame(columns=COLUMNS))
    text = discussion.on_agreement(table)
    assert "in 16 of 16 comparisons: 8 of 8 on partly" in text and "by +1.00 to +1.00" in text
    # Bold in Table 5.4: GSFB2 on SFB1 and SFB2, ASB1SD on SB1SD, ASB2SM on SB2SM.
    assert "on 3 of 4 test sets (thesis: 3)" in text
    text = discussion.on_agreement(60 - table)
    assert "in 0 of 16 comparisons" in text and "by -1.00 to -1.00" in text


def as_seeds(tables):
    """Tables like 5.5, one for each training seed, as `result_tables.seed_means` gives them."""
    named = [table.rename(EPOCH_MODELS).rename(columns=str.lower, level=1) for table in tables]
    parts = dict(enumerate(named, 1))
    return pd.concat(parts, names=["seed"]).swaplevel().rename_axis(["model", "seed"])


def test_the_thesis_epochs_reproduce_its_own_sentences():
    table = thesis_results.printed_table("table_5_5", pd.DataFrame(columns=COLUMNS))
    table.loc[INPUT_LABEL] = 40.0  # the input is no model, so never the best
    text = discussion.on_epochs(table, as_seeds([table]), load_profile("study"))
    assert "GSFB2_20 changes it by -1.01 dB on average (thesis: -1.01 dB)" in text  # by hand from Table 5.5
    assert "2.0 and 0.4 times as long" in text and "(25 epochs, not 20)" in text
    assert "on 4 of 4 test sets" in text and "GSFB2_25 on SFB1" in text and "GSFB2_20 on SB1SD" in text


def test_changes_by_epochs_have_their_interval_over_seeds():
    table = thesis_results.printed_table("table_5_5", pd.DataFrame(columns=COLUMNS))
    table.loc[INPUT_LABEL] = 40.0
    shifts = np.array([0.1, -0.2, 0.4])
    tables = [table.copy() for _ in shifts]
    for shift, one in zip(shifts, tables, strict=True):
        one.loc["GSFB2_20"] += shift
    text = discussion.on_epochs(table, as_seeds(tables), load_profile("study"))
    # Printed: -1.01 dB; Student's t with two degrees of freedom is 4.303.
    mean, half = -1.00881 + shifts.mean(), 4.30265 * shifts.std(ddof=1) / np.sqrt(3)
    said = f"changes it by {mean:+.2f} dB ({mean - half:+.2f} to {mean + half:+.2f})"
    assert said in text and "intervals over 3 training seeds" in text
