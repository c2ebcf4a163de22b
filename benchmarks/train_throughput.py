"""Is training as fast as the machine allows? `python benchmarks/train_throughput.py`

Measures, in one process and on made-up faces: the training loop against the bare forward-backward-step of
the same networks (goal: at least 0.93), against the loop that a student would write first (PNG files, PIL,
DataLoader, fp32, NCHW; goal: 4 times on a CPU with AMX, 1.3 times on one without), and what checkpoints and
validation cost of a sample-profile epoch (goal: under 5 %). Exits with 1 where a goal is missed.
`--compile` measures instead what torch.compile gains at 64 pixels, after its start-up.
"""

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from facedeblur_utils import machine
from facedeblur_utils.data import face_pairs
from facedeblur_utils.models.networks import build
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.progress import Progress
from facedeblur_utils.training import loops, losses, precision, trainer, vgg
from facedeblur_utils.training.experiments import Run
from facedeblur_utils.training.watch import EpochLog

FACES = {64: 64, 128: 32}  # made-up training faces per image size: enough steps to time
VALIDATION = 50  # as in the sample profile
EPOCH_FACES = 899  # of the sample profile
REPEATS = 5  # the two sides of each ratio take turns, and the medians are compared
NETWORKS = {"autoencoder": "ASFB1", "gan": "GSFB1"}  # those of the thesis
NAMES = NETWORKS | {"restorer": "NSFB1"}


class MadeUpPairs:
    """Random faces with the interface of `face_pairs.FacePairs`."""

    def __init__(self, name: str, split: str, size: int):
        self.name, self.split, self.size, self.fingerprint = name, split, size, f"{split}{size}"
        count = FACES[size] if split == "train" else VALIDATION
        rng = np.random.default_rng(size)
        self.blurred, self.sharp = rng.integers(0, 256, (2, count, size, size, 3), dtype=np.uint8)
        self.image_ids = [f"{i:06d}" for i in range(count)]

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, indices):
        return self.blurred[indices], self.sharp[indices]


