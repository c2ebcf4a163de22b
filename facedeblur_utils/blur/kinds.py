"""The kinds of blur by name; each draws a blur with its parameters, its operator and the adjoint of that."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import linear_motion_kernel, motion_from
from facedeblur_utils.profiles import Profile


@dataclass(frozen=True)
class KernelBlur:
    """One kernel for the whole picture, borders reflected; `parameters` are in pixels and degrees."""

    parameters: dict[str, float]
    kernel: np.ndarray

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The blurred `image`, float32 (H, W, 3) in [0, 1]; a constant picture stays as it is."""
        return operators.convolve(image, self.kernel)

    def adjoint(self, image: np.ndarray) -> np.ndarray:
        """The transpose of `apply`: for all x, y the sums of apply(x) * y and x * adjoint(y) are equal."""
        return operators.convolve_adjoint(image, self.kernel)


def line(rng: np.random.Generator, size: int, profile: Profile | None = None) -> KernelBlur:
    """A straight motion (thesis, Figures 4.2 and 4.3), its length in the profile's range, any direction."""
    lengths = profile.blur_length if profile else Profile.blur_length
    length, angle = motion_from(rng, size, lengths)
    return KernelBlur({"length": length, "angle": angle}, linear_motion_kernel(length, angle))


# name -> sampler(rng, size of the picture in pixels, profile or None)
BLURS: dict[str, Callable[..., KernelBlur]] = {"line": line}
