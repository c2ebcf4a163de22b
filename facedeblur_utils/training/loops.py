"""Trains the study's networks: one loop for each kind, resumed by themselves after any interruption."""

import io
import math
import time

import numpy as np
import pandas as pd
import torch

from facedeblur_utils.machine import available_cpus
from facedeblur_utils.metrics.further_losses import relativistic_discriminator_loss
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import Progress
from facedeblur_utils.training import losses, mixed, watch, workers
from facedeblur_utils.training.batches import images_per_epoch
from facedeblur_utils.training.experiments import Run, loop_of
from facedeblur_utils.training.trainer import Keeper, Trainer, find_start, fresh_trainer, open_trainer
from facedeblur_utils.training.watch import EpochLog

WORTH_A_PROCESS = 5000  # images of training, which take longer than a process to start
CROPPED_SHARE = 0.9  # of the restorer's epochs, where the profile crops; the last ones see whole faces


def train(run: Run, profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """Train `run` and return its history, one row per epoch; with several seeds a column `seed` tells them.

    Goes on from the run's checkpoint where there is one; a finished run returns at once. At most the epoch
    in progress is lost whenever the process dies. Raises StudyError (one line) for missing data, a
    checkpoint of another configuration or code, a loss that is not finite, and a full disk.
    """
    if profile.processes > 1 and not workers.is_worker():
        workers.launch(run.name, profile, paths)  # the workers train; below, the history is read
    histories = []
    for seed in range(1, profile.seeds + 1):
        start = find_start(run, profile, paths, seed)
        if start.finished:
            print(f"{run.name}: already trained ({run.epochs} epochs)", flush=True)
            history = pd.DataFrame(start.state["history"])
        else:
            trainer, keeper = open_trainer(start, paths)
            with watch.one_line(trainer):
                _train(trainer, keeper)
            history = trainer.frame()
        if profile.seeds > 1:
            history.insert(0, "seed", seed)
        histories.append(history)
    return pd.concat(histories, ignore_index=True)


def train_all(runs: dict[str, Run], profile: Profile, paths: RunPaths) -> dict[str, pd.DataFrame]:
    """`train` each of `runs`; histories by name.

    Where the profile gives a run one thread and several cores are free, runs that are worth it train side
    by side in processes of their own, with the same bits.
    """
    cores = available_cpus() if profile.threads == 1 and not torch.cuda.is_available() else 1
    seeds = range(1, profile.seeds + 1)
    apart = []
    for name, run in runs.items() if min(cores, len(runs)) > 1 else ():  # looking reads whole states
        starts = [find_start(run, profile, paths, seed) for seed in seeds]
        images = sum(
            run.epochs * max(map(len, start.pairs.values())) for start in starts if not start.finished
        )
        if images > WORTH_A_PROCESS and not run.starts_from:
            apart.append(name)
    if min(cores, len(apart)) > 1:
        workers.train_apart(apart, profile, paths, cores)
    return {name: train(run, profile, paths) for name, run in runs.items()}


def _train(trainer: Trainer, keeper: Keeper) -> None:
    run, engine = trainer.run, trainer.accelerator
    start = (
        f"goes on after epoch {trainer.epoch} of {run.epochs}" if trainer.epoch else f"{run.epochs} epochs"
    )
    several = f", {engine.num_processes} processes" if engine.num_processes > 1 else ""
    number_format = {"no": "fp32"}.get(engine.mixed_precision, engine.mixed_precision)
    engine.print(
        f"{run.name}: {start}, {number_format} on {engine.device.type}{several}, seed {trainer.seed}"
    )
    one_epoch = globals()[loop_of(run)]
    epochs = range(trainer.epoch + 1, run.epochs + 1)
    pairs = [trainer.data.pairs[run.dataset_at(epoch)] for epoch in epochs]
    total = sum(images_per_epoch(each, trainer.data.batch_size) for each in pairs)
    progress = Progress(total, run.name, stream=None if engine.is_main_process else io.StringIO())
    saving = 0.0  # seconds that the checkpoint before took
    for epoch in epochs:
        dataset = run.dataset_at(epoch)
        batch_size = trainer.data.batches(dataset).batch_size
        log = EpochLog(engine, progress, f"{run.name}, epoch {epoch}", batch_size)
        row = {"epoch": epoch, "dataset": dataset, **one_epoch(trainer, dataset, epoch, log)}
        began = time.perf_counter()
        row |= keeper.validation(trainer.restorer)
        row["overhead_seconds"] = saving + time.perf_counter() - began
        row["discriminator_wins"] = watch.discriminator_wins([*trainer.history, row])
        if row["discriminator_wins"]:
            engine.print(
                f"{run.name}, epoch {epoch}: the discriminator wins (last {watch.SURE_EPOCHS} epochs)"
            )
        began = time.perf_counter()
        keeper.save(trainer, row)
        saving = time.perf_counter() - began
    keeper.mirror.finish()
    progress.finish(f"validation PSNR {row['val_psnr']:.2f} dB, SSIM {row['val_ssim']:.4f}")


def first_batch_terms(run: Run, profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """The loss of the first batch of `run`, as its loop computes it with the first weights, term by term.

    Columns `value`, `weight` and `weighted`; the last row, `loss`, is the loop's own sum. The weights are
    thrown away afterwards: nothing is read from a checkpoint, and nothing is written. A run that starts
    from another one is shown as if it didn't. Raises StudyError for missing data.
    """
    pairs = {name: mixed.training_pairs(paths, name, profile) for name in run.datasets}
    with torch.random.fork_rng(devices=[]):
        trainer, facts = fresh_trainer(run, profile, paths.training(run.name), pairs, profile.seed, {})
        trainer.limit = 1
        silent = Progress(profile.batch_size, run.name, stream=io.StringIO())
        log = EpochLog(trainer.accelerator, silent, f"{run.name}, first batch", profile.batch_size)
        seen = globals()[loop_of(run)](trainer, run.dataset_at(1), 1, log)
    weights = facts["loss_weights"]
    # A loss of one term is logged as the loss alone.
    values = {name: seen[name if len(weights) > 1 else "loss"] for name in weights}
    table = pd.DataFrame({"value": values, "weight": weights}).rename_axis("term")
    table["weighted"] = table["value"] * table["weight"]
    table.loc["loss", "weighted"] = seen["loss"]
    return table


def autoencoder_epoch(trainer: Trainer, dataset: str, epoch: int, log: EpochLog) -> dict[str, float]:
    """One epoch of Eq. 4; returns the epoch's means."""
    net, optimizer = trainer.nets["autoencoder"], trainer.optimizers["autoencoder"]
    for batch in trainer.batches(dataset, epoch):
        output = net(batch.blurred)
        features = trainer.target_features(dataset, batch)
        terms = losses.autoencoder_terms(output, batch.sharp, trainer.perceptual, features)
        loss = losses.weighted_sum(terms, trainer.loss_weights)
        optimizer.zero_grad()
        trainer.accelerator.backward(loss)
        log.gradients("grad_norm", net, optimizer)
        optimizer.step()
        log.step({"loss": loss, **terms})
    return log.means()


def gan_epoch(trainer: Trainer, dataset: str, epoch: int, log: EpochLog) -> dict[str, float]:
    """One epoch of Eq. 5: per batch one step of the discriminator, then one of the generator."""
    generator, discriminator = trainer.nets["generator"], trainer.nets["discriminator"]
    g_optimizer, d_optimizer = trainer.optimizers["generator"], trainer.optimizers["discriminator"]
    judge = trainer.accelerator.unwrap_model(discriminator)
    for batch in trainer.batches(dataset, epoch):
        fake = generator(batch.blurred)

        real_logits, fake_logits = discriminator(batch.sharp), discriminator(fake.detach())
        d_loss = losses.discriminator_loss(real_logits, fake_logits)
        d_optimizer.zero_grad()
        trainer.accelerator.backward(d_loss)
        log.gradients("d_grad_norm", discriminator, d_optimizer)
        d_optimizer.step()

        # The generator's gradient flows through the discriminator, whose own weights need none here.
        judge.requires_grad_(False)
        terms = losses.generator_terms(fake, batch.sharp, judge(fake))
        judge.requires_grad_(True)
        loss = losses.weighted_sum(terms, trainer.loss_weights)
        g_optimizer.zero_grad()
        trainer.accelerator.backward(loss)
        log.gradients("g_grad_norm", generator, g_optimizer)
        g_optimizer.step()

        answers = {"d_real": real_logits.sigmoid().mean(), "d_fake": fake_logits.sigmoid().mean()}
        log.step({"loss": loss, **terms, "d_loss": d_loss, **answers})
    return log.means()


def restorer_epoch(trainer: Trainer, dataset: str, epoch: int, log: EpochLog) -> dict[str, float]:
    """One epoch of the mean absolute error with a one-cycle rate; returns the epoch's means.

    Serves every network that is trained alone on pixels.
    """
    (net,), (optimizer,) = trainer.nets.values(), trainer.optimizers.values()
    steps, profile = trainer.steps(dataset), trainer.profile
    for step, batch in enumerate(trainer.batches(dataset, epoch)):
        # The rate follows from the step alone, so that a resumed run needs no more state.
        rate = one_cycle(trainer.rate, ((epoch - 1) * steps + step) / (trainer.run.epochs * steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        blurred, sharp = batch.blurred, batch.sharp
        if profile.restorer_crop and epoch <= CROPPED_SHARE * trainer.run.epochs:
            rows, columns = random_square(profile, trainer.seed, epoch, step)
            blurred, sharp = blurred[..., rows, columns], sharp[..., rows, columns]
        terms = losses.restorer_terms(net(blurred), sharp)
        loss = losses.weighted_sum(terms, trainer.loss_weights)
        optimizer.zero_grad()
        trainer.accelerator.backward(loss)
        log.gradients("grad_norm", net, optimizer)
        optimizer.step()
        log.step({"loss": loss})
    return log.means()


def named_loss_epoch(trainer: Trainer, dataset: str, epoch: int, log: EpochLog) -> dict[str, float]:
    """One epoch of a loss that is put together by name, for any kind of network; returns the epoch's means.

    Rate and crops are those of the network's own loop; terms that look at whole faces get no crops. Where a
    term asks a discriminator, each batch begins with a step of that.
    """
    run, profile, weights = trainer.run, trainer.profile, trainer.loss_weights
    role = next(iter(trainer.nets))
    net, optimizer, judge = trainer.nets[role], trainer.optimizers[role], trainer.nets.get("discriminator")
    judge = judge if losses.judged(weights) else None
    restores = NETWORKS[run.network].loop == "restorer_epoch"
    crops = restores and profile.restorer_crop and not losses.whole(weights)
    steps = trainer.steps(dataset)
    for step, batch in enumerate(trainer.batches(dataset, epoch)):
        if restores:
            rate = one_cycle(trainer.rate, ((epoch - 1) * steps + step) / (run.epochs * steps))
            for group in optimizer.param_groups:
                group["lr"] = rate
        blurred, sharp = batch.blurred, batch.sharp
        if crops and epoch <= CROPPED_SHARE * run.epochs:
            rows, columns = random_square(profile, trainer.seed, epoch, step)
            blurred, sharp = blurred[..., rows, columns], sharp[..., rows, columns]
        output = net(blurred)
        answers = _discriminator_step(trainer, judge, sharp, output, log) if judge else {}
        look = losses.Look(
            output,
            sharp,
            blurred,
            vgg=trainer.perceptual,
            judge=judge,
            net=net,
            kernels=lambda batch=batch: trainer.data.kernels(dataset, batch),
            random=np.random.default_rng([trainer.seed, epoch, step]),
        )
        terms = {name: losses.TERMS[name](look) for name in weights}
        loss = losses.weighted_sum(terms, weights)
        optimizer.zero_grad()
        trainer.accelerator.backward(loss)
        log.gradients("grad_norm", net, optimizer)
        optimizer.step()
        log.step({"loss": loss, **terms, **answers})
    return log.means()


def _discriminator_step(trainer: Trainer, judge, sharp, output, log: EpochLog) -> dict:
    """Teach the discriminator by one batch; what it answered."""
    optimizer = trainer.optimizers["discriminator"]
    real, fake = judge(sharp), judge(output.detach())
    relative = "relativistic" in trainer.loss_weights
    loss = (relativistic_discriminator_loss if relative else losses.discriminator_loss)(real, fake)
    optimizer.zero_grad()
    trainer.accelerator.backward(loss)
    log.gradients("d_grad_norm", judge, optimizer)
    optimizer.step()
    return {"d_loss": loss, "d_real": real.sigmoid().mean(), "d_fake": fake.sigmoid().mean()}


def random_square(profile: Profile, seed: int, epoch: int, step: int) -> tuple[slice, slice]:
    """Rows and columns of the square that one batch is cut to, as drawn by (seed, epoch, step)."""
    side = min(profile.restorer_crop, profile.image_size)
    random = np.random.default_rng([seed, epoch, step])
    top, left = random.integers(0, profile.image_size - side + 1, 2).tolist()
    return slice(top, top + side), slice(left, left + side)


def one_cycle(highest: float, done: float, rise: float = 0.1) -> float:
    """Learning rate after the share `done` of all steps: up along a cosine for `rise`, then down to 0.

    Smith and Topin 2019, 'Super-convergence'; starts at a 25th of `highest`.
    """
    if done < rise:
        return highest * (1 + 24 * (1 - math.cos(math.pi * done / rise)) / 2) / 25
    return highest * (1 + math.cos(math.pi * (done - rise) / (1 - rise))) / 2
