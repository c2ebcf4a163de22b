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
import zlib
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

BESIDE_STEPS = 1.05  # times as long as its steps alone a training takes: it validates and saves
STEPS_SECONDS = 1.5  # of training steps of each kind of network
# Seconds of the other work in each notebook on the machine of REFERENCE, one thread: always, for each
# face of the source, and for each test face. Measured in a sample run (`runs/sample/notebooks` has the
# seconds of each cell).
WORK = {
    "01": (12.0, 0.0, 0.0),
    "02": (10.0, 0.02, 0.0),
    "03": (6.0, 0.0, 0.0),
    "04": (6.0, 0.0, 0.0),
    "05": (20.0, 0.0, 1.4),
    "06": (10.0, 0.0, 0.0),
    "07": (18.0, 0.012, 1.2),
    "08": (10.0, 0.0, 0.0),
    "09": (9.0, 0.0, 0.0),
    "10": (8.0, 0.0, 0.55),
    "11": (7.0, 0.0, 0.45),
    "12": (6.0, 0.0, 0.3),
    "13": (8.0, 0.0, 0.0),
}
# And of the blind method there, for faces of 128 px: few in shortened profiles, else 50 of eleven sets.
BLIND_SECONDS, ALL_BLIND_SECONDS = {"smoke": 15.0, "sample": 80.0}, 1800.0
# Seconds there that a term of a loss adds to one face of 64 px. Measured in notebook 11's runs.
TERM_SECONDS = {
    "perceptual": 0.038, "identity": 0.024, "optical_flow": 0.011, "landmark": 0.009, "heatmap": 0.009,
    "facial_structure": 0.003, "adversarial": 0.001, "relativistic": 0.001,
}  # fmt: skip
WORTH_MEASURING = 50_000  # images to train; below, SMALL_SPEED (images/s) is near enough
SMALL_SPEED = 100.0
REFERENCE = 0.14  # seconds that `_yardstick` takes there: a core of a Xeon with AMX


def expected(plan: Plan, names: Iterable[str], measure: bool = True) -> dict[str, float]:
    """Seconds that each stage in `names` will take by itself; empty where `measure` is False and needed.

    A few training steps of each network are measured once for a machine and the profile's numbers, and
    remembered in the cache folder. Runs too small to matter aren't measured.
    """
    chosen = _of(plan, names)
    speed = _speed(plan, chosen, measure)
    return {stage.name: stage_seconds(stage, plan, speed) for stage in chosen} if speed else {}


def _of(plan: Plan, names: Iterable[str]) -> list[Stage]:
    return [stage for stage in plan.chosen if stage.name in set(names)]


def _speed(plan: Plan, chosen: list[Stage], measure: bool = True) -> dict[str, float]:
    """Images/s by network and the yardstick's seconds, for the stages `chosen`; empty where unknown."""
    faces = _faces(plan.profile)
    images = sum(images_to_train(run, plan, faces, stage.seeds) for stage in chosen for run in stage.runs)
    if images > WORTH_MEASURING:
        return speeds(plan.profile, plan.jobs, networks_of(plan), measure)
    return {"yardstick": REFERENCE} | dict.fromkeys(NETWORKS, SMALL_SPEED)


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
    """What `stage` will take by itself: its training that is still to do, and its other work."""
    trains, work = _parts(stage, plan, speed)
    # Several runs of one notebook train side by side where the profile gives each one thread.
    at_once = min(len(trains), machine.available_cpus()) if plan.profile.threads == 1 else 1
    return sum(trains) / max(1, at_once) + work


def _parts(stage: Stage, plan: Plan, speed: dict[str, float]) -> tuple[list[float], float]:
    """Seconds of one core: those of each training, and of all else."""
    profile, faces = plan.profile, _faces(plan.profile)
    slower = speed["yardstick"] / REFERENCE
    number = stage.notebook.stem.partition("_")[0]
    always, by_face, by_test_face = WORK.get(number, (10.0, 0.0, 0.0))
    work = always + faces * (by_face + by_test_face * profile.split[2])
    larger = (profile.image_size / 64) ** 2
    if number == "07":  # in part in 05 already, where few faces are tested
        work += BLIND_SECONDS.get(profile.name, ALL_BLIND_SECONDS) * larger / 4
    trains = []
    for run in stage.runs:
        terms = sum(TERM_SECONDS.get(name, 0.0) for name, _ in run.losses)
        by_image = 1 / speed[run.network] + terms * slower * larger
        trains.append(BESIDE_STEPS * by_image * images_to_train(run, plan, faces, stage.seeds))
    return trains, work * slower


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


