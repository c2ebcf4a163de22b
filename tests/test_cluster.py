"""Stages on a local Dask cluster, one worker of which is killed in the middle of a training."""

import os
import signal
import time
from pathlib import Path

import pytest
from test_faults import FINISH, TRAIN, left_behind, wait_for
from test_pipeline import write_notebook

from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.running import cluster, scheduler
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.pipeline import Stage

distributed = pytest.importorskip("distributed", reason="the optional package distributed is not installed")


@pytest.fixture
def local(monkeypatch, tmp_path):
    monkeypatch.setenv("FAULT_TEST", str(tmp_path))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as started:
        yield started


def test_a_killed_worker_costs_one_epoch_and_the_result_is_the_same(local, tmp_path):
    write_notebook(tmp_path / "train.ipynb", TRAIN, FINISH, parameters='OUTPUT = ""')
    (tmp_path / "fault").write_text("time.sleep(600)")
    made = tmp_path / "made.txt"
    stage = Stage("train", tmp_path / "train.ipynb", {"OUTPUT": str(made)}, outputs=(made,))
    paths = RunPaths("test", tmp_path)
    plan = scheduler.Plan([stage], [stage], load_profile("smoke"), paths, jobs=2)

    with cluster.connect(local.scheduler_address, paths) as (submit, slots):
        assert slots == 2

        def submit_and_kill(stage, run_id):
            future = submit(stage, run_id)
            assert wait_for(lambda: (tmp_path / "epochs" / "2").exists())
            (tmp_path / "fault").unlink()
            kill_busy_worker(local)
            return future

        result = scheduler.run(plan, Manifest(paths), Console("quiet"), submit_and_kill)
    assert result.exit_code == 0
    assert made.read_text() == "0 1 4 9 16 25"
    log = (paths.logs / "train.log").read_text()
    assert "epoch 3" in log and "epoch 2" not in log  # the second worker went on
    assert [record["outputs"] for record in Manifest(paths).stages.values()]
    assert wait_for(lambda: not kernels(tmp_path), 10)


def kill_busy_worker(local) -> None:
    with distributed.Client(local.scheduler_address, set_as_default=False) as client:
        busy = [worker for worker, tasks in client.processing().items() if tasks]
        pids = client.run(os.getpid, workers=busy)
    os.kill(next(iter(pids.values())), signal.SIGKILL)
    time.sleep(0.1)


def kernels(base: Path) -> list:
    return [p for p in left_behind(base) if "ipykernel_launcher" in " ".join(p.cmdline())]


def test_no_scheduler_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with (
        pytest.raises(StudyError, match="no Dask scheduler answers at tcp://127.0.0.1:9"),
        cluster.connect("tcp://127.0.0.1:9", RunPaths("test", tmp_path)),
    ):
        pass
