"""Trains the study's networks: one loop for each kind, resumed by themselves after any interruption."""

import io
import math
import time

import numpy as np
import pandas as pd
import torch
from torch import nn

from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.progress import Progress
from facedeblur_utils.training import checkpoints, health, losses, workers
from facedeblur_utils.training.batches import images_per_epoch
from facedeblur_utils.training.experiments import Run
from facedeblur_utils.training.run_config import build_nets
from facedeblur_utils.training.trainer import Job, open_job
from facedeblur_utils.training.watch import EpochLog

CROPPED_SHARE = 0.9  # of the restorer's epochs, where the profile crops; the last ones see whole faces


def train(run: Run, profile: Profile, paths: RunPaths) -> pd.DataFrame:
    """Train `run` and return its history, one row per epoch; with several seeds a column `seed` tells them.

    Goes on from the run's checkpoint where there is one; a finished run returns at once. At most the epoch
    in progress is lost whenever the process dies. Raises StudyError (one line) for missing data, a
    checkpoint of another configuration, a loss that is not finite, and a full disk.
    """
    if profile.processes > 1 and not workers.is_worker():
        workers.launch(run.name, profile, paths)  # the workers train; below, the history is read
    histories = []
    for seed in range(1, profile.seeds + 1):
        job = open_job(run, profile, paths, seed)
        if isinstance(job, Job):
            with health.one_line(job):
                _train(job)
            history = job.frame()
        else:
            print(f"{run.name}: already trained ({run.epochs} epochs)", flush=True)
            history = pd.DataFrame(job)
        if profile.seeds > 1:
            history.insert(0, "seed", seed)
        histories.append(history)
    return pd.concat(histories, ignore_index=True)


def _train(job: Job) -> None:
    run, say = job.run, job.accelerator.print
    start = f"goes on after epoch {job.epoch} of {run.epochs}" if job.epoch else f"{run.epochs} epochs"
    count = job.accelerator.num_processes
    several = f", {count} processes" if count > 1 else ""
    say(f"{run.name}: {start}, {job.precision} on {job.accelerator.device.type}{several}, seed {job.seed}")
    loops = {"autoencoder": autoencoder_epoch, "gan": gan_epoch, "restorer": restorer_epoch}
    one_epoch = loops[run.network]
    left = [job.dataset_at(epoch) for epoch in range(job.epoch + 1, run.epochs + 1)]
    total = sum(images_per_epoch(job.pairs[name], job.profile.batch_size) for name in left)
    progress = Progress(total, run.name, stream=None if job.accelerator.is_main_process else io.StringIO())
    saving = 0.0  # seconds that the checkpoint before took
    for epoch in range(job.epoch + 1, run.epochs + 1):
        dataset = job.dataset_at(epoch)
        row = {"epoch": epoch, "dataset": dataset}
        log = EpochLog(
            job.accelerator, progress, f"{run.name}, epoch {epoch}", job.batches(dataset).batch_size
        )
        row |= one_epoch(job, dataset, epoch, log)
        began = time.perf_counter()
        row |= job.validation(job.restorer)
        row["overhead_seconds"] = saving + time.perf_counter() - began
        row["discriminator_wins"] = health.discriminator_wins([*job.history, row])
        if row["discriminator_wins"]:
            say(f"{run.name}, epoch {epoch}: the discriminator wins (last {health.SURE_EPOCHS} epochs)")
        began = time.perf_counter()
        job.save(row)
        saving = time.perf_counter() - began
    job.mirror.finish()
    progress.finish(f"validation PSNR {row['val_psnr']:.2f} dB, SSIM {row['val_ssim']:.4f}")


def autoencoder_epoch(job: Job, dataset: str, epoch: int, log: EpochLog) -> dict[str, float]:
    """One epoch of Eq. 4; returns the epoch's means."""
    net, optimizer = job.nets["autoencoder"], job.optimizers["autoencoder"]
    for batch in job.epoch_batches(dataset, epoch):
        output = net(batch.blurred)
        features = job.target_features(dataset, batch)
        terms = losses.autoencoder_terms(output, batch.sharp, job.perceptual, features)
        loss = losses.weighted_sum(terms, losses.AUTOENCODER_WEIGHTS)
        optimizer.zero_grad()
        job.accelerator.backward(loss)
        log.gradients("grad_norm", net, optimizer)
        optimizer.step()
        log.step({"loss": loss, **terms})
    return log.means()


