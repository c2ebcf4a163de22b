"""What a run is expected to take: the schedule by hand, images still to train, the words."""

import dataclasses
import io
import json

import pytest

from facedeblur_utils import machine
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.running import estimate, pipeline, scheduler
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.pipeline import Stage
from facedeblur_utils.training.experiments import training_runs

SPEED = dict.fromkeys(NETWORKS, 20.0) | {"autoencoder": 50.0, "gan": 10.0}
SPEED |= {"yardstick": estimate.REFERENCE, "disk": 2e9}


@pytest.fixture
def plan(tmp_path):
    profile, paths = load_profile("sample"), RunPaths("sample", tmp_path)
    paths.run.mkdir(parents=True)
    chain = pipeline.stages(profile, paths, {"PROFILE": "sample"})
    return scheduler.Plan(chain, chain, profile, paths, jobs=2)


def test_the_wall_clock_is_that_of_the_schedule(tmp_path):
    a, b, c, d = (tmp_path / name for name in "abcd")
    chain = [
        Stage("a", a, {}, outputs=(a,)),
        Stage("b", b, {}, inputs=(a,), outputs=(b,)),
        Stage("c", c, {}, inputs=(a,), outputs=(c,)),
        Stage("d", d, {}, inputs=(b, c), outputs=(d,)),
    ]
    seconds = {"a": 1.0, "b": 5.0, "c": 3.0, "d": 2.0}
    assert estimate.wall_seconds(chain, seconds, 1) == 11
    assert estimate.wall_seconds(chain, seconds, 2) == 1 + 5 + 2
    assert estimate.wall_seconds(chain, {"c": 3.0, "d": 2.0}, 2) == 5  # the others are there already
    assert estimate.wall_seconds(chain, seconds, 2, least=9.0) == 9  # b uses both cores


def test_only_what_is_left_of_a_training_counts(plan):
    run = training_runs(plan.profile)["GSFB1"]
    assert estimate.images_to_train(run, plan, 1000, 1) == pytest.approx(run.epochs * 900)
    history = plan.paths.training("GSFB1").history
    history.parent.mkdir(parents=True)
    history.write_text("epoch,loss\n1,0.5\n2,0.4\n")
    assert estimate.images_to_train(run, plan, 1000, 1) == pytest.approx((run.epochs - 2) * 900)
    assert estimate.images_to_train(run, plan, 1000, 2) == pytest.approx((2 * run.epochs - 2) * 900)


def test_a_slower_machine_takes_longer_in_training_and_in_all_else(plan):
    stage = next(stage for stage in plan.chain if stage.name == "04_train_gan_GSFB1")
    usual = estimate.stage_seconds(stage, plan, SPEED)
    work = estimate.WORK["04"][0]
    images = estimate.images_to_train(stage.runs[0], plan, 999, 1)
    assert usual == pytest.approx(estimate.BESIDE_STEPS * images / 10 + work)
    slow = SPEED | {"gan": 5.0, "yardstick": 2 * estimate.REFERENCE}
    assert estimate.stage_seconds(stage, plan, slow) == pytest.approx(2 * usual)


def test_a_loss_that_asks_a_network_takes_longer(plan):
    run = next(run for stage in plan.chain for run in stage.runs if run.name == "N_plus_landmark")
    plain = dataclasses.replace(run, losses=())
    stage = Stage("11_losses", plan.paths.run / "11_losses.ipynb", {}, runs=(plain,))
    images = estimate.images_to_train(run, plan, 999, 1)
    more = estimate.stage_seconds(dataclasses.replace(stage, runs=(run,)), plan, SPEED)
    more -= estimate.stage_seconds(stage, plan, SPEED)
    assert more == pytest.approx(estimate.BESIDE_STEPS * images * estimate.TERM_SECONDS["landmark"])


def test_it_is_said_before_the_run_starts(plan, monkeypatch):
    monkeypatch.setattr(estimate, "speeds", lambda profile, jobs, networks, measure=True: SPEED)
    said = io.StringIO()
    seconds = estimate.announce(plan, Manifest(plan.paths), Console("json", said))
    fact = json.loads(said.getvalue())
    assert fact["event"] == "estimate" and fact["seconds"] == round(seconds) > 60
    for words in (
        "2 at a time",
        "2.0 GB of disk are needed",
        "shorter: --profile smoke",
        "longer: --profile study",
    ):
        assert words in fact["text"]


def test_a_small_run_is_not_measured_and_an_unknown_speed_says_nothing(plan, monkeypatch):
    asked = []
    monkeypatch.setattr(estimate, "speeds", lambda *how, **more: asked.append(how) or {})
    assert estimate.announce(plan, Manifest(plan.paths), Console("quiet")) == 0 and asked
    asked.clear()
    smoke = load_profile("smoke")
    chain = pipeline.stages(smoke, plan.paths, {"PROFILE": "smoke"})
    names = [stage.name for stage in chain]
    found = estimate.expected(dataclasses.replace(plan, chain=chain, chosen=chain, profile=smoke), names)
    assert set(found) == set(names) and not asked


def test_real_steps_are_timed(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEDEBLUR_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "available_cpus", lambda: 1)
    found = estimate.speeds(load_profile("smoke", {"precision": "fp32"}), 1, ("blurrer", "gan", "part_judge"))
    assert set(found) == {"blurrer", "gan", "part_judge", "yardstick", "disk"}
    assert all(value > 0 for value in found.values())
    (known,) = tmp_path.glob("speeds/*.json")
    assert json.loads(known.read_text()) == found