class PngPairs(Dataset):
    """What a student's data set does: open two PNG files, scale, to tensors."""

    def __init__(self, folder: Path):
        self.files = sorted(folder.glob("*_blurred.png"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int):
        blurred = self.files[index]
        sharp = blurred.with_name(blurred.name.replace("blurred", "sharp"))
        images = (np.asarray(Image.open(path).convert("RGB")) for path in (blurred, sharp))
        return tuple(torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255 for image in images)


def open_quietly(network: str, size: int, folder: str) -> tuple[trainer.Trainer, trainer.Keeper]:
    profile, paths = load_profile("sample", {"image_size": size}), RunPaths(f"bench{size}", Path(folder))
    run = Run(NAMES[network], network, (("SFB1", 50),), (50,))
    with contextlib.redirect_stdout(io.StringIO()):
        return trainer.open_trainer(trainer.find_start(run, profile, paths), paths)


def loop_seconds(job: trainer.Trainer, epoch: int) -> float:
    """Seconds of the study's own loop over one epoch."""
    log = EpochLog(job.accelerator, Progress(1 << 30, "", stream=io.StringIO()), "", job.profile.batch_size)
    one_epoch = {"autoencoder": loops.autoencoder_epoch, "gan": loops.gan_epoch}[job.run.network]
    start = time.perf_counter()
    one_epoch(job, "SFB1", epoch, log)
    return time.perf_counter() - start


def bare_seconds(job: trainer.Trainer) -> float:
    """Seconds of as many forward-backward-steps on one resident batch: same nets, losses, precision."""
    batch = next(job.batches("SFB1", 1))
    nets, optimizers = job.nets, job.optimizers
    features = job.target_features("SFB1", batch) if job.perceptual else None
    start = time.perf_counter()
    for _ in range(job.steps("SFB1")):
        if job.run.network == "autoencoder":
            terms = losses.autoencoder_terms(
                nets["autoencoder"](batch.blurred), batch.sharp, job.perceptual, features
            )
            step(optimizers["autoencoder"], losses.weighted_sum(terms, losses.WEIGHTS["autoencoder"]))
            continue
        if job.run.network == "restorer":
            step(
                optimizers["restorer"],
                losses.restorer_terms(nets["restorer"](batch.blurred), batch.sharp)["l1"],
            )
            continue
        fake, judge = nets["generator"](batch.blurred), nets["discriminator"]
        step(optimizers["discriminator"], losses.discriminator_loss(judge(batch.sharp), judge(fake.detach())))
        judge.requires_grad_(False)
        terms = losses.generator_terms(fake, batch.sharp, judge(fake))
        judge.requires_grad_(True)
        step(optimizers["generator"], losses.weighted_sum(terms, losses.WEIGHTS["gan"]))
    return time.perf_counter() - start


def plain_seconds(network: str, size: int, folder: Path) -> float:
    """Seconds of one epoch of the loop that a student would write: fp32, NCHW, everything anew each step."""
    profile = load_profile("sample")
    nets = build(network, profile.autoencoder_width if network == "autoencoder" else profile.gan_width)
    optimizers = {name: torch.optim.Adam(net.parameters()) for name, net in nets.items()}
    layers = vgg.Features(vgg.RANDOM).to(memory_format=torch.contiguous_format)
    loader = DataLoader(PngPairs(folder), batch_size=profile.batch_size, shuffle=True)
    start = time.perf_counter()
    for blurred, sharp in loader:
        if network == "autoencoder":
            output = nets["autoencoder"](blurred)
            loss = F.mse_loss(output, sharp) + 0.001 * F.mse_loss(layers(output), layers(sharp))
            step(optimizers["autoencoder"], loss)
        else:
            fake, judge = nets["generator"](blurred), nets["discriminator"]
            step(optimizers["discriminator"], losses.discriminator_loss(judge(sharp), judge(fake.detach())))
            terms = losses.generator_terms(fake, sharp, judge(fake))
            step(optimizers["generator"], losses.weighted_sum(terms, losses.WEIGHTS["gan"]))
        loss_shown = loss.item() if network == "autoencoder" else terms["ssim"].item()
    assert np.isfinite(loss_shown)
    return time.perf_counter() - start


def step(optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def write_pngs(folder: Path, size: int) -> None:
    pairs = MadeUpPairs("SFB1", "train", size)
    for name, blurred, sharp in zip(pairs.image_ids, pairs.blurred, pairs.sharp, strict=True):
        Image.fromarray(blurred).save(folder / f"{name}_blurred.png")
        Image.fromarray(sharp).save(folder / f"{name}_sharp.png")


def overhead(job: trainer.Trainer, keeper: trainer.Keeper, epoch_seconds: float) -> float:
    """Share of a sample-profile epoch that validation and checkpoint take."""
    took = []
    for epoch in range(1, REPEATS + 1):
        start = time.perf_counter()
        scores = keeper.validation(job.restorer)
        keeper.save(job, {"epoch": epoch, "dataset": "SFB1", **scores})
        took.append(time.perf_counter() - start)
    return statistics.median(took) / (epoch_seconds * EPOCH_FACES / FACES[job.profile.image_size])


def median_ratio(first, second) -> tuple[float, float, float]:
    """Median seconds of both, taken in turns, and the median of first / second."""
    pairs = [(first(), second()) for _ in range(REPEATS)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def compile_gains(folder: str) -> None:
    """Print seconds of the bare step before over after torch.compile, and what starting it takes."""
    for network in NAMES:
        job, _ = open_quietly(network, 64, folder)
        bare_seconds(job)
        before = statistics.median(bare_seconds(job) for _ in range(REPEATS))
        for net in job.nets.values():
            net.compile()
        start = bare_seconds(job)
        after = statistics.median(bare_seconds(job) for _ in range(REPEATS))
        print(
            f"{network}, 64 px: compiled {before / after:.2f} times as fast, {start - after:.0f} s to start"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--compile", action="store_true", help="what torch.compile gains")
    chosen = parser.parse_args()
    face_pairs.open_pairs = lambda paths, name, split: MadeUpPairs(name, split, int(paths.profile[5:]))
    vgg.available_kind = lambda: (vgg.RANDOM, "")
    features = machine.cpu_features()
    amx = "amx_bf16" in features
    kind, why = precision.choose("auto")
    print(f"{machine.cpu_name()}, {torch.get_num_threads()} threads, features {', '.join(features)}")
    print(f"precision {kind}: {why}; AMX {'found' if amx else 'not found'}")
    if chosen.compile:
        with tempfile.TemporaryDirectory() as scratch:
            compile_gains(scratch)
        return 0
    plain_goal = 4.0 if amx else 1.3
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for size in FACES:
            pngs = Path(scratch) / f"png{size}"
            pngs.mkdir()
            write_pngs(pngs, size)
            for network in NETWORKS:
                job, keeper = open_quietly(network, size, scratch)
                label = f"{network}, {size} px"
                loop_seconds(job, 1)  # warm-up, and the targets' features
                bare_seconds(job)
                loop, bare, ratio = median_ratio(
                    lambda j=job: loop_seconds(j, 2), lambda j=job: bare_seconds(j)
                )
                count = FACES[size]
                print(f"{label}: loop {count / loop:.1f} images/s, bare step {count / bare:.1f} images/s")
                results.append((f"{label}: loop / bare", 1 / ratio, 0.93, 1 / ratio >= 0.93))
                plain = plain_seconds(network, size, pngs)
                print(f"{label}: plain loop {count / plain:.1f} images/s")
                results.append(
                    (f"{label}: loop / plain", plain / loop, plain_goal, plain / loop >= plain_goal)
                )
                if size == 64:
                    share = overhead(job, keeper, loop)
                    results.append((f"{label}: checkpoint and validation", share, 0.05, share < 0.05))
    for name, value, goal, good in results:
        print(f"{'ok  ' if good else 'MISS'} {name}: {value:.3f} (goal {goal})")
    missed = sum(not good for *_, good in results)
    print(f"{len(results) - missed} of {len(results)} goals met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
