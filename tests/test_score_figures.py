"""Figures and tables beyond the thesis's, on made-up pairs."""

import numpy as np
import pytest
from test_evaluation import COUNT, study  # noqa: F401  (a fixture)

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation.scores import evaluate_all
from facedeblur_utils.reporting import panels, result_tables, score_figures, thesis_results


@pytest.fixture
def scored(study):  # noqa: F811
    return evaluate_all(*study), panels.Gallery(*study)


def test_gains_and_their_heat_map(scored):
    scores, _ = scored
    gains = result_tables.gain_table(scores)
    table = result_tables.table_5_4(scores)
    expected = table.loc["GSFB1"] - table.loc["Blurred input"]
    np.testing.assert_allclose(gains.loc["GSFB1"], expected)
    shown = [text.get_text() for text in score_figures.gain_heat_map(gains).axes[0].texts]
    assert f"{expected['SFB1', 'PSNR']:+.2f}" in shown and len(shown) == 8 * 4


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
