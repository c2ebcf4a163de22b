"""What must be the same for a training run to be gone on from, or taken for trained; imports no torch."""

import hashlib
import json

from facedeblur_utils import fingerprints
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.errors import StudyError
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.paths import RESTORER, RunFolder, RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training.experiments import (
    CAMERA,
    JUDGED,
    LEARNT,
    MIX,
    SOLVED,
    TRANSFER,
    Run,
    is_kind,
    kinds_in,
    loop_of,
)

HERE = "facedeblur_utils.training"
# They print, write, check or open; data comes in by the datasets' own fingerprints.
WITHOUT = {
    f"facedeblur_utils.{name}" for name in ("errors", "files", "machine", "paths", "profiles", "progress")
}
WITHOUT |= {f"{HERE}.{name}" for name in ("checkpoints", "mirror", "trainer", "watch")}
WITHOUT |= {f"facedeblur_utils.data.{name}" for name in ("face_pairs", "datasets")}
WITHOUT |= {
    "facedeblur_utils.models.networks",
    f"{HERE}.batches:_fits",
}  # the run's row stands in its identity
KINDS = "facedeblur_utils.blur.kinds"
# A run's own kinds and their settings stand in its identity.
WITHOUT |= {f"{KINDS}:BLURS", f"{HERE}.experiments:kinds_in"}
WITHOUT |= {f"{HERE}.experiments:blurrer_run"}  # only its name is asked for; its weights' digest counts
WITHOUT |= {f"{HERE}.losses:{name}" for name in ("TERMS", "WHOLE", "weights_of")}  # a run's own terms do
KIND_PAIRS = {
    "camera": "CameraKindPairs",
    TRANSFER: "TransferPairs",
    LEARNT: "LearntPairs",
}  # in module `mixed`
DRAWS = {"line_light": "line"}  # kinds whose function has another name
MIXTURES = {
    MIX: "MixedPairs",
    CAMERA: "CameraPairs",
    SOLVED: "SolvedPairs",
}  # in module `mixed`, which imports OpenCV
# Digest of the code with which runs were trained before their identity held it.
CODE_BEFORE: dict[str, str] = {
    "autoencoder": "add203e26d22bf9cdae6cdcd92c16fadc0fecc86aabadb092f09927e06497ff9",
    "gan": "cede910cda0062d25954db6c07402edc09dbe3cdd62616d016d9e1c92e7b159b",
    "restorer": "99fa79e2e026afa1bf36a1c5502471908df93d138c0bc12e1d32aa5d33202e2b",
    "restorerMIX": "1eda99d8b643a5ea98fd14e2f82bf17a715bb3c46e8081ba70b81872e4a51769",
}


def code_of(run: Run, blur_kind: str = "line", averaged: bool = False) -> dict[str, str]:
    """Digests of all that makes the run's weights: loop, loss, networks, first weights, order of images.

    `blur_kind` is the profile's, which the mixture draws from; `averaged` weights have a running mean.
    """
    row = NETWORKS[run.network]
    roots = [
        f"{HERE}.loops:{loop_of(run)}",
        f"{HERE}.batches:Batches",
        f"{HERE}.setup:seeded_nets",
        *row.nets.values(),
    ]
    roots += [f"{HERE}.losses:{name}_term" for name, _ in run.losses]
    if averaged:
        roots.append(f"{HERE}.setup:average_of")
    if row.judge:
        roots += [f"{HERE}.setup:add_judge", row.judge]
    elif set(JUDGED) & set(dict(run.losses)):
        roots.append(f"{HERE}.setup:add_discriminator")
    if "perceptual" in weights_of(run):
        roots.append(f"{HERE}.vgg:Features")
    for name, pairs in MIXTURES.items():
        if name in run.datasets:
            roots += [f"{HERE}.mixed:{pairs}", f"{HERE}.mixed:MixedBatches"]
    if kinds := blurs_of(run, blur_kind):
        pairs = "KindMixedPairs" if MIX in run.datasets else KIND_PAIRS.get(run.datasets[0], "KindPairs")
        roots += [f"{HERE}.mixed:{pairs}", f"{HERE}.mixed:MixedBatches", f"{KINDS}:Kind"]
        roots += [f"{KINDS}:{DRAWS.get(kind, kind)}" for kind in kinds]
    return fingerprints.definitions(roots, WITHOUT)


