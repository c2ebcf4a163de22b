"""Scores, result tables and panels on made-up pairs with the interface of `datasets.FacePairs`."""

import dataclasses
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch
from fake_pairs import BlurredPairs
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation import scores as score_module
from facedeblur_utils.evaluation.scores import COLUMNS, evaluate_all, read_scores
from facedeblur_utils.metrics import tasks
from facedeblur_utils.models import classical
from facedeblur_utils.models.apply import restore
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.reporting import panels, result_tables, thesis_results
from facedeblur_utils.training import trained
from facedeblur_utils.training.validation import Validation

SIZE, COUNT = 32, 6


class MadeUpPairs(BlurredPairs):
    """Smooth colour patterns with motion blur, everywhere or in the middle."""

    def __init__(self, name):
        generator = np.random.default_rng(1)
        y, x = np.mgrid[:SIZE, :SIZE]
        waves = [
            np.sin(x * a + y * b)[..., None] * np.array([1, 0.8, 0.5])
            for a, b in generator.uniform(0.3, 1, (COUNT, 2))
        ]
        sharp = np.stack([np.uint8(127.5 + 100 * wave) for wave in waves])
        ids = [f"{number:06d}" for number in range(1, COUNT + 1)]
        lines = zip(np.linspace(2, 8, COUNT), np.linspace(0, 150, COUNT), strict=True)
        motions = dict(zip(ids, lines, strict=True))
        super().__init__(name, sharp, motions, slice(9, 23), slice(9, 23))


