"""The study as a graph: which notebook runs with which parameters, what it reads and what it makes."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from facedeblur_utils.data.datasets import DATASETS, DRAWS, MASKS, RECIPE_KEYS, SOURCE_KEYS
from facedeblur_utils.errors import UsageError
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.paths import (
    BELOW_INPUT,
    EXPECTED,
    NOTEBOOKS,
    PACKAGE,
    WEIGHTS,
    RunPaths,
    seeds_folder,
)
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training.experiments import (
    LEARNT,
    THESIS,
    Run,
    architecture_runs,
    blurrer_run,
    kind_runs,
    loss_runs,
    restorer_runs,
    training_runs,
)

TABLES = {
    "01": ["table_1_1", "table_1_2", *(f"table_2_{number:02d}" for number in range(1, 11))],
    "02": ["table_5_3"],
    "05": ["table_4_1", "table_4_2", "table_5_1", "table_5_2", "table_5_4"],
    "06": ["table_5_5"],
}
FIGURES = {
    "01": ["fig_1_01", "fig_2_01"],
    "02": ["fig_4_01", "fig_4_02", "fig_4_03"],
    "05": [f"fig_5_{number:02d}" for number in range(1, 13)],
    "06": [f"fig_5_{number:02d}" for number in range(13, 19)],
}
HOUR = 3600.0
EPOCH_KEYS = ("epochs", "checkpoint_epoch", "mixed_epochs", "short_mixed_epochs")
RENAMED = {  # stages and notebooks by the names that they had before
    "02_dataset_creation": "02_dataset_build",
    "03_train_autoencoder": "03_train_ae",
    "05_evaluation": "05_cross_eval",
}


@dataclass(frozen=True)
class Stage:
    """One run of one notebook: `outputs` are rewritten each time, `kept` may be found finished and left.

    A stage depends on its notebook's code, the modules it imports, inputs, the profile's `keys`, parameters
    and versions. What reaches it through its inputs need not stand in `keys`.
    """

    name: str
    notebook: Path
    parameters: dict
    inputs: tuple[Path, ...] = ()
    extras: tuple[Path, ...] = ()  # inputs that it shows where they exist, and waits for in a whole run
    outputs: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    time_limit: float = 24 * HOUR  # seconds
    keys: frozenset[str] = frozenset()  # of the profile, that its outputs depend on
    settings: dict = field(default_factory=dict)  # what they depend on beyond the profile's values
    runs: tuple[Run, ...] = ()  # training runs whose files are among `kept`
    seeds: int = 1  # training seeds of each of them
    renew: tuple[Path, ...] = ()  # set aside when `kept` files were damaged

    @property
    def made(self) -> tuple[Path, ...]:
        """Everything that must exist when the stage has run."""
        return self.outputs + self.kept

    def answers_to(self, word: str) -> bool:
        """True for the stage's name, its notebook's name or number, and its training run's name."""
        stem = self.notebook.stem
        return word in {self.name, stem, stem.partition("_")[0], *self.parameters.get("RUNS", [])}


@dataclass(frozen=True)
class Declaration:
    """What every notebook run of one profile has in common."""

    profile: Profile
    paths: RunPaths
    parameters: dict = field(default_factory=dict)  # PROFILE, OVERRIDES, OUTPUT

    def stage(
        self, stem: str, inputs: Iterable[Path], *, outputs=(), run: str = "", keys=(), **rest
    ) -> Stage:
        number = stem.partition("_")[0]
        exported = [
            self.paths.tables / f"{name}.{kind}"
            for name in TABLES.get(number, ())
            for kind in ("csv", "tex", "md")
        ]
        exported += [
            self.paths.figures / f"{name}.{kind}"
            for name in FIGURES.get(number, ())
            for kind in ("png", "pdf")
        ]
        return Stage(
            name=f"{stem}_{run}" if run else stem,
            notebook=NOTEBOOKS / f"{stem}.ipynb",
            parameters=self.parameters | ({"RUNS": [run]} if run else {}),
            inputs=tuple(inputs),
            outputs=(*outputs, *exported),
            keys=frozenset({"name", *keys}),  # captions name the profile
            **rest,
        )


