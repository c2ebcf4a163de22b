"""Runs one stage in processes of its own, and says what became of it.

A stage has succeeded when its notebook ran through all its cells and its declared outputs are there:
papermill's exit alone is not believed.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from facedeblur_utils.files import write_text
from facedeblur_utils.paths import ROOT, RunPaths
from facedeblur_utils.progress import duration
from facedeblur_utils.running import processes
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.pipeline import Stage

SAMPLE_SECONDS = 0.5  # between looks at the memory
STAGE, RUN_ID = "FACEDEBLUR_STAGE", "FACEDEBLUR_RUN_ID"  # what exports note as their origin
# MediaPipe's libraries say this at every start, whatever log level is asked for.
CHATTER = re.compile(r"[IW]0000 |WARNING: (All log|Logging before)|INFO: Created TensorFlow Lite")
ONE_LINE = ("StudyError", "UsageError")  # errors that need no traceback


class Interruption:
    """Set once by a signal; running stages look at it and end. A file, so that other machines see it too."""

    def __init__(self, file: Path):
        self.file = file

    @property
    def reason(self) -> str:
        try:
            return self.file.read_text(encoding="utf-8")
        except OSError:
            return ""

    def set(self, reason: str) -> None:
        if not self.reason:
            write_text(self.file, reason)

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)


@dataclass
class Outcome:
    """What became of one stage: `problem` is empty when it succeeded, else a report of several lines."""

    stage: str
    seconds: float
    peak_bytes: int
    copy: Path
    log: Path
    problem: str = ""
    facts: dict = field(default_factory=dict)  # kind of failure, notebook, cell: for JSON lines

    @property
    def ok(self) -> bool:
        return not self.problem


def run_stage(
    stage: Stage,
    paths: RunPaths,
    console: Console,
    interruption: Interruption,
    *,
    variables: dict | None = None,
    prefix: bool = False,
) -> Outcome:
    """Run the stage's notebook; `variables` are added to its environment, `prefix` marks its lines."""
    for folder in (paths.notebooks, paths.logs):
        folder.mkdir(parents=True, exist_ok=True)
    copy, log = paths.notebooks / f"{stage.name}.ipynb", paths.logs / f"{stage.name}.log"
    copy.unlink(missing_ok=True)
    before = {path: _written(path) for path in stage.outputs}
    kills = processes.out_of_memory_kills()
    scratch = Path(tempfile.mkdtemp(prefix="facedeblur_"))
    # The same for every run of this stage in this folder: leftovers of a killed run are found and ended.
    mark = hashlib.sha256(f"{paths.run}\n{stage.name}".encode()).hexdigest()
    processes.end(mark)
    begin = time.monotonic()
    try:
        status_file = scratch / "status.json"
        environment = _environment(scratch) | {processes.MARK: mark} | (variables or {})
        errors = (scratch / "stderr").open("w+", encoding="utf-8", errors="replace")
        child = _start(stage, copy, status_file, scratch, environment, errors)
        reader = threading.Thread(target=_pass_on, args=[child.stdout, stage.name, log, console, prefix])
        reader.start()
        ended_by, peak = _watch(child, stage.time_limit, begin, interruption)
        processes.end(mark, first=child.pid if ended_by else None)
        child.wait()
        reader.join(timeout=10)
        status = _read(status_file)
        errors.seek(0)
        status["last_words"] = [line.rstrip() for line in errors if line.strip()][-5:]
        errors.close()
    finally:
        processes.end(mark)
        shutil.rmtree(scratch, ignore_errors=True)
    status |= {"ended_by": ended_by, "exit": child.returncode}
    status["memory"] = processes.out_of_memory_kills() > kills
    seconds, peak = time.monotonic() - begin, max(peak, status.get("peak_bytes", 0))
    outcome = Outcome(stage.name, seconds, peak, copy, log)
    why = _why(stage, status, before, outcome)
    if why:
        outcome.problem = _report(stage, status, why, outcome)
        outcome.facts = {"why": why[0], "notebook": str(stage.notebook), "cell": status.get("cell")}
        with log.open("a", encoding="utf-8") as lines:
            print(outcome.problem, file=lines)
    return outcome