class Darken(nn.Module):
    """A network with one weight, whose output is easily predicted."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images):
        return images * self.factor


def brightness(outputs, sharp, image_ids):
    """Stands for the metrics of whole images."""
    return {"brightness": outputs.mean(axis=(1, 2, 3)) + 1000 * np.array([int(i) for i in image_ids])}


@pytest.fixture
def study(tmp_path, monkeypatch):
    factors = {}

    def load_network(paths, run, epoch="last", seed=1):
        return Darken(factors.setdefault((run, epoch), 0.99 - 0.01 * len(factors)))

    monkeypatch.setattr(face_pairs, "open_pairs", lambda paths, name, split: MadeUpPairs(name))
    monkeypatch.setattr(trained, "load_network", load_network)
    monkeypatch.setattr(classical, "RICHARDSON_LUCY_STEPS", 1)
    monkeypatch.setattr(score_module, "whole_image_scorers", lambda size: nullcontext([brightness]))
    boxes = {"eyes": (8, 8, 20, 16), "mouth": (8, 18, 20, 26)}
    monkeypatch.setattr(tasks, "feature_boxes", lambda sharp, aspect: boxes)
    return load_profile("smoke"), RunPaths("smoke", tmp_path)


def test_restore_clamps_rounds_and_keeps_order():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full((1, 12, 14, 3), 60, np.uint8)
    network = Darken(1.1).train()
    output = restore(network, images, batch=2)
    np.testing.assert_array_equal(output[:, 0, 0, 0], [0, 66, 132, 198, 255])
    assert output.dtype == np.uint8 and output.shape == images.shape
    assert network.training  # evaluation leaves the network's mode as it was


@pytest.mark.parametrize(("factor", "level"), [(0.977, 98), (0.972, 97)])
def test_outputs_are_rounded_to_8_bits_not_cut(factor, level):
    """100 x 0.977 is 97.7, in the evaluation and in the validation while training."""
    image = np.full((1, 12, 12, 3), 100, np.uint8)
    assert (restore(Darken(factor), image) == level).all()
    pairs = MadeUpPairs("SFB1")
    pairs.sharp, pairs.blurred = (np.full((COUNT, 16, 16, 3), value, np.uint8) for value in (level, 100))
    found = Validation([pairs], torch.device("cpu"))(Darken(factor))
    assert found["val_psnr"] == np.inf and found["val_ssim"] == pytest.approx(1)


def test_every_combination_is_scored(study):
    scores = evaluate_all(*study)
    models = ["input", "Wiener", "RichardsonLucy", "Physics", *result_tables.MODELS]
    models += ["GSFB2_25", "GSFB2_100", "GSFB2_20", "GSFB2_best"]
    assert list(scores.columns) == ["model", "dataset", "image_id", "region", "metric", "value"]
    assert list(scores["model"].unique()) == models
    keys = scores.drop(columns="value")
    assert not keys.duplicated().any()
    by_region, whole_only = 4 * 2 + 3, 1
    assert len(scores) == len(models) * 4 * COUNT * (by_region + whole_only)
    empty = scores[scores["value"].isna()]
    assert set(empty["region"]) == {"background"} and set(empty["dataset"]) == {"SFB1", "SFB2"}


def test_where_weights_are_averaged_those_of_the_last_step_are_scored_too(study):
    profile, paths = study
    averaged = dataclasses.replace(profile, gan_average=0.9)
    names = [name for name, _ in score_module.scored_models(averaged, paths) if name.endswith("_last")]
    assert names == ["GSFB1_last", "GSB1SD_last", "GSFB2_last", "GSB2SM_last"]


def test_scores_are_of_8_bit_images(study):
    scores = evaluate_all(*study).set_index(["model", "dataset", "image_id", "region", "metric"])
    pairs = MadeUpPairs("SFB2")
    output = restore(trained.load_network(None, "GSFB2", 2), pairs.blurred)
    expected = peak_signal_noise_ratio(pairs.sharp[3], output[3])
    value = scores.loc[("GSFB2", "SFB2", "000004", "whole", "psnr"), "value"]
    assert value == pytest.approx(expected, abs=1e-4)


def test_untouched_background_of_the_input_is_perfect(study):
    scores = evaluate_all(*study)
    rows = scores[(scores["model"] == "input") & (scores["region"] == "background")]
    local = rows[rows["dataset"].isin(["SB1SD", "SB2SM"])]
    assert np.isinf(local.loc[local["metric"] == "psnr", "value"]).all()
    assert (local.loc[local["metric"] == "ssim_region", "value"] == 1).all()
    # windows of SSIM reach over the border of the mask, so it stays below one
    assert local.loc[local["metric"] == "ssim", "value"].between(0.5, 0.9999).all()


def test_same_scores_file_twice(study):
    evaluate_all(*study)
    first = study[1].scores.read_bytes()
    evaluate_all(*study)
    assert study[1].scores.read_bytes() == first


def test_missing_scores_say_which_notebook(tmp_path):
    with pytest.raises(StudyError, match="run notebook 05_cross_eval first"):
        read_scores(RunPaths("smoke", tmp_path))


def made_up_scores():
    """Value 10 * model number + dataset number, +- 1 over two images; SSIM a hundredth of it."""
    models = ["input", *result_tables.MODELS, "GSFB2_25", "GSFB2_100", "GSFB2_20", "GSFB2_best"]
    return pd.DataFrame(
        [
            (model, dataset, image, "whole", metric, scale * (10 * m + d + shift))
            for m, model in enumerate(models)
            for d, dataset in enumerate(DATASETS)
            for image, shift in (("a", -1), ("b", 1))
            for metric, scale in (("psnr", 1.0), ("ssim", 0.01))
        ],
        columns=COLUMNS,
    )


def test_a_further_metric_is_a_further_column_of_table_5_4_by_its_name():
    scores = made_up_scores()
    gmsd = scores[scores["metric"] == "ssim"].assign(metric="gmsd")
    novel = scores[scores["metric"] == "psnr"].assign(metric="novel")
    names = (*result_tables.METRICS, "gmsd", "novel")
    table = result_tables.table_5_4(pd.concat([scores, gmsd, novel]), names=names)
    assert [name for _, name in table.columns[:4]] == ["PSNR", "SSIM", "GMSD", "novel"]
    best = result_tables.best_cells(table)
    assert best.loc["GSB2SM", ("SFB1", "PSNR")] and best.loc["ASFB1", ("SFB1", "GMSD")]
    beside = thesis_results.beside_thesis("table_5_4", table)
    assert beside.loc[("ASFB1", "SFB2"), ("PSNR", "thesis")] == 26.2395
    plain = thesis_results.beside_thesis("table_5_4", result_tables.table_5_4(scores))
    pd.testing.assert_frame_equal(beside, plain)


def test_tables_hold_the_means_in_the_thesiss_order():
    scores = made_up_scores()
    table = result_tables.table_5_4(scores)
    assert list(table.index) == ["Blurred input", *result_tables.MODELS]
    assert [head for head, _ in table.columns[::2]] == list(DATASETS)
    assert table.loc["GSFB2", ("SB2SM", "PSNR")] == pytest.approx(73)
    assert table.loc["GSFB2", ("SB2SM", "SSIM")] == pytest.approx(0.73)
    epochs = result_tables.table_5_5(scores)
    rows = ["Blurred input", "GSFB2_50", "GSFB2_25", "GSFB2_100", "GSFB2_20", "GSFB2 (best epoch)"]
    assert list(epochs.index) == rows
    assert epochs.loc["GSFB2_50", ("SFB1", "PSNR")] == table.loc["GSFB2", ("SFB1", "PSNR")]
    pair = result_tables.pair_table(scores, "table_5_2")
    assert pair.loc["GAN", ("No segmentation", "PSNR")] == pytest.approx(72)  # GSFB2 on SFB2
    assert pair.loc["Autoencoder", ("MediaPipe segmentation", "PSNR")] == pytest.approx(43)  # ASB2SM on SB2SM
    assert pair.loc["Blurred input", ("MediaPipe segmentation", "PSNR")] == pytest.approx(3)


def test_best_cells_share_ties_as_printed_and_leave_out_the_input():
    table = pd.DataFrame(
        {"PSNR": [99.0, 27.12341, 27.12338, 26.0], "SSIM": [0.9, 0.5, 0.6, np.nan]},
        index=["Blurred input", "A", "B", "C"],
    )
    best = result_tables.best_cells(table)
    assert best["PSNR"].tolist() == [False, True, True, False]
    assert best["SSIM"].tolist() == [False, False, True, False]


@pytest.mark.parametrize("name", ["fig_5_01", "fig_5_05", "fig_5_13", "fig_5_18"])
def test_panels(study, name):
    evaluate_all(*study)
    gallery = panels.Gallery(*study)
    fig, caption, data = panels.draw_panel(name, gallery)
    assert set(zip(data["model"], data["dataset"], strict=True)) == set(panels.PANELS[name].pairs)
    assert len(data) == 6 and data["image_id"].min() == "000001"
    assert fig.get_size_inches()[0] == pytest.approx(6.3)
    assert len(fig.axes[0].images) == 6 * (3 * 3 + 1)  # three images with two details each, and the kernel
    assert panels.PANELS[name].caption in caption


def test_there_is_a_panel_for_each_figure_of_chapter_5():
    assert list(panels.PANELS) == [f"fig_5_{number:02d}" for number in range(1, 19)]


def test_further_seeds_are_rows_of_their_own_and_part_of_the_mean(study):
    profile, paths = study
    scores = evaluate_all(dataclasses.replace(profile, seeds=2), paths)
    assert "ASFB1.seed2" in set(scores["model"]) and "input.seed2" not in set(scores["model"])
    chosen = scores[
        (scores["region"] == "whole") & (scores["metric"] == "psnr") & (scores["dataset"] == "SFB1")
    ]
    expected = chosen[chosen["model"].isin(["ASFB1", "ASFB1.seed2"])]["value"].mean()
    assert result_tables.table_5_4(scores).loc["ASFB1", ("SFB1", "PSNR")] == pytest.approx(expected)


def test_seed_table_is_mean_and_deviation_over_the_seeds():
    values = {"": [20.0, 22.0], ".seed2": [23.0, 23.0], ".seed3": [25.0, 25.0]}  # means 21, 23, 25
    rows = [
        (model + seed, dataset, f"{i}", "whole", metric, value if metric == "psnr" else value / 100)
        for model in result_tables.MODELS
        for seed, pair in values.items()
        for dataset in DATASETS
        for metric in ("psnr", "ssim")
        for i, value in enumerate(pair)
    ]
    table = result_tables.seed_table(pd.DataFrame(rows, columns=COLUMNS))
    assert list(table.index) == result_tables.MODELS
    assert set(table["SFB2", "PSNR"]) == {"23.00 ± 2.00"} and set(table["SB1SD", "SSIM"]) == {
        "0.2300 ± 0.0200"
    }


def test_captions_count_the_seeds_of_their_metrics():
    models = ["input", "ASFB1", "ASFB1.seed3", "ASFB1_last"]
    scores = pd.DataFrame({"model": models, "metric": "psnr"})
    scores = pd.concat([scores, scores[:2].assign(metric="vif")])
    assert result_tables.seeds_words(scores) == "means over 2 training seeds"
    assert result_tables.seeds_words(scores, ("vif",)) == "one training seed"


def test_weights_of_the_last_step_stand_below_their_running_mean():
    models = ["input", *result_tables.MODELS, *result_tables.EXTRA_MODELS, "GSB2SM_last"]
    rows = [
        (model, d, m, "whole", n)
        for n, model in enumerate(models)
        for d in DATASETS
        for m in ("psnr", "ssim")
    ]
    scores = pd.DataFrame(rows, columns=["model", "dataset", "metric", "region", "value"])
    gains = result_tables.gain_table(scores)
    assert list(gains.index[-len(result_tables.EXTRA_MODELS) - 2 :][:2]) == ["GSB2SM", "GSB2SM (last step)"]
    assert gains.loc["GSB2SM (last step)", ("SFB1", "PSNR")] == len(models) - 1


def test_classical_reference_undoes_known_blur_and_leaves_the_rest_alone():
    for name in ("SFB1", "SB1SD"):
        pairs = MadeUpPairs(name)
        indices = np.arange(1, 4)
        blurred, sharp = pairs.batch(indices)
        inner = np.s_[:, 6:-6, 6:-6]
        before = np.square(blurred.astype(float) - sharp)[inner].mean()
        for method in classical.REFERENCES.values():
            restored = classical.classical_restorer(method)(pairs, indices)
            if name == "SFB1":  # at the seam of a pasted face no deconvolution is right
                assert np.square(restored.astype(float) - sharp)[inner].mean() < before / 2
            outside = ~pairs.blur_masks[indices]
            np.testing.assert_array_equal(restored[outside], blurred[outside])


def test_landmark_error_by_hand():
    true = np.zeros((478, 2), np.float32)
    true[33], true[263] = (10, 20), (30, 20)
    assert tasks.landmark_error(true + np.float32([0, 2]), true) == pytest.approx(0.1)
    assert tasks.landmark_error(true, true) == 0
    assert np.isnan(tasks.landmark_error(None, true))