def wall_seconds(chain: list[Stage], seconds: dict[str, float], jobs: int, least: float = 0.0) -> float:
    """When the last stage ends if `jobs` run at a time, each as soon as its inputs are made.

    `least` is the time that all their work takes on all cores, also where stages use several at once.
    """
    ends: dict[str, float] = {}
    free = [0.0] * max(1, jobs)
    for stage in in_order(chain):
        if stage.name not in seconds:
            continue
        ready = max((ends[other.name] for other in upstream(stage, chain) if other.name in ends), default=0)
        slot = min(range(len(free)), key=free.__getitem__)
        free[slot] = ends[stage.name] = max(ready, free[slot]) + seconds[stage.name]
    return max([least, *ends.values()])


def announce(plan: Plan, manifest: Manifest, console: Console) -> float:
    """Say how long the plan will take here and what it needs on disk; returns seconds, 0 where unknown."""
    names = [name for name, word, _ in states(plan, manifest) if word != "fresh" or plan.force]
    chosen = _of(plan, names)
    speed = _speed(plan, chosen)
    if not speed or not chosen:
        return 0.0
    seconds = {stage.name: stage_seconds(stage, plan, speed) for stage in chosen}
    parts = [_parts(stage, plan, speed) for stage in chosen]
    cores = max(plan.jobs, machine.available_cpus() if plan.profile.threads == 1 else 1)
    least = sum(sum(trains) + work for trains, work in parts) / cores
    total = wall_seconds(plan.chain, seconds, plan.jobs, least)
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
    """Speed of the network's own loop, warmed up, over STEPS_SECONDS."""
    from facedeblur_utils.training import loops
    from facedeblur_utils.training.trainer import fresh_trainer
    from facedeblur_utils.training.watch import EpochLog

    deblurs = next(iter(build(network, 1).values()))
    faces = MadeUpFaces(4 * profile.batch_size, profile.image_size, getattr(deblurs, "channels", 3))
    losses = JUDGED_LOSS if NETWORKS[network].judge else ()
    run = Run(f"speed of {network}", network, ((faces.name, 100),), (), losses=losses)
    # Where the profile crops, the last epochs see whole faces: an early and a late one, by their shares.
    crops = profile.restorer_crop and NETWORKS[network].loop == "restorer_epoch"
    shares = {1: loops.CROPPED_SHARE, run.epochs: 1 - loops.CROPPED_SHARE} if crops else {1: 1.0}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer, _ = fresh_trainer(run, profile, RunFolder(Path(folder) / "runs"), {faces.name: faces}, 1, {})
        one_epoch = getattr(loops, loop_of(run))

        def seconds_per_image(epoch: int) -> float:
            images, began, end = 0, 0.0, 0.0
            while not images or end - began < STEPS_SECONDS / len(shares):
                progress = Progress(len(faces), run.name, stream=io.StringIO())
                log = EpochLog(trainer.accelerator, progress, "", profile.batch_size)
                one_epoch(trainer, faces.name, epoch, log)
                end = time.perf_counter()
                if not began:  # first steps allocate and choose algorithms
                    began = end
                    continue
                images += len(faces)
            return (end - began) / images

        return 1 / sum(share * seconds_per_image(epoch) for epoch, share in shares.items())


def _yardstick() -> float:
    """Seconds of a fixed piece of ordinary work, in Python, zlib and OpenCV."""
    import cv2
    import numpy as np

    image = np.random.default_rng(0).random((256, 256, 3), np.float32)
    grey = (255 * image[..., 0]).astype(np.uint8).tobytes()
    began = time.perf_counter()
    for _ in range(40):
        cv2.GaussianBlur(image, (31, 31), 5)
        zlib.compress(grey)
        sum(i * i for i in range(60_000))
    return time.perf_counter() - began


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main(*sys.argv[1:]))
