"""Tables 4.1 and 4.2 beside the thesis's values."""

import pandas as pd
import pytest

from facedeblur_utils.paths import run_paths
from facedeblur_utils.reporting import thesis_results

OURS = {
    "table_4_1": {
        "Learning rate": "0.001",
        "Batch size": "4",
        "Optimizer": "Adam",
        "Criterion": "Combined loss (mse)",
        "Maximum epoch": "50",
        "Image size": "128 × 128 pixels",
    },
    "table_4_2": {
        "Learning rate": "0.0002",
        "Batch size": "4",
        "Optimizer": "Adam (betas = (0.5, 0.999))",
        "Generator Loss": "adversarial + 100 × content + ssim",
        "Discriminator Loss": "Binary cross entropy (on logits)",
        "Maximum epoch": "50",
    },
}


def ours(name: str) -> pd.DataFrame:
    return pd.DataFrame(OURS[name].items(), columns=["Parameter", "Value"])


@pytest.mark.parametrize("name", OURS)
def test_each_parameter_stands_beside_the_thesis_s_value(name):
    table = thesis_results.training_beside_thesis(name, ours(name))
    assert list(table.columns) == ["Parameter", "Ours", "Thesis"]
    assert table["Ours"].to_list() == list(OURS[name].values())
    theirs = table.set_index("Parameter")["Thesis"]
    assert theirs["Batch size"] == "16" and theirs["Maximum epoch"] == "50"
    assert {key: theirs[key] for key in thesis_results.TRAINING[name]} == thesis_results.TRAINING[name]
    assert theirs.get("Image size", "not in its table") == "not in its table"


def test_a_parameter_of_the_thesis_that_is_missing_is_named():
    table = ours("table_4_1").query("Parameter != 'Criterion'")
    with pytest.raises(KeyError, match="table_4_1 lacks the thesis's parameter 'Criterion'"):
        thesis_results.training_beside_thesis("table_4_1", table)


def test_export_writes_three_files_with_both_values(tmp_path):
    paths = run_paths("study", tmp_path)
    thesis_results.export_training_beside("table_4_2", ours("table_4_2"), paths)
    text = (paths.tables / "table_4_2_vs_thesis.md").read_text(encoding="utf-8")
    assert "| Batch size | 4 | 16 |" in text and "Table 4.2: ours (study) and the thesis's" in text
    assert (paths.tables / "table_4_2_vs_thesis.csv").is_file()
    assert "p{0.3" in (paths.tables / "table_4_2_vs_thesis.tex").read_text(encoding="utf-8")
