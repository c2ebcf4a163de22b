"""Compares a run's results with recorded ones, each value within what another training seed would give."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation.scores import BLIND_ROWS, INPUT, REFERENCE_ROWS
from facedeblur_utils.files import write_text
from facedeblur_utils.fingerprints import digest, file_sha256
from facedeblur_utils.paths import EXPECTED, RunPaths
from facedeblur_utils.profiles import NO_RESULT, Profile
from facedeblur_utils.reporting import provenance
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.pipeline import TABLES

KEYS = ["model", "dataset", "region", "metric"]
SIGMAS = 5.0  # standard deviations, themselves estimated from few training seeds
# Other JPEG decoders and vector units change single grey levels, also where nothing was trained.
FLOOR = {"psnr": 0.02, "ssim": 0.001, "ssim_region": 0.001}
OTHER_FLOOR = 0.01
# For trained networks where one training seed is recorded, so that their spread isn't known.
ONE_SEED = {"psnr": 1.0, "ssim": 0.03, "ssim_region": 0.03}
OTHER_ONE_SEED = 0.05
UNTRAINED = {INPUT, *REFERENCE_ROWS} - set(BLIND_ROWS)  # on another machine a face may get another motion
EXACT = [f"{name}.csv" for name in TABLES["01"]]  # literature: text that is the same on every machine


YOUNGER = (
    "autoencoder_average",
    "gan_average",
    "restorer_average",
    "blur_kind",
    "head_region",
    "face_region",
    "autoencoder_losses",
    "gan_losses",
    "restorer_losses",
)  # keys that results were recorded without; they count where they are set

# Of other results than those recorded, or recorded apart.
NOT_RECORDED = {"seeds", "kind_runs", "kind_epochs", "kind_seeds", "loss_runs", "loss_epochs", "loss_seeds"}
NOT_RECORDED |= {"architectures", "architecture_seeds", "first_seed"}
YOUNGER_METRICS = ("ssim_region",)  # that results were recorded without; nothing else hangs on them


def expected_file(profile: Profile) -> Path:
    return EXPECTED / f"{profile.name}.json"


def means(scores: pd.DataFrame) -> pd.Series:
    """Mean over images of each model, dataset, region and metric; regions without a pixel are left out."""
    return scores.dropna(subset="value").groupby(KEYS)["value"].mean()


def tolerances(by_seed: pd.DataFrame) -> pd.Series:
    """How far one more training may lie from the mean of those recorded, for each row of `by_seed`.

    `by_seed` has one row per value and one column per training seed. The standard deviation is pooled over
    the networks of one kind on the same dataset, region and metric, and SIGMAS of it are given. A run on
    another processor differs by rounding that training amplifies, at most as far as another seed does.
    Where a single column has a value there is no spread: trained networks then get the fixed ONE_SEED, as
    the blind rows always do.
    """
    floor = by_seed.index.get_level_values("metric").map(lambda name: FLOOR.get(name, OTHER_FLOOR))
    floor = pd.Series(floor, by_seed.index)
    fixed = by_seed.index.get_level_values("metric").map(lambda name: ONE_SEED.get(name, OTHER_ONE_SEED))
    fixed = pd.Series(fixed, by_seed.index)
    models = by_seed.index.get_level_values("model")
    kind = models.str[0]
    groups = [kind, *(by_seed.index.get_level_values(key) for key in KEYS[1:])]
    one_seed = ~models.isin(UNTRAINED) & (by_seed.notna().sum(axis=1) == 1)
    variance = by_seed.where(np.isfinite(by_seed)).var(axis=1, ddof=1)  # equal images have infinite PSNR
    spread = variance.groupby(groups).transform("mean") ** 0.5
    return (SIGMAS * spread).fillna(floor).clip(lower=floor).mask(one_seed | models.isin(BLIND_ROWS), fixed)


def write_expected(by_seed: pd.DataFrame, profile: Profile, paths: RunPaths) -> Path:
    """Write the profile's expected results from the means over its training seeds (columns)."""
    allowed = tolerances(by_seed)
    values = {
        "/".join(key): {"value": round(value, 5), "tolerance": round(allowed[key], 5)}
        for key, value in by_seed.mean(axis=1).items()
    }
    facts = {
        "profile": _profile_digest(profile),
        "conditions": provenance.conditions(paths),
        "training_seeds": by_seed.shape[1],
        "values": values,
        "exact": {name: file_sha256(paths.tables / name) for name in EXACT},
    }
    return write_text(expected_file(profile), json.dumps(facts, indent=1) + "\n")


def differences(profile: Profile, paths: RunPaths) -> list[str]:
    """What differs from the recorded results, one line each; raises StudyError where either is missing."""
    file = expected_file(profile)
    if not file.is_file():
        raise StudyError(f"nothing is recorded for profile {profile.name}: no {file}; write it with --record")
    if not paths.scores.is_file():
        raise StudyError(f"no scores at {paths.scores}: run the whole profile first")
    expected = json.loads(file.read_text(encoding="utf-8"))
    found = []
    if expected["profile"] != _profile_digest(profile):
        found.append("the profile's values are not those of the recorded run")
    now = provenance.conditions(paths)
    for name, before in expected["conditions"].items():
        if now.get(name) != before:
            found.append(f"made under other conditions: {name} was '{before}' and is '{now.get(name)}'")
    scores = {"/".join(key): value for key, value in means(pd.read_csv(paths.scores)).items()}
    for name, known in expected["values"].items():
        if name not in scores:
            found.append(f"{name}: missing, expected {known['value']:.4f}")
        elif scores[name] != known["value"] and not abs(scores[name] - known["value"]) <= known["tolerance"]:
            found.append(
                f"{name}: {scores[name]:.4f}, expected {known['value']:.4f} ± {known['tolerance']:.4f}"
            )
    recorded = {part for name in expected["values"] for part in name.split("/")}
    # A reference or a metric that came after the record; nothing else hangs on it.
    later = {*REFERENCE_ROWS, *YOUNGER_METRICS} - recorded
    found += [
        f"{name}: not among the recorded values"
        for name in sorted(set(scores) - set(expected["values"]))
        if later.isdisjoint(name.split("/"))
    ]
    for name, before in expected["exact"].items():
        path = paths.tables / name
        if not path.is_file() or file_sha256(path) != before:
            found.append(f"{name}: its bytes are not those recorded")
    return found


def say_differences(profile: Profile, paths: RunPaths, console: Console) -> int:
    """Print what differs from the recorded results; returns the exit code, 0 or 3."""
    found, file = differences(profile, paths), expected_file(profile)
    for line in found:
        console.fail(line, event="difference")
    if found:
        console.fail(f"error: {len(found)} differences from {file}")
        return 3
    console.say(f"The results agree with {file}.", event="verified")
    return 0


def _profile_digest(profile: Profile) -> str:
    values = profile.as_dict()
    fields = Profile.__dataclass_fields__
    unset = {key for key in YOUNGER if values[key] in (fields[key].default, {})}
    return digest({key: values[key] for key in values if key not in NO_RESULT | NOT_RECORDED | unset})
