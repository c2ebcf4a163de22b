"""Starts several processes that train one run together, one per GPU or CPU share.

`loops.train` uses it where the profile's `processes` is above 1, in notebooks and in run_all.py alike:
new processes, so that it doesn't matter what the notebook has already done with CUDA.
"""

import os
import subprocess
import sys
import tempfile
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
        command += [run_name, "--profile", str(chosen), "--base", str(paths.base)]
        cores = min(psutil.cpu_count(logical=False) or available_cpus(), available_cpus())
        threads = str(max(1, cores // profile.processes))
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
        said = ""
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process:
            try:
                tail = []
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
            raise StudyError(said or f"training {run_name} in processes failed: {' | '.join(tail[-3:])}")
