"""Copies of checkpoints to a second folder: verified, brought back, and never in the way of training."""

import os
import shutil
import time

import pytest
from fake_pairs import use_fakes, use_small_vgg

from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import run_paths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.training import loops, mirror
from facedeblur_utils.training.experiments import training_runs
from facedeblur_utils.training.mirror import Mirror


@pytest.fixture
def folders(tmp_path):
    source, drive = tmp_path / "run", tmp_path / "drive"
    source.mkdir()
    drive.mkdir()
    (source / "state.pt").write_bytes(os.urandom(3_000_000))
    (source / "strips").mkdir()
    (source / "strips" / "epoch_0001.png").write_bytes(b"picture")
    return source, drive / "smoke" / "run"


def same_files(first, second):
    one, other = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (first, second)
    )
    return one == other


def test_copies_and_brings_back(folders, tmp_path):
    source, target = folders
    copy = Mirror(source, target)
    copy.update()
    copy.finish()
    assert same_files(source, target)
    (source / "state.pt").write_bytes(b"newer")
    copy.update()
    copy.finish()
    assert (target / "state.pt").read_bytes() == b"newer"

    new_machine = tmp_path / "new" / "run"
    new_machine.mkdir(parents=True)
    (target / "state.pt.partial").write_bytes(b"half")
    assert Mirror(new_machine, target).bring_back() == 2
    (target / "state.pt.partial").unlink()
    assert same_files(new_machine, target)
    assert Mirror(new_machine, target).bring_back() == 0  # what is here counts


def test_a_drive_that_goes_away_and_comes_back(folders, capsys, monkeypatch):
    monkeypatch.setattr(mirror, "PAUSE_SECONDS", 0.01)
    source, target = folders
    drive, away = target.parents[1], target.parents[1].with_name("away")
    copy = Mirror(source, target)
    copy.update()
    copy.finish()
    drive.rename(away)
    for content in (b"second", b"third"):
        (source / "state.pt").write_bytes(content)
        copy.update()
        copy.finish()
    said = capsys.readouterr().out
    assert said.count("cannot copy checkpoints") == 1  # told once, not at each epoch
    assert "training goes on" in said
    assert not drive.exists()
    away.rename(drive)
    copy.update()
    copy.finish()
    assert "works again" in capsys.readouterr().out
    assert same_files(source, target)


def test_a_slow_drive_does_not_hold_training_up(folders, monkeypatch):
    source, target = folders
    genuine = mirror._copy
    monkeypatch.setattr(mirror, "_copy", lambda *pair: (time.sleep(0.3), genuine(*pair)))
    copy = Mirror(source, target)
    start = time.monotonic()
    for _ in range(5):
        copy.update()
    assert time.monotonic() - start < 0.2
    copy.finish()
    assert same_files(source, target)


def test_a_copy_that_differs_is_not_kept(folders, capsys, monkeypatch):
    source, target = folders
    monkeypatch.setattr(mirror, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(mirror.os, "fsync", lambda number: os.ftruncate(number, 100))
    copy = Mirror(source, target)
    copy.update()
    copy.finish()
    assert "differs from what was written" in capsys.readouterr().out
    assert not (target / "state.pt").exists()
    assert not list(target.rglob("*.partial"))


def test_a_run_goes_on_from_its_copy_on_a_new_machine(tmp_path, monkeypatch, capsys):
    use_fakes(monkeypatch)
    use_small_vgg(monkeypatch)
    drive = tmp_path / "drive"
    small = {"autoencoder_width": 4, "gan_width": 4, "precision": "fp32", "mirror": str(drive)}
    profile = load_profile("smoke", small)
    run = training_runs(profile)["GSFB2"]
    old, new = run_paths("smoke", tmp_path / "old"), run_paths("smoke", tmp_path / "new")
    with pytest.raises(StudyError, match="mirror folder .* does not exist"):
        loops.train(run, profile, old)
    drive.mkdir()
    history = loops.train(run, profile, old)
    shutil.rmtree(old.run)
    assert loops.train(run, profile, new).equals(history)
    assert "brought back from" in capsys.readouterr().out
    folder = new.training("GSFB2").path
    assert same_files(folder, drive / "smoke" / "GSFB2")
