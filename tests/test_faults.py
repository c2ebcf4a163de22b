"""What goes wrong while a notebook runs: one clear report, exit code 1, no process left, and it goes on.

A driver process runs a made-up training notebook that keeps a file per finished epoch, as training does.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

import psutil
import pytest
from test_pipeline import write_notebook

from facedeblur_utils.running.notebook_process import looking_again

EPOCHS = 6
TRAIN = """
import os, sys, time
from pathlib import Path
folder = Path(OUTPUT).parent / "epochs"
folder.mkdir(exist_ok=True)
for epoch in range(6):
    if (folder / str(epoch)).exists():
        continue
    (folder / str(epoch)).write_text(str(epoch * epoch))
    print("epoch", epoch, flush=True)
    fault = Path(OUTPUT).with_name("fault")
    if epoch == 2 and fault.exists():
        exec(fault.read_text())
"""
FINISH = """
Path(OUTPUT).write_text(" ".join((folder / str(epoch)).read_text() for epoch in range(6)))
"""
DRIVER = """
import sys
from pathlib import Path
from facedeblur_utils.running import scheduler
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.running.pipeline import Stage
from facedeblur_utils.profiles import load_profile
base = Path(sys.argv[1])
paths = RunPaths("test", base)
paths.run.mkdir(parents=True, exist_ok=True)
stage = Stage("train", base / "train.ipynb", {"OUTPUT": str(base / "made.txt")}, outputs=(base / "made.txt",),
              time_limit=float(sys.argv[2]))
plan = scheduler.Plan([stage], [stage], load_profile("smoke"), paths)
sys.exit(scheduler.run(plan, Manifest(paths), Console()).exit_code)
"""
HANG = "time.sleep(600)"
CHILD = "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
FAULTS = {  # name: (code at epoch 2, what the report must say, signal to the driver, time limit)
    "exception with a child process": (CHILD + "raise ValueError('bad')", "ValueError: bad", None, 300),
    "sys.exit(0)": ("sys.exit(0)", "ended itself with sys.exit(0)", None, 300),
    "kernel killed": ("os.kill(os.getpid(), 9)", "as happens when memory runs out", None, 300),
    "kernel crashed": ("os.abort()", "its kernel died (exit code -6)", None, 300),
    "time limit": (CHILD + HANG, "ran into its time limit of 8 s", None, 8),
    "SIGINT": (CHILD + HANG, "it was stopped by SIGINT", signal.SIGINT, 300),
    "SIGTERM": (CHILD + HANG, "it was stopped by SIGTERM", signal.SIGTERM, 300),
    "papermill's process killed": (HANG, "its process ended too early (exit code -15", "papermill", 300),
    "run_all itself killed": (HANG, "", signal.SIGKILL, 300),
}


def drive(base: Path, limit: float) -> subprocess.Popen:
    (base / "drive.py").write_text(DRIVER)
    return subprocess.Popen(
        [sys.executable, str(base / "drive.py"), str(base), str(limit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_behind(base: Path) -> list[psutil.Process]:
    """Processes that have anything to do with this test's folder, by environment or command."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get("FAULT_TEST") == str(base):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_leaves_no_process_and_is_recovered_from(tmp_path, monkeypatch, name):
    fault, said, how, limit = FAULTS[name]
    monkeypatch.setenv("FAULT_TEST", str(tmp_path))
    write_notebook(tmp_path / "train.ipynb", TRAIN, FINISH, parameters='OUTPUT = ""')
    (tmp_path / "fault").write_text(fault)
    driver = drive(tmp_path, limit)
    if how:
        assert wait_for(lambda: (tmp_path / "epochs" / "2").exists()), "the notebook did not start"
        time.sleep(0.5)
        if how == "papermill":
            children = psutil.Process(driver.pid).children()
            next(
                c for c in children if "facedeblur_utils.running.notebook_process" in c.cmdline()
            ).terminate()
        else:
            driver.send_signal(how)
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == (-9 if how == signal.SIGKILL else 1)
    if how == signal.SIGKILL:
        assert wait_for(lambda: not left_behind(tmp_path), 10)
    else:
        assert said in err
        assert str(tmp_path / "train.ipynb") in err and "cell [3]" in err
        assert "exec(fault.read_text())" in err  # the cell's source
        assert err.count("error: ") == 1
        assert str(tmp_path / "runs/test/notebooks/train.ipynb") in err
    assert not left_behind(tmp_path)
    assert not (tmp_path / "made.txt").exists()
    assert sorted(p.name for p in (tmp_path / "epochs").iterdir()) == ["0", "1", "2"]

    (tmp_path / "fault").unlink()
    out, err = (again := drive(tmp_path, 300)).communicate(timeout=60)
    assert again.returncode == 0, err
    assert "epoch 3" in out and "epoch 2" not in out  # it went on instead of starting anew
    assert (tmp_path / "made.txt").read_text() == "0 1 4 9 16 25"


def wait_for(condition, seconds: float = 40) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_an_answer_whose_announcement_was_lost_is_found():
    """A channel that tells of nothing while it waits, but has the answer when asked again."""
    asked = []

    async def get_msg(timeout):
        asked.append(timeout)
        if len(asked) < 3 or timeout is None:
            raise Empty
        return {"content": "answer"}

    assert asyncio.run(looking_again(get_msg)()) == {"content": "answer"} and len(asked) == 3
    assert asyncio.run(looking_again(get_msg)(timeout=5.0)) == {"content": "answer"}

    async def nothing(timeout):
        raise Empty

    with pytest.raises(Empty):
        asyncio.run(looking_again(nothing)(timeout=0.01))
