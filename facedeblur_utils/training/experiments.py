"""Which networks are trained on which data for how long: the thesis's eight models and its epoch study."""

from dataclasses import dataclass

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.errors import UsageError
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.profiles import BLUR_KINDS, KIND_RUNS, LOSS_RUNS, Profile

THESIS = ("autoencoder", "gan")  # networks of the thesis, in the order of its tables
MIX = "MIX"  # all four kinds of blur, drawn anew each epoch (module `mixed`)
CAMERA = "CAM"  # the same with curved paths, blurred light, noise and JPEG
SOLVED = "SOLVED"  # the same once restored, and solved for nearly the right motion
# What notebook 10 trains on beside whole pictures under one kind of blur: under a mask, or of several kinds.
KIND_PARTS = {"line_head": "head", "line_face": "face"}
LEARNT_FROM = ("line", "line_light", "trajectory", "spline", "gaussian_process")  # one kernel a picture
TRANSFER, LEARNT = "transfer", "learnt"  # pairs that the network that blurs learns from, and its pictures
BLURRER_SHARE = 3  # times the epochs of a restorer; each takes a third of the time
KIND_MIXTURES = {
    "all": BLUR_KINDS,
    "camera": tuple(kind for kind in BLUR_KINDS if kind not in ("disc", "gaussian")),
    "five": LEARNT_FROM,
    LEARNT: LEARNT_FROM,
    TRANSFER: LEARNT_FROM,
}
JUDGED = ("adversarial", "relativistic")  # terms of a loss that ask a discriminator
# Notebook 11: the term of the pixels, and the weight with which each other one pulls half as hard at the
# blurred input (`benchmarks/loss_weights.py`, validation faces of SFB2 at 64 px). A discriminator that has
# learnt nothing can't be weighted so: adversarial terms have a tenth of the weight of 1 - SSIM.
PIXELS = {"A": "mse", "N": "l1"}
ADDED = {
    "A": {
        "perceptual": 0.94, "ssim": 0.0055, "adversarial": 0.0005, "relativistic": 0.0005,
        "local_structure": 0.041, "optical_flow": 0.062, "heatmap": 0.3, "identity": 0.004,
        "unsupervised": 0.1, "landmark": 0.01, "facial_structure": 0.029,
    },
    "N": {
        "perceptual": 7.0, "ssim": 0.041, "adversarial": 0.004, "relativistic": 0.004,
        "local_structure": 0.31, "optical_flow": 0.47, "heatmap": 2.2, "identity": 0.03,
        "unsupervised": 0.76, "landmark": 0.077, "facial_structure": 0.22,
    },
}  # fmt: skip
AUTOENCODER_SHARE = 3  # times the epochs of a restorer there; each takes an eighth of the time
JUDGED_LOSS = (("adversarial", ADDED["N"]["adversarial"]), ("l1", 1.0))  # of networks with a judge
COMPARED_ON = "SFB2"  # what notebooks 11 and 12 train on: whole pictures, whose kernels are known
ARCHITECTURES = "budget"  # before the names of notebook 12's runs
MIXED_ORDER = ("SFB2", "SB1SD", "SB2SM", "SFB1")  # thesis section 5.2
MODELS = [NETWORKS[network].letter + dataset for network in THESIS for dataset in DATASETS]  # Table 5.4


@dataclass(frozen=True)
class Run:
    """One training run: `network` is trained through `schedule`, a row of (dataset, epochs) parts.

    A run that `starts_from` another takes that run's checkpoint at the end of the first part instead of
    training that part again. Weights are kept at the epochs in `milestones`, counted from 1. `losses` are
    terms of the loss and their weights; empty for the network's own loss.
    """

    name: str
    network: str
    schedule: tuple[tuple[str, int], ...]
    milestones: tuple[int, ...]
    starts_from: str = ""
    losses: tuple[tuple[str, float], ...] = ()

    @property
    def epochs(self) -> int:
        return sum(epochs for _, epochs in self.schedule)

    @property
    def first_epoch(self) -> int:
        """The last epoch that the run takes over from the one that it starts from; 0 for most."""
        return self.schedule[0][1] if self.starts_from else 0

    @property
    def datasets(self) -> list[str]:
        return list(dict(self.schedule))

    def dataset_at(self, epoch: int) -> str:
        """Dataset that `epoch` (from 1) trains on."""
        for name, epochs in self.schedule:
            if epoch <= epochs:
                return name
            epoch -= epochs
        raise ValueError(f"run {self.name} has no epoch {epoch}")


@dataclass(frozen=True)
class Checkpoint:
    """The weights that one row of a table stands for."""

    run: str
    epoch: int | str