def stages(profile: Profile, paths: RunPaths, parameters: dict) -> list[Stage]:
    """All notebook runs of `profile` in an order in which each finds its inputs made.

    `parameters` go to every notebook (PROFILE, OVERRIDES, OUTPUT).
    """
    declare = Declaration(profile, paths, parameters)
    literature = sorted(path for path in (PACKAGE / "literature").glob("*.*") if path.suffix != ".py")
    weights = sorted(path for path in WEIGHTS.glob("*") if path.is_file())
    data, facts = dataset_files(profile, paths), paths.dataset_facts
    runs = training_runs(profile)
    trained = {name: checkpoint_files(run, profile, paths) for name, run in runs.items()}
    chain = [
        declare.stage("01_literature_tables", literature, outputs=[paths.figures / "literature.html"]),
        declare.stage(
            "02_dataset_build",
            weights,
            kept=(*data, facts),
            keys=(*RECIPE_KEYS, *SOURCE_KEYS),
            settings={"images": listing(profile.source)},
            renew=(facts,),
        ),
    ]
    for name, run in runs.items():
        needed = (*data, *(path for path in trained.get(run.starts_from, ()) if path.suffix == ".pt"))
        chain.append(training_stage(declare, NETWORKS[run.network].notebook, [run], needed, run=name))
    results = (*data, facts, *(path for files in trained.values() for path in files if path.suffix != ".pt"))
    # Notebook 05 draws bootstrap samples from the seed; its text and tables count epochs and seeds.
    shown = (*EPOCH_KEYS, "batch_size", "image_size", "seed", "seeds", "first_seed")
    kept = sorted(seeds_folder(profile.name).glob("seed_*"))  # of other runs: tables are over all seeds
    evaluation = {"inputs": (*results, *kept, BELOW_INPUT), "outputs": [paths.scores, paths.discussion("05")]}
    ablation = {"inputs": (*results, *kept, paths.scores), "outputs": [paths.discussion("06")]}
    chain.append(declare.stage("05_cross_eval", keys=shown, **evaluation))
    chain.append(declare.stage("06_epoch_ablation", keys=(*EPOCH_KEYS, "seeds"), **ablation))
    further = [run for name, run in restorer_runs(profile).items() if name in profile.restorer_runs]
    exported = ("table_x_restorer", "table_x_equal_budget", "table_x_physics", "table_x_physics_regions")
    made = [
        paths.physics_scores,
        paths.recognition_scores,
        *(paths.tables / f"{name}.csv" for name in exported),
    ]
    sizes = [f"{network}_width" for network in THESIS] + list(NETWORKS["gan"].options.values())
    chain.append(
        training_stage(
            declare,
            "07_modern_restorer",
            further,
            (*results, *weights),  # it scores the published restorer as well
            keys=("restorer_runs", *sizes),  # it compares the sizes of the networks
            outputs=[*made, paths.discussion("07")],
        )
    )
    shown = [paths.training(name).weights("last") for name in ("ASFB2", "GSFB2", "NSFB2", "NMIX")]
    made = [paths.results / f"deblurred.{kind}" for kind in ("png", "html")]
    own = {"extras": tuple(shown), "keys": ("image_size",)}
    chain.append(declare.stage("08_deblur_your_photo", weights, outputs=made, **own))
    exported = ("table_x_kinds_of_blur", "table_x_motion_field")
    made = [paths.tables / f"{name}.csv" for name in exported]
    blurred = ("image_size", "blur_length", "blur_gamma", "seed")
    chain.append(declare.stage("09_kinds_of_blur", (*data, facts, *weights), outputs=made, keys=blurred))
    made = [paths.tables / "table_x_blur_comparison.csv", paths.kind_scores] if profile.kind_runs else []
    chain.append(
        training_stage(
            declare,
            "10_blur_comparison",
            list(kind_runs(profile).values()),
            (*data, facts, EXPECTED / "kind_gains.csv"),
            seeds=profile.kind_seeds,
            once=[blurrer_run(profile)] if LEARNT in profile.kind_runs else [],
            keys=(*blurred, "composite", "kind_runs", "kind_seeds"),
            outputs=[*made, paths.discussion("10")],
        )
    )
    made = [paths.tables / "table_x_losses.csv", paths.loss_scores] if profile.loss_runs else []
    chain.append(
        training_stage(
            declare,
            "11_losses",
            list(loss_runs(profile).values()),
            (*data, facts, *weights, EXPECTED / "loss_scores.csv"),
            seeds=profile.loss_seeds,
            keys=("loss_runs", "loss_seeds"),
            outputs=[*made, paths.discussion("11")],
        )
    )
    made = [paths.tables / "table_x_architectures.csv", paths.architecture_scores]
    made = made if profile.architectures else []
    chain.append(
        training_stage(
            declare,
            "12_architectures",
            list(architecture_runs(profile).values()),
            (*data, facts, EXPECTED / "architecture_gains.csv"),
            seeds=profile.architecture_seeds,
            keys=("architectures", "architecture_seeds"),
            outputs=[*made, paths.discussion("12")],
        )
    )
    made = [paths.tables / "table_x_metric_audit.csv", paths.discussion("13")]
    # It takes the networks' weights at the last epoch, and the scores that the articles report.
    needed = (*literature, *results, *kept, paths.scores)
    chain.append(declare.stage("13_conventions", needed, outputs=made, keys=("epochs",)))
    return chain


