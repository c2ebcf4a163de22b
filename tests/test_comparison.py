"""The restorer beside the thesis's networks: tables on made-up scores and made-up pairs."""

import numpy as np
import pandas as pd
import pytest
import torch
from test_evaluation import Darken, MadeUpPairs

from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation import scores as scores_module
from facedeblur_utils.evaluation.scores import blurred_input, network_restorer, score_restorers
from facedeblur_utils.paths import run_paths
from facedeblur_utils.reporting import result_tables
from facedeblur_utils.tools import publish_restorer


@pytest.fixture
def scores(monkeypatch, tmp_path):
    """Scores of the input, of a network that changes nothing and of one that darkens."""
    monkeypatch.setattr(face_pairs, "open_pairs", lambda paths, name, split=None: MadeUpPairs(name))
    networks = {"GSFB2": Darken(0.8), "NMIX": Darken(1.0)}
    restorers = {"input": blurred_input} | {name: network_restorer(net) for name, net in networks.items()}
    return score_restorers(restorers, run_paths("smoke", tmp_path))


def test_cross_table_has_gains_over_the_input(scores):
    table = result_tables.cross_table(scores)
    assert list(table.index) == ["Blurred input", "GSFB2", "NMIX"]
    assert [head for head, _ in table.columns[::3]] == list(DATASETS)
    gains = table.xs("gain", axis=1, level=1)
    assert (gains.loc["NMIX"] == 0).all() and (gains.loc["GSFB2"] < -1).all()
    psnr = table.xs("PSNR", axis=1, level=1)
    by_hand = scores.query(
        "model == 'GSFB2' and dataset == 'SFB1' and region == 'whole' and metric == 'psnr'"
    )
    assert psnr.loc["GSFB2", "SFB1"] == pytest.approx(by_hand["value"].mean())


def test_region_table_looks_where_the_blur_is(scores):
    table = result_tables.region_table(scores)
    assert list(table.columns) == ["SFB1, whole", "SB1SD, head", "SFB2, whole", "SB2SM, face"]
    assert (table.loc["NMIX"] == 0).all()


def test_harm_of_darkening_is_its_own_psnr_and_that_of_nothing_is_infinite(scores):
    table = result_tables.harm_table(scores)
    sharp = MadeUpPairs("SFB1").sharp / 255
    expected = -10 * np.log10(((sharp - np.round(sharp * 0.8 * 255) / 255) ** 2).mean(axis=(1, 2, 3)))
    assert table.loc["GSFB2", "sharp face"] == pytest.approx(expected.mean(), abs=1e-3)
    assert np.isnan(table.loc["NMIX", "sharp face"])  # no change at all: no finite number


def test_card_names_its_scores_and_warns(scores):
    table = publish_restorer.means(scores[scores["model"] != "GSFB2"]).rename(columns={"NMIX": "output"})
    about = dict.fromkeys(
        ("parameters", "faces", "image_size", "epochs", "batch_size", "seed", "precision", "cpu"), "x"
    )
    about |= {"test_faces": 7, "command": "python", "shortest": 6.4, "longest": 19.2, "minutes": 1.0}
    text = publish_restorer.card(table, about)
    assert text.count("| SFB1 |") == 3 and "non-commercial" in text and "identify" in text
    assert "nan" not in text and "{" not in text


def test_published_files_open_again(scores, tmp_path, monkeypatch):
    from facedeblur_utils.models import published
    from facedeblur_utils.models.nafnet import Restorer

    monkeypatch.setattr(publish_restorer, "WEIGHTS", tmp_path / "restorer.safetensors")
    monkeypatch.setattr(publish_restorer, "CARD", tmp_path / "README.md")
    monkeypatch.setattr(publish_restorer, "card", lambda table, about: "card")
    torch.manual_seed(1)
    network = Restorer(width=4).eval()
    torch.nn.init.normal_(network.last.weight, std=0.1)
    publish_restorer.publish(network, scores[scores["model"] != "GSFB2"], {"image_size": 32})
    again = published.load(tmp_path / "restorer.safetensors")
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(again(image), network(image), atol=2e-3, rtol=0)
    assert sorted(path.name for path in tmp_path.glob("re*")) == ["restorer.json", "restorer.safetensors"]


def test_untrained_models_are_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        scores_module, "score_restorers", lambda restorers, paths: pd.DataFrame({"value": [1.0]})
    )
    scores_module.compare(["NMIX"], run_paths("smoke", tmp_path))
    assert "NMIX has not been trained" in capsys.readouterr().out


def test_package_carries_weights_that_beat_the_blurred_input():
    from facedeblur_utils.models import published

    facts = published.facts()
    gains = {(row["dataset"], row["region"], row["metric"]): row for row in facts["scores"]}
    for name in DATASETS:
        assert gains[name, "whole", "psnr"]["gain"] > 0
    assert gains["sharp", "whole", "psnr"]["output"] > 45
    assert published.WEIGHTS.stat().st_size < 8e6 and published.CARD.is_file()
