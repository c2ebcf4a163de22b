"""Profiles: every number of a run, read from one YAML file and checked before anything starts."""

import math
import typing
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from facedeblur_utils import paths
from facedeblur_utils.errors import UsageError

SHORTENED = ("smoke", "sample")  # runs whose outputs must say that they are not results


@dataclass(frozen=True)
class Profile:
    """All numbers of one run. Lengths are fractions of the image width, epochs are passes over `train`."""

    name: str
    description: str
    image_size: int  # pixels, square
    epochs: int  # the thesis's 50
    checkpoint_epoch: int  # the thesis's 25
    mixed_epochs: int  # the thesis's 100, a quarter on each dataset
    short_mixed_epochs: int  # the thesis's 20, a quarter on each dataset
    batch_size: int  # the thesis's 16
    autoencoder_width: int
    gan_width: int
    source: str = "sample"  # faces: `sample`, or a folder, zip or dataset (see `sources`)
    first_number: int = 0  # of a CelebA-HQ copy: its files are numbered from 0 or from 1
    mapping_file: str = ""  # CelebA-HQ-to-CelebA-mapping.txt, where it isn't beside the images
    identity_file: str = ""  # identity_CelebA.txt: keeps each person within one part of the split
    align: bool = False  # turn and crop own photos to the face by its landmarks
    limit: int = 0  # use only the first images; 0: all
    split: tuple[float, ...] = (0.90, 0.05, 0.05)
    smallest_face: float = 0.02  # share of the image that the face must cover
    blur_length: tuple[float, ...] = (0.05, 0.15)
    blur_gamma: float = 1.0  # 2.2 blurs light instead of stored values; the thesis blurs values
    noise: float = 0.0  # standard deviation in [0, 1]; Table 2.8 has 0.01 to 0.05
    composite: str = "paste"  # how the blurred face is laid over the sharp image
    autoencoder_vgg: str = "auto"  # for Eq. 4: ImageNet weights, else random (auto) or left out (imagenet)
    restorer_width: int = 16
    restorer_epochs: int = 25
    restorer_crop: int = 0  # pixels: train on random squares of this side but in the last epochs; 0: never
    restorer_runs: tuple[str, ...] = ("NSFB1", "NSB1SD", "NSFB2", "NSB2SM", "NMIX")  # those of notebook 07
    gan_norm: str = "none"
    autoencoder_rate: float = 0.001  # Table 4.1
    gan_rate: float = 0.0002  # Table 4.2
    restorer_rate: float = 0.002  # highest of the one-cycle schedule; 0.001 as in the paper is slower here
    seed: int = 2024
    seeds: int = 1  # number of training seeds
    jobs: int = 0  # stages side by side, unless --jobs says otherwise; 0: one a GPU, or one a core
    threads: int = 0  # of torch on the CPU, which change the last bits of sums; 0: one for each core
    precision: str = "auto"
    compile: bool = False  # networks through torch.compile; it needs a C++ compiler, and a minute to start
    processes: int = 1  # training processes, one per GPU or CPU share
    mirror: str = ""  # folder that gets a copy of each checkpoint, such as a mounted Drive
    tensorboard: bool = False  # needs the extra `tensorboard`

    @property
    def shortened(self) -> bool:
        """True for runs whose numbers are not meant to be quoted."""
        return self.name in SHORTENED

    def as_dict(self) -> dict:
        return asdict(self)


