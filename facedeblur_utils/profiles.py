"""Profiles: every number of a run, read from one YAML file and checked before anything starts."""

import math
import re
import typing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import yaml

from facedeblur_utils import paths
from facedeblur_utils.errors import UsageError

SHORTENED = ("smoke", "sample")  # runs whose outputs must say that they are not results
# Those that notebook 07 knows; `training.experiments` makes them of networks and datasets (tested).
RESTORER_RUNS = ("NSFB1", "NSB1SD", "NSFB2", "NSB2SM", "NMIX")
FURTHER_RUNS = ("NCAM",)  # made on demand: the published restorer

# Kinds of blur, and what notebook 10 trains a restorer on, by name; `blur.kinds` and `training.kinds` make
# them (tested).
BLUR_KINDS = (
    "line", "line_light", "trajectory", "spline", "gaussian_process", "shake", "field", "frames", "disc",
    "gaussian",
)  # fmt: skip
# Terms that a loss can be put together from, with a weight for each (tested: those of `training.losses`).
LOSS_TERMS = (
    "mse", "l1", "perceptual", "ssim", "adversarial", "relativistic", "local_structure", "optical_flow",
    "heatmap", "identity", "unsupervised", "landmark", "facial_structure",
)  # fmt: skip
KIND_RUNS = (*BLUR_KINDS, "line_head", "line_face", "all", "camera", "five", "learnt")
# What notebook 12 can compare; `models.networks` has them (tested).
ARCHITECTURES = (
    "autoencoder", "gan", "restorer", "two_stage", "patch_judge", "part_judge", "multi_scale", "recurrent",
    "dense", "attention", "window_transformer",
)  # fmt: skip
# What notebook 11 trains an autoencoder (A) and a restorer (N) on: one term alone, or added to the pixels'.
LOSSES_ALONE = tuple(
    name for name in LOSS_TERMS if name not in ("adversarial", "relativistic", "optical_flow")
)
LOSSES_ADDED = tuple(name for name in LOSS_TERMS if name not in ("mse", "l1"))
LOSS_RUNS = tuple(
    f"{letter}_{name}"
    for letter in ("A", "N")
    for name in (*LOSSES_ALONE, *(f"plus_{name}" for name in LOSSES_ADDED))
)
FEW_LOSSES = ("N_l1", "N_plus_landmark", "N_plus_identity")  # a look; profile `losses` has the comparison
FEW_KINDS = ("line", "line_light", "line_face")  # a look; profile `kinds` has the whole comparison


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
    blur_kind: str = "line"  # one of BLUR_KINDS
    blur_length: tuple[float, ...] = (0.05, 0.15)
    blur_gamma: float = 1.0  # 2.2 blurs light instead of stored values; the thesis blurs values
    noise: float = 0.0  # standard deviation in [0, 1]; Table 2.8 has 0.01 to 0.05
    head_region: str = "all"  # of what the segmenter calls person: all, the person with the face, or the head
    face_region: str = "oval"  # or outline: filled out to the person's outline where a face is turned
    composite: str = "paste"  # how the blurred face is laid over the sharp image
    autoencoder_vgg: str = "auto"  # for Eq. 4: ImageNet weights, else random (auto) or left out (imagenet)
    restorer_width: int = 16
    restorer_epochs: int = 25
    restorer_crop: int = 0  # pixels: train on random squares of this side but in the last epochs; 0: never
    autoencoder_average: float = 0.0  # of its weights over the steps: share that stays at each; 0: the last
    gan_average: float = 0.0  # the same of the generator's
    restorer_average: float = 0.0
    restorer_runs: tuple[str, ...] = RESTORER_RUNS  # those of notebook 07
    kind_runs: tuple[str, ...] = FEW_KINDS  # what the restorers of notebook 10 are trained on
    kind_epochs: int = 4  # of each of them
    kind_seeds: int = 1  # training seeds of each of them
    loss_runs: tuple[str, ...] = FEW_LOSSES  # what the networks of notebook 11 are trained on
    loss_epochs: int = 2  # of each restorer of them; an autoencoder gets three times as many
    loss_seeds: int = 1  # training seeds of each of them
    architectures: dict[str, int] = field(default_factory=dict)  # network of notebook 12 -> epochs
    architecture_seeds: int = 1  # training seeds of each of them
    gan_norm: str = "none"
    autoencoder_losses: dict[str, float] = field(default_factory=dict)  # term -> weight; none: Eq. 4
    gan_losses: dict[str, float] = field(default_factory=dict)  # of the generator; none: Eq. 5
    restorer_losses: dict[str, float] = field(default_factory=dict)  # none: the mean absolute error
    autoencoder_rate: float = 0.001  # Table 4.1
    gan_rate: float = 0.0002  # Table 4.2
    restorer_rate: float = 0.002  # highest of the one-cycle schedule; 0.001 as in the paper is slower here
    seed: int = 2024
    seeds: int = 1  # number of training seeds
    first_seed: int = 1  # of them: a run of seed 3 alone has seeds: 1 and first_seed: 3
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
    "blur_kind": BLUR_KINDS,
    "head_region": ("all", "person", "head"),
    "face_region": ("oval", "outline"),
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
    "kind_epochs": 1,
    "kind_seeds": 1,
    "loss_epochs": 1,
    "loss_seeds": 1,
    "architecture_seeds": 1,
    "restorer_crop": 0,
    "autoencoder_average": 0,
    "gan_average": 0,
    "restorer_average": 0,
    "first_number": 0,
    "limit": 0,
    "noise": 0,
    "smallest_face": 0,
    "seed": 0,
    "seeds": 1,
    "first_seed": 1,
    "jobs": 0,
    "threads": 0,
    "processes": 1,
}
AT_MOST = {  # beyond them nothing works, or means something else than was meant
    "image_size": 4096,
    "batch_size": 65_536,
    "autoencoder_width": 4096,
    "gan_width": 4096,
    "restorer_width": 4096,
    "noise": 1,  # the whole range of values
    "smallest_face": 1,
    "autoencoder_average": 0.99999,
    "gan_average": 0.99999,
    "restorer_average": 0.99999,
    "blur_gamma": 10,
    "autoencoder_rate": 1,
    "gan_rate": 1,
    "restorer_rate": 1,
    "seed": 2**32 - 1,  # what every generator takes
    "seeds": 1000,
    "first_seed": 1000,
    "kind_seeds": 1000,
    "loss_seeds": 1000,
    "architecture_seeds": 1000,
    "jobs": 4096,
    "threads": 4096,
    "processes": 4096,
}


