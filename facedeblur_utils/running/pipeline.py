"""The study as a graph: which notebook runs with which parameters, what it reads and what it makes."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from facedeblur_utils.errors import UsageError
from facedeblur_utils.paths import BELOW_INPUT, NOTEBOOKS, PACKAGE, WEIGHTS, RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training.experiments import DATASETS, Run, restorer_runs, training_runs

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
EPOCH_KEYS = frozenset({"epochs", "checkpoint_epoch", "mixed_epochs", "short_mixed_epochs"})
NETWORKS = ("autoencoder", "gan", "restorer")
NETWORK_KEYS = {
    network: frozenset(item.name for item in fields(Profile) if item.name.startswith(network))
    for network in NETWORKS
}
TRAINING_KEYS = EPOCH_KEYS.union({"batch_size", "precision", "compile", "seeds"}, *NETWORK_KEYS.values())


def keys_of_others(network: str) -> frozenset[str]:
    """The profile's keys that a training of `network` can't depend on; its epochs stand in its `Run`."""
    return EPOCH_KEYS.union(*(NETWORK_KEYS[other] for other in NETWORKS if other != network))


@dataclass(frozen=True)
class Stage:
    """One run of one notebook: `outputs` are rewritten each time, `kept` may be found finished and left.

    A stage depends on its notebook's code, the modules it imports, inputs, parameters and versions.
    """

    name: str
    notebook: Path
    parameters: dict
    inputs: tuple[Path, ...] = ()
    extras: tuple[Path, ...] = ()  # inputs that it shows where they exist, and waits for in a whole run
    outputs: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    time_limit: float = 24 * HOUR  # seconds
    settings: dict = field(default_factory=dict)  # what the stage depends on beyond the profile's values
    ignores: frozenset[str] = frozenset()  # keys of the profile that it can't depend on
    core: str = ""  # the module that `kept` files depend on; the notebook only shows them
    core_inputs: tuple[Path, ...] = ()  # the inputs that they depend on
    renew: tuple[Path, ...] = ()  # set aside when `kept` files must be made anew instead of gone on with

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

    def stage(self, stem: str, inputs: Iterable[Path], *, outputs=(), run: str = "", **rest) -> Stage:
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
            **rest,
        )


def stages(profile: Profile, paths: RunPaths, parameters: dict) -> list[Stage]:
    """All notebook runs of `profile` in an order in which each finds its inputs made.

    `parameters` go to every notebook (PROFILE, OVERRIDES, OUTPUT).
    """
    declare = Declaration(profile, paths, parameters)
    literature = sorted(path for path in (PACKAGE / "literature").glob("*.*") if path.suffix != ".py")
    weights = sorted(path for path in WEIGHTS.glob("*") if path.is_file())
    data, facts = dataset_files(profile, paths), paths.data / "dataset.json"
    runs = training_runs(profile)
    trained = {name: checkpoint_files(run, profile, paths) for name, run in runs.items()}
    chain = [
        declare.stage("01_literature_tables", literature, ignores=TRAINING_KEYS),
        declare.stage(
            "02_dataset_creation",
            weights,
            kept=(*data, facts),
            settings={"images": listing(profile.source)},
            ignores=TRAINING_KEYS,
            core="facedeblur_utils.data.build",
            core_inputs=tuple(weights),
            renew=(facts,),
        ),
    ]
    for name, run in runs.items():
        needed = (*data, *(path for path in trained.get(run.starts_from, ()) if path.suffix == ".pt"))
        stage = declare.stage(
            "03_train_autoencoder" if run.network == "autoencoder" else "04_train_gan",
            needed,
            kept=trained[name],
            run=name,
            settings={"run": asdict(run)},
            ignores=keys_of_others(run.network),
            core="facedeblur_utils.training.loops",
            core_inputs=needed,
            renew=tuple(dict.fromkeys(path.parent for path in trained[name])),
        )
        chain.append(stage)
    results = (*data, facts, *(path for files in trained.values() for path in files if path.suffix != ".pt"))
    evaluation = {"inputs": (*results, BELOW_INPUT), "outputs": [paths.scores, paths.discussion("05")]}
    ablation = {"inputs": (*results, paths.scores), "outputs": [paths.discussion("06")]}
    chain.append(declare.stage("05_evaluation", **evaluation))
    chain.append(declare.stage("06_epoch_ablation", **ablation))
    chain.append(restorer_stage(declare, (*results, paths.scores), data))
    shown = [paths.checkpoints / name / "last.safetensors" for name in ("ASFB2", "GSFB2", "NSFB2", "NMIX")]
    made = [paths.results / f"deblurred.{kind}" for kind in ("png", "html")]
    own = {"extras": tuple(shown), "ignores": TRAINING_KEYS}
    chain.append(declare.stage("08_deblur_your_photo", weights, outputs=made, **own))
    return chain


def restorer_stage(declare: Declaration, results: tuple[Path, ...], data: tuple[Path, ...]) -> Stage:
    """Notebook 07, which trains the restorers that the profile names and compares them with all others."""
    profile, paths = declare.profile, declare.paths
    runs = {name: run for name, run in restorer_runs(profile).items() if name in profile.restorer_runs}
    trained = [path for run in runs.values() for path in checkpoint_files(run, profile, paths)]
    return declare.stage(
        "07_modern_restorer",
        results,  # through these it depends on the keys that it ignores
        outputs=[
            *(paths.tables / f"{name}.csv" for name in ("table_x_restorer", "table_x_equal_budget")),
            paths.discussion("07"),
        ],
        kept=tuple(trained),
        settings={"runs": [asdict(run) for run in runs.values()]},
        ignores=keys_of_others("restorer"),
        core="facedeblur_utils.training.loops",
        core_inputs=data,
        renew=tuple(dict.fromkeys(path.parent for path in trained)),
    )


def listing(source: str) -> str:
    """Changes when a file of the folder (or zip) of faces does; empty for sources without one."""
    place = Path(source.removeprefix("celeba-hq:")).expanduser()
    files = [path for path in (place, *sorted(place.rglob("*"))) if path.is_file()]
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest() if facts else ""


def dataset_files(profile: Profile, paths: RunPaths) -> tuple[Path, ...]:
    """The arrays and tables of the datasets; pasted ones are composed on reading and have no array."""
    pasted = profile.composite == "paste" and not profile.noise
    arrays = ["faces", "masks_head", "masks_face", "kernels_1", "kernels_2"]
    arrays += [name for name in DATASETS if name in ("SFB1", "SFB2") or not pasted]
    return tuple(paths.data / name for name in ("split.csv", "images.csv", *(f"{a}.npy" for a in arrays)))


def checkpoint_files(run: Run, profile: Profile, paths: RunPaths) -> tuple[Path, ...]:
    """What a finished training run leaves for later stages, for each training seed."""
    names = [f"epoch_{epoch:04d}.safetensors" for epoch in run.milestones]
    names += [f"state_{epoch:04d}.pt" for epoch in run.milestones if epoch < run.epochs]
    names += ["last.safetensors", "best.safetensors", "history.csv", "config.json"]
    folders = [run.name, *(f"{run.name}.seed{seed}" for seed in range(2, profile.seeds + 1))]
    return tuple(paths.checkpoints / folder / name for folder in folders for name in names)


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


def _named(chain: list[Stage], word: str) -> list[Stage]:
    found = [stage for stage in chain if stage.answers_to(word)]
    if not found:
        numbers = sorted({stage.notebook.stem for stage in chain})
        raise UsageError(f"no stage is called '{word}'; notebooks: {', '.join(numbers)}; see --list")
    return found
