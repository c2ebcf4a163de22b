"""Training in processes: killed at random moments and started again, and two processes against one."""

import multiprocessing
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_pairs import use_fakes, use_small_vgg
from safetensors.torch import load_file

from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.paths import RunPaths, run_paths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.training import loops, trained, workers
from facedeblur_utils.training.experiments import Run, training_runs

SMALL = {"autoencoder_width": 4, "gan_width": 4, "precision": "fp32"}
KILLS, EPOCHS = 10, 30


def train_alone(network: str, base: str) -> None:
    """The body of a process that will be killed."""
    patches = pytest.MonkeyPatch()
    use_fakes(patches)
    use_small_vgg(patches)
    torch.set_num_threads(1)
    run = Run("XSFB1", network, (("SFB1", EPOCHS),), (EPOCHS // 2, EPOCHS))
    loops.train(run, load_profile("smoke", SMALL), RunPaths("smoke", Path(base)))


def inode(file: Path) -> int | None:
    """Tells one state from the next; None while there is none, as for a moment while one is saved."""
    try:
        return file.stat().st_ino
    except FileNotFoundError:
        return None


@pytest.fixture(scope="module")
def processes():
    """Processes that start in no time: forked from a server that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["facedeblur_utils.training.loops", "pytest"])
    return context


@pytest.mark.parametrize("network", ["autoencoder", "gan"])
def test_ten_kills_at_random_moments_change_nothing(network, processes, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = processes.Process(target=train_alone, args=(network, str(whole)))
    process.start()
    process.join()
    assert process.exitcode == 0

    state = RunPaths("smoke", killed).training("XSFB1").state
    moments = random.Random(4)
    for _ in range(KILLS):
        process = processes.Process(target=train_alone, args=(network, str(killed)))
        process.start()
        before = inode(state)
        # At least one more epoch, then a moment anywhere in the next ones: in a step or while saving.
        while process.is_alive() and inode(state) in (None, before):
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.08))
        process.kill()
        process.join()
        assert process.exitcode == -9
    process = processes.Process(target=train_alone, args=(network, str(killed)))
    process.start()
    process.join()
    assert process.exitcode == 0
    for name in ("last.safetensors", "best.safetensors", f"epoch_{EPOCHS // 2:04d}.safetensors"):
        folders = (RunPaths("smoke", base).training("XSFB1").path for base in (whole, killed))
        first, second = (load_file(folder / name) for folder in folders)
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert not list(killed.rglob("*.partial"))


@pytest.fixture
def fakes(monkeypatch):
    use_fakes(monkeypatch, train=16)
    use_small_vgg(monkeypatch)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


def test_two_processes_give_the_losses_of_one(fakes, tmp_path, monkeypatch, capfd):
    genuine = workers.launch
    monkeypatch.setattr(workers, "launch", lambda *job: genuine(*job, worker="fake_launch"))
    histories = []
    for count in (1, 2):
        profile = load_profile("smoke", SMALL | {"processes": count})
        paths = run_paths("smoke", tmp_path / str(count))
        histories.append(loops.train(training_runs(profile)["ASFB1"], profile, paths))
    assert trained.run_facts(paths, "ASFB1")["processes"] == 2
    for column in ("loss", "mse", "perceptual", "val_psnr"):
        one, two = (history[column].to_numpy() for history in histories)
        assert np.allclose(one, two, rtol=1e-4, atol=1e-6), column
    assert "ASFB1: 2 epochs, fp32 on cpu, 2 processes" in capfd.readouterr().out


def test_the_gan_trains_in_two_processes_and_says_what_batch_norm_sees(fakes, tmp_path, monkeypatch, capfd):
    genuine = workers.launch
    monkeypatch.setattr(workers, "launch", lambda *job: genuine(*job, worker="fake_launch"))
    profile = load_profile("smoke", SMALL | {"processes": 2})
    paths = run_paths("smoke", tmp_path)
    history = loops.train(training_runs(profile)["GSFB1"], profile, paths)
    assert np.isfinite(history["loss"]).all()
    assert "batch norm sees each process's share" in capfd.readouterr().out


def test_a_failing_worker_is_one_line(fakes, tmp_path, monkeypatch):
    profile = load_profile("smoke", SMALL | {"processes": 2})
    paths = run_paths("smoke", tmp_path)
    with pytest.raises(StudyError, match="train GSFB2 first") as caught:
        workers.launch("GSFB2_100", profile, paths, worker="fake_launch")
    assert "\n" not in str(caught.value)


def test_runs_trained_apart_have_the_bits_of_runs_trained_here(fakes, tmp_path, monkeypatch, capfd):
    profile = load_profile("smoke", SMALL)
    runs = {name: training_runs(profile)[name] for name in ("ASFB1", "GSFB1")}
    here, apart = run_paths("smoke", tmp_path / "here"), run_paths("smoke", tmp_path / "apart")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for run in runs.values():
        loops.train(run, profile, here)
    torch.set_num_threads(threads)
    capfd.readouterr()
    workers.train_apart(list(runs), profile, apart, 2, worker="fake_launch")
    assert "GSFB1: 2 epochs, fp32 on cpu" in capfd.readouterr().out
    for name in runs:
        first, second = (load_file(paths.training(name).weights("last")) for paths in (here, apart))
        assert all(torch.equal(first[key], second[key]) for key in first)
    with pytest.raises(StudyError, match="train GSFB2 first"):
        workers.train_apart(["GSFB2_100"], profile, apart, 2, worker="fake_launch")


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    profile = load_profile("smoke", SMALL | {"processes": 3})
    with pytest.raises(UsageError, match="batch_size 4 can't be shared equally by 3"):
        workers.launch("ASFB1", profile, run_paths("smoke", tmp_path))
