"""Several stages at once, the GPUs they get, and what the console says in its three modes."""

import io
import json
import threading

import pytest
from test_pipeline import write_notebook

from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.running import pipeline, scheduler
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.execution import Outcome
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.pipeline import Stage


@pytest.fixture
def study(tmp_path, monkeypatch):
    """`run(jobs, console)` on four stages, the last of which needs the others; `seen` notes how they ran."""
    files = [tmp_path / f"made_{i}" for i in range(4)]
    book = write_notebook(tmp_path / "book.ipynb")
    chain = [Stage(f"stage_{i}", book, {}, outputs=(files[i],)) for i in range(3)]
    chain.append(Stage("stage_3", book, {}, inputs=tuple(files[:3]), outputs=(files[3],)))
    seen = {"order": [], "devices": [], "most": 0, "now": 0, "fail": ""}
    two = threading.Barrier(2)  # both of a pair must run at once, or the wait times out
    lock = threading.Lock()

    def run_stage(stage, paths, console, interruption, *, variables, prefix):
        with lock:
            seen["now"] += 1
            seen["most"] = max(seen["most"], seen["now"])
            seen["order"].append(stage.name)
            seen["devices"].append(variables.get("CUDA_VISIBLE_DEVICES"))
        if stage.name in ("stage_0", "stage_1") and prefix:
            two.wait(timeout=10)
        stage.outputs[0].write_text(stage.name)
        with lock:
            seen["now"] -= 1
        problem = "error: it broke" if stage.name == seen["fail"] else ""
        return Outcome(stage.name, 0.1, 1, tmp_path / "copy", tmp_path / "log", problem)

    monkeypatch.setattr(scheduler, "run_stage", run_stage)

    def run(jobs, console):
        paths = RunPaths("test", tmp_path)
        plan = scheduler.Plan(chain, chain, load_profile("smoke"), paths, jobs=jobs)
        return scheduler.run(plan, Manifest(paths), console)

    return run, seen


def test_one_job_at_a_time_in_order(study):
    run, seen = study
    assert run(1, Console("quiet", io.StringIO())).exit_code == 0
    assert seen["order"] == [f"stage_{i}" for i in range(4)]
    assert seen["most"] == 1


def test_two_jobs_run_side_by_side_each_with_a_gpu_and_keep_to_the_graph(study, monkeypatch):
    run, seen = study
    monkeypatch.setattr(scheduler, "gpus", lambda: [("0", "A"), ("5", "B")])
    assert run(2, Console("quiet", io.StringIO())).exit_code == 0
    assert seen["most"] == 2
    assert sorted(seen["devices"][:2]) == ["0", "5"]
    assert seen["order"][-1] == "stage_3"


def test_what_the_longest_row_waits_for_starts_first(tmp_path):
    chain = pipeline.stages(load_profile("study"), RunPaths("study", tmp_path), {})
    followers = scheduler._followers(chain)
    networks = {name: count for name, count in followers.items() if name.startswith(("03", "04"))}
    # GSFB2 leads to the long mixed run, all to the scores and to notebook 07, those to 06, this to 08.
    assert networks.pop("04_train_gan_GSFB2") == 3
    assert (
        set(networks.values()) == {2} and followers["07_modern_restorer"] == followers["05_cross_eval"] == 1
    )
    assert followers["02_dataset_build"] == 4 and followers["08_deblur_your_photo"] == 0


def test_after_a_failure_nothing_new_starts(study):
    run, seen = study
    seen["fail"] = "stage_1"
    errors = io.StringIO()
    result = run(1, Console("quiet", io.StringIO(), errors))
    assert result.exit_code == 1
    assert seen["order"] == ["stage_0", "stage_1"]
    assert errors.getvalue() == "error: it broke\n"


def test_json_lines_are_whole_and_quiet_is_quiet(study):
    run, _ = study
    said = io.StringIO()
    run(1, Console("json", said))
    events = [json.loads(line) for line in said.getvalue().splitlines()]
    done = [facts["stage"] for facts in events if facts["event"] == "done"]
    assert done == [f"stage_{i}" for i in range(4)]
    assert all(facts["time"] > 1e9 for facts in events)
    quiet = io.StringIO()
    console = Console("quiet", quiet)
    assert run(1, console).fresh
    console.passed("stage_0", "a line of the notebook")
    assert quiet.getvalue() == ""
