"""Results of single training seeds, kept in the repository: from several runs, or machines, one study.

Training all seeds takes longer than one machine is at hand. So the scores of each seed and the facts of its
trainings are kept in `expected/seeds/` as soon as they are there, and tables over seeds are made from all
that are.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from facedeblur_utils.evaluation.scores import COLUMNS, INPUT, REFERENCE_ROWS, SEED, split_seeds
from facedeblur_utils.files import write_bytes, write_text
from facedeblur_utils.fingerprints import digest
from facedeblur_utils.paths import RunPaths, seeds_folder
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training import trained
from facedeblur_utils.training.experiments import Run, training_runs
from facedeblur_utils.training.identity import datasets_of, identity_of

METRICS = ("psnr", "ssim", "ssim_region", "face_found", "landmark_error")  # that are kept
UNTRAINED = (INPUT, *REFERENCE_ROWS)  # the same for every seed
FACTS = ("precision", "cpu", "device", "threads", "torch")


def numbers(profile: Profile) -> range:
    """Numbers of the training seeds of a run by itself."""
    return range(profile.first_seed, profile.first_seed + profile.seeds)


def keep(scores: pd.DataFrame, profile: Profile, paths: RunPaths) -> list[Path]:
    """Write the scores of each training seed of a run, and facts of its trainings; returns the files.

    `scores` as `evaluate_all` gives them. Raises StudyError where a training of the run is missing.
    """
    runs, written = training_runs(profile), []
    scores = scores[scores["metric"].isin(METRICS) & ~scores["model"].isin(UNTRAINED)]
    scores = numbered(scores, profile)
    for index, number in enumerate(numbers(profile), start=1):
        facts = {name: _facts(run, profile, paths, index) for name, run in runs.items()}
        own = scores[scores["seed"] == number][COLUMNS]
        table = own.to_csv(index=False, lineterminator="\n", float_format="%.5g").encode()
        file = seeds_folder(profile.name) / f"seed_{number}"
        written += [
            write_bytes(file.with_suffix(".csv.gz"), gzip.compress(table, mtime=0)),
            write_text(file.with_suffix(".json"), json.dumps(facts, indent=1) + "\n"),
        ]
    return written


def with_kept(scores: pd.DataFrame, profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """`scores` of a run and, as further seeds, the kept ones of other runs that trained the same networks.

    Says which are left out because their networks, data or code were others.
    """
    parts = [read(number, profile.name) for number, _ in _usable(profile, paths, say=print)]
    if not parts:
        return scores
    own = numbered(scores, profile)
    later = own["seed"] > profile.first_seed
    own.loc[later, "model"] += SEED + own.loc[later, "seed"].astype(str)
    return pd.concat([own[COLUMNS], *parts], ignore_index=True)


def read(number: int, profile_name: str) -> pd.DataFrame:
    """The kept scores of a training seed, its number in the models' names."""
    file = seeds_folder(profile_name) / f"seed_{number}.csv.gz"
    table = pd.read_csv(file, dtype={"image_id": str})
    return table.assign(model=table["model"] + f"{SEED}{number}")


def numbered(scores: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """`scores` with plain model names, and the number of the training seed in a column of its own."""
    names, index = split_seeds(scores["model"])
    return scores.assign(model=names, seed=index + profile.first_seed - 1)


def trainings(profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """One row per training seed, the run's own and those kept: trainings, minutes, machine, precision."""
    runs = training_runs(profile)
    found = dict(_usable(profile, paths))
    for index, number in enumerate(numbers(profile), start=1):
        found[number] = {name: _facts(run, profile, paths, index) for name, run in runs.items()}
    rows = [
        {
            "seed": number,
            "trainings": len(facts),
            "minutes of a core": sum(fact["minutes"] for fact in facts.values()),
            "machine": ", ".join(sorted({fact["cpu"] for fact in facts.values()})),
            "precision": ", ".join(sorted({fact["precision"] for fact in facts.values()})),
        }
        for number, facts in sorted(found.items())
    ]
    return pd.DataFrame(rows)


def _usable(profile: Profile, paths: RunPaths, say=lambda line: None) -> Iterator[tuple[int, dict]]:
    """Number and facts of each kept seed that isn't the run's own and whose networks are the same."""
    wanted = {name: _identity(run, profile, paths) for name, run in training_runs(profile).items()}
    found = seeds_folder(profile.name).glob("seed_*.json")
    files = {int(file.stem.partition("_")[2]): file for file in found}
    for number in sorted(files.keys() - set(numbers(profile))):
        facts = json.loads(files[number].read_text(encoding="utf-8"))
        others = [name for name in wanted if facts.get(name, {}).get("identity") != wanted[name]]
        if others:
            say(f"{files[number]} is left out: its {', '.join(others)} were trained otherwise")
        else:
            yield number, facts


def _facts(run: Run, profile: Profile, paths: RunPaths, index: int) -> dict:
    config, history = trained.run_facts(paths, run.name, index), trained.read_history(paths, run.name, index)
    own = history[history["epoch"] > run.first_epoch]
    return {
        "identity": _identity(run, profile, paths),
        "minutes": round(float(own["seconds"].sum() + own["overhead_seconds"].sum()) / 60, 2),
        "validation": [round(value, 3) for value in history["val_psnr"].tail(10)],
        **{key: config[key] for key in FACTS},
    }


def _identity(run: Run, profile: Profile, paths: RunPaths) -> str:
    """Digest of all that makes the run's weights, but for its seed."""
    return digest(identity_of(run, profile, 0, datasets_of(run, paths)))
