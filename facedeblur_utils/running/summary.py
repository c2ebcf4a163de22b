"""Says in words what a plan would do, and what a run has done."""

from facedeblur_utils.progress import duration
from facedeblur_utils.running import freshness
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.pipeline import in_order, upstream
from facedeblur_utils.running.scheduler import Plan, Result, memory

SHOWN_REASONS = 4


def states(plan: Plan, manifest: Manifest) -> list[tuple[str, str, list[str]]]:
    """(stage, state, reasons) of each chosen stage: fresh, stale, missing, or waits.

    A stage `waits` when only its inputs can make it run and one that makes them has to run first: whether
    it must run too shows when those inputs are there.
    """
    found, unsettled = {}, set()
    for stage in in_order(plan.chain):
        state = freshness.look(stage, plan.profile, manifest)
        before = [other.name for other in upstream(stage, plan.chain) if other.name in unsettled]
        word, reasons = state.word, state.reasons
        own = [reason for reason in reasons if not reason.startswith("input ")]
        if before and not own:
            word, reasons = "waits", [f"for {', '.join(before)}"]
        if word != "fresh":
            unsettled.add(stage.name)
        found[stage.name] = (stage.name, word, reasons)
    return [found[stage.name] for stage in plan.chosen]


def show_states(
    plan: Plan, manifest: Manifest, console: Console, expected: dict[str, float], only_running: bool = False
) -> None:
    """Print each chosen stage with its state, times and the reasons; `only_running`: those that would run.

    Times are what a stage is expected to take now (seconds by name) and what it took last.
    """
    rows = states(plan, manifest)
    if only_running and not plan.force:
        rows = [row for row in rows if row[1] != "fresh"]
    console.say(f"{'stage':<28} {'state':<8} {'expected':>12} {'last took':>12}", event="head", minor=True)
    for name, word, reasons in rows:
        more = f"; and {len(reasons) - SHOWN_REASONS} more" if len(reasons) > SHOWN_REASONS else ""
        took = manifest.stages.get(name, {}).get("seconds")
        times = [duration(seconds) if seconds else "–" for seconds in (expected.get(name), took)]
        text = (
            f"{name:<28} {word:<8} {times[0]:>12} {times[1]:>12}  {'; '.join(reasons[:SHOWN_REASONS])}{more}"
        )
        facts = {"expected": expected.get(name), "took": took}
        console.say(text.rstrip(), event="stage", stage=name, state=word, reasons=reasons, **facts)
    if only_running:
        sure = len(rows) if plan.force else sum(word != "waits" for _, word, _ in rows)
        console.say(f"{sure} of {len(plan.chosen)} stages would run; nothing was run.", event="plan")


def sum_up(plan: Plan, result: Result, console: Console, expected: float = 0.0) -> None:
    """Say what was made, where, and what it cost, beside the seconds that were `expected`."""
    paths = plan.paths
    console.say("", minor=True)
    for outcome in result.outcomes:
        line = f"{outcome.stage:<30} {duration(outcome.seconds):>12} {memory(outcome.peak_bytes):>10}"
        console.say(line, event="cost", minor=True, stage=outcome.stage)
    made = {path for stage in plan.chosen for path in stage.made}
    tables = sum(path.suffix == ".csv" and path.parent == paths.tables for path in made)
    figures = sum(path.suffix == ".png" for path in made)
    networks = len({path.parent for path in made if path.suffix == ".safetensors"})
    peak = max((outcome.peak_bytes for outcome in result.outcomes), default=0)
    console.say(
        f"{tables} tables, {figures} figures, {networks} trained networks are there:"
        f" {len(result.outcomes)} stages ran, {len(result.fresh)} were up to date,"
        f" {duration(result.seconds)}"
        + (f" ({duration(expected)} were expected)" if expected else "")
        + (f", peak memory {memory(peak)}." if peak else "."),
        event="finished",
        seconds=round(result.seconds, 1),
        ran=[outcome.stage for outcome in result.outcomes],
        fresh=result.fresh,
        peak_bytes=peak,
    )
    for what, place in (
        ("Figures", paths.figures),
        ("Tables", paths.tables),
        ("Executed notebooks", paths.notebooks),
        ("Data, weights, scores", paths.run),
        ("Report", paths.report),
    ):
        console.say(f"{what + ':':<23}{place}", minor=True)
