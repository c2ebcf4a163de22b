"""Expected results: tolerances from seed variance, and what --verify says about right and wrong runs."""

import json

import numpy as np
import pandas as pd
import pytest

from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.paths import RunPaths, run_paths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.running import disk, verify
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.training import experiments, setup

MODELS = ["input", "ASFB1", "ASFB2", "GSFB1", "GSFB2"]
SPREAD = {"i": 0.0, "A": 0.1, "G": 0.5}  # dB between training seeds


def scores(seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Made-up scores of one training: two images, two datasets."""
    draw = np.random.default_rng(seed)
    rows = []
    for model in MODELS:
        for dataset in ("SFB1", "SFB2"):
            centre = 25 + draw.normal(0, SPREAD[model[0]]) + (shift if model == "ASFB1" else 0)
            rows += [(model, dataset, f"{i}", "whole", "psnr", centre + i) for i in range(2)]
            rows.append((model, dataset, "0", "background", "psnr", np.nan))
    return pd.DataFrame(rows, columns=["model", "dataset", "image_id", "region", "metric", "value"])


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Paths of a run whose results were recorded from four seeds."""
    monkeypatch.setattr(verify, "EXPECTED", tmp_path)
    paths = RunPaths("smoke", tmp_path)
    paths.tables.mkdir(parents=True)
    for name in verify.EXACT:
        (paths.tables / name).write_text(name)
    by_seed = pd.DataFrame({seed: verify.means(scores(seed)) for seed in range(1, 5)})
    verify.write_expected(by_seed, load_profile("smoke"), paths)
    return paths


def check(paths: RunPaths, frame: pd.DataFrame) -> list[str]:
    paths.results.mkdir(parents=True, exist_ok=True)
    frame.to_csv(paths.scores, index=False)
    return verify.differences(load_profile("smoke"), paths)


def test_tolerances_follow_the_spread_of_their_kind_and_have_a_floor():
    by_seed = pd.DataFrame({seed: verify.means(scores(seed)) for seed in range(1, 41)})
    allowed = verify.tolerances(by_seed)
    assert allowed["input", "SFB1", "whole", "psnr"] == verify.FLOOR["psnr"]
    assert allowed["ASFB1", "SFB1", "whole", "psnr"] == allowed["ASFB2", "SFB1", "whole", "psnr"]
    ratio = allowed["GSFB1", "SFB1", "whole", "psnr"] / allowed["ASFB1", "SFB1", "whole", "psnr"]
    assert ratio == pytest.approx(5, rel=0.3)
    assert allowed["ASFB1", "SFB1", "whole", "psnr"] == pytest.approx(verify.SIGMAS * SPREAD["A"], rel=0.2)


def test_one_seed_has_fixed_tolerances_but_for_what_is_not_trained():
    allowed = verify.tolerances(pd.DataFrame({1: verify.means(scores(1))}))
    assert allowed["input", "SFB1", "whole", "psnr"] == verify.FLOOR["psnr"]
    assert (allowed.drop("input") == verify.ONE_SEED["psnr"]).all()


def test_blind_rows_may_differ_as_trained_ones_do():
    first = verify.means(scores(1)).rename({"input": "PhysicsBlind"}, level="model").loc[["PhysicsBlind"]]
    for seeds in ((1,), (1, 2)):
        allowed = verify.tolerances(pd.DataFrame(dict.fromkeys(seeds, first)))
        assert len(allowed) and (allowed == verify.ONE_SEED["psnr"]).all()


def test_other_seeds_agree_and_a_bug_does_not(recorded):
    for seed in range(100, 120):
        assert check(recorded, scores(seed)) == []
    found = check(recorded, scores(100, shift=-2))
    assert len(found) == 2 and all(line.startswith("ASFB1/") for line in found)
    assert "expected" in found[0] and "±" in found[0]


def test_missing_new_and_altered_results_are_named(recorded):
    frame = scores(1)
    assert "GSFB1/SFB1/whole/psnr: missing" in check(recorded, frame[frame["model"] != "GSFB1"])[0]
    more = frame[frame["model"] == "GSFB1"].assign(model="NEW")
    assert "NEW/SFB1/whole/psnr: not among" in check(recorded, pd.concat([frame, more]))[0]
    (recorded.tables / verify.EXACT[0]).write_text("other")
    assert check(recorded, frame) == [f"{verify.EXACT[0]}: its bytes are not those recorded"]


def test_only_a_reference_that_came_after_the_record_may_be_new(recorded):
    more = scores(1)[lambda frame: frame["model"] == "input"].assign(model="Physics")
    assert check(recorded, pd.concat([scores(1), more])) == []
    further = more[more["dataset"] == "SFB1"].assign(model="input", dataset="SFB9")
    assert "input/SFB9/whole/psnr: not among" in check(recorded, pd.concat([scores(1), further]))[0]
    by_region = scores(1).assign(region="face", metric="ssim_region", value=0.9).drop_duplicates(verify.KEYS)
    assert check(recorded, pd.concat([scores(1), by_region])) == []
    both = verify.means(pd.concat([scores(1), by_region[by_region["dataset"] == "SFB1"]]))
    verify.write_expected(pd.DataFrame({1: both}), load_profile("smoke"), recorded)
    found = check(recorded, pd.concat([scores(1), by_region]))
    assert len(found) == len(MODELS) and "SFB2/face/ssim_region: not among" in found[0]


def test_other_conditions_and_profiles_are_said(recorded):
    check(recorded, scores(1))
    changed = load_profile("smoke", {"gan_rate": 0.1})
    assert "the profile's values" in verify.differences(changed, recorded)[0]
    recorded.data.mkdir(parents=True)
    (recorded.data / "dataset.json").write_text('{"head_segmenter": "COCO"}')
    assert "head_segmenter was '' and is 'COCO'" in check(recorded, scores(1))[0]


def test_exit_code_is_3_and_nothing_recorded_is_one_line(recorded, capsys):
    check(recorded, scores(1))
    assert verify.say_differences(load_profile("smoke"), recorded, Console()) == 0
    check(recorded, scores(1, shift=3))
    assert verify.say_differences(load_profile("smoke"), recorded, Console()) == 3
    assert "2 differences" in capsys.readouterr().err
    with pytest.raises(StudyError, match="write it with --record"):
        verify.differences(load_profile("sample"), recorded)


def test_disk_use_is_told_by_part(tmp_path):
    paths = RunPaths("smoke", tmp_path)
    paths.data.mkdir(parents=True)
    (paths.data / "faces.npy").write_bytes(b"x" * 30_000_000)
    assert disk.uses(paths)["data"] == 3e7
    lines = disk.disk_lines(load_profile("smoke"), paths)
    assert any(line.startswith("data") and "0.03 GB" in line for line in lines)
    needed = disk.needs(load_profile("thesis"), paths)
    # Three images of 256 x 256 x 3 bytes and two masks of one bit a pixel for 24 183 faces, and kernels.
    assert needed["data"] / 24183 == pytest.approx(9 * 65536 + 16384, rel=0.05)


@pytest.mark.parametrize(
    ("profile", "key", "runs"),
    [
        ("losses", "loss_seeds", experiments.loss_runs),
        ("architectures", "architecture_seeds", experiments.architecture_runs),
        ("kinds", "kind_seeds", experiments.kind_runs),
        ("study", "seeds", experiments.training_runs),
    ],
)
def test_disk_is_needed_for_every_training_of_every_seed(profile, key, runs, tmp_path):
    one, two = (load_profile(profile, {key: seeds, "restorer_runs": []}) for seeds in (1, 2))
    more = disk.needs(two, RunPaths(profile, tmp_path))["checkpoints"]
    more -= disk.needs(one, RunPaths(profile, tmp_path))["checkpoints"]
    assert more == sum(setup.disk_needed(run, one) for run in runs(one).values())


def test_cleaning_asks_and_spares_the_published_figures(tmp_path):
    for profile in ("smoke", "study"):
        paths = RunPaths(profile, tmp_path)
        paths.run.mkdir(parents=True)
        paths.figures.mkdir(parents=True)
        with pytest.raises(UsageError, match="asks before"):
            disk.clean(paths)
        assert disk.clean(paths, ask=lambda question: "no") == "Nothing was deleted."
        assert paths.run.exists()
        assert "Deleted" in disk.clean(paths, ask=lambda question: "yes")
        assert not paths.run.exists()
        assert paths.figures.exists() == (profile == "study")


def test_cleaning_leaves_what_the_run_did_not_make(tmp_path):
    paths = RunPaths("mine", tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    for folder in (paths.data, paths.results, paths.tables, elsewhere):
        folder.mkdir(parents=True)
    made = [paths.data / "faces.npy", paths.figures / "fig_5_01.png", paths.tables / "table_5_4.csv"]
    own = [paths.run / "thesis.docx", paths.figures / "poster.svg", elsewhere / "photo.jpg"]
    for path in made + own:
        path.write_text("x")
    paths.checkpoints.symlink_to(elsewhere)  # as people do whose disk is small
    said = disk.clean(paths, ask=lambda question: "yes")
    assert all(path.exists() for path in own) and not any(path.exists() for path in made)
    assert not paths.checkpoints.is_symlink() and "thesis.docx" in said and "poster.svg" in said


@pytest.mark.parametrize("name", ["..", ".", "../..", "a/b", "{base}", "", "con", "a\\b", "x" * 65])
def test_a_name_that_is_a_path_deletes_nothing(tmp_path, name):
    base = tmp_path / "deep" / "enough"  # for this test to be harmless where it fails
    foreign = base / "runs" / "mine.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("x")
    name = name.format(base=base)
    with pytest.raises(UsageError, match="name must be"):
        disk.clean(RunPaths(name, base), ask=lambda question: "yes")
    with pytest.raises(UsageError, match="name must be"):
        run_paths(name, base)
    assert foreign.exists()


def test_scores_are_kept_beside_the_figures(tmp_path):
    paths = RunPaths("smoke", tmp_path)
    paths.results.mkdir(parents=True)
    scores(1).to_csv(paths.scores, index=False)
    disk.keep_scores(paths)
    kept = paths.figures / "scores.csv.gz"
    assert pd.read_csv(kept).equals(pd.read_csv(paths.scores))
    before = kept.read_bytes()
    disk.keep_scores(paths)
    assert kept.read_bytes() == before


def test_a_published_manifest_has_nothing_for_the_next_run_alone(tmp_path):
    manifest = Manifest(RunPaths("smoke", tmp_path))
    manifest.facts |= {"large_files": {"a": [1]}, "stages": {"05": {"seconds": 2}}}
    manifest.publish(tmp_path / "smoke_manifest.json")
    assert json.loads((tmp_path / "smoke_manifest.json").read_text()) == {"stages": {"05": {"seconds": 2}}}


def test_infinite_scores_are_equal_to_infinite_ones(recorded):
    frame = scores(1)
    frame.loc[frame["model"] == "input", "value"] = np.inf
    by_seed = pd.DataFrame({seed: verify.means(frame) for seed in (1, 2)})
    assert np.isfinite(verify.tolerances(by_seed)).all()
    verify.write_expected(by_seed, load_profile("smoke"), recorded)
    assert check(recorded, frame) == []


def test_seeds_become_columns_and_what_is_not_trained_is_the_same_in_all():
    from facedeblur_utils.evaluation.scores import SEED
    from facedeblur_utils.running import record

    rows = [("input", 20.0), ("GSFB2", 21.0), (f"GSFB2{SEED}2", 22.0)]
    frame = pd.DataFrame(
        [(model, "SFB1", "0", "whole", "psnr", value) for model, value in rows],
        columns=["model", "dataset", "image_id", "region", "metric", "value"],
    )
    wide = record.scores_by_seed(frame)
    assert wide.loc[("GSFB2", "SFB1", "whole", "psnr")].tolist() == [21, 22]
    assert wide.loc[("input", "SFB1", "whole", "psnr")].tolist() == [20, 20]


def test_a_metric_that_a_kept_seed_lacks_has_no_spread_but_a_fixed_tolerance():
    from facedeblur_utils.evaluation.scores import SEED
    from facedeblur_utils.running import record

    rows = [(model, "psnr", 21.0 + extra) for model, extra in (("GSFB2", 0.0), (f"GSFB2{SEED}2", 0.2))]
    frame = pd.DataFrame(
        [
            (model, "SFB1", "0", "whole", metric, value)
            for model, metric, value in [*rows, ("GSFB2", "lpips", 0.3)]
        ],
        columns=["model", "dataset", "image_id", "region", "metric", "value"],
    )
    by_seed = record.scores_by_seed(frame)
    assert by_seed.loc[("GSFB2", "SFB1", "whole", "lpips")].isna().tolist() == [False, True]
    allowed = verify.tolerances(by_seed).loc["GSFB2", "SFB1", "whole"]
    assert allowed["lpips"] == verify.OTHER_ONE_SEED
    assert allowed["psnr"] == pytest.approx(verify.SIGMAS * 0.2 / np.sqrt(2))


def test_a_key_younger_than_the_record_counts_only_where_it_is_set():
    study = load_profile("study")
    recorded = json.loads(verify.expected_file(study).read_text(encoding="utf-8"))["profile"]
    assert verify._profile_digest(study) == recorded
    assert verify._profile_digest(load_profile("study", {"restorer_average": 0.5})) != recorded
