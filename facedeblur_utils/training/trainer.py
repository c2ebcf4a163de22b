"""One training run in progress: its networks, optimisers and data, opened, resumed and saved."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from facedeblur_utils.errors import StudyError
from facedeblur_utils.files import write_bytes
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.paths import RunFolder, RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training import checkpoints, losses, mixed, precision, setup, vgg
from facedeblur_utils.training.batches import Batch, Batches
from facedeblur_utils.training.experiments import Run
from facedeblur_utils.training.identity import datasets_of, identity_of, refuse_other
from facedeblur_utils.training.mirror import Mirror
from facedeblur_utils.training.validation import Validation


class TrainingData:
    """The training pairs of a run by dataset, as batches; one dataset at a time is in memory."""

    def __init__(self, pairs: dict, batch_size: int, device: torch.device, perceptual=None):
        self.pairs, self.batch_size, self.device = pairs, batch_size, device
        self._perceptual = perceptual  # VGG19, whose features of the targets are kept where they fit
        self._resident: dict[str, Batches] = {}
        self._features: dict[str, Tensor | None] = {}
        self._kernels: dict[str, Tensor] = {}

    def batches(self, dataset: str) -> Batches:
        if dataset not in self._resident:
            self._resident = {dataset: mixed.batches_of(self.pairs[dataset], self.batch_size, self.device)}
        return self._resident[dataset]

    def kernels(self, dataset: str, batch: Batch) -> Tensor:
        """Kernels (B, k, k) that blurred the batch, mirrored where it is; StudyError where it has no such."""
        pairs = self.pairs[dataset]
        if getattr(pairs, "region", "none"):
            raise StudyError(
                f"the loss 'unsupervised' blurs again by the true kernel, which {dataset} doesn't have for "
                "whole pictures; train on SFB1 or SFB2, or leave that term out"
            )
        if dataset not in self._kernels:
            found = [pairs.kernel(index) for index in range(len(pairs))]
            side = max(len(kernel) for kernel in found)
            table = np.zeros((len(found), side, side), np.float32)
            for row, kernel in zip(table, found, strict=True):
                edge = (side - len(kernel)) // 2
                row[edge : edge + len(kernel), edge : edge + len(kernel)] = kernel
            self._kernels = {dataset: torch.from_numpy(table).to(self.device)}
        kernels = self._kernels[dataset][batch.indices]
        return torch.where(batch.flips.bool().view(-1, 1, 1), kernels.flip(2), kernels)

    def target_features(self, dataset: str, batch: Batch) -> Tensor | None:
        """VGG19's features of the batch's sharp images where they are kept, else None."""
        if dataset not in self._features:
            kept = (
                vgg.features_of_targets(self._perceptual, self.batches(dataset)) if self._perceptual else None
            )
            self._features = {dataset: kept}
        table = self._features[dataset]
        return None if table is None else table[batch.flips.long(), batch.indices].permute(0, 3, 1, 2)


@dataclass
class Trainer:
    """What the training loops work on. `epoch` counts the finished epochs, `history` has a row for each."""

    run: Run
    profile: Profile
    seed: int  # of initial weights, shuffles and flips
    identity: dict
    accelerator: object
    nets: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    data: TrainingData
    perceptual: vgg.Features | None = None
    average: AveragedModel | None = None  # of the weights of the network that deblurs, over its last steps
    epoch: int = 0
    history: list[dict] = field(default_factory=list)
    limit: int | None = None  # of batches in an epoch, to look at the first ones; None: all

    @property
    def restorer(self) -> nn.Module:
        """The network that deblurs, without wrappers; where its weights are averaged, with their average."""
        return self.average.module if self.average else self.stepped

    @property
    def stepped(self) -> nn.Module:
        """The network that deblurs with the weights of the last step."""
        return self.accelerator.unwrap_model(next(iter(self.nets.values())))

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the loss's terms by name."""
        return losses.weights_of(self.run)

    @property
    def rate(self) -> float:
        """The learning rate, or the highest of a schedule."""
        return NETWORKS[self.run.network].rate_in(self.profile)

    def steps(self, dataset: str) -> int:
        """Batches in an epoch."""
        return self.data.batches(dataset).steps

    def batches(self, dataset: str, epoch: int) -> Iterator[Batch]:
        """This process's share of the batches of `epoch`."""
        engine, data = self.accelerator, self.data.batches(dataset)
        share = data.epoch(self.seed, epoch, engine.process_index, engine.num_processes)
        return itertools.islice(share, self.limit)

    def target_features(self, dataset: str, batch: Batch) -> Tensor | None:
        """Kept features of the batch's sharp images; a short run computes them as it goes."""
        few = self.limit or self.run.epochs <= 2  # no more often than once as it is and once mirrored
        return None if few else self.data.target_features(dataset, batch)

    def state(self) -> dict:
        """Everything that the next epoch depends on, as tensors and plain values."""
        unwrap, scaler = self.accelerator.unwrap_model, self.accelerator.scaler
        return {
            "identity": json.dumps(self.identity),
            "epoch": self.epoch,
            "history": self.history,
            "nets": {name: unwrap(net).state_dict() for name, net in self.nets.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "scaler": scaler.state_dict() if scaler else None,
            "average": self.average.state_dict() if self.average else None,
            "rng": torch.get_rng_state(),
        }

    def restore(self, state: dict) -> None:
        """Go on from `state`."""
        for name, net in self.nets.items():
            self.accelerator.unwrap_model(net).load_state_dict(state["nets"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.load_state_dict(state["average"])
        torch.set_rng_state(state["rng"])
        self.epoch, self.history = state["epoch"], list(state["history"])

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.history)


class Keeper:
    """Puts a trainer's epochs on disk: weights, pictures, state, history, and copies of them."""

    def __init__(self, folder: RunFolder, validation: Validation, mirror: Mirror):
        self.folder, self.validation, self.mirror = folder, validation, mirror

    def begin(self, trainer: Trainer, facts: dict) -> None:
        """Write the configuration and the validation faces before the first epoch."""
        facts = facts | {"validation_input": self.validation.of_input()}
        checkpoints.write_config(self.folder, {**trainer.identity, **facts})
        for name in ("blurred", "sharp"):
            checkpoints.save_strip(self.folder.strip(name), self.validation.strip(sharp=name == "sharp"))

    def save(self, trainer: Trainer, row: dict) -> None:
        """Take `row` into the trainer's history and put the epoch's checkpoint on disk."""
        own = [r["val_psnr"] for r in trainer.history if r["epoch"] > trainer.run.first_epoch]
        best = not own or row["val_psnr"] > max(own)
        trainer.epoch = row["epoch"]
        trainer.history.append(row)
        if not trainer.accelerator.is_main_process:
            return
        milestone = trainer.epoch in trainer.run.milestones
        # Weights first: dying in between repeats the epoch and writes the same weights again.
        for name in ["last"] + ["best"] * best + [trainer.epoch] * milestone:
            checkpoints.save_weights(self.folder.weights(name), trainer.restorer)
        if trainer.average:
            checkpoints.save_weights(self.folder.weights(checkpoints.NOT_AVERAGED), trainer.stepped)
        checkpoints.save_strip(self.folder.strip(trainer.epoch), self.validation.strip(trainer.restorer))
        passed_on = milestone and trainer.epoch < trainer.run.epochs
        checkpoints.save_state(self.folder, trainer.state(), milestone=passed_on)
        text = trainer.frame().to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_bytes(self.folder.history, text.encode(), durable=True)
        self.mirror.update()
        if trainer.profile.tensorboard:
            _to_tensorboard(self.folder.path, row)


@dataclass
class Start:
    """Where a run begins: its data, its identity, and the state on disk where there is one."""

    run: Run
    profile: Profile
    folder: RunFolder
    mirror: Mirror
    pairs: dict
    seed: int
    identity: dict
    state: dict | None

    @property
    def finished(self) -> bool:
        return self.state is not None and self.state["epoch"] == self.run.epochs


def find_start(run: Run, profile: Profile, paths: RunPaths, seed: int = 1) -> Start:
    """Look what there is of training seed `seed` of `run`.

    Raises StudyError where the data is missing, or the checkpoint is of another configuration, code or
    dataset.
    """
    folder = paths.training(run.name, seed)
    mirror = _mirror_of(folder, profile)
    pairs = {name: mixed.training_pairs(paths, name, profile) for name in run.datasets}
    number = first_number(profile) + seed - 1
    identity = identity_of(run, profile, number, datasets_of(run, paths))
    state = checkpoints.load_state(folder)
    if state:
        refuse_other(folder, identity, json.loads(state["identity"]))
    return Start(run, profile, folder, mirror, pairs, number, identity, state)


def first_number(profile: Profile) -> int:
    """What the first training seed of a run draws its weights and orders from."""
    return profile.seed + profile.first_seed - 1


def open_trainer(start: Start, paths: RunPaths) -> tuple[Trainer, Keeper]:
    """Set up the run that begins at `start`, and what keeps its epochs.

    Raises StudyError where the run that it starts from has not been trained, or the disk can't hold the
    checkpoints.
    """
    run, profile, folder = start.run, start.profile, start.folder
    trainer, facts = fresh_trainer(run, profile, folder, start.pairs, start.seed, start.identity)
    accelerator = trainer.accelerator
    validation = Validation(mixed.validation_pairs(paths, run.datasets, profile), accelerator.device)
    if profile.compile:
        for net in trainer.nets.values():
            net.compile()
    if start.state:
        trainer.restore(start.state)
    else:
        needed = setup.disk_needed(run, profile)
        accelerator.print(f"{run.name}: checkpoints will take up to {needed / 1e6:.0f} MB")
        checkpoints.refuse_full_disk(folder, needed)
        if run.starts_from:
            _take_over(trainer, paths.training(run.starts_from, start.seed - first_number(profile) + 1))
    keeper = Keeper(folder, validation, start.mirror)
    if accelerator.is_main_process:
        keeper.begin(trainer, facts)
    return trainer, keeper


def fresh_trainer(
    run: Run, profile: Profile, folder: RunFolder, pairs: dict, seed: int, identity: dict
) -> tuple[Trainer, dict]:
    """`run` with its first weights drawn from `seed`, on training `pairs` by dataset, and facts about it.

    Writes nothing into `folder`, which only says where the other runs are.
    """
    kind, why = precision.choose(profile.precision)
    accelerator = precision.engine(kind)
    perceptual = setup.perceptual_of(run, profile, folder, accelerator, kind)
    nets, optimizers = setup.seeded_nets(run, profile, seed)
    setup.add_judge(run, profile, seed, nets, optimizers)
    setup.add_discriminator(run, profile, seed, nets, optimizers)
    setup.share_batch_norm(run.name, nets, accelerator)
    average = setup.average_of(run, profile, nets, optimizers, accelerator.device)
    facts = setup.facts_of(run, profile, nets, optimizers) | setup.loss_facts(run, perceptual)
    facts |= {
        "precision": kind,
        "compiled": profile.compile,
        "precision_reason": why,
        "device": str(accelerator.device),
        "processes": accelerator.num_processes,
    }
    trainer = Trainer(
        run=run,
        profile=profile,
        seed=seed,
        identity=identity,
        accelerator=accelerator,
        nets={name: accelerator.prepare(net) for name, net in nets.items()},
        optimizers={name: accelerator.prepare(optimizer) for name, optimizer in optimizers.items()},
        data=TrainingData(pairs, profile.batch_size, accelerator.device, perceptual),
        perceptual=perceptual,
        average=average,
    )
    return trainer, facts


def _mirror_of(folder: RunFolder, profile: Profile) -> Mirror:
    """The run's folder, made, with its copy at `<mirror>/<profile>/<run>`; fills it from there if empty."""
    folder.path.mkdir(parents=True, exist_ok=True)
    target = None
    if profile.mirror:
        root = Path(profile.mirror).expanduser()
        if not root.is_dir():
            raise StudyError(
                f"mirror folder {root} does not exist; mount or make it, or clear the key mirror"
            )
        target = root / profile.name / folder.name
    mirror = Mirror(folder.path, target)
    if brought := mirror.bring_back():
        print(f"{folder.name}: {brought} files brought back from {mirror.target}", flush=True)
    return mirror


def _take_over(trainer: Trainer, parent: RunFolder) -> None:
    """Start from the other run's state at the end of the first part, its optimisers too."""
    run, epoch = trainer.run, trainer.run.first_epoch
    path = parent.milestone_state(epoch)
    if not path.exists():
        raise StudyError(
            f"run {run.name} starts from {run.starts_from} at epoch {epoch}, and {path} is missing; "
            f"train {run.starts_from} first (notebook 04)"
        )
    state = checkpoints.read_state(path)
    inherited, first = json.loads(state["identity"]), run.schedule[0][0]
    own = ("run", "schedule", "milestones", "starts_from")  # may differ, and other parts' datasets
    wanted = {key: value for key, value in trainer.identity.items() if key not in own}
    found = {key: value for key, value in inherited.items() if key not in own}
    for identity in (wanted, found):
        identity["datasets"] = {first: identity["datasets"].get(first)}
    refuse_other(parent, wanted, found)
    trainer.restore(state)


def _to_tensorboard(folder: Path, row: dict) -> None:
    """The epoch's numbers as TensorBoard scalars in `<run>/tensorboard`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise StudyError(
            "key tensorboard needs the extra: pip install 'facedeblur-utils[tensorboard]'"
        ) from None
    with SummaryWriter(str(folder / "tensorboard"), purge_step=row["epoch"]) as writer:
        for name, value in row.items():
            if isinstance(value, float):
                writer.add_scalar(name, value, row["epoch"])