def blurs_of(run: Run, blur_kind: str) -> list[str]:
    """The kinds of blur that the run draws itself by `blur.kinds`."""
    names = [kind for name in run.datasets if is_kind(name) for kind in kinds_in(name)]
    return names or ([blur_kind] if MIX in run.datasets and blur_kind != "line" else [])


def weights_of(run: Run) -> dict[str, float]:
    """Weights of the loss's terms: chosen, or as they stand in the code of `losses`."""
    return dict(run.losses) or fingerprints.literal(f"{HERE}.losses:WEIGHTS")[NETWORKS[run.network].loss]


def identity_of(run: Run, profile: Profile, seed: int, datasets: dict[str, str]) -> dict:
    """The run's identity; `seed` is that of first weights and order, `datasets` are fingerprints by name."""
    row = NETWORKS[run.network]
    return {
        "run": run.name,
        "network": run.network,
        "schedule": [list(part) for part in run.schedule],
        "milestones": list(run.milestones),
        "starts_from": run.starts_from,
        "image_size": profile.image_size,
        "batch_size": profile.batch_size,
        "width": row.width_in(profile),
        "norm": row.options_in(profile).get("norm", "none"),
        "learning_rate": row.rate_in(profile),
        **({"crop": profile.restorer_crop} if "restorer_crop" in row.keys else {}),
        **({"average": row.average_in(profile)} if row.average_in(profile) else {}),
        **({"vgg_wanted": profile.autoencoder_vgg} if "autoencoder_vgg" in row.keys else {}),
        "precision_wanted": profile.precision,
        "seed": seed,
        "datasets": datasets,
        "optimizer_wanted": [row.optimizer, row.settings],
        "loss": weights_of(run),
        **({"blurs": _blurs(run, profile)} if blurs_of(run, profile.blur_kind) else {}),
        "code": code_of(run, profile.blur_kind, row.average_in(profile) > 0),
    }


def _blurs(run: Run, profile: Profile) -> dict:
    settings = fingerprints.literal(f"{KINDS}:SETTINGS")
    keys = ("blur_length", "blur_gamma", "composite")
    return {key: getattr(profile, key) for key in keys} | {
        kind: settings[kind] for kind in blurs_of(run, profile.blur_kind)
    }


def datasets_of(run: Run, paths: RunPaths) -> dict[str, str]:
    """Fingerprints of the training data by dataset; the mixture's are those of the faces and masks in it."""
    from facedeblur_utils.data import face_pairs  # imports OpenCV and pandas

    masked = [row.name for row in DATASETS.values() if row.mask]
    groups = {name: masked if name in MIXTURES or is_kind(name) else [name] for name in run.datasets}
    found = {}
    for name, group in groups.items():
        kind = "faces_fingerprint" if is_kind(name) else "fingerprint"
        parts = [getattr(face_pairs.open_pairs(paths, part, "train"), kind) for part in group]
        parts += [_blurrer(paths)] if name == LEARNT else []
        parts += [fingerprints.file_sha256(RESTORER)] if name == SOLVED else []  # it restored them
        found[name] = "/".join(parts)
    return found


def _blurrer(paths: RunPaths) -> str:
    """Digest of the weights of the network that blurs."""
    file = paths.training(NETWORKS["blurrer"].letter + TRANSFER).weights("last")
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        raise StudyError(f"no network that blurs at {file}: run notebook 10_blur_comparison first") from None


def adopted(found: dict, wanted: dict) -> dict:
    """`found`, completed where it was written before code and loss were part of an identity."""
    if "code" in found:
        return found
    key = wanted["network"] + (MIX if MIX in wanted["datasets"] else "")
    new = {part: wanted[part] for part in ("optimizer_wanted", "loss", "code")}
    return found | new if fingerprints.digest(new) == CODE_BEFORE.get(key) else found


def changes(found: dict, wanted: dict) -> list[str]:
    """What differs between the identity on disk and the one asked for, in words."""
    return fingerprints.differences(adopted(found, wanted), wanted)


def changes_on_disk(folder: RunFolder, wanted: dict) -> list[str]:
    """The same for the run in `folder`; empty where none was started."""
    try:
        config = json.loads(folder.config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = {key: config[key] for key in wanted if key in config}
    return changes(found, wanted)


def refuse_other(folder: RunFolder, wanted: dict, found: dict) -> None:
    """Raise StudyError naming what differs first between the identity asked for and the one on disk."""
    if said := changes(found, wanted):
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        raise StudyError(
            f"the checkpoint in {folder.path} is of another configuration: {said[0]}{more}; delete that "
            "folder or choose another output folder"
        )
