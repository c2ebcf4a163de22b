"""How long a run will take here, from a few seconds of real training steps and what stages took elsewhere.

`python -m facedeblur_utils.running.estimate PROFILE.yaml NETWORK ...` is the process that measures and prints
JSON.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from facedeblur_utils import machine
from facedeblur_utils.files import write_text
from facedeblur_utils.fingerprints import digest
from facedeblur_utils.models.networks import NETWORKS, build
from facedeblur_utils.paths import RunFolder, RunPaths, cache_folder
from facedeblur_utils.profiles import Profile, save_profile, saved_profile
from facedeblur_utils.progress import Progress, duration
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.disk import FACES, needs
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.pipeline import Stage, in_order, upstream
from facedeblur_utils.running.scheduler import Plan
from facedeblur_utils.running.summary import states
from facedeblur_utils.training.experiments import JUDGED_LOSS, Run, loop_of

BESIDE_STEPS = 1.2  # times as long as its steps alone a training takes: it validates, saves, draws blur
STEPS_SECONDS = 1.5  # of training steps of each kind of network
# Seconds of the other work in each notebook on the machine of REFERENCE, one thread: always, for each
# face of the source, and for each test face. Measured in a sample run, see benchmarks/first_contact.py.
WORK = {
    "01": (14.0, 0.0, 0.0),
    "02": (14.0, 0.07, 0.0),
    "03": (5.0, 0.0, 0.0),
    "04": (5.0, 0.0, 0.0),
    "05": (30.0, 0.0, 1.8),
    "06": (16.0, 0.0, 0.05),
    "07": (30.0, 0.0, 0.8),
    "08": (8.0, 0.0, 0.0),
    "09": (6.0, 0.0, 0.3),
    "10": (12.0, 0.0, 0.6),
    "11": (12.0, 0.02, 0.6),
    "12": (8.0, 0.0, 0.3),
    "13": (12.0, 0.0, 0.1),
}
WORTH_MEASURING = 50_000  # images to train; below, SMALL_SPEED (images/s) is near enough
SMALL_SPEED = 100.0
REFERENCE = 1.0  # seconds that `_yardstick` takes there


def expected(plan: Plan, names: Iterable[str], measure: bool = True) -> dict[str, float]:
    """Seconds that each stage in `names` will take by itself; empty where `measure` is False and needed.

    A few training steps of each network are measured once for a machine and the profile's numbers, and
    remembered in the cache folder. Runs too small to matter aren't measured.
    """
    chosen = [stage for stage in plan.chosen if stage.name in set(names)]
    faces = _faces(plan.profile)
    images = sum(images_to_train(run, plan, faces, stage.seeds) for stage in chosen for run in stage.runs)
    speed = {"yardstick": REFERENCE} | dict.fromkeys(NETWORKS, SMALL_SPEED)
    if images > WORTH_MEASURING:
        speed = speeds(plan.profile, plan.jobs, networks_of(plan), measure)
    return {stage.name: stage_seconds(stage, plan, speed) for stage in chosen} if speed else {}


def networks_of(plan: Plan) -> tuple[str, ...]:
    """The kinds of network that the plan trains."""
    return tuple(sorted({run.network for stage in plan.chosen for run in stage.runs}))


def speeds(profile: Profile, jobs: int, networks: Iterable[str], measure: bool = True) -> dict[str, float]:
    """Images/s of each of `networks` while `jobs` stages train, `yardstick` seconds, `disk` bytes."""
    keys = sorted({key for name in networks for key in NETWORKS[name].profile_keys})
    keys += ["image_size", "batch_size", "precision", "threads", "compile"]
    what = {key: getattr(profile, key) for key in keys} | {"jobs": jobs, "machine": machine.machine()}
    what["networks"] = list(networks)
    known = cache_folder() / "speeds" / f"{digest(what)[:16]}.json"
    try:
        return json.loads(known.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        if not measure:
            return {}
    with tempfile.TemporaryDirectory() as folder:
        file = save_profile(profile, Path(folder) / "profile.yaml")
        command = [sys.executable, "-m", __name__, str(file), *networks]
        # As many at once as will train at once: they share memory and caches.
        at_once = max(1, min(jobs, machine.available_cpus()))
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        running = [subprocess.Popen(command, **quiet) for _ in range(at_once)]
        answers = [process.communicate()[0] for process in running]
    try:
        found = [json.loads(answer.splitlines()[-1]) for answer in answers]
    except (ValueError, IndexError):
        return {}  # an estimate is no reason to stop a run
    mean = {name: sum(each[name] for each in found) / len(found) for name in found[0]}
    write_text(known, json.dumps(mean, indent=1))
    return mean


def stage_seconds(stage: Stage, plan: Plan, speed: dict[str, float]) -> float:
    """What `stage` will take: its training that is still to do, and its other work."""
    profile, faces = plan.profile, _faces(plan.profile)
    always, by_face, by_test_face = WORK.get(stage.notebook.stem.partition("_")[0], (10.0, 0.0, 0.0))
    work = always + faces * (by_face + by_test_face * profile.split[2])
    images = (images_to_train(run, plan, faces, stage.seeds) / speed[run.network] for run in stage.runs)
    trains = [BESIDE_STEPS * each for each in images]
    # Several runs of one notebook train side by side where the profile gives each one thread.
    at_once = min(len(trains), machine.available_cpus()) if profile.threads == 1 else 1
    return sum(trains) / max(1, at_once) + work * speed["yardstick"] / REFERENCE


def images_to_train(run: Run, plan: Plan, faces: float, seeds: int) -> float:
    """Images in the epochs that `run` has not been trained for yet, over all its training seeds."""
    epochs = 0
    for seed in range(1, seeds + 1):
        history = plan.paths.training(run.name, seed).history
        try:
            done = len(history.read_text(encoding="utf-8").splitlines()) - 1
        except OSError:
            done = run.first_epoch
        epochs += max(0, run.epochs - done)
    return epochs * faces * plan.profile.split[0]


def _faces(profile: Profile) -> int:
    return profile.limit or FACES.get(profile.source, FACES["sample"])


def wall_seconds(chain: list[Stage], seconds: dict[str, float], jobs: int) -> float:
    """When the last stage ends if `jobs` run at a time, each as soon as its inputs are made."""
    ends: dict[str, float] = {}
    free = [0.0] * max(1, jobs)
    for stage in in_order(chain):
        if stage.name not in seconds:
            continue
        ready = max((ends[other.name] for other in upstream(stage, chain) if other.name in ends), default=0)
        slot = min(range(len(free)), key=free.__getitem__)
        free[slot] = ends[stage.name] = max(ready, free[slot]) + seconds[stage.name]
    return max(ends.values(), default=0.0)


def announce(plan: Plan, manifest: Manifest, console: Console) -> float:
    """Say how long the plan will take here and what it needs on disk; returns seconds, 0 where unknown."""
    names = [name for name, word, _ in states(plan, manifest) if word != "fresh" or plan.force]
    seconds = expected(plan, names)
    if not seconds:
        return 0.0
    total = wall_seconds(plan.chain, seconds, plan.jobs)
    free = f"{shutil.disk_usage(plan.paths.run).free / 1e9:.0f} GB of disk are free"
    if need := speeds(plan.profile, plan.jobs, networks_of(plan), measure=False).get("disk"):
        free = f"{need / 1e9:.1f} GB of disk are needed, {free}"
    order = ("smoke", "sample", "study", "thesis")
    place = order.index(plan.profile.name) if plan.profile.name in order else None
    others = (
        ""
        if place is None
        else "".join(
            f"; {word}: --profile {order[at]}"
            for word, at in (("shorter", place - 1), ("longer", place + 1))
            if 0 <= at < len(order)
        )
    )
    at_once = f"{plan.jobs} at a time" if plan.jobs > 1 else "one after the other"
    console.say(
        f"{len(seconds)} stages, {at_once}, will take about {duration(total)} on this machine "
        f"({machine.cpu_name()}); {free}{others}.",
        event="estimate",
        seconds=round(total),
    )
    return total


def main(file: str, *networks: str) -> int:
    """Train each of `networks` for a moment on made-up faces; prints images/s of each as JSON."""
    import torch

    profile = saved_profile(file)
    torch.set_num_threads(profile.threads or min(torch.get_num_threads(), machine.available_cpus()))
    found = {name: _images_per_second(name, profile) for name in networks}
    disk = sum(needs(profile, RunPaths(profile.name, Path(tempfile.gettempdir()))).values())
    print(json.dumps(found | {"yardstick": _yardstick(), "disk": disk}))
    return 0


class MadeUpFaces:
    """Noise with the interface of `face_pairs.FacePairs`."""

    name, split = "noise", "train"

    def __init__(self, count: int, size: int, channels: int):
        self.size, self.channels, self.image_ids = size, channels, [str(i) for i in range(count)]

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, indices):
        import numpy as np

        shape = (len(indices), self.size, self.size, self.channels)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        return images, np.ascontiguousarray(images[..., :3])


def _images_per_second(network: str, profile: Profile) -> float:
    """Speed of the network's own loop, warmed up, until STEPS_SECONDS have passed."""
    from facedeblur_utils.training import loops
    from facedeblur_utils.training.trainer import fresh_trainer
    from facedeblur_utils.training.watch import EpochLog

    deblurs = next(iter(build(network, 1).values()))
    faces = MadeUpFaces(4 * profile.batch_size, profile.image_size, getattr(deblurs, "channels", 3))
    losses = JUDGED_LOSS if NETWORKS[network].judge else ()
    run = Run(f"speed of {network}", network, ((faces.name, 100),), (), losses=losses)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer, _ = fresh_trainer(run, profile, RunFolder(Path(folder) / "runs"), {faces.name: faces}, 1, {})
        one_epoch = getattr(loops, loop_of(run))
        images, began = 0, time.perf_counter()
        for epoch in range(1, 100):
            progress = Progress(len(faces), run.name, stream=io.StringIO())
            one_epoch(
                trainer, faces.name, epoch, EpochLog(trainer.accelerator, progress, "", profile.batch_size)
            )
            if epoch == 1:  # first steps allocate and choose algorithms
                images, began = 0, time.perf_counter()
                continue
            images += len(faces)
            if time.perf_counter() - began > STEPS_SECONDS:
                break
        return images / (time.perf_counter() - began)


def _yardstick() -> float:
    """Seconds of a fixed piece of ordinary work, in Python, NumPy and OpenCV."""
    import cv2
    import numpy as np

    image = np.random.default_rng(0).random((256, 256, 3), np.float32)
    began = time.perf_counter()
    for _ in range(40):
        cv2.GaussianBlur(image, (31, 31), 5)
        np.sort(image, axis=None)
        sum(i * i for i in range(60_000))
    return time.perf_counter() - began


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main(*sys.argv[1:]))