def training_stage(
    declare: Declaration,
    notebook: str,
    runs: list[Run],
    needed: tuple[Path, ...],
    *,
    seeds: int = 0,
    once: Iterable[Run] = (),
    keys=(),
    **rest,
) -> Stage:
    """A notebook that trains `runs`, from `seeds` seeds each (0: the profile's), and `once` from one.

    How many epochs they take stands in the runs themselves; more seeds add files. What only changes how
    fast a network trains (threads, processes, compile) is no reason to look at it again.
    """
    profile, paths = declare.profile, declare.paths
    groups = ((once, 1), (runs, seeds or profile.seeds))
    trained = [
        path
        for group, count in groups
        for run in group
        for path in checkpoint_files(run, replace(profile, seeds=count), paths)
    ]
    runs = [*once, *runs]
    training = {"image_size", "batch_size", "precision", "seed", "first_seed"}
    return declare.stage(
        notebook,
        needed,
        kept=tuple(trained),
        keys=training.union(*(NETWORKS[run.network].profile_keys for run in runs), keys),
        settings={"runs": [asdict(run) for run in runs]},
        runs=tuple(runs),
        seeds=seeds or profile.seeds,
        renew=tuple(dict.fromkeys(path.parent for path in trained)),
        **rest,
    )


def listing(source: str) -> str:
    """Changes when a file of the folder (or zip) of faces does; empty for sources without one."""
    place = Path(source.removeprefix("celeba-hq:")).expanduser()
    files = [path for path in (place, *sorted(place.rglob("*"))) if path.is_file()]
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest() if facts else ""


def dataset_files(profile: Profile, paths: RunPaths) -> tuple[Path, ...]:
    """The arrays and tables of the datasets."""
    arrays = ["faces", *(f"masks_{mask}" for mask in MASKS), *(f"kernels_{draw}" for draw in DRAWS)]
    arrays += [name for name, row in DATASETS.items() if row.stored(profile)]
    return tuple(paths.data / name for name in ("split.csv", "images.csv", *(f"{a}.npy" for a in arrays)))


def checkpoint_files(run: Run, profile: Profile, paths: RunPaths) -> tuple[Path, ...]:
    """What a finished training run leaves for later stages, for each training seed."""
    files = []
    for seed in range(1, profile.seeds + 1):
        folder = paths.training(run.name, seed)
        files += [folder.weights(epoch) for epoch in run.milestones]
        files += [folder.milestone_state(epoch) for epoch in run.milestones if epoch < run.epochs]
        files += [folder.weights("last"), folder.weights("best"), folder.history, folder.config]
    return tuple(files)


def producers(chain: list[Stage]) -> dict[Path, Stage]:
    """Which stage makes a file."""
    return {path: stage for stage in chain for path in stage.made}


def upstream(stage: Stage, chain: list[Stage]) -> list[Stage]:
    """The stages that make what `stage` reads, in order."""
    made_by = producers(chain)
    names = {made_by[path].name for path in (*stage.inputs, *stage.extras) if path in made_by}
    return [other for other in chain if other.name in names]


def in_order(chain: list[Stage]) -> list[Stage]:
    """The stages, each after those that make what it reads."""
    ordered: list[Stage] = []
    while left := [stage for stage in chain if stage not in ordered]:
        ordered += [stage for stage in left if all(other in ordered for other in upstream(stage, chain))]
    return ordered


def select(
    chain: list[Stage], only: Iterable[str] = (), first: str | None = None, last: str | None = None
) -> list[Stage]:
    """The stages to consider: all, those named in `only`, or those from `first` through `last`.

    A name is a stage, a notebook, a notebook's number or a training run; raises UsageError for others.
    """
    chosen = chain
    if only := list(only):
        wanted = {stage.name for word in only for stage in _named(chain, word)}
        chosen = [stage for stage in chain if stage.name in wanted]
    if first:
        begin = chain.index(_named(chain, first)[0])
        chosen = [stage for stage in chosen if chain.index(stage) >= begin]
    if last:
        end = chain.index(_named(chain, last)[-1])
        chosen = [stage for stage in chosen if chain.index(stage) <= end]
    if not chosen:
        raise UsageError("no stage is left by --only, --from and --until together; see --list")
    return chosen


def current_name(word: str) -> str:
    """A stage's or notebook's name of today for one that it had before."""
    for old, new in RENAMED.items():
        if word == old or word.startswith(f"{old}_"):
            return word.replace(old, new, 1)
    return word


def _named(chain: list[Stage], word: str) -> list[Stage]:
    if current_name(word) != word:
        raise UsageError(f"stage {word} is now called {current_name(word)}")
    found = [stage for stage in chain if stage.answers_to(word)]
    if not found:
        numbers = sorted({stage.notebook.stem for stage in chain})
        raise UsageError(f"no stage is called '{word}'; notebooks: {', '.join(numbers)}; see --list")
    return found
