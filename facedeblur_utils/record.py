"""Records a profile's expected results, with tolerances from several training seeds."""

import dataclasses

import pandas as pd

from facedeblur_utils import datasets, evaluation, scheduler, training, verify
from facedeblur_utils.console import Console
from facedeblur_utils.experiments import DATASETS, ablation_models, table_models
from facedeblur_utils.manifest import Manifest, only_one
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile


def record(plan: scheduler.Plan, console: Console) -> int:
    """Train `plan.profile.seeds` seeds and write the expected results; returns the exit code."""
    with only_one(plan.paths):
        manifest = Manifest(plan.paths)
        manifest.describe(plan.profile)
        # Literature, data and training; the scores of all seeds are then computed here.
        needed = [stage for stage in plan.chain if stage.name[:2] in ("01", "02", "03", "04")]
        result = scheduler.run(dataclasses.replace(plan, chosen=needed), manifest, console)
        if result.exit_code:
            return result.exit_code
        by_seed = scores_by_seed(plan.profile, plan.paths)
        file = verify.write_expected(by_seed, plan.profile, plan.paths)
    said = f"Wrote {file}: {len(by_seed)} values from {by_seed.shape[1]} training seeds."
    console.say(said, event="recorded")
    return 0


def scores_by_seed(profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """Mean scores of every model: one row per model, dataset, region and metric, one column per seed.

    The networks of all `profile.seeds` training seeds must have been trained in `paths`. The data is the
    same for all of them.
    """
    test_sets = [datasets.open_pairs(paths, name, "test") for name in DATASETS]
    checkpoints = table_models(profile) | ablation_models(profile)
    columns = {}
    for seed in range(1, profile.seeds + 1):
        parts = []
        for name, make in evaluation.scored_models(profile, paths):
            if name == evaluation.INPUT:
                restorer = make()
            else:
                point = checkpoints[name]
                network = training.load_network(paths, point.run, point.epoch, seed)
                restorer = evaluation.network_restorer(network)
            parts += [evaluation.score_pairs(name, restorer, pairs) for pairs in test_sets]
        columns[seed] = verify.means(pd.concat(parts))
    return pd.DataFrame(columns)
