"""What a profile needs and uses on disk, and removing it."""

import gzip
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from facedeblur_utils.blur.kinds import longest_kernel
from facedeblur_utils.data.datasets import DATASETS, DRAWS, MASKS
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.files import write_bytes
from facedeblur_utils.paths import PLAIN_WORDS, RunPaths, is_plain
from facedeblur_utils.profiles import Profile
from facedeblur_utils.reporting.provenance import data_made_with
from facedeblur_utils.training.experiments import (
    LEARNT,
    architecture_runs,
    blurrer_run,
    kind_runs,
    loss_runs,
    restorer_runs,
    training_runs,
)

FACES = {"sample": 999, "celeba-hq": 24_183}  # images of the known sources
# What a run makes in its own folder, and in that of its figures; all else there is someone's own.
MADE = (
    "checkpoints", "data", "data.building", "data.old", "data.lock", "logs", "manifest.json",
    "manifest.json.partial", "notebooks", "report.html", "report.html.partial", "results", "run_all.lock",
)  # fmt: skip
MADE_FIGURES = ("fig_*.*", "discussion_*.md", "*scores.csv.gz", "tables/table_*.*", "tables/references.bib")
EXPORTS = 200e6  # bytes of figures, tables and executed notebooks, measured on the sample profile, rounded up


def needs(profile: Profile, paths: RunPaths) -> dict[str, float]:
    """Bytes that a whole run of `profile` takes, by part; NaN where the number of images is unknown."""
    from facedeblur_utils.training import setup  # imports torch

    count = data_made_with(paths).get("found") or profile.limit or FACES.get(profile.source, float("nan"))
    pixels = profile.image_size**2
    stored = sum(row.stored(profile) for row in DATASETS.values())
    image = 3 * pixels * (1 + stored) + len(MASKS) * pixels / 8
    kernels = len(DRAWS) * 4 * longest_kernel(profile) ** 2
    further = {name: run for name, run in restorer_runs(profile).items() if name in profile.restorer_runs}
    trained = (
        (training_runs(profile) | further, profile.seeds),
        (kind_runs(profile), profile.kind_seeds),
        (loss_runs(profile), profile.loss_seeds),
        (architecture_runs(profile), profile.architecture_seeds),
        ({"": blurrer_run(profile)} if LEARNT in profile.kind_runs else {}, 1),
    )
    checkpoints = sum(
        seeds * setup.disk_needed(run, profile) for runs, seeds in trained for run in runs.values()
    )
    return {
        "data": count * (image + kernels),
        "checkpoints": float(checkpoints),
        "exports": EXPORTS,
    }


def uses(paths: RunPaths) -> dict[str, float]:
    """Bytes that the profile's run takes now, by the same parts."""
    exports = size(paths.figures) + size(paths.notebooks) + size(paths.results) + size(paths.logs)
    total = size(paths.run) + size(paths.figures)
    known = {"data": size(paths.data), "checkpoints": size(paths.checkpoints), "exports": exports}
    return known | {"other": total - sum(known.values())}


def keep_scores(paths: RunPaths) -> None:
    """Lay the scores of every image beside the figures and tables that are made of them, compressed."""
    for path in (paths.scores, paths.restorer_scores, paths.physics_scores):
        if path.is_file():
            write_bytes(paths.figures / f"{path.name}.gz", gzip.compress(path.read_bytes(), mtime=0))


def size(folder: Path) -> float:
    """Bytes of all files below `folder`."""
    return float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def disk_lines(profile: Profile, paths: RunPaths) -> list[str]:
    """The answer to `--disk`, in lines."""
    needed, used = needs(profile, paths), uses(paths)
    lines = [f"{'profile ' + profile.name:<14}{'needs':>10}{'uses now':>10}"]
    for part in used:
        lines.append(f"{part:<14}{_gb(needed.get(part)):>10}{_gb(used[part]):>10}")
    lines.append(f"{'total':<14}{_gb(sum(needed.values())):>10}{_gb(sum(used.values())):>10}")
    lines.append(f"free in {paths.run}: {_gb(shutil.disk_usage(paths.run).free)}")
    return lines


def clean(paths: RunPaths, ask=input) -> str:
    """Delete all that a profile's run has made, after asking; returns what was done.

    Nothing else goes: other files in its folders stay, links are removed and not followed, and
    `figures/study` is part of the repository. Raises UsageError where nobody can be asked, or where the
    profile's name leads out of the output folder.
    """
    if not is_plain(paths.profile):
        raise UsageError(f"a profile's name must be {PLAIN_WORDS}, got '{paths.profile[:80]}'")
    folders = [paths.run] + ([paths.figures] if paths.profile != "study" else [])
    if linked := [folder for folder in folders if folder.is_symlink()]:
        raise StudyError(f"{linked[0]} is a link to another place; delete it by hand")
    made = list(_made(paths))
    held = sum(size(path) if path.is_dir() else path.lstat().st_size for path in made)
    names = " and ".join(str(folder) for folder in folders)
    if ask is input and not sys.stdin.isatty():
        raise UsageError(f"--clean asks before it deletes what the run made in {names}; run it in a terminal")
    question = f"Delete what the run made in {names} ({_gb(held)}), trained weights included? Type 'yes': "
    if ask(question).strip() != "yes":
        return "Nothing was deleted."
    for path in made:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            raise StudyError(f"could not delete {path} ({error.strerror})") from None
    emptied = ([paths.tables, paths.figures] if paths.profile != "study" else []) + [paths.run]
    kept = [str(path) for folder in emptied for path in _left(folder) if path != paths.tables]
    said = f"; not the run's, and left: {', '.join(kept[:5])}{' …' * (len(kept) > 5)}" if kept else ""
    return f"Deleted what the run made in {names}{said}."


def _made(paths: RunPaths) -> Iterator[Path]:
    """The files and folders that a run makes, those that are there."""
    yield from (paths.run / name for name in MADE if os.path.lexists(paths.run / name))
    if paths.profile != "study":
        for pattern in MADE_FIGURES:
            yield from sorted(path for path in paths.figures.glob(pattern) if not path.parent.is_symlink())


def _left(folder: Path) -> list[Path]:
    """What lies in `folder`; where nothing does, the folder goes too."""
    left = sorted(folder.iterdir()) if folder.is_dir() else []
    if folder.is_dir() and not left:
        folder.rmdir()
    return left


def _gb(count: float | None) -> str:
    return "" if count is None else "unknown" if count != count else f"{count / 1e9:.2f} GB"
