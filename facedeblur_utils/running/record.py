"""Records a profile's expected results, with tolerances from its training seeds."""

import dataclasses

import pandas as pd

from facedeblur_utils.evaluation import kept_seeds
from facedeblur_utils.evaluation.scores import read_scores, split_seeds
from facedeblur_utils.running import scheduler, verify
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.manifest import Manifest, only_one

STAGES = ("01", "02", "03", "04", "05")  # literature, data, training, scores


def record(plan: scheduler.Plan, console: Console) -> int:
    """Train `plan.profile.seeds` seeds and write the expected results; returns the exit code.

    Kept seeds of the same networks count as well.
    """
    with only_one(plan.paths):
        manifest = Manifest(plan.paths)
        manifest.describe(plan.profile)
        needed = [stage for stage in plan.chain if stage.name[:2] in STAGES]
        result = scheduler.run(dataclasses.replace(plan, chosen=needed), manifest, console)
        if result.exit_code:
            return result.exit_code
        scores = kept_seeds.with_kept(read_scores(plan.paths), plan.profile, plan.paths)
        by_seed = scores_by_seed(scores)
        file = verify.write_expected(by_seed, plan.profile, plan.paths)
        manifest.complete()
        manifest.publish(file.with_name(f"{file.stem}_manifest.json"))
    seeds = by_seed.shape[1]
    how = f"{seeds} training seeds" if seeds > 1 else "one training seed, with tolerances set, not measured"
    said = f"Wrote {file}: {len(by_seed)} values from {how}."
    console.say(said, event="recorded")
    return 0


def scores_by_seed(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean scores: one row per model, dataset, region and metric, one column per training seed.

    What isn't trained (the blurred input, classical methods) has the same value in all columns; what a kept
    seed has no score of is missing in its column.
    """
    found = verify.means(scores).reset_index()
    found["model"], found["seed"] = split_seeds(found["model"])
    wide = found.pivot(index=verify.KEYS, columns="seed", values="value")
    trained = ~wide.index.get_level_values("model").isin(kept_seeds.UNTRAINED)
    return wide.where(wide.notna() | trained[:, None], wide[1], axis=0)
