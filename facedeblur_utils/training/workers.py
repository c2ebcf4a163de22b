"""Starts processes that train: several for one run, one per GPU or CPU share, or one for each run.

`loops.train` uses it where the profile's `processes` is above 1, in notebooks and in run_all.py alike:
new processes, so that it doesn't matter what the notebook has already done with CUDA.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import psutil

from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.machine import available_cpus
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile, save_profile

ERROR_MARK = "facedeblur error: "
WORKER = "facedeblur_utils.training"  # run as a module: its __main__


def is_worker() -> bool:
    """True in a process that a launcher has started (torchrun and accelerate set this for their own)."""
    return "WORLD_SIZE" in os.environ


def launch(run_name: str, profile: Profile, paths: RunPaths, worker: str = WORKER) -> None:
    """Train `run_name` with `profile.processes` processes and show what the first one prints.

    `worker` is the module that each process runs. Raises StudyError with the workers' own line where they
    fail, UsageError where the batch can't be shared equally.
    """
    if profile.batch_size % profile.processes:
        raise UsageError(
            f"batch_size {profile.batch_size} can't be shared equally by {profile.processes} processes; "
            "choose a multiple"
        )
    with tempfile.TemporaryDirectory() as folder:
        chosen = save_profile(profile, Path(folder) / "profile.yaml")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(profile.processes), "-m", worker]
        command += [run_name, "--saved", str(chosen), "--base", str(paths.base)]
        cores = min(psutil.cpu_count(logical=False) or available_cpus(), available_cpus())
        _follow(run_name, command, threads=max(1, cores // profile.processes))


def train_apart(
    run_names: list[str], profile: Profile, paths: RunPaths, at_once: int, worker: str = WORKER
) -> None:
    """Train each of `run_names` in a process of one thread, `at_once` at a time; shows what they print.

    Raises StudyError with the line of the first one that fails, when all others have ended.
    """
    running: list[subprocess.Popen] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as pool:
        chosen = save_profile(profile, Path(folder) / "profile.yaml")
        options = ["--saved", str(chosen), "--base", str(paths.base)]
        try:
            jobs = [
                pool.submit(_follow, name, [sys.executable, "-m", worker, name, *options], 1, running)
                for name in run_names
            ]
            wait(jobs)
        except BaseException:  # the notebook's stop button
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.terminate()
            raise
        for job in jobs:
            job.result()


def _follow(run_name: str, command: list[str], threads: int, running: list | None = None) -> None:
    """Run a training process to its end, passing on its run's lines; its own error is raised as it stands."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    said, tail = "", []
    with subprocess.Popen(command, env=environment, **pipes) as process:
        if running is not None:
            running.append(process)
        try:
            for line in process.stdout:
                tail = [*tail[-20:], line.rstrip()]
                if ERROR_MARK in line and not said:
                    said = line.split(ERROR_MARK, 1)[1].strip()
                elif line.startswith(run_name):
                    print(line, end="", flush=True)
        except KeyboardInterrupt:
            process.terminate()
            raise
    if process.returncode:
        raise StudyError(said or f"training {run_name} in a process failed: {' | '.join(tail[-3:])}")
