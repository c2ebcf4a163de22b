"""Decides whether a stage has to run, and says why."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from facedeblur_utils import fingerprints
from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.notebook_files import notebook_code
from facedeblur_utils.running.pipeline import Stage, producers
from facedeblur_utils.training import identity
from facedeblur_utils.training.experiments import Run

NOT_RESULTS = ("PROFILE", "OVERRIDES", "OUTPUT")  # given by their resolved values, or only say where


@dataclass
class State:
    """`reasons` why a stage is not fresh; empty if it is. `missing`: it has never run to its end."""

    fingerprint: dict
    reasons: list[str] = field(default_factory=list)
    missing: bool = False

    @property
    def fresh(self) -> bool:
        return not self.reasons

    @property
    def word(self) -> str:
        return "fresh" if self.fresh else "missing" if self.missing else "stale"


def fingerprint(stage: Stage, profile: Profile, manifest: Manifest) -> dict:
    """Everything that the outputs of `stage` depend on, as it is now."""
    book = notebook_code(stage.notebook)
    codes = fingerprints.closure(book.modules)
    return {
        "notebook": book.digest,
        "modules": {name: code.digest for name, code in codes.items()},
        "parameters": {
            **{key: getattr(profile, key) for key in stage.keys},
            **stage.settings,
            **{key: value for key, value in stage.parameters.items() if key not in NOT_RESULTS},
        },
        "inputs": manifest.hashes((*stage.inputs, *stage.extras)),
        "versions": fingerprints.versions([book, *codes.values()]),
    }


def run_id(stage: Stage, found: dict) -> str:
    """Names a run by what went into it, so that equal runs have equal names (and equal bytes)."""
    return f"{stage.name}-{fingerprints.digest(found)[:10]}"


def look(stage: Stage, profile: Profile, manifest: Manifest) -> State:
    """Compare a stage with its record."""
    now = fingerprint(stage, profile, manifest)
    record = manifest.stages.get(stage.name)
    if record is None:
        return State(now, ["it has not run yet"], missing=True)
    return State(
        now, fingerprints.differences(record["fingerprint"], now) + _outputs_changed(stage, record, manifest)
    )


def _outputs_changed(stage: Stage, record: dict, manifest: Manifest) -> list[str]:
    now = manifest.hashes({*stage.made, *(manifest.paths.base / label for label in record["outputs"])})
    found = []
    for label, digest in now.items():
        name = Path(label).name
        if not digest:
            found.append(f"output {name} is missing")
        elif label not in record["outputs"]:
            found.append(f"output {name} is newly declared")
        elif digest != record["outputs"][label]:
            found.append(f"output {name} was changed")
    return found


def check_inputs(stage: Stage, chain: list[Stage]) -> None:
    """Raise StudyError naming the stage that makes a missing input."""
    made_by = producers(chain)
    for path in stage.inputs:
        if not path.is_file():
            how = f"made by {made_by[path].name}; run that first" if path in made_by else "which is missing"
            raise StudyError(f"{stage.name} needs {path}, {how}")


def set_aside(stage: Stage, profile: Profile, manifest: Manifest) -> list[str]:
    """Make way for kept files that have to be made anew; returns what was set aside, in words.

    A run that was interrupted goes on with what it finds. But networks trained with another configuration,
    code or data would be refused, and files changed since they were recorded would pass for whole ones:
    their folders are renamed to `.previous`. Datasets see to themselves (`data.build`).
    """
    why = {}
    record = manifest.stages.get(stage.name, {"outputs": {}})["outputs"]
    now = manifest.hashes(stage.kept)
    damaged = [label for label, digest in now.items() if record.get(label, digest) != digest]
    if damaged:
        why = dict.fromkeys(stage.renew, f"{Path(damaged[0]).name} was changed")
    for run in stage.runs:
        for seed in range(1, stage.seeds + 1):
            if said := _trained_otherwise(run, profile, manifest.paths, seed):
                why[manifest.paths.training(run.name, seed).path] = said
    moved = []
    for path, reason in why.items():
        if path.exists():
            aside = path.with_name(path.name + ".previous")
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink(missing_ok=True)
            path.rename(aside)
            moved.append(f"{path.name} is made anew ({reason}); the earlier one is now {aside}")
    return moved


def _trained_otherwise(run: Run, profile: Profile, paths: RunPaths, seed: int) -> str:
    """Why the run on disk can't be gone on with; empty where it can, or where there is none."""
    folder = paths.training(run.name, seed)
    if not folder.config.exists():
        return ""
    datasets = identity.datasets_of(run, paths)
    wanted = identity.identity_of(run, profile, profile.seed + seed - 1, datasets)
    return next(iter(identity.changes_on_disk(folder, wanted)), "")