# Keys that change no result: what is shown, where copies go, how much runs at once and how fast.
NO_RESULT = {"description", "jobs", "threads", "processes", "compile", "mirror", "tensorboard"}
CHOICES = {
    "composite": ("paste", "matte"),
    "gan_norm": ("none", "batch", "instance"),
    "autoencoder_vgg": ("auto", "imagenet"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
}
AT_LEAST = {
    "image_size": 16,
    "epochs": 1,
    "checkpoint_epoch": 1,
    "mixed_epochs": 4,
    "short_mixed_epochs": 4,
    "batch_size": 1,
    "autoencoder_width": 1,
    "gan_width": 1,
    "restorer_width": 1,
    "restorer_epochs": 1,
    "restorer_crop": 0,
    "first_number": 0,
    "limit": 0,
    "noise": 0,
    "smallest_face": 0,
    "seed": 0,
    "seeds": 1,
    "jobs": 0,
    "threads": 0,
    "processes": 1,
}


def load_profile(name_or_path: str | Path, overrides: dict | None = None) -> Profile:
    """Read a profile by name (`profiles/<name>.yaml`) or path, apply `overrides`, and check every value.

    Raises UsageError (one line, exit code 2) for an unknown profile or key, a wrong type, or an
    impossible value.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = paths.PROFILES / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in paths.PROFILES.glob("*.yaml")))
        raise UsageError(f"unknown profile '{name_or_path}': no file {path}; known profiles: {known}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold 'key: value' lines; it holds {type(values).__name__}")
    return _checked({**values, **(overrides or {})}, str(path))


def save_profile(profile: Profile, file: Path) -> Path:
    """Write `profile` as a YAML file that `load_profile` reads; returns `file`."""
    values = {key: list(v) if isinstance(v, tuple) else v for key, v in profile.as_dict().items()}
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


def parse_overrides(pairs: list[str]) -> dict:
    """`["epochs=3"]` from the command line -> `{"epochs": 3}` (values read as YAML)."""
    overrides = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set needs key=value, got '{pair}'")
        try:
            overrides[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--set {key}: '{value}' is not a valid YAML value") from None
    return overrides


def _checked(values: dict, where: str) -> Profile:
    types = typing.get_type_hints(Profile)
    unknown = sorted(set(map(str, values)) - set(types))
    if unknown:
        raise UsageError(f"{where}: unknown key '{unknown[0]}'; known keys: {', '.join(sorted(types))}")
    missing = [f.name for f in fields(Profile) if f.default is f.default_factory and f.name not in values]
    if missing:
        raise UsageError(f"{where}: key '{missing[0]}' is missing")
    profile = Profile(**{key: _typed(key, value, types[key], where) for key, value in values.items()})
    _possible(profile, where)
    return profile


def _typed(key: str, value, kind, where: str):
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number and math.isfinite(value):
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind in (str, bool) and isinstance(value, kind):
        return value
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(kind)[0]
        return tuple(_typed(key, item, inner, where) for item in value)
    wanted = kind.__name__ if isinstance(kind, type) and typing.get_origin(kind) is None else "list"
    raise UsageError(f"{where}: '{key}' must be of type {wanted}, got {value!r}")


def _possible(profile: Profile, where: str) -> None:
    def refuse(key: str, why: str):
        raise UsageError(f"{where}: '{key}' {why}, got {getattr(profile, key)!r}")

    for key, least in AT_LEAST.items():
        if getattr(profile, key) < least:
            refuse(key, f"must be at least {least}")
    for key, allowed in CHOICES.items():
        if getattr(profile, key) not in allowed:
            refuse(key, f"must be one of {', '.join(allowed)}")
    for key in ("autoencoder_rate", "gan_rate", "restorer_rate", "blur_gamma"):
        if getattr(profile, key) <= 0:
            refuse(key, "must be positive")
    if profile.image_size % 16:
        refuse("image_size", "must be a multiple of 16 (the autoencoder halves it four times)")
    if profile.checkpoint_epoch > profile.epochs:
        refuse("checkpoint_epoch", f"must not exceed epochs ({profile.epochs})")
    for key in ("mixed_epochs", "short_mixed_epochs"):
        if getattr(profile, key) % 4:
            refuse(key, "must be a multiple of 4 (four datasets)")
    if len(profile.split) != 3 or min(profile.split) <= 0 or abs(sum(profile.split) - 1) > 1e-9:
        refuse("split", "must be three positive fractions that add up to 1")
    if len(profile.blur_length) != 2 or not 0 < profile.blur_length[0] <= profile.blur_length[1] < 1:
        refuse("blur_length", "must be two fractions of the image width, 0 < shortest <= longest < 1")