def gan_epoch(job: Job, dataset: str, epoch: int, log: EpochLog) -> dict[str, float]:
    """One epoch of Eq. 5: per batch one step of the discriminator, then one of the generator."""
    generator, discriminator = job.nets["generator"], job.nets["discriminator"]
    g_optimizer, d_optimizer = job.optimizers["generator"], job.optimizers["discriminator"]
    judge = job.accelerator.unwrap_model(discriminator)
    for batch in job.epoch_batches(dataset, epoch):
        fake = generator(batch.blurred)

        real_logits, fake_logits = discriminator(batch.sharp), discriminator(fake.detach())
        d_loss = losses.discriminator_loss(real_logits, fake_logits)
        d_optimizer.zero_grad()
        job.accelerator.backward(d_loss)
        log.gradients("d_grad_norm", discriminator, d_optimizer)
        d_optimizer.step()

        # The generator's gradient flows through the discriminator, whose own weights need none here.
        judge.requires_grad_(False)
        terms = losses.generator_terms(fake, batch.sharp, judge(fake))
        judge.requires_grad_(True)
        loss = losses.weighted_sum(terms, losses.GENERATOR_WEIGHTS)
        g_optimizer.zero_grad()
        job.accelerator.backward(loss)
        log.gradients("g_grad_norm", generator, g_optimizer)
        g_optimizer.step()

        answers = {"d_real": real_logits.sigmoid().mean(), "d_fake": fake_logits.sigmoid().mean()}
        log.step({"loss": loss, **terms, "d_loss": d_loss, **answers})
    return log.means()


def restorer_epoch(job: Job, dataset: str, epoch: int, log: EpochLog) -> dict[str, float]:
    """One epoch of the mean absolute error with a one-cycle rate; returns the epoch's means."""
    net, optimizer = job.nets["restorer"], job.optimizers["restorer"]
    steps = job.batches(dataset).steps
    for step, batch in enumerate(job.epoch_batches(dataset, epoch)):
        # The rate follows from the step alone, so that a resumed run needs no more state.
        rate = one_cycle(job.profile.restorer_rate, ((epoch - 1) * steps + step) / (job.run.epochs * steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        blurred, sharp = batch.blurred, batch.sharp
        if job.profile.restorer_crop and epoch <= CROPPED_SHARE * job.run.epochs:
            rows, columns = random_square(job.profile, job.seed, epoch, step)
            blurred, sharp = blurred[..., rows, columns], sharp[..., rows, columns]
        loss = losses.restorer_loss(net(blurred), sharp)
        optimizer.zero_grad()
        job.accelerator.backward(loss)
        log.gradients("grad_norm", net, optimizer)
        optimizer.step()
        log.step({"loss": loss})
    return log.means()


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


def load_network(paths: RunPaths, run_name: str, epoch: int | str = "last", seed: int = 1) -> nn.Module:
    """The trained network of `run_name`, in eval mode, fp32, on the CPU.

    `epoch` is a milestone's number, "last", or "best" (by validation PSNR). Raises StudyError where it has
    not been trained.
    """
    folder = checkpoints.folder_of(paths, run_name, seed)
    config = checkpoints.read_config(folder)
    net = next(iter(build_nets(config["network"], config["width"], config["norm"]).values()))
    checkpoints.load_weights(checkpoints.weights_file(folder, epoch), net)
    return net.to(memory_format=torch.channels_last).eval()


def run_facts(paths: RunPaths, run_name: str, seed: int = 1) -> dict:
    """Configuration and facts of a run as it really trained (its config.json)."""
    return checkpoints.read_config(checkpoints.folder_of(paths, run_name, seed))