def training_runs(profile: Profile) -> dict[str, Run]:
    """The eight models of section 5.1 and the two mixed runs of section 5.2, by name, in training order."""
    runs = {}
    for network in THESIS:
        for dataset in DATASETS:
            name = NETWORKS[network].letter + dataset
            milestones = {profile.epochs}
            if name == "GSFB2":
                milestones |= {profile.checkpoint_epoch}
            schedule = ((dataset, profile.epochs),)
            losses = losses_in(profile, network)
            runs[name] = Run(name, network, schedule, tuple(sorted(milestones)), losses=losses)
    quarters = {"GSFB2_100": profile.mixed_epochs // 4, "GSFB2_20": profile.short_mixed_epochs // 4}
    for name, quarter in quarters.items():
        schedule = tuple((dataset, quarter) for dataset in MIXED_ORDER)
        # The first quarter of the long run is the GSFB2 run itself, where their lengths agree.
        shared = name == "GSFB2_100" and quarter == profile.checkpoint_epoch
        start = "GSFB2" if shared else ""
        runs[name] = Run(name, "gan", schedule, (4 * quarter,), start, losses_in(profile, "gan"))
    return runs


def losses_in(profile: Profile, network: str) -> tuple[tuple[str, float], ...]:
    """Terms and weights that the profile chooses for `network`, by name; empty for the network's own loss."""
    return tuple(sorted(NETWORKS[network].losses_in(profile).items()))


def loop_of(run: Run) -> str:
    """Function of `training.loops` that trains `run` for one epoch."""
    return "named_loss_epoch" if run.losses else NETWORKS[run.network].loop


def table_models(profile: Profile) -> dict[str, Checkpoint]:
    """The eight rows of Table 5.4: name -> weights at the last epoch."""
    return {name: Checkpoint(name, profile.epochs) for name in MODELS}


def ablation_models(profile: Profile) -> dict[str, Checkpoint]:
    """The four rows of Table 5.5 under the thesis's names, whatever the profile's number of epochs."""
    return {
        "GSFB2_50": Checkpoint("GSFB2", profile.epochs),
        "GSFB2_25": Checkpoint("GSFB2", profile.checkpoint_epoch),
        "GSFB2_100": Checkpoint("GSFB2_100", profile.mixed_epochs),
        "GSFB2_20": Checkpoint("GSFB2_20", profile.short_mixed_epochs),
    }


def restorer_runs(profile: Profile) -> dict[str, Run]:
    """Networks beyond the thesis: one run per dataset and one on all kinds of blur together."""
    epochs = profile.restorer_epochs
    return {
        row.letter + name: Run(
            row.letter + name, row.name, ((name, epochs),), (epochs,), losses=losses_in(profile, row.name)
        )
        for row in NETWORKS.values()
        if row.name == "restorer"
        for name in (*DATASETS, MIX, CAMERA)
    }


def refiner_run(profile: Profile) -> Run:
    """The network that comes after physics, made on demand: the published refiner."""
    epochs = profile.restorer_epochs
    return Run(NETWORKS["refiner"].letter + SOLVED, "refiner", ((SOLVED, epochs),), (epochs,))


def kinds_in(name: str) -> tuple[str, ...]:
    """The kinds of blur that occur in what notebook 10 calls `name`."""
    return KIND_MIXTURES.get(name) or (name if name in BLUR_KINDS else name.partition("_")[0],)


def is_kind(name: str) -> bool:
    """True for what notebook 10 draws itself, and not for the study's datasets and mixtures."""
    return name in KIND_RUNS or name == TRANSFER


def kind_runs(profile: Profile, names: tuple[str, ...] = ()) -> dict[str, Run]:
    """Notebook 10's restorers, by run: one for each of `names`, by default the profile's."""
    row, epochs, losses = NETWORKS["restorer"], profile.kind_epochs, losses_in(profile, "restorer")
    return {
        row.letter + name: Run(row.letter + name, row.name, ((name, epochs),), (epochs,), losses=losses)
        for name in names or profile.kind_runs
    }


def blurrer_run(profile: Profile) -> Run:
    """The network that blurs, learnt from pairs of LEARNT_FROM."""
    name = NETWORKS["blurrer"].letter + TRANSFER
    epochs = BLURRER_SHARE * profile.kind_epochs
    return Run(name, "blurrer", ((TRANSFER, epochs),), (epochs,))


def loss_runs(profile: Profile, names: tuple[str, ...] = ()) -> dict[str, Run]:
    """Notebook 11's autoencoders and restorers, by run: one for each of `names`, by default the profile's."""
    networks = {row.letter: row.name for row in NETWORKS.values()}
    runs = {}
    for name in names or profile.loss_runs:
        letter, _, loss = name.partition("_")
        added = loss.removeprefix("plus_")
        weights = {PIXELS[letter]: 1.0, added: ADDED[letter][added]} if added != loss else {loss: 1.0}
        epochs = profile.loss_epochs * (AUTOENCODER_SHARE if letter == "A" else 1)
        chosen = tuple(sorted(weights.items()))
        runs[name] = Run(name, networks[letter], ((COMPARED_ON, epochs),), (epochs,), losses=chosen)
    return runs


def architecture_runs(profile: Profile) -> dict[str, Run]:
    """Notebook 12's networks, by run: those of the profile's `architectures`, on COMPARED_ON.

    Networks with a discriminator of their own add what it says to the mean absolute error.
    """
    runs = {}
    for network, epochs in profile.architectures.items():
        row = NETWORKS[network]
        name = f"{ARCHITECTURES}_{network}"
        runs[name] = Run(
            name, network, ((COMPARED_ON, epochs),), (epochs,), losses=JUDGED_LOSS if row.judge else ()
        )
    return runs


def named_run(profile: Profile, name: str) -> Run:
    """The run called `name`; raises UsageError for a name that the study doesn't have."""
    runs = training_runs(profile) | restorer_runs(profile) | kind_runs(profile, KIND_RUNS)
    runs |= loss_runs(profile, LOSS_RUNS) | architecture_runs(profile)
    runs |= {run.name: run for run in (blurrer_run(profile), refiner_run(profile))}
    if name not in runs:
        raise UsageError(f"unknown training run '{name}'; known runs: {', '.join(runs)}")
    return runs[name]
