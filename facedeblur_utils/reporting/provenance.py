"""What a reader of a run has to know first: what was shortened, replaced, left out or is missing."""

import csv
import json

from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile

VGG_NOTES = {
    "random": "The VGG19 of the autoencoders' loss has random weights",
    "left out": "The autoencoders' loss is its mean squared error alone, without the VGG19 term",
}


def trained_with(paths: RunPaths) -> dict[str, dict]:
    """Per training run: precision, device, weights of the VGG loss, as its config.json tells."""
    keys = ("precision", "precision_reason", "device", "vgg", "seed", "threads", "torch")
    found = {}
    for file in sorted(paths.checkpoints.glob("*/config.json")):
        if file.parent.name.endswith(".previous"):
            continue
        facts = json.loads(file.read_text(encoding="utf-8"))
        found[file.parent.name] = {key: facts[key] for key in keys if key in facts}
    return found


def training_cost(paths: RunPaths) -> list[dict]:
    """Per training run, from its history: what it took in all, however often it was interrupted or shown."""
    rows = []
    for file in sorted(paths.checkpoints.glob("*/history.csv")):
        if file.parent.name.endswith(".previous"):
            continue
        with file.open(encoding="utf-8", newline="") as opened:
            epochs = list(csv.DictReader(opened))
        seconds = sum(float(epoch["seconds"]) for epoch in epochs)
        images = sum(float(epoch["seconds"]) * float(epoch["images_per_s"]) for epoch in epochs)
        rows.append(
            {
                "run": file.parent.name,
                "epochs": len(epochs),
                "minutes": round(seconds / 60, 1),
                "images/s": round(images / seconds, 1),
                "memory (GB)": round(max(float(epoch["memory_mb"]) for epoch in epochs) / 1000, 2),
            }
        )
    return rows


def data_made_with(paths: RunPaths) -> dict:
    """Source of the faces, segmenter, counts and hashes, as dataset.json tells; empty before notebook 02."""
    file = paths.dataset_facts
    if not file.is_file():
        return {}
    facts = json.loads(file.read_text(encoding="utf-8"))
    keys = ("source", "head_segmenter", "counts", "found", "excluded", "notes", "sha256", "composite")
    return {key: facts[key] for key in keys if key in facts}


def conditions(paths: RunPaths) -> dict[str, str]:
    """What results depend on beyond the profile: they are comparable only where these agree."""
    vgg = {str(facts["vgg"]) for facts in trained_with(paths).values() if facts.get("vgg")}
    data = data_made_with(paths)
    return {
        "vgg": ", ".join(sorted(vgg)),
        "head_segmenter": data.get("head_segmenter", ""),
        "source": data.get("source", ""),
    }


def stand_ins(paths: RunPaths) -> str:
    """To end the caption of scores with: what stood in for official weights; empty where nothing did."""
    made_with = conditions(paths)
    found = []
    if made_with["vgg"] not in ("", "ImageNet"):
        found.append(f"VGG19 in the autoencoders' loss: {made_with['vgg']}")
    if made_with["head_segmenter"].startswith("own"):
        found.append(f"heads: {made_with['head_segmenter']}")
    return f" For weights out of reach: {'; '.join(found)}." if found else ""


def notes(profile: Profile, paths: RunPaths, missing: list[str]) -> list[str]:
    """Sentences on everything that makes this run less than the whole study on the thesis's means."""
    found = []
    if profile.shortened:
        found.append(
            f"This is a shortened run (profile {profile.name}): it shows that everything works; its numbers"
            " are not results of the study."
        )
    trained, data = trained_with(paths), data_made_with(paths)
    for kind, what in VGG_NOTES.items():
        if any(facts.get("vgg") == kind for facts in trained.values()):
            found.append(f"{what}, because the ImageNet weights could not be reached.")
    if data.get("head_segmenter", "").startswith("own"):
        found.append(
            f"Heads were found by the project's {data['head_segmenter']}, because torchvision's COCO weights"
            " could not be reached."
        )
    if data.get("excluded"):
        found.append(
            f"{len(data['excluded'])} of {data['found']} images were left out, for example"
            f" {data['excluded'][0]['image_id']}: {data['excluded'][0]['reason']}."
        )
    found += [f"About the faces: {note}." for note in data.get("notes", [])]
    precisions = {facts.get("precision") for facts in trained.values()}
    if len(precisions) > 1:
        found.append(f"The networks were trained in different precisions: {', '.join(map(str, precisions))}.")
    if missing:
        found.append(f"Not made yet: {', '.join(missing)}.")
    return found
