"""Figures and tables beyond the thesis's, on made-up pairs."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from print_checks import assert_ready, photographs
from test_evaluation import COUNT, SIZE, study  # noqa: F401  (a fixture)

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation import statistics
from facedeblur_utils.evaluation.scores import evaluate_all
from facedeblur_utils.reporting import figures, panels, result_tables, score_figures, thesis_results


@pytest.fixture
def scored(study):  # noqa: F811
    return evaluate_all(*study), panels.Gallery(*study)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_plots_are_ready_for_print_in_a_column(scored, tmp_path):
    scores, gallery = scored
    for fig in (
        score_figures.gain_heat_map(result_tables.gain_table(scores)),
        score_figures.length_plot(score_figures.by_blur_length(scores, gallery)),
        score_figures.forest_plot(statistics.test_hypothesis(scores, seed=0)),
    ):
        assert fig.get_figwidth() == figures.COLUMN
        assert_ready(fig, tmp_path)


def test_faces_are_ready_for_print_and_stored_once(scored, tmp_path):
    scores, gallery = scored
    for fig in (score_figures.error_maps(gallery)[0], score_figures.extreme_faces(scores, gallery)[0]):
        assert_ready(fig, tmp_path)
    fig, caption, data = panels.draw_panel("fig_5_13", gallery)
    pdf = assert_ready(fig, tmp_path)
    stored = photographs(pdf)
    assert len(stored) == 3 * 4  # of each face: blurred, sharp, after half and after all epochs
    assert {picture.shape for picture in stored} == {(SIZE, SIZE, 3)}
    titles = {text.get_text() for text in fig.axes[0].texts if " on " in text.get_text()}
    assert titles == {"GSFB2_25 on SFB2", "GSFB2_50 on SFB2"}
    assert all(title.split()[0] in caption for title in titles)
    assert set(data["model"]) == {"GSFB2_25", "GSFB2"}  # as in scores.csv


def test_details_show_the_pixels_of_their_box(scored):
    """Eyes and mouth are the whole picture behind a window: the window shows the box's pixels alone."""
    gallery = scored[1]
    fig, axis = plt.subplots(figsize=(3, 2), dpi=100)
    axis.set_position((0, 0, 1, 1))
    axis.set_axis_off()
    picture, box = gallery.pairs("SFB1").sharp[0], (8, 18, 20, 26)
    panels._draw_detail(axis, picture, box, plt.Rectangle((0.6, 0.4), 1.2, 0.8))
    axis.set(xlim=(0, 3), ylim=(0, 2), aspect="auto")
    fig.canvas.draw()
    drawn = np.asarray(fig.canvas.buffer_rgba())[..., :3]
    inside = drawn[80:160, 60:180]
    x0, y0, x1, y1 = box
    np.testing.assert_array_equal(inside[5::10, 5::10], picture[y0:y1, x0:x1])
    outside = drawn.copy()
    outside[79:161, 59:181] = 255
    assert (outside == 255).all()


def test_gains_and_their_heat_map(scored):
    scores, _ = scored
    gains = result_tables.gain_table(scores)
    table = result_tables.table_5_4(scores)
    expected = table.loc["GSFB1"] - table.loc["Blurred input"]
    np.testing.assert_allclose(gains.loc["GSFB1"], expected)
    shown = [text.get_text() for text in score_figures.gain_heat_map(gains).axes[0].texts]
    assert f"{expected['SFB1', 'PSNR']:+.2f}".replace("-", "−") in shown and len(shown) == 8 * 4


def test_longer_blur_scores_worse(scored):
    table = score_figures.by_blur_length(*scored)
    whole = table[table["dataset"].isin(["SFB1", "SFB2"]) & (table["model"] == "input")]
    for _, line in whole.groupby("dataset"):
        line = line.sort_values("length")
        assert (line["psnr"].diff().dropna() < 0).all()
    assert len(score_figures.length_plot(table).axes) == 4


def test_error_maps(scored):
    _, data = score_figures.error_maps(scored[1])
    assert len(data) == len(DATASETS) * 3
    pairs = scored[1].pairs("SB2SM")
    expected = np.abs(pairs.blurred[0].astype(float) - pairs.sharp[0]).mean() / 255
    row = data[(data["dataset"] == "SB2SM") & (data["model"] == "input")]
    assert row["mean_absolute_error"].item() == pytest.approx(expected)


def test_best_median_and_worst_faces(scored):
    scores, gallery = scored
    _, data = score_figures.extreme_faces(scores, gallery)
    gains = (data["psnr_deblurred"] - data["psnr_blurred"])[data["model"] == "ASFB2"].tolist()
    assert gains == sorted(gains, reverse=True) and len(gains) == 3
    wide = scores.query("region == 'whole' and metric == 'psnr' and dataset == 'SFB2'")
    wide = wide.pivot(index="image_id", columns="model", values="value")
    all_gains = wide["ASFB2"] - wide["input"]
    assert gains[0] == pytest.approx(all_gains.max()) and gains[2] == pytest.approx(all_gains.min())
    assert len(all_gains) == COUNT


def test_beside_the_thesis(scored):
    for name in ("table_5_4", "table_5_5", "table_5_1", "table_5_2"):
        ours = (
            result_tables.pair_table(scored[0], name)
            if name in result_tables.PAIR_TABLES
            else getattr(result_tables, name)(scored[0])
        )
        table = thesis_results.beside_thesis(name, ours)
        difference = table["PSNR", "ours"] - table["PSNR", "thesis"]
        np.testing.assert_allclose(table["PSNR", "difference"], difference)
        assert table.notna().all().all()
    assert thesis_results.TABLE_5_4["GSB2SM"][7] == 0.9396


def test_lower_is_better_metrics_are_bold_at_their_lowest(scored):
    table = result_tables.mean_scores(scored[0], names=("psnr",)).rename(columns={"PSNR": "GMSD"})
    best = result_tables.best_cells(table, skip=("input",))
    column = ("SFB1", "GMSD")
    assert table[column][best[column]].max() == table[column].drop("input").min()
