"""PSNR and SSIM on the validation faces after each epoch."""

import numpy as np
import torch
from torch import nn

from facedeblur_utils import metrics
from facedeblur_utils.batches import to_network

BATCH = 16


class Validation:
    """The validation pairs of a run's datasets, ready on the device.

    A run on several datasets shares the validation faces out among them, so that it validates on as many
    images as any other run: dataset i of n takes every n-th face from the i-th.
    """

    def __init__(self, pairs_by_dataset: list, device: torch.device):
        count = len(pairs_by_dataset)
        parts = [pairs.batch(np.arange(i, len(pairs), count)) for i, pairs in enumerate(pairs_by_dataset)]
        self.blurred, self.sharp = (
            torch.from_numpy(np.concatenate([part[side] for part in parts])).to(device) for side in (0, 1)
        )

    def __call__(self, net: nn.Module) -> dict[str, float]:
        """Mean PSNR and SSIM of `net`'s outputs, rounded to 8 bits as in the evaluation."""
        net.eval()
        scores = []
        with torch.inference_mode():
            for blurred, sharp in zip(self.blurred.split(BATCH), self.sharp.split(BATCH), strict=True):
                output = net(to_network(blurred)).float().clamp(0, 1).mul(255).round().div(255)
                target = to_network(sharp)
                scores.append(torch.stack([metrics.psnr(output, target), metrics.ssim(output, target)]))
        net.train()
        psnr, ssim = torch.cat(scores, dim=1).mean(dim=1).tolist()
        return {"val_psnr": psnr, "val_ssim": ssim}
