"""The kinds of networks that the study trains, one row each: a new kind is a class and a row.

Nothing here imports torch before a network is built.
"""

import inspect
import pkgutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from facedeblur_utils.errors import UsageError
from facedeblur_utils.profiles import Profile

if TYPE_CHECKING:
    from torch import nn

MODELS = "facedeblur_utils.models"
JUDGES = "facedeblur_utils.metrics.judges"
ADAM, NAFNET = (0.9, 0.999), (0.9, 0.9)  # decays of the gradient's moments: usual, and the NAFNet paper's

ALONE = {  # how networks without a discriminator of their own learn, from pixels
    "loop": "restorer_epoch",
    "loss": "restorer",
    "optimizer": "AdamW",
    "keys": ("restorer_crop",),
}


@dataclass(frozen=True)
class Network:
    """What `training` needs to know of a kind of network.

    The profile's keys `<name>_width`, `<name>_rate`, `<name>_losses` and `<name>_average` are this network's;
    those that it has win over `width`, `rate`, `loss` and `average` here.
    """

    name: str
    letter: str  # its runs are named by it and their dataset: ASFB1
    nets: dict[str, str]  # trained together, role -> "module:class"; the one that deblurs first
    loop: str  # function of `training.loops` that trains it for one epoch
    loss: str  # key of `training.losses.WEIGHTS`
    notebook: str  # that trains it
    optimizer: str = "Adam"
    settings: dict = field(default_factory=dict)  # of the optimiser, beside the learning rate
    options: dict[str, str] = field(default_factory=dict)  # argument of a class -> key of the profile
    judge: str = ""  # "module:class" of the discriminator that it learns beside, where that isn't in `nets`
    survey: str = ""  # what notebook 12 calls it; empty for networks of their own notebooks
    keys: tuple[str, ...] = ()  # further keys of the profile that its training depends on
    width: int = 16
    rate: float = 0.001
    average: float = 0.0

    def width_in(self, profile: Profile) -> int:
        """Filters of the first layer."""
        return getattr(profile, f"{self.name}_width", self.width)

    def rate_in(self, profile: Profile) -> float:
        """Learning rate; of a schedule, the highest."""
        return getattr(profile, f"{self.name}_rate", self.rate)

    def average_in(self, profile: Profile) -> float:
        """Share of the weights' running mean that stays at each step; 0: the last weights are kept."""
        return getattr(profile, f"{self.name}_average", self.average)

    def losses_in(self, profile: Profile) -> dict[str, float]:
        """Weights of the terms that the profile puts its loss together from; none: those of `loss`."""
        return getattr(profile, f"{self.name}_losses", {})

    def options_in(self, profile: Profile) -> dict:
        return {argument: getattr(profile, key) for argument, key in self.options.items()}

    @property
    def profile_keys(self) -> tuple[str, ...]:
        """Keys of the profile that change its weights."""
        own = [f"{self.name}_{what}" for what in ("width", "rate", "losses", "average")]
        own = [key for key in own if key in Profile.__dataclass_fields__]
        return (*own, *self.options.values(), *self.keys)


NETWORKS = {
    row.name: row
    for row in (
        Network(
            "autoencoder",
            letter="A",
            nets={"autoencoder": f"{MODELS}.thesis:Autoencoder"},
            loop="autoencoder_epoch",
            loss="autoencoder",  # Eq. 4
            notebook="03_train_ae",
            settings={"betas": (0.9, 0.999)},  # Table 4.1
            keys=("autoencoder_vgg",),
        ),
        Network(
            "gan",
            letter="G",
            nets={
                "generator": f"{MODELS}.thesis:Generator",
                "discriminator": f"{MODELS}.thesis:Discriminator",
            },
            loop="gan_epoch",
            loss="gan",  # Eq. 5
            notebook="04_train_gan",
            settings={"betas": (0.5, 0.999)},  # Table 4.2
            options={"norm": "gan_norm"},
        ),
        Network(
            "restorer",
            letter="N",
            nets={"restorer": f"{MODELS}.nafnet:Restorer"},
            notebook="07_modern_restorer",
            settings={"betas": NAFNET, "weight_decay": 0},
            **ALONE,
        ),
        Network(
            "refiner",
            letter="L",
            nets={"refiner": f"{MODELS}.refiner:refiner_from_restorer"},
            notebook="07_modern_restorer",
            settings={"betas": NAFNET, "weight_decay": 0},
            **ALONE,
            rate=0.0005,
            average=0.999,
        ),
        Network(
            "blurrer",
            letter="B",
            nets={"blurrer": f"{MODELS}.blur_transfer:BlurTransfer"},
            notebook="10_blur_comparison",
            settings={"betas": NAFNET, "weight_decay": 0},
            **ALONE,
            rate=0.003,
        ),
        *(
            Network(
                name,
                letter=letter,
                nets={"restorer": f"{MODELS}.{path}"},
                notebook="12_architectures",
                settings={"betas": betas, "weight_decay": 0},
                judge=judge,
                survey=words,
                width=width,
                **ALONE,
                rate=rate,  # that with the best validation PSNR after three epochs, of 0.002, 0.001, 0.0005
            )
            for name, letter, path, width, rate, betas, judge, words in (
                (
                    "two_stage",
                    "T",
                    "two_stage:TwoStage",
                    12,
                    0.001,
                    ADAM,
                    f"{MODELS}.thesis:Discriminator",
                    "two U-Nets, judged [30]",
                ),
                (
                    "patch_judge",
                    "P",
                    "nafnet:Restorer",
                    8,
                    0.002,
                    NAFNET,
                    f"{JUDGES}:PatchAndWhole",
                    "restorer, judged by patches and whole [36]",
                ),
                (
                    "part_judge",
                    "F",
                    "nafnet:Restorer",
                    8,
                    0.002,
                    NAFNET,
                    f"{JUDGES}:PixelsAndParts",
                    "restorer, judged by pixels and face parts [38]",
                ),
                ("multi_scale", "M", "coarse_to_fine:MultiScale", 24, 0.001, ADAM, "", "coarse to fine [45]"),
                (
                    "recurrent",
                    "R",
                    "coarse_to_fine:Recurrent",
                    16,
                    0.001,
                    ADAM,
                    "",
                    "coarse to fine, recurrent [67]",
                ),
                ("dense", "D", "attention:Dense", 16, 0.001, ADAM, "", "dense blocks [69]"),
                (
                    "attention",
                    "E",
                    "attention:Attention",
                    16,
                    0.001,
                    ADAM,
                    "",
                    "spatial and feature attention [71, 72]",
                ),
                (
                    "window_transformer",
                    "W",
                    "window_transformer:WindowTransformer",
                    12,
                    0.001,
                    ADAM,
                    "",
                    "window transformer [32]",
                ),
            )
        ),
    )
}


def network(name: str) -> Network:
    """The row called `name`; raises UsageError for a name that no row has."""
    if name not in NETWORKS:
        raise UsageError(f"unknown network '{name}'; known: {', '.join(NETWORKS)}")
    return NETWORKS[name]


def build(name: str, width: int, **options) -> "dict[str, nn.Module]":
    """The nets of the network called `name`, the one that deblurs first; each takes the options it knows."""
    nets = {}
    for role, path in network(name).nets.items():
        make = pkgutil.resolve_name(path)
        known = inspect.signature(make).parameters
        nets[role] = make(width, **{key: value for key, value in options.items() if key in known})
    return nets
