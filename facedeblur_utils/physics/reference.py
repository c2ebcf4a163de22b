"""What physics reaches where it is told the kernel and the region: a reference for the blind methods."""

from collections.abc import Callable

import numpy as np
import torch

from facedeblur_utils.blur.kernels import padded
from facedeblur_utils.models.apply import to_tensor
from facedeblur_utils.physics.blind import FIRST_STRENGTH, strength_for
from facedeblur_utils.physics.motion import believed, costs_of, in_light, slope_of, stored_values
from facedeblur_utils.physics.operators import Convolution, Moving, Part
from facedeblur_utils.physics.solve import solve


def known_kernel(gamma: float = 1.0, composite: str = "paste") -> Callable:
    """A restorer of `evaluation` by the operator that blurred: pairs and indices in, uint8 (B, H, W, 3) out.

    It takes `pairs.kernel(index)` and `pairs.blur_masks`. `gamma` is that of the blur, 1 for blur of stored
    values (pairs that have a `gamma` know better), `composite` how a part was laid over the picture.
    """

    def restorer(pairs, indices: np.ndarray) -> np.ndarray:
        kernels = [pairs.kernel(index) for index in indices]
        domain = getattr(pairs, "gamma", gamma)
        masks = pairs.blur_masks[indices]
        return solve_known(pairs.batch(indices)[0], kernels, masks, domain, composite)

    return restorer


def solve_known(
    blurred: np.ndarray,
    kernels: list[np.ndarray],
    masks: np.ndarray,
    gamma: float = 1.0,
    composite: str = "paste",
) -> np.ndarray:
    """`blurred`, uint8 (B, H, W, 3), without the blur of `kernels`, (k, k) each, in bool `masks` (B, H, W).

    How strong the prior is follows from the error that a weak one leaves, as in the blind method. Pixels
    that the blur didn't touch stay as they are.
    """
    if composite == "matte" and len(blurred) > 1:  # a background hidden by another mask in each picture
        cases = zip(blurred, kernels, masks, strict=True)
        parts = [solve_known(b[None], [k], m[None], gamma, composite) for b, k, m in cases]
        return np.concatenate(parts)
    view = to_tensor(blurred)
    matte = torch.from_numpy(np.asarray(masks, np.float32))[:, None]
    side = max(map(len, kernels))
    blur = Convolution(torch.from_numpy(np.stack([padded(each, side) for each in kernels])), view.shape[-2:])
    touched = matte > 0
    if not matte.all() and composite == "matte":
        blur = Moving(blur, matte)
        touched = blur.matte > 0
    elif not matte.all():
        blur = Part(blur, matte)
    grey = view.mean(dim=1, keepdim=True)
    _, errors = costs_of(blur, in_light(grey, gamma), slope_of(grey, gamma), believed(view), FIRST_STRENGTH)
    strengths = [strength_for(error) for error in errors]
    strength = torch.tensor(strengths)[:, None, None, None]
    found = solve(blur, in_light(view, gamma), strength, slope=slope_of(view, gamma))
    found = torch.where(touched, stored_values(found, gamma), view)
    return np.rint(255 * found.clamp(0, 1).permute(0, 2, 3, 1).numpy()).astype(np.uint8)
