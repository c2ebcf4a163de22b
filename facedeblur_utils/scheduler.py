"""Runs the chosen stages in order and sums up what was made."""

import signal
import sys
import threading
import time

from facedeblur_utils.console import Console
from facedeblur_utils.execution import Interruption, Outcome, run_stage
from facedeblur_utils.notebook_files import check_parameters
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.pipeline import Stage
from facedeblur_utils.progress import duration


def check(chosen: list[Stage]) -> None:
    """Raise UsageError for a notebook that can't be read or does not take its parameters."""
    for stage in chosen:
        check_parameters(stage.notebook, stage.parameters)


def run(chosen: list[Stage], paths: RunPaths, console: Console) -> int:
    """Run the stages; returns the exit code: 0, or 1 as soon as one failed or a signal came."""
    check(chosen)
    interruption, begin = Interruption(), time.monotonic()
    _catch_signals(interruption)
    outcomes = []
    for position, stage in enumerate(chosen, 1):
        console.say(f"[{position}/{len(chosen)}] {stage.name}", event="start", stage=stage.name)
        outcome = run_stage(stage, paths, console, interruption)
        outcomes.append(outcome)
        if not outcome.ok:
            console.fail(outcome.problem, stage=stage.name, **outcome.facts)
            return 1
        took = f"{stage.name} took {duration(outcome.seconds)}, {memory(outcome.peak_bytes)}"
        console.say(took, event="done", minor=True, stage=stage.name, seconds=outcome.seconds)
        if interruption.reason:  # came between two stages
            console.fail(f"error: stopped by {interruption.reason}; the same command goes on from here")
            return 1
    sum_up(chosen, outcomes, paths, console, time.monotonic() - begin)
    return 0


def _catch_signals(interruption: Interruption) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    names = ["SIGINT", "SIGTERM"] + (["SIGHUP"] if sys.platform != "win32" else [])
    for name in names:
        signal.signal(getattr(signal, name), lambda number, frame, name=name: interruption.set(name))


def sum_up(
    chosen: list[Stage], outcomes: list[Outcome], paths: RunPaths, console: Console, seconds: float
) -> None:
    """Say what was made, where, and what it cost."""
    width = max(len(outcome.stage) for outcome in outcomes)
    console.say("", minor=True)
    for outcome in outcomes:
        line = f"{outcome.stage:<{width}}  {duration(outcome.seconds):>12}  {memory(outcome.peak_bytes):>9}"
        console.say(line, minor=True)
    made = [path for stage in chosen for path in stage.made]
    tables = sum(path.suffix == ".csv" and path.parent == paths.tables for path in made)
    figures = sum(path.suffix == ".png" for path in made)
    weights = len({path.parent for path in made if path.suffix == ".safetensors"})
    peak = max(outcome.peak_bytes for outcome in outcomes)
    console.say(
        f"Made {tables} tables, {figures} figures, {weights} trained networks"
        f" in {duration(seconds)}, peak memory {memory(peak)}.",
        event="finished",
        seconds=round(seconds, 1),
        tables=tables,
        figures=figures,
        networks=weights,
        peak_bytes=peak,
    )
    for what, folder in (
        ("Figures", paths.figures),
        ("Tables", paths.tables),
        ("Executed notebooks", paths.notebooks),
        ("Data, weights, scores", paths.run),
    ):
        console.say(f"{what + ':':<23}{folder}", minor=True)


def memory(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