class _Reader(yaml.SafeLoader):
    """YAML without its traps: a key twice, `010` read as 8, `1:30` as 90, `1e-3` as text, aliases."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases (*) aren't used in profiles")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' twice, line {line}")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    def plain_number(self, node):
        text = node.value
        if re.fullmatch(r"[-+]?(0|[1-9]\d{0,99})", text):
            return int(text)
        plain = r"[-+]?(0|[1-9]\d*)?(\.\d*(e[-+]?\d+)?|e[-+]?\d+)|[-+]?\.(inf|nan)"
        if len(text) < 100 and re.fullmatch(plain, text, re.I):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        raise yaml.constructor.ConstructorError(
            None, None, f"'{text[:40]}' may be read as another number; write a plain one, or text in quotes"
        )


for _tag in ("int", "float"):
    _Reader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Reader.plain_number)
_Reader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load_profile(name_or_path: str | Path, overrides: dict | None = None) -> Profile:
    """Read a profile by name (`profiles/<name>.yaml`) or path, apply `overrides`, and check every value.

    Raises UsageError (one line, exit code 2) for an unknown profile or key, a wrong type, or an
    impossible value.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = paths.PROFILES / f"{name_or_path}.yaml"
    shipped = sorted(p.stem for p in paths.PROFILES.glob("*.yaml"))
    try:
        if not path.is_file():
            raise FileNotFoundError
        values = _read(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or f"no file {path}" * isinstance(error, OSError)
        raise UsageError(
            f"unknown profile '{name_or_path}': {reason or 'not a text file'}; "
            f"known profiles: {', '.join(shipped)}"
        ) from None
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold 'key: value' lines; it holds {type(values).__name__}")
    profile = _checked({**values, **(overrides or {})}, str(path))
    own = path.stem if path.resolve().parent == paths.PROFILES.resolve() else ""
    if profile.name.casefold() in {name.casefold() for name in shipped} - {own}:
        raise UsageError(
            f"{path}: name '{profile.name}' belongs to a profile of the study, whose folders it would share; "
            "choose another"
        )
    return profile


def save_profile(profile: Profile, file: Path) -> Path:
    """Write `profile` as YAML for another process, which reads it by `saved_profile`; returns `file`."""
    values = {key: list(v) if isinstance(v, tuple) else v for key, v in profile.as_dict().items()}
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


def saved_profile(file: str | Path) -> Profile:
    """What `save_profile` wrote, under the name that it had."""
    return _checked(_read(Path(file).read_text(encoding="utf-8"), str(file)), str(file))


def parse_overrides(pairs: list[str]) -> dict:
    """`["epochs=3"]` from the command line -> `{"epochs": 3}` (values read as YAML)."""
    overrides = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set needs key=value, got '{pair}'")
        overrides[key.strip()] = _read(value, f"--set {key}")
    return overrides


def _read(text: str, where: str):
    """What YAML `text` holds; raises UsageError, in one line, for what isn't YAML or has two meanings."""
    try:
        return yaml.load(text, _Reader)  # noqa: S506 - derived from the safe loader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{where} is not valid YAML: {' '.join(str(reason).split())}{place}") from None


def _checked(values: dict, where: str) -> Profile:
    types = typing.get_type_hints(Profile)
    unknown = sorted(set(map(str, values)) - set(types))
    if unknown:
        raise UsageError(f"{where}: unknown key '{unknown[0]}'; known keys: {', '.join(sorted(types))}")
    needed = [f.name for f in fields(Profile) if f.default is f.default_factory]
    missing = [name for name in needed if name not in values]
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
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in value.strip()):
            raise UsageError(f"{where}: '{key}' holds a character that can't be printed: {value[:40]!r}")
        return value
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(kind)[0]
        return tuple(_typed(key, item, inner, where) for item in value)
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        inner = typing.get_args(kind)[1]
        return {str(name): _typed(f"{key}: {name}", item, inner, where) for name, item in value.items()}
    wanted = kind.__name__ if isinstance(kind, type) and typing.get_origin(kind) is None else "list"
    if typing.get_origin(kind) is dict:
        wanted = "mapping (name: number)"
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
    raise UsageError(f"{where}: '{key}' must be of type {wanted}, got {shown}")


