"""Runs the stages that need it, each when its inputs are made, one or several at a time."""

import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from facedeblur_utils.errors import StudyError
from facedeblur_utils.machine import gpus
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import duration
from facedeblur_utils.running import freshness
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.execution import RUN_ID, STAGE, Interruption, Outcome, run_stage
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.notebook_files import check_parameters
from facedeblur_utils.running.pipeline import Stage, in_order, upstream

POLL_SECONDS = 0.1


@dataclass
class Plan:
    """What to run and how: `chosen` stages of the whole `chain`."""

    chain: list[Stage]
    chosen: list[Stage]
    profile: Profile
    paths: RunPaths
    force: bool = False
    jobs: int = 1


@dataclass
class Result:
    """What became of a plan: outcomes of the stages that ran, names of those that were fresh."""

    exit_code: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    begun: int = 0
    seconds: float = 0.0


def check(chosen: list[Stage]) -> None:
    """Raise UsageError for a notebook that can't be read or does not take its parameters."""
    for stage in chosen:
        check_parameters(stage.notebook, stage.parameters)


def run(plan: Plan, manifest: Manifest, console: Console, submit: Callable | None = None) -> Result:
    """Run every chosen stage that is not fresh; stops at the first failure or signal.

    `submit(stage, run_id) -> Future` sends a stage elsewhere; by default `plan.jobs` run here, each with a
    GPU of its own where there are several.
    """
    check(plan.chosen)
    interruption, result, begin = Interruption(plan.paths.run / "stop"), Result(), time.monotonic()
    interruption.clear()
    pool = ThreadPoolExecutor(plan.jobs)
    restore = _catch_signals(interruption)
    try:
        submit = submit or _local(plan, pool, console, interruption)
        _loop(plan, manifest, console, submit, interruption, result)
    finally:
        pool.shutdown(wait=True)
        restore()
        interruption.clear()
        manifest.save()
    result.seconds = time.monotonic() - begin
    return result


def _loop(plan: Plan, manifest: Manifest, console: Console, submit, interruption, result: Result) -> None:
    waiting, running = list(plan.chosen), {}
    followers = _followers(plan.chain)
    while waiting or running:
        ready = [stage for stage in waiting if _ready(stage, plan.chain, waiting, running)]
        for stage in sorted(ready, key=lambda stage: -followers[stage.name]):  # else the last row runs alone
            if len(running) >= plan.jobs or result.exit_code or interruption.reason:
                break
            waiting.remove(stage)
            job = _begin(stage, plan, manifest, console, submit, result)
            if job:
                running[stage.name] = job
        for name in [name for name, job in running.items() if job.future.done()]:
            _finish(running.pop(name), manifest, console, result)
        if result.exit_code or interruption.reason:
            waiting.clear()
            if result.exit_code and running:
                interruption.set("the failure of another stage")
        elif running:
            time.sleep(POLL_SECONDS)
    if interruption.reason and not result.exit_code:  # came between two stages
        console.fail(f"error: stopped by {interruption.reason}; the same command goes on from here")
        result.exit_code = 1


def _ready(stage: Stage, chain: list[Stage], waiting: list[Stage], running: dict) -> bool:
    unfinished = {other.name for other in waiting} | set(running)
    return not unfinished & {other.name for other in upstream(stage, chain)}


def _followers(chain: list[Stage]) -> dict[str, int]:
    """How many stages wait for each stage in the longest row behind it."""
    longest = dict.fromkeys((stage.name for stage in chain), 0)
    for stage in reversed(in_order(chain)):
        for before in upstream(stage, chain):
            longest[before.name] = max(longest[before.name], longest[stage.name] + 1)
    return longest


@dataclass
class _Job:
    stage: Stage
    run_id: str
    fingerprint: dict
    begin: float
    future: Future


def _begin(stage: Stage, plan: Plan, manifest: Manifest, console: Console, submit, result) -> _Job | None:
    """Start a stage, or note that it needn't run (`None`)."""
    freshness.check_inputs(stage, plan.chain)
    state = freshness.look(stage, plan.profile, manifest)
    result.begun += 1
    place = f"[{result.begun}/{len(plan.chosen)}]"
    if state.fresh and not plan.force:
        console.say(f"{place} {stage.name}: up to date", event="fresh", minor=True, stage=stage.name)
        result.fresh.append(stage.name)
        return None
    why = "; ".join(state.reasons[:3]) or "--force"
    console.say(
        f"{place} {stage.name} ({why})", event="start", minor=True, stage=stage.name, reasons=state.reasons
    )
    for line in freshness.set_aside(stage, plan.profile, manifest):
        console.say(line, event="set_aside", stage=stage.name)
    run_id = freshness.run_id(stage, state.fingerprint)
    return _Job(stage, run_id, state.fingerprint, time.time(), submit(stage, run_id))


def _finish(job: _Job, manifest: Manifest, console: Console, result: Result) -> None:
    try:
        outcome = job.future.result()
    except StudyError as error:  # the engine lost it, for example a cluster without workers
        console.fail(f"error: {job.stage.name}: {error}", stage=job.stage.name)
        result.exit_code = 1
        return
    result.outcomes.append(outcome)
    if not outcome.ok:
        if not result.exit_code:  # those ended because of the first failure need no report
            console.fail(outcome.problem, stage=job.stage.name, **outcome.facts)
        result.exit_code = 1
        return
    manifest.record(job.stage, job.run_id, job.fingerprint, job.begin, outcome)
    console.say(
        f"{job.stage.name} took {duration(outcome.seconds)}, {memory(outcome.peak_bytes)}",
        event="done",
        minor=True,
        stage=job.stage.name,
        seconds=round(outcome.seconds, 1),
        peak_bytes=outcome.peak_bytes,
    )


def _local(plan: Plan, pool: ThreadPoolExecutor, console: Console, interruption: Interruption) -> Callable:
    """Runs stages in threads that watch processes; every job takes a GPU and gives it back."""
    free: queue.Queue = queue.Queue()
    devices = [index for index, _ in gpus()] if plan.jobs > 1 else []
    for index in devices:
        free.put(index)

    def work(stage: Stage, run_id: str) -> Outcome:
        variables = {RUN_ID: run_id, STAGE: stage.name}
        if plan.jobs > 1:  # waiting threads of one job shouldn't keep the other's from working
            variables |= {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
        device = free.get() if devices else None
        try:
            if device is not None:
                variables["CUDA_VISIBLE_DEVICES"] = device
            prefix = plan.jobs > 1
            return run_stage(stage, plan.paths, console, interruption, variables=variables, prefix=prefix)
        finally:
            if device is not None:
                free.put(device)

    return lambda stage, run_id: pool.submit(work, stage, run_id)


def _catch_signals(interruption: Interruption) -> Callable[[], None]:
    """Turn Ctrl-C and termination into an orderly end; returns what puts the old handlers back."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    names = ["SIGINT", "SIGTERM"] + (["SIGHUP"] if sys.platform != "win32" else [])
    old = {}
    for name in names:
        number = getattr(signal, name)
        old[number] = signal.signal(number, lambda number, frame, name=name: interruption.set(name))
    return lambda: [signal.signal(number, handler) for number, handler in old.items()]


def memory(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
