"""What machine this is: the processors that may be used and what they can do, memory, GPUs."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "bf16")
STAGE_MEMORY = 1.6e9  # bytes of a stage at its highest, measured
CPU_QUOTAS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
QUOTA_PERIOD = 100_000  # microseconds, the default of both cgroup versions


def available_cpus() -> int:
    """Processors that this process may use: a container's share is often less than the machine has.

    torch starts a thread for each processor of the machine; where a quota allows two of 64, they would
    spend most of their time waiting for each other.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    for file in CPU_QUOTAS:
        try:
            quota, *period = file.read_text(encoding="utf-8").split()
            share = int(quota) / int(period[0] if period else QUOTA_PERIOD)
        except (OSError, ValueError):  # no such cgroup version, or "max": no quota
            continue
        if share > 0:
            count = min(count, max(1, round(share)))
    return count


def side_by_side(threads: int) -> int:
    """Stages of `threads` each (0: all cores), or of a GPU each, that fit this machine at once."""
    if count := len(gpus()):
        return count
    by_memory = int(psutil.virtual_memory().available // STAGE_MEMORY)
    return max(1, min(available_cpus() // threads, by_memory)) if threads else 1


def die_with_parent(parent: int) -> None:
    """End this process as soon as the one that started it, `parent`, is gone: nobody waits for it then."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def cpu_features() -> tuple[str, ...]:
    """Those of `CPU_FEATURES` that this CPU has; empty where the system doesn't list them."""
    flags = set(re.findall(r"\w+", _cpu_info().lower()))
    return tuple(name for name in CPU_FEATURES if name in flags)


def cpu_name() -> str:
    """The CPU's model name, or the architecture where the system doesn't tell."""
    found = re.search(r"model name\s*:\s*(.+)", _cpu_info())
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def gpus() -> list[tuple[str, str]]:
    """(id, name) of each NVIDIA GPU that may be used here; asks the driver, not torch."""
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        return []
    found = [tuple(part.strip() for part in line.split(",", 1)) for line in answer.stdout.splitlines()]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [(i, name) for i, name in found if allowed is None or i in allowed.split(",")]


def machine() -> dict:
    """Processor with the features that matter for speed and rounding, memory, GPUs."""
    return {
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "features": list(cpu_features()),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": [name for _, name in gpus()],
    }


def _cpu_info() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
