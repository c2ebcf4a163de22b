"""Process trees: the processors and memory they have, and ending them so that nothing is left behind."""

import contextlib
import os
from pathlib import Path

import psutil

MARK = "FACEDEBLUR_STAGE_MARK"  # in the environment of every process of a stage, grandchildren included
GRACE_SECONDS = 5.0
OOM_EVENTS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


def marked(mark: str) -> list[psutil.Process]:
    """All processes of one stage, also those whose parent has died; zombies are left out."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue  # not ours, or gone meanwhile
    return found


def end(mark: str, first: int | None = None) -> None:
    """End all processes of a stage: ask, wait, then kill until none is left.

    `first` (the process at the root) is killed at once, so that it can't start others meanwhile.
    """
    if first is not None:
        with contextlib.suppress(psutil.Error):
            psutil.Process(first).kill()
    processes = marked(mark)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    while left := marked(mark):
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=GRACE_SECONDS)


def resident_bytes(root: int) -> int:
    """Memory held by a process and its descendants, shared pages counted in each."""
    try:
        process = psutil.Process(root)
        tree = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in tree:
        with contextlib.suppress(psutil.Error):
            total += member.memory_info().rss
    return total


def out_of_memory_kills() -> int:
    """How many processes of this machine or container were killed for memory so far; 0 where unknown."""
    for events in OOM_EVENTS:
        try:
            for line in events.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        except (OSError, ValueError):
            continue
    return 0