def _environment(scratch: Path) -> dict:
    """The caller's environment, with this interpreter as the only kernel that can be meant by `python3`."""
    kernel = scratch / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    # JUPYTER_PATH comes before the kernels of user and system; start-up files of the user stay out, too.
    return os.environ | {
        "JUPYTER_PATH": str(scratch),
        "IPYTHONDIR": str(scratch / "ipython"),
        # The package that is fingerprinted is the one that runs, whichever is installed.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def _start(
    stage: Stage, copy: Path, status: Path, scratch: Path, environment: dict, errors
) -> subprocess.Popen:
    spec = {
        "notebook": str(stage.notebook),
        "copy": str(copy),
        "parameters": stage.parameters,
        "status": str(status),
        "parent": os.getpid(),
    }
    spec_file = scratch / "spec.json"
    spec_file.write_text(json.dumps(spec), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "facedeblur_utils.running.notebook_process", str(spec_file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,  # the notebook's own come through stdout; this is what is left of a crash
        env=environment,
        start_new_session=True,  # Ctrl-C at the terminal reaches run_all.py alone, which ends the stage
    )


def _pass_on(stream, name: str, log: Path, console: Console, prefix: bool) -> None:
    """Copy the notebook's lines to terminal and log; a rewritten line (\\r) counts as a line."""
    with log.open("w", encoding="utf-8") as lines:
        for chunk in iter(stream.readline, b""):
            for line in chunk.decode("utf-8", errors="replace").replace("\r", "\n").splitlines():
                if line.strip() and not CHATTER.match(line):
                    print(line.rstrip(), file=lines, flush=True)
                    console.passed(name, line.rstrip(), prefix)


def _watch(
    child: subprocess.Popen, limit: float, begin: float, interruption: Interruption
) -> tuple[str, int]:
    """Wait for the end; returns (why it has to be ended by force or "", peak resident bytes)."""
    peak = 0
    while True:
        try:
            child.wait(timeout=SAMPLE_SECONDS)
            return "", peak
        except subprocess.TimeoutExpired:
            peak = max(peak, processes.resident_bytes(child.pid))
        if interruption.reason:
            return interruption.reason, peak
        if time.monotonic() - begin > limit:
            return "time limit", peak


def _read(status_file: Path) -> dict:
    try:
        return json.loads(status_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"outcome": "did not start", "cell": None, "source": ""}


def _written(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.is_file() else None


def _why(stage: Stage, status: dict, before: dict, outcome: Outcome) -> list[str]:
    """First what went wrong in words, then the error's last lines; empty for a success."""
    kind, ended_by = status["outcome"], status["ended_by"]
    killed = status.get("kernel_exit") == -9 or (kind == "running" and status["exit"] == -9)
    if ended_by == "time limit":
        return [f"it ran into its time limit of {duration(stage.time_limit)}"]
    if ended_by:
        return [f"it was stopped by {ended_by}"]
    if status["memory"] and kind != "completed" or kind == "kernel died" and killed:
        used = f"{outcome.peak_bytes / 2**30:.1f} GiB"
        return [f"its process was killed, as happens when memory runs out (it held {used} when last seen)"]
    if kind == "kernel died":
        return [f"its kernel died (exit code {status.get('kernel_exit')})", *status["last_words"]]
    if kind == "exception" and status["name"] == "SystemExit":
        return [f"the notebook ended itself with sys.exit({status['message']})"]
    if kind == "exception" and status["name"] in ONE_LINE:
        return [status["message"]]
    if kind == "exception":
        return [f"{status['name']}: {status['message']}".splitlines()[0], *status["trace"]]
    if kind == "papermill failed":
        return [f"papermill could not run it: {status['name']}: {status['message']}"]
    if kind != "completed":
        return [f"its process ended too early (exit code {status['exit']}, {kind})", *status["last_words"]]
    missing = [path for path in stage.made if not path.is_file() or not path.stat().st_size]
    if missing:
        share = f"{len(missing)} of {len(stage.made)} missing"
        return [f"it ran to its end but did not make {missing[0]} ({share})"]
    old = [path for path in stage.outputs if _written(path) == before[path]]
    if old:
        return [f"it ran to its end but left {old[0]} as it was before ({len(old)} outputs are from before)"]
    return []


def _report(stage: Stage, status: dict, why: list[str], outcome: Outcome) -> str:
    cell = f", cell [{status['cell']}]" if status.get("cell") else ""
    lines = [f"error: {stage.name} failed after {duration(outcome.seconds)}: {why[0]}"]
    lines.append(f"  notebook {stage.notebook}{cell}")
    if cell and status.get("name") not in ONE_LINE:
        lines += [f"  > {line}" for line in status.get("source", "").strip().splitlines()]
    lines += [f"    {line}" for line in why[1:]]
    lines.append(f"  executed copy: {outcome.copy if outcome.copy.is_file() else 'none was written'}")
    lines.append(f"  log: {outcome.log}; the same command goes on from here")
    return "\n".join(lines)
