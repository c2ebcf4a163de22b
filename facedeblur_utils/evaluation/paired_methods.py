"""Methods for pictures of unknown blur: networks, and classical ones told a kernel that was found."""

from collections.abc import Callable

import cv2
import numpy as np
from torch import nn

from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.evaluation.paired_scores import Method
from facedeblur_utils.models import published
from facedeblur_utils.models.apply import restore, to_tensor
from facedeblur_utils.models.classical import REFERENCES, deconvolve
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.physics.blind import explain
from facedeblur_utils.physics.method import reach_of
from facedeblur_utils.profiles import Profile
from facedeblur_utils.training import trained
from facedeblur_utils.training.experiments import restorer_runs, training_runs

RESTORER = "restorer"  # the published one
BLIND = ".blind"  # "Wiener.blind" is told the kernel that the blind method finds, not the true one
VIEW = 192  # pixels of the longer side in which the motion is looked for: it takes 2 s


def methods(
    names: list[str], profile: Profile | None = None, paths: RunPaths | None = None
) -> dict[str, Method]:
    """The methods called `names`, or all: the published restorer, the classical ones, a run's networks.

    The networks are those of `profile` below `paths`, where these are given; without `names` those that have
    not been trained are named and left out. Raises UsageError for an unknown name, StudyError for a network
    that has not been trained.
    """
    restorer = published.load()
    find = KernelFinder(restorer)
    found = {RESTORER: network_method(restorer)}
    found |= {f"{name}{BLIND}": blind_method(find, way) for name, way in REFERENCES.items()}
    runs = [*training_runs(profile), *restorer_runs(profile)] if profile else []
    if unknown := sorted(set(names) - {*found, *runs}):
        known = ", ".join([*found, *runs]) + ("" if runs else " (and with --run the networks of a profile)")
        raise UsageError(f"unknown model '{unknown[0]}'; known: {known}")
    missing = []
    for run in runs:
        if names and run not in names:
            continue
        try:
            found[run] = network_method(trained.load_network(paths, run))
        except StudyError:
            if names:
                raise
            missing.append(run)
    if missing:
        print(f"not trained in {paths.run} and left out: {', '.join(missing)}")
    return {name: found[name] for name in names or found}


def network_method(network: nn.Module) -> Method:
    """A network as a method for one picture."""
    return lambda blurred: restore(network, blurred[None])[0]


def blind_method(find: "KernelFinder", deconvolution: Callable) -> Method:
    """A method of `models.classical`, told the kernel and the region that `find` gives."""
    return lambda blurred: deconvolve(blurred, *find(blurred), deconvolution)


class KernelFinder:
    """Finds the kernel of a picture by `physics.blind`, once for all methods that ask in turn."""

    def __init__(self, restorer: nn.Module):
        self._restorer = restorer
        self._last = None

    def __call__(self, blurred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel, float32 (k, k), and where it blurred, bool (H, W), of `blurred`, uint8 (H, W, 3)."""
        if self._last is None or self._last[0] is not blurred:
            self._last = blurred, self._found(blurred)
        return self._last[1]

    def _found(self, blurred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = blurred.shape[:2]
        factor = max(1, max(shape) / VIEW)
        width, height = (max(1, round(side / factor)) for side in reversed(shape))
        view = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_AREA)[None]
        guess = restore(self._restorer, view)
        how = explain(to_tensor(view), to_tensor(guess), reach_of(max(width, height)))
        kernel = how.motion.scaled(factor).kernel()
        if how.matte is None:
            return kernel, np.ones(shape, bool)
        return kernel, cv2.resize(how.matte[0, 0].numpy(), shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
