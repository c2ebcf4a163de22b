"""Builds the four datasets of the study: what decides their bytes, where they grow, how they are finished."""

import hashlib
import importlib.metadata
import json
import os
import shutil
from pathlib import Path

import pandas as pd
from filelock import FileLock

from facedeblur_utils.blur import kernels, operators
from facedeblur_utils.data import chunks, faces, mask_cache, recipe, segmentation, sources
from facedeblur_utils.data.array_file import disk_error
from facedeblur_utils.errors import StudyError
from facedeblur_utils.metrics import input_scores
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.reporting.tables import write_text
from facedeblur_utils.running.processes import available_cpus

CODE = (
    operators,
    recipe,
    faces,
    input_scores,
    kernels,
    segmentation,
)  # a change in these makes other data
PROFILE_KEYS = (
    "image_size", "first_number", "align", "limit", "split", "smallest_face", "blur_length", "blur_gamma",
    "noise", "composite", "seed",
)  # fmt: skip
VERSIONS = ("mediapipe", "numpy", "opencv-contrib-python", "pillow", "torch", "torchvision")
DONE = "dataset.json"


def build(profile: Profile, paths: RunPaths, workers: int = 0) -> Path:
    """Make the profile's datasets in `paths.data` and return that folder.

    Returns at once when they are there and were made from the same images, settings and code. An
    interrupted build goes on where it was. `workers` threads (default: one per core) change the time taken
    but not one byte. Raises StudyError for a source, disk or image folder that can't be used.
    """
    source = sources.open_source(profile)
    recipe = _recipe(profile, source)
    if _recipe_of(paths.data / DONE) == recipe["sha256"]:
        return paths.data
    paths.run.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.run / "data.lock"):
        if _recipe_of(paths.data / DONE) == recipe["sha256"]:  # another process has just made them
            return paths.data
        work = _workplace(paths, recipe)
        people = sources.identities(profile, source)
        ids = [item.image_id for item in source.items]
        split = faces.split_faces(ids, profile.split, profile.seed, people)
        records = chunks.fill(profile, source, split, work, workers or available_cpus())
        _finish(source, split, people, records, recipe, work)
        _publish(work, paths)
    return paths.data


def _recipe(profile: Profile, source: sources.Source) -> dict:
    """Everything that decides the bytes of the datasets."""
    settings = profile.as_dict()
    recipe = {
        "profile": {key: settings[key] for key in PROFILE_KEYS},
        "source": source.description,
        "source_listing": source.listing_hash(),
        "source_notes": source.notes,
        "identities": _file_hash(profile.identity_file),
        "models": mask_cache.model_hash(),
        "code": hashlib.sha256(b"".join(Path(m.__file__).read_bytes() for m in CODE)).hexdigest(),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
    }
    recipe["sha256"] = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    return recipe


def _recipe_of(path: Path) -> str:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["recipe"]["sha256"]
    except (OSError, ValueError, KeyError):
        return ""


def _file_hash(path: str) -> str:
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest() if path else ""


def _workplace(paths: RunPaths, recipe: dict) -> Path:
    """Folder of the unfinished build; what another recipe left there is removed."""
    work = paths.run / "data.building"
    marker = work / "recipe.json"
    if _recipe_of(marker) != recipe["sha256"]:
        shutil.rmtree(work, ignore_errors=True)
        try:
            work.mkdir(parents=True)
        except OSError as error:
            raise disk_error(error, work) from None
        _write_json(marker, {"recipe": recipe})
    return work


def _finish(source, split: pd.DataFrame, people, records: list[dict], recipe: dict, work: Path) -> None:
    """Write the tables and, last, `dataset.json`, whose presence says that all is there."""
    images = pd.DataFrame([row for record in records for row in record["images"]])
    images = images.merge(split, on="image_id")
    # Of files with the same content the first by id stays: a copy in another part would leak.
    usable = images[images["reason"] == ""].sort_values("image_id")
    copies = usable[usable.duplicated("source_sha256")]
    first = usable.drop_duplicates("source_sha256").set_index("source_sha256")["image_id"]
    for index, sha in copies["source_sha256"].items():
        images.loc[index, "reason"] = f"same file as {first[sha]}"
    used = images[images["reason"] == ""].drop(columns=["reason", "remark"])
    left_out = images[images["reason"] != ""].sort_values("image_id")
    counts = used["split"].value_counts()
    if min(counts.get(name, 0) for name in faces.SPLITS) == 0:
        raise StudyError(
            f"{source.description}: after leaving out {len(left_out)} of {len(images)} images "
            f"{', '.join(f'{counts.get(name, 0)} {name}' for name in faces.SPLITS)} remain; "
            f"most frequent reason: {left_out['reason'].mode().iloc[0]}"
        )
    columns = ["image_id", "split", "row", *(c for c in used if c not in ("image_id", "split", "row"))]
    _write_csv(work / "images.csv", used[columns])
    _write_csv(work / "split.csv", split)
    quality = images.sort_values("image_id")
    quality["status"] = quality["reason"].map(lambda reason: "left out" if reason else "used")
    _write_csv(work / "quality.csv", quality[["image_id", "status", "reason", *chunks.QUALITY]])
    names = records[0]["sha256"]
    facts = {
        "recipe": recipe,
        "source": source.description,
        "notes": source.notes,
        "head_segmenter": segmentation.head_segmenter_name(),
        "image_size": recipe["profile"]["image_size"],
        "composite": recipe["profile"]["composite"],
        "derived": "SB1SD" not in names,
        "counts": {name: int(counts[name]) for name in faces.SPLITS},
        "found": len(images),
        # Without an identity file nobody knows whether a person is in two parts; then this is null.
        "leakage": None if people is None else faces.leakage(used, people).to_dict("records"),
        "excluded": left_out[["image_id", "reason"]].to_dict("records"),
        "sha256": {
            name: hashlib.sha256("".join(record["sha256"][name] for record in records).encode()).hexdigest()
            for name in names
        },
        "images_sha256": hashlib.sha256((work / "images.csv").read_bytes()).hexdigest(),
    }
    _write_json(work / DONE, facts)


def _publish(work: Path, paths: RunPaths) -> None:
    """Put the finished folder in its place; killed in between, the next build repeats this."""
    shutil.rmtree(work / chunks.FOLDER)
    (work / "recipe.json").unlink()
    old = paths.run / "data.old"
    shutil.rmtree(old, ignore_errors=True)
    if paths.data.exists():
        os.replace(paths.data, old)
    os.replace(work, paths.data)
    shutil.rmtree(old, ignore_errors=True)


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    _write(path, frame.to_csv(index=False, lineterminator="\n"))


def _write_json(path: Path, facts: dict) -> None:
    _write(path, json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise disk_error(error, path) from None
