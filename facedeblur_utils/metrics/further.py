"""MS-SSIM, VIF, GMSD (library `piq`) and LPIPS (library `torchmetrics`) of whole images."""

import math
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import torch

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first
SMALLEST_FOR_VIF = 41  # pixels a side, for its four scales
CONNECT_SECONDS = 5  # a machine without network must not wait long


class FurtherMetrics:
    """`ms_ssim` and `vif` (higher is better), `gmsd` and `lpips` (lower is better) of batches of images.

    `notes` says in a sentence what is left out or changed on this machine and at this image size; a metric
    that can't be computed is NaN.
    """

    def __init__(self, size: int):
        self.notes: dict[str, str] = {}
        scales = min(len(MS_SSIM_WEIGHTS), int(math.log2((size - 1) / 10)) + 1)
        weights = torch.tensor(MS_SSIM_WEIGHTS[:scales])
        self._scale_weights = weights / weights.sum()
        if scales < len(MS_SSIM_WEIGHTS):
            self.notes["ms_ssim"] = (
                f"MS-SSIM over {scales} of 5 scales, their weights made to add up to 1: the 11-pixel window "
                f"fits no further into {size} pixels."
            )
        self._has_vif = size >= SMALLEST_FOR_VIF
        if not self._has_vif:
            self.notes["vif"] = f"VIF needs {SMALLEST_FOR_VIF} pixels a side; images have {size}."
        self._lpips, why = _lpips_network()
        if self._lpips is None:
            self.notes["lpips"] = f"LPIPS is empty: {why}."

    @torch.inference_mode()
    def __call__(self, outputs: np.ndarray, sharp: np.ndarray, image_ids: list[str]) -> dict[str, np.ndarray]:
        """Scores of uint8 (B, H, W, 3) images against their sharp originals, (B,) each."""
        import piq  # takes seconds to load, and most notebooks compute none of these

        x, y = (torch.from_numpy(np.array(a)).permute(0, 3, 1, 2).float() / 255 for a in (outputs, sharp))
        missing = np.full(len(outputs), np.nan)
        each = {"data_range": 1.0, "reduction": "none"}
        return {
            "ms_ssim": piq.multi_scale_ssim(x, y, scale_weights=self._scale_weights, **each).numpy(),
            "vif": piq.vif_p(x, y, **each).numpy() if self._has_vif else missing,
            "gmsd": piq.gmsd(x, y, **each).numpy(),
            "lpips": self._lpips(x * 2 - 1, y * 2 - 1).flatten().numpy() if self._lpips else missing,
        }


def _lpips_network():
    """LPIPS on AlexNet and an empty reason; None and the reason where AlexNet's weights can't be had."""
    from torchvision.models import AlexNet_Weights  # as slow to load

    if not obtainable(AlexNet_Weights.IMAGENET1K_V1.url):
        return None, "the ImageNet weights of its AlexNet could not be reached"
    from torchmetrics.functional.image.lpips import _LPIPS

    return _LPIPS(pretrained=True, net="alex").eval(), ""


def obtainable(url: str) -> bool:
    """Whether the weights at `url` lie in torch.hub's folder or can be fetched now."""
    if (Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]).is_file():
        return True
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=CONNECT_SECONDS).close()
    except (OSError, urllib.error.URLError):
        return False
    return True
