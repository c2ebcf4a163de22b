"""Builds the four datasets of the study: what decides their bytes, where they grow, how they are finished."""

import hashlib
import importlib.metadata
import json
import os
import shutil
from pathlib import Path

import pandas as pd
from filelock import FileLock

from facedeblur_utils import fingerprints
from facedeblur_utils.data import chunks, division, faces, mask_cache, segmentation, sources
from facedeblur_utils.data.datasets import RECIPE_KEYS
from facedeblur_utils.files import disk_error, write_text
from facedeblur_utils.machine import available_cpus
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile

HERE = "facedeblur_utils.data"
CODE = (  # a change in these, or in what they use, makes other data
    f"{HERE}.faces:decode",
    f"{HERE}.division:divide",
    f"{HERE}.faces:split_faces",
    f"{HERE}.chunks:load",
    f"{HERE}.chunks:_blur",
    f"{HERE}.chunks:_shapes",
    f"{HERE}.mask_cache:find_heads",
    f"{HERE}.mask_cache:find_faces",
    f"{HERE}.segmentation:Landmarker",
)
ALIGNER = f"{HERE}.recipe:aligned"  # where the profile aligns photos
WITHOUT = [f"facedeblur_utils.{name}" for name in ("downloads", "errors", "files", "paths", "progress")]
VERSIONS = ("mediapipe", "numpy", "opencv-contrib-python", "pillow", "torch", "torchvision")


def build(profile: Profile, paths: RunPaths, workers: int = 0) -> Path:
    """Make the profile's datasets in `paths.data` and return that folder.

    Returns at once when they are there and were made from the same images, settings and code. An
    interrupted build goes on where it was. `workers` threads (default: one per core) change the time taken
    but not one byte. Raises StudyError for a source, disk or image folder that can't be used.
    """
    source = sources.open_source(profile)
    recipe = _recipe(profile, source)
    if not changes(paths.dataset_facts, recipe):
        return paths.data
    paths.run.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.run / "data.lock"):
        said = changes(paths.dataset_facts, recipe)
        if not said:  # another process has just made them
            return paths.data
        if paths.dataset_facts.exists():
            print(f"The datasets are made anew: {'; '.join(said[:3])}", flush=True)
        work = _workplace(paths, recipe)
        people = sources.identities(profile, source)
        ids = [item.image_id for item in source.items]
        # The order of the rows on disk; which part an image is in is decided when all are known.
        order = faces.split_faces(ids, profile.split, profile.seed, people)
        records = chunks.fill(profile, source, order, work, workers or available_cpus())
        _finish(profile, source, people, records, recipe, work / paths.dataset_facts.name)
        _publish(work, paths)
    return paths.data


def _recipe(profile: Profile, source: sources.Source) -> dict:
    """Everything that decides the bytes of the datasets."""
    settings = profile.as_dict()
    recipe = {
        "profile": {key: settings[key] for key in RECIPE_KEYS},
        "source": source.description,
        "source_listing": source.listing_hash(),
        "source_notes": source.notes,
        "identities": _file_hash(profile.identity_file),
        "models": mask_cache.model_hash(),
        "code": fingerprints.definitions([*CODE, *([ALIGNER] if profile.align else [])], WITHOUT),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
    }
    return recipe | {"sha256": fingerprints.digest(recipe)}


def changes(file: Path, recipe: dict) -> list[str]:
    """What differs between the recipe in `file` and the one asked for, in words."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError):
        return ["there are none yet"]
    if isinstance(found.get("code"), str):  # before code was kept definition by definition
        return ["they were made by an earlier version"]
    found, wanted = ({**values, "sha256": ""} for values in (found, recipe))
    return fingerprints.differences(found, wanted)


def _file_hash(path: str) -> str:
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest() if path else ""


def _workplace(paths: RunPaths, recipe: dict) -> Path:
    """Folder of the unfinished build; what another recipe left there is removed."""
    work = paths.run / "data.building"
    marker = work / "recipe.json"
    if changes(marker, recipe):
        shutil.rmtree(work, ignore_errors=True)
        try:
            work.mkdir(parents=True)
        except OSError as error:
            raise disk_error(error, work) from None
        write_text(marker, json.dumps({"recipe": recipe}, indent=1, sort_keys=True) + "\n")
    return work


def _finish(
    profile: Profile, source: sources.Source, people, records: list[dict], recipe: dict, done: Path
) -> None:
    """Write the tables and, last, `dataset.json`, whose presence says that all is there."""
    images = pd.DataFrame([row for record in records for row in record["images"]])
    divided = division.divide(images, profile, people, source.description)
    images, twins = divided.images, divided.twins
    place = {name: number for number, name in enumerate(faces.SPLITS)}
    used = divided.used.sort_values("image_id").sort_values(
        "split", key=lambda s: s.map(place), kind="stable"
    )
    used = used.drop(columns=["reason", "remark", "thumbnail"])
    left_out = images[images["reason"] != ""]
    counts = used["split"].value_counts()
    notes = [*source.notes]
    if twins:
        notes.append(f"{len(twins)} images are nearly the same as another and stay in its part of the split")
    columns = ["image_id", "split", "row", *(c for c in used if c not in ("image_id", "split", "row"))]
    write_text(done.parent / "images.csv", used[columns].to_csv(index=False, lineterminator="\n"))
    split = images[["image_id", "split"]]
    write_text(done.parent / "split.csv", split.to_csv(index=False, lineterminator="\n"))
    quality = images.copy()
    quality["remark"] = [
        ", ".join(filter(None, (remark, name in twins and f"nearly the same as {twins[name]}")))
        for name, remark in zip(quality["image_id"], quality["remark"], strict=True)
    ]
    quality["status"] = quality["reason"].map(lambda reason: "left out" if reason else "used")
    quality = quality[["image_id", "status", "reason", *chunks.QUALITY]]
    write_text(done.parent / "quality.csv", quality.to_csv(index=False, lineterminator="\n"))
    names = records[0]["sha256"]
    facts = {
        "recipe": recipe,
        "source": source.description,
        "notes": notes,
        "head_segmenter": segmentation.head_segmenter_name(),
        "image_size": recipe["profile"]["image_size"],
        "composite": recipe["profile"]["composite"],
        "counts": {name: int(counts[name]) for name in faces.SPLITS},
        "found": len(images),
        "nearly_same": len(twins),
        # Without an identity file nobody knows whether a person is in two parts; then this is null.
        "leakage": None if people is None else faces.leakage(used, people).to_dict("records"),
        "excluded": left_out[["image_id", "reason"]].to_dict("records"),
        "sha256": {
            name: hashlib.sha256("".join(record["sha256"][name] for record in records).encode()).hexdigest()
            for name in names
        },
        "images_sha256": hashlib.sha256((done.parent / "images.csv").read_bytes()).hexdigest(),
    }
    write_text(done, json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


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