def _possible(profile: Profile, where: str) -> None:
    def refuse(key: str, why: str):
        shown = repr(getattr(profile, key))
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        raise UsageError(f"{where}: '{key}' {why}, got {shown}")

    if not paths.is_plain(profile.name):
        refuse("name", f"names folders, so it must be {paths.PLAIN_WORDS}")
    for key, least in AT_LEAST.items():
        if getattr(profile, key) < least:
            refuse(key, f"must be at least {least}")
    for key, most in AT_MOST.items():
        if getattr(profile, key) > most:
            refuse(key, f"must be at most {most}")
    if unknown := [name for name in profile.restorer_runs if name not in RESTORER_RUNS + FURTHER_RUNS]:
        refuse("restorer_runs", f"knows {', '.join(RESTORER_RUNS + FURTHER_RUNS)}, not '{unknown[0][:40]}'")
    if unknown := [name for name in profile.kind_runs if name not in KIND_RUNS]:
        refuse("kind_runs", f"knows {', '.join(KIND_RUNS)}, not '{unknown[0][:40]}'")
    if unknown := [name for name in profile.loss_runs if name not in LOSS_RUNS]:
        refuse("loss_runs", f"knows {', '.join(LOSS_RUNS)}, not '{unknown[0][:40]}'")
    if unknown := [name for name in profile.architectures if name not in ARCHITECTURES]:
        refuse("architectures", f"knows {', '.join(ARCHITECTURES)}, not '{unknown[0][:40]}'")
    if any(epochs < 1 for epochs in profile.architectures.values()):
        refuse("architectures", "needs 1 epoch or more for each")
    for key in ("autoencoder_losses", "gan_losses", "restorer_losses"):
        weights = getattr(profile, key)
        if unknown := [name for name in weights if name not in LOSS_TERMS]:
            refuse(key, f"knows {', '.join(LOSS_TERMS)}, not '{unknown[0][:40]}'")
        if weights and (min(weights.values()) < 0 or not any(weights.values())):
            refuse(key, "needs weights of 0 or more, and one above 0")
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
