"""Profiles: the shipped ones load, and each kind of bad value gives one line and exit code 2."""

import re

import pytest
import yaml

from facedeblur_utils import paths
from facedeblur_utils.errors import UsageError
from facedeblur_utils.profiles import FURTHER_RUNS, RESTORER_RUNS, load_profile, parse_overrides
from facedeblur_utils.training.experiments import ablation_models, restorer_runs, table_models, training_runs


@pytest.mark.parametrize(
    ("name", "size", "epochs"),
    [("smoke", 32, 2), ("sample", 64, 14), ("study", 128, 50), ("thesis", 256, 50)],
)
def test_shipped_profiles(name, size, epochs):
    profile = load_profile(name)
    assert (profile.name, profile.image_size, profile.epochs) == (name, size, epochs)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"epochs": -1}, "at least 1"),
        ({"epochs": 2.5}, "type int"),
        ({"epochs": True}, "type int"),
        ({"epoch": 3}, "unknown key 'epoch'"),
        ({"image_size": 50}, "multiple of 16"),
        ({"split": [0.9, 0.2, 0.1]}, "add up to 1"),
        ({"split": 0.9}, "type list"),
        ({"blur_length": [0.2, 0.1]}, "shortest"),
        ({"gan_norm": "layer"}, "none, batch, instance"),
        ({"mixed_epochs": 6}, "multiple of 4"),
        ({"autoencoder_rate": float("nan")}, "type float"),
        ({"checkpoint_epoch": 99}, "must not exceed epochs"),
        ({"noise": 5}, "at most 1"),
        ({"seed": 10**24}, "at most 4294967295"),
        ({"restorer_runs": ["NSFB2", "NSFB9"]}, "knows NSFB1, .* not 'NSFB9'"),
        ({"name": ".."}, "must be 1 to 64 letters"),
        ({"name": "../../elsewhere"}, "must be 1 to 64 letters"),
        ({"name": "study"}, "belongs to a profile of the study"),
        ({"source": "a\0b"}, "can't be printed"),
        ({"epochs": list(range(10**5))}, "type int"),
    ],
)
def test_bad_values_are_refused_in_one_line(override, said):
    with pytest.raises(UsageError) as caught:
        load_profile("smoke", override)
    assert re.search(said, str(caught.value))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert caught.value.exit_code == 2


def test_unknown_profile_names_the_known_ones():
    with pytest.raises(UsageError, match="unknown profile 'nope'.*sample, smoke, study, thesis"):
        load_profile("nope")


def test_profile_file_of_ones_own(tmp_path):
    values = yaml.safe_load((paths.PROFILES / "smoke.yaml").read_text()) | {"name": "mine", "epochs": 3}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    assert load_profile(path).epochs == 3
    path.write_text("- a\n- b\n")
    with pytest.raises(UsageError, match="key: value"):
        load_profile(path)
    path.write_text("name: [mine\n")
    with pytest.raises(UsageError, match="not valid YAML"):
        load_profile(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("epochs: 3", "key 'epochs' twice, line"),
        ("seeds: 010", "'010' may be read as another number"),
        ("seeds: 1:30", "'1:30' may be read as another number"),
        ("seeds: 0x10", "may be read as another number"),
        ("seeds: 1_000", "may be read as another number"),
        ("seeds: " + "9" * 5000, "may be read as another number"),
        ("mirror: &a x\nsource: *a", "aliases"),
        ("name: Study", "belongs to a profile of the study"),
        ("name: ../x", "must be 1 to 64 letters"),
        ("seeds: " + "[" * 5000, "not valid YAML"),
        ("? [1]\n: 2", "not valid YAML"),
    ],
)
def test_what_yaml_reads_otherwise_than_people_is_refused(tmp_path, line, said):
    path = tmp_path / "mine.yaml"
    text = (paths.PROFILES / "smoke.yaml").read_text()
    path.write_text(text.replace("name: smoke\n", "" if line.startswith("name") else "name: mine\n") + line)
    with pytest.raises(UsageError, match=said) as caught:
        load_profile(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_numbers_as_people_write_them(tmp_path):
    assert parse_overrides(["gan_rate=1e-3", "noise=.05", "seed=7", "mirror='010'"]) == {
        "gan_rate": 0.001,
        "noise": 0.05,
        "seed": 7,
        "mirror": "010",
    }


def test_restorer_runs_are_those_of_the_experiments():
    assert tuple(restorer_runs(load_profile("smoke"))) == RESTORER_RUNS + FURTHER_RUNS


def test_overrides_are_read_as_yaml():
    assert parse_overrides(["epochs=3", "split=[0.8, 0.1, 0.1]"]) == {"epochs": 3, "split": [0.8, 0.1, 0.1]}
    with pytest.raises(UsageError, match="key=value"):
        parse_overrides(["epochs"])


def test_training_runs_are_the_thesis_models():
    profile = load_profile("study")
    runs = training_runs(profile)
    assert list(runs)[:8] == [n + d for n in "AG" for d in ("SFB1", "SB1SD", "SFB2", "SB2SM")]
    assert runs["GSFB2"].milestones == (25, 50)
    assert runs["GSFB2_100"].schedule == (("SFB2", 25), ("SB1SD", 25), ("SB2SM", 25), ("SFB1", 25))
    assert runs["GSFB2_100"].starts_from == "GSFB2"
    assert runs["GSFB2_20"].epochs == 20
    assert runs["GSFB2_20"].starts_from == ""
    assert len(table_models(profile)) == 8
    assert {c.run for c in ablation_models(profile).values()} <= set(runs)
