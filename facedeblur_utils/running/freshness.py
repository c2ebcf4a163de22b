"""Decides whether a stage has to run, and says why."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from facedeblur_utils import fingerprints
from facedeblur_utils.errors import StudyError
from facedeblur_utils.profiles import Profile
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.pipeline import Stage, producers

# Without effect on kept files. What `dataset_build` does reaches training as the bytes of its inputs.
WITHOUT_EFFECT = {f"facedeblur_utils.{name}" for name in ("errors", "paths", "progress", "data.build")}

LONGEST_SHOWN = 60  # characters of two values


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
    book = fingerprints.notebook_code(stage.notebook)
    codes = fingerprints.closure(book.modules)
    given = {key: value for key, value in stage.parameters.items() if key not in fingerprints.NOT_RESULTS}
    return {
        "notebook": book.digest,
        "modules": {name: code.digest for name, code in codes.items()},
        "parameters": {
            **fingerprints.settings(profile, {"": book, **codes}, stage.ignores),
            **stage.settings,
            **given,
        },
        "inputs": manifest.hashes((*stage.inputs, *stage.extras)),
        "versions": fingerprints.versions([book, *codes.values()]),
    }


def run_id(stage: Stage, found: dict) -> str:
    """Names a run by what went into it, so that equal runs have equal names (and equal bytes)."""
    return f"{stage.name}-{fingerprints.digest(found)[:10]}"


def growth_key(stage: Stage, profile: Profile, manifest: Manifest) -> str:
    """What kept files (datasets, weights) depend on: less than the notebook that shows them."""
    if not stage.core:
        return ""
    codes = fingerprints.closure([stage.core], stop=WITHOUT_EFFECT - {stage.core})
    return fingerprints.digest(
        [
            {name: code.digest for name, code in codes.items()},
            fingerprints.settings(profile, codes, stage.ignores) | stage.settings,
            manifest.hashes(stage.core_inputs),
            fingerprints.versions(codes.values()),
        ]
    )


def look(stage: Stage, profile: Profile, manifest: Manifest) -> State:
    """Compare a stage with its record."""
    now = fingerprint(stage, profile, manifest)
    record = manifest.stages.get(stage.name)
    if record is None:
        return State(now, ["it has not run yet"], missing=True)
    return State(now, changes(record["fingerprint"], now) + _outputs_changed(stage, record, manifest))


def changes(old: dict, new: dict) -> list[str]:
    """What differs between two fingerprints, in words."""
    found = [] if old["notebook"] == new["notebook"] else ["the notebook's code changed"]
    for part, what in (("modules", "module"), ("inputs", "input"), ("versions", "version of")):
        for name in sorted(set(old[part]) | set(new[part])):
            before, after = old[part].get(name), new[part].get(name)
            if before == after:
                continue
            how = f"{before} -> {after}" if part == "versions" and before and after else _how(before, after)
            found.append(f"{what} {name.removeprefix(fingerprints.NAME + '.')} {how}")
    for name in sorted(set(old["parameters"]) | set(new["parameters"])):
        before, after = old["parameters"].get(name), new["parameters"].get(name)
        if fingerprints.digest(before) != fingerprints.digest(after):  # tuples come back as lists
            short = len(f"{before}{after}") <= LONGEST_SHOWN
            found.append(f"{name} {before} -> {after}" if short else f"{name} changed")
    return found


def _how(before, after) -> str:
    return "is new" if before is None else "is gone" if not after else "changed"


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

    A run that was interrupted goes on with what it finds. But files grown under other code, values or
    inputs, or changed since they were recorded, would pass for new ones: they are renamed to `.previous`.
    """
    key, known = growth_key(stage, profile, manifest), manifest.facts["started"].get(stage.name)
    record = manifest.stages.get(stage.name, {"outputs": {}})["outputs"]
    now = manifest.hashes(stage.kept)
    damaged = [label for label, digest in now.items() if record.get(label, digest) != digest]
    moved = []
    if (known is not None and known != key) or damaged:
        for path in stage.renew:
            if path.exists():
                aside = path.with_name(path.name + ".previous")
                shutil.rmtree(aside) if aside.is_dir() else aside.unlink(missing_ok=True)
                path.rename(aside)
                moved.append(f"{path.name} is made anew; the earlier one is now {aside}")
    if stage.core:
        manifest.facts["started"][stage.name] = key
        manifest.save()
    return moved
