"""One training run in progress: its networks, optimisers and data, opened, resumed and saved."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training import checkpoints, losses, mixed, precision, vgg
from facedeblur_utils.training.batches import Batch, Batches
from facedeblur_utils.training.experiments import Run
from facedeblur_utils.training.mirror import Mirror
from facedeblur_utils.training.run_config import disk_needed, facts_of, identity_of, seeded_nets
from facedeblur_utils.training.validation import Validation


@dataclass
class Job:
    """What the training loops work on. `epoch` counts the finished epochs, `history` has a row for each."""

    run: Run
    profile: Profile
    folder: Path
    seed: int  # of initial weights, shuffles and flips
    accelerator: object
    precision: str
    nets: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    identity: dict
    pairs: dict  # training pairs by dataset
    validation: Validation
    mirror: Mirror
    perceptual: vgg.Features | None = None
    epoch: int = 0
    history: list[dict] = field(default_factory=list)
    resident: dict[str, Batches] = field(default_factory=dict)
    features: dict[str, Tensor | None] = field(default_factory=dict)

    @property
    def restorer(self) -> nn.Module:
        """The network that deblurs, without wrappers."""
        return self.accelerator.unwrap_model(next(iter(self.nets.values())))

    def dataset_at(self, epoch: int) -> str:
        """Dataset that `epoch` (from 1) trains on."""
        for name, epochs in self.run.schedule:
            if epoch <= epochs:
                return name
            epoch -= epochs
        raise ValueError(f"run {self.run.name} has no epoch {epoch}")

    def batches(self, dataset: str) -> Batches:
        """The dataset's batches; the one before it is let go, so that one at a time is in memory."""
        if dataset not in self.resident:
            self.resident = {
                dataset: mixed.batches_of(
                    self.pairs[dataset], self.profile.batch_size, self.accelerator.device
                )
            }
        return self.resident[dataset]

    def epoch_batches(self, dataset: str, epoch: int) -> Iterator[Batch]:
        """This process's share of the batches of `epoch`."""
        return self.batches(dataset).epoch(
            self.seed, epoch, self.accelerator.process_index, self.accelerator.num_processes
        )

    def target_features(self, dataset: str, batch: Batch) -> Tensor | None:
        """VGG19's features of the batch's sharp images where they are kept, else None."""
        if dataset not in self.features:
            few = self.run.epochs <= 2  # no more often than once as it is and once mirrored
            kept = self.perceptual and not few
            self.features = {
                dataset: vgg.features_of_targets(self.perceptual, self.batches(dataset)) if kept else None
            }
        table = self.features[dataset]
        return None if table is None else table[batch.flips.long(), batch.indices].permute(0, 3, 1, 2)

    def state(self) -> dict:
        """Everything that the next epoch depends on, as tensors and plain values."""
        unwrap = self.accelerator.unwrap_model
        scaler = self.accelerator.scaler
        return {
            "identity": json.dumps(self.identity),
            "epoch": self.epoch,
            "history": self.history,
            "nets": {name: unwrap(net).state_dict() for name, net in self.nets.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "scaler": scaler.state_dict() if scaler else None,
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
        torch.set_rng_state(state["rng"])
        self.epoch, self.history = state["epoch"], list(state["history"])

    def save(self, row: dict) -> None:
        """Take `row` into the history and put the epoch's checkpoint on disk."""
        own = [r["val_psnr"] for r in self.history if r["epoch"] > first_epoch(self.run)]
        best = not own or row["val_psnr"] > max(own)
        self.epoch = row["epoch"]
        self.history.append(row)
        if not self.accelerator.is_main_process:
            return
        # Weights first: dying in between repeats the epoch and writes the same weights again.
        names = ["last"] + ["best"] * best + [self.epoch] * (self.epoch in self.run.milestones)
        for name in names:
            checkpoints.save_weights(checkpoints.weights_file(self.folder, name), self.restorer)
        strip = self.validation.strip(self.restorer)
        checkpoints.save_strip(checkpoints.strip_file(self.folder, self.epoch), strip)
        passed_on = self.epoch in self.run.milestones and self.epoch < self.run.epochs
        checkpoints.save_state(self.folder, self.state(), milestone=passed_on)
        self.write_history()
        self.mirror.update()
        if self.profile.tensorboard:
            _to_tensorboard(self.folder, row)

    def write_history(self) -> None:
        text = self.frame().to_csv(index=False, float_format="%.6g", lineterminator="\n")
        checkpoints.write_bytes(self.folder / checkpoints.HISTORY, text.encode())

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.history)


def first_epoch(run: Run) -> int:
    """The last epoch that `run` takes over from the run that it starts from; 0 for most."""
    return run.schedule[0][1] if run.starts_from else 0


def open_job(run: Run, profile: Profile, paths: RunPaths, seed: int = 1) -> Job | list[dict]:
    """Set up `run`, resumed from its checkpoint where it has one; a finished run gives its history alone.

    Raises StudyError where the data is missing, the checkpoint is of another configuration or dataset, the
    run that it starts from has not been trained, or the disk can't hold the checkpoints.
    """
    folder = checkpoints.folder_of(paths, run.name, seed)
    folder.mkdir(parents=True, exist_ok=True)
    mirror = Mirror(folder, _mirror_folder(profile, folder))
    if brought := mirror.bring_back():
        print(f"{run.name}: {brought} files brought back from {mirror.target}", flush=True)
    names = list(dict(run.schedule))
    pairs = {name: mixed.training_pairs(paths, name, profile) for name in names}
    number = profile.seed + seed - 1
    identity = identity_of(run, profile, number, pairs)
    state = checkpoints.load_state(folder)
    if state:
        checkpoints.refuse_other(folder, identity, json.loads(state["identity"]))
        if state["epoch"] == run.epochs:
            return state["history"]

    kind, why = precision.choose(profile.precision)
    accelerator = precision.engine(kind)
    perceptual = _perceptual(run, profile, folder, accelerator, kind)
    check = mixed.validation_pairs(paths, names)
    nets, optimizers = seeded_nets(run, profile, number)
    _share_batch_norm(run.name, nets, accelerator)
    facts = facts_of(run, profile, nets, optimizers) | {
        "precision": kind,
        "compiled": profile.compile,
        "precision_reason": why,
        "device": str(accelerator.device),
        "processes": accelerator.num_processes,
        **_loss_facts(run, perceptual),
    }
    job = Job(
        run=run,
        profile=profile,
        folder=folder,
        seed=number,
        accelerator=accelerator,
        precision=kind,
        nets={name: accelerator.prepare(net) for name, net in nets.items()},
        optimizers={name: accelerator.prepare(optimizer) for name, optimizer in optimizers.items()},
        identity=identity,
        pairs=pairs,
        validation=Validation(check, accelerator.device),
        mirror=mirror,
        perceptual=perceptual,
    )
    if profile.compile:
        for net in job.nets.values():
            net.compile()
    if state:
        job.restore(state)
    else:
        needed = disk_needed(run, profile)
        accelerator.print(f"{run.name}: checkpoints will take up to {needed / 1e6:.0f} MB")
        checkpoints.refuse_full_disk(folder, needed)
        if run.starts_from:
            _take_over(job, paths, seed)
    if accelerator.is_main_process:
        facts["validation_input"] = job.validation.of_input()
        checkpoints.write_config(folder, {**identity, **facts})
        for name in ("blurred", "sharp"):
            strip = job.validation.strip(sharp=name == "sharp")
            checkpoints.save_strip(checkpoints.strip_file(folder, name), strip)
    return job


def _share_batch_norm(run_name: str, nets: dict[str, nn.Module], accelerator) -> None:
    """With several processes, let batch norm see the whole batch on GPUs; say where it can't (CPUs)."""
    several = accelerator.num_processes > 1
    if not several or not any(isinstance(m, nn.BatchNorm2d) for net in nets.values() for m in net.modules()):
        return
    if accelerator.device.type == "cuda":
        for net in nets.values():
            nn.SyncBatchNorm.convert_sync_batchnorm(net)  # in place, with the same weights
    else:
        accelerator.print(
            f"{run_name}: several CPU processes, so batch norm sees each process's share of a batch alone; "
            "the result differs a little from that of one process"
        )


def _mirror_folder(profile: Profile, folder: Path) -> Path | None:
    """Where the profile's `mirror` keeps this run, as `<mirror>/<profile>/<run>`."""
    if not profile.mirror:
        return None
    root = Path(profile.mirror).expanduser()
    if not root.is_dir():
        raise StudyError(f"mirror folder {root} does not exist; mount or make it, or clear the key mirror")
    return root / profile.name / folder.name


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


def _take_over(job: Job, paths: RunPaths, seed: int) -> None:
    """Start from the other run's state at the end of the first part, its optimisers too."""
    parent = checkpoints.folder_of(paths, job.run.starts_from, seed)
    epoch = first_epoch(job.run)
    path = checkpoints.state_file(parent, epoch)
    if not path.exists():
        raise StudyError(
            f"run {job.run.name} starts from {job.run.starts_from} at epoch {epoch}, and {path} is missing; "
            f"train {job.run.starts_from} first (notebook 04)"
        )
    state = checkpoints.read_state(path)
    inherited = json.loads(state["identity"])
    part = ("run", "schedule", "milestones", "starts_from", "datasets")
    same = {key: value for key, value in job.identity.items() if key not in part}
    checkpoints.refuse_other(parent, same, {k: v for k, v in inherited.items() if k not in part})
    first = job.run.schedule[0][0]
    checkpoints.refuse_other(
        parent, {first: job.identity["datasets"][first]}, {first: inherited["datasets"].get(first)}
    )
    job.restore(state)


def _loss_facts(run: Run, perceptual: vgg.Features | None) -> dict:
    """What the run's loss consists of: weights by term, and which VGG19 its perceptual term has."""
    weights = losses.WEIGHTS[run.network]
    if run.network != "autoencoder":
        return {"loss_weights": weights, "vgg": None}
    if perceptual is None:
        weights = {name: weight for name, weight in weights.items() if name != "perceptual"}
    return {"loss_weights": weights, "vgg": perceptual.kind if perceptual else vgg.LEFT_OUT}


def _perceptual(run: Run, profile: Profile, folder: Path, accelerator, kind: str) -> vgg.Features | None:
    """VGG19 for Eq. 4, as in the other autoencoders of this profile; None where the loss has no such term."""
    if run.network != "autoencoder":
        return None
    used = {
        json.loads(path.read_text(encoding="utf-8")).get("vgg")
        for path in folder.parent.glob(f"A*/{checkpoints.CONFIG}")
    }
    others = next((weights for weights in (vgg.LEFT_OUT, vgg.RANDOM) if weights in used), None)
    if others:
        weights = others
        line = (
            f"VGG19 WITHOUT ImageNet weights, as in the other autoencoders here ({others}); delete "
            f"{folder.parent} to train all of them anew"
        )
    else:
        weights, line = vgg.available_kind()
        if vgg.IMAGENET in used and weights != vgg.IMAGENET:
            raise StudyError(f"the other autoencoders here have ImageNet weights in their loss; now: {line}")
        if weights == vgg.RANDOM and profile.autoencoder_vgg == "imagenet":
            weights = vgg.LEFT_OUT
            line += ". The profile wants no random one (autoencoder_vgg: imagenet): mse is the whole loss"
        elif weights == vgg.RANDOM:
            line += f". A random VGG19 (seed {vgg.RANDOM_SEED}) stands in for it"
    accelerator.print(line)
    if weights == vgg.LEFT_OUT:
        return None
    dtype = precision.DTYPES[kind]
    return vgg.Features(weights, dtype).to(accelerator.device)
