"""Scores of single training seeds from several runs are put together, those of other networks left out."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from facedeblur_utils import paths as study_paths
from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation import kept_seeds
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.training.experiments import MODELS, training_runs


def scores_of(seeds, value):
    """Two faces of one test set: the input at 20 dB, each model of seed s at `value` + s."""
    names = {"input": 20.0} | {
        name if seed == 1 else f"{name}.seed{seed}": value + seed for seed in seeds for name in MODELS
    }
    rows = [(m, "SFB1", f"{i:06d}", "whole", "psnr", v) for m, v in names.items() for i in range(2)]
    return pd.DataFrame(rows, columns=kept_seeds.COLUMNS)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Runs of a profile from any seed, as if trained; `code["text"]` stands for the code of the networks."""
    monkeypatch.setattr(study_paths, "EXPECTED", tmp_path / "expected")
    code = {"text": "one"}
    monkeypatch.setattr(kept_seeds, "_identity", lambda run, profile, paths: f"{run.name} {code['text']}")

    def make(first_seed, seeds=1):
        profile = dataclasses.replace(load_profile("smoke"), first_seed=first_seed, seeds=seeds)
        paths = RunPaths("smoke", tmp_path / f"from_{first_seed}")
        for name, run in training_runs(profile).items():
            for index in range(1, seeds + 1):
                folder = paths.training(name, index)
                folder.path.mkdir(parents=True)
                facts = dict.fromkeys(kept_seeds.FACTS, "a") | {"cpu": f"cpu {first_seed}"}
                folder.config.write_text(json.dumps(facts))
                epochs = np.arange(1, run.epochs + 1)
                history = {"epoch": epochs, "seconds": 50.0, "overhead_seconds": 10.0, "val_psnr": 20.0}
                pd.DataFrame(history).to_csv(folder.history, index=False)
        return profile, paths

    return make, code


def test_seeds_of_several_runs_add_up(study):
    make, _ = study
    third, paths = make(3)
    files = kept_seeds.keep(scores_of([1], 30), third, paths)
    assert [file.name for file in files] == ["seed_3.csv.gz", "seed_3.json"]
    first, paths = make(1, seeds=2)
    own = scores_of([1, 2], 40)
    kept_seeds.keep(own, first, paths)  # its own seeds are not added once more
    scores = kept_seeds.with_kept(own, first, paths)
    values = scores.groupby("model")["value"].mean()
    assert values["ASFB1"] == 41 and values["ASFB1.seed2"] == 42 and values["ASFB1.seed3"] == 31
    assert values["input"] == 20 and (scores["model"] == "input").sum() == 2
    assert scores["model"].str.startswith("ASFB1").sum() == 3 * 2  # two faces of each seed
    table = kept_seeds.trainings(first, paths).set_index("seed")
    assert list(table["machine"]) == ["cpu 1", "cpu 1", "cpu 3"]
    # A minute an epoch; the long mixed run takes a quarter over from GSFB2.
    epochs = sum(run.epochs - run.first_epoch for run in training_runs(first).values())
    assert table.loc[3, "minutes of a core"] == epochs


def test_a_run_of_later_seeds_calls_them_by_their_numbers(study):
    make, _ = study
    kept_seeds.keep(scores_of([1], 10), *make(2))
    profile, paths = make(4, seeds=2)
    values = kept_seeds.with_kept(scores_of([1, 2], 30), profile, paths).groupby("model")["value"].mean()
    assert values["GSB2SM"] == 31 and values["GSB2SM.seed5"] == 32 and values["GSB2SM.seed2"] == 11


def test_other_networks_are_left_out_and_named(study, capsys):
    make, code = study
    kept_seeds.keep(scores_of([1], 10), *make(2))
    code["text"] = "another"
    profile, paths = make(1)
    own = scores_of([1], 30)
    assert kept_seeds.with_kept(own, profile, paths) is own
    assert "seed_2.json is left out: its ASFB1, ASB1SD" in capsys.readouterr().out
    assert len(kept_seeds.trainings(profile, paths)) == 1


def test_a_missing_training_is_named_and_nothing_written(study, tmp_path):
    make, _ = study
    profile, paths = make(1)
    paths.training("GSFB2").config.unlink()
    with pytest.raises(StudyError, match="GSFB2 has not been trained"):
        kept_seeds.keep(scores_of([1], 30), profile, paths)
    assert not (tmp_path / "expected").exists()
