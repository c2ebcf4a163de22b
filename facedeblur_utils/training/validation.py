"""PSNR and SSIM on the validation faces after each epoch, and a few of them as pictures."""

import numpy as np
import torch
from torch import Tensor, nn

from facedeblur_utils.errors import StudyError
from facedeblur_utils.metrics import psnr_ssim
from facedeblur_utils.training.batches import to_network

BATCH = 16
STRIP = 4  # faces shown over the epochs


class Validation:
    """The validation pairs of a run's datasets, ready on the device.

    A run on several datasets shares the validation faces out among them, so that it validates on as many
    images as any other run: dataset i of n takes every n-th face from the i-th.
    """

    def __init__(self, pairs_by_dataset: list, device: torch.device):
        count = len(pairs_by_dataset)
        if not len(pairs_by_dataset[0]):
            name = pairs_by_dataset[0].name
            raise StudyError(f"dataset {name} has no val images; raise the profile's limit or split")
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
                scores.append(_scores(_restored(net, blurred) / 255, to_network(sharp)))
        net.train()
        psnr, ssim = torch.cat(scores, dim=1).mean(dim=1).tolist()
        return {"val_psnr": psnr, "val_ssim": ssim}

    def of_input(self) -> dict[str, float]:
        """Mean PSNR and SSIM of the blurred images themselves: what a network has to beat."""
        pairs = zip(self.blurred.split(BATCH), self.sharp.split(BATCH), strict=True)
        scores = [_scores(to_network(blurred[..., :3]), to_network(sharp)) for blurred, sharp in pairs]
        psnr, ssim = torch.cat(scores, dim=1).mean(dim=1).tolist()
        return {"psnr": psnr, "ssim": ssim}

    def strip(self, net: nn.Module | None = None, sharp: bool = False) -> np.ndarray:
        """The same few faces side by side, uint8 (H, n * W, 3): `net`'s outputs, else blurred or sharp."""
        chosen = np.linspace(0, len(self.blurred) - 1, min(STRIP, len(self.blurred))).round()
        images = (self.sharp if sharp else self.blurred)[torch.from_numpy(chosen).long()]
        if net is not None:
            net.eval()
            with torch.inference_mode():
                images = _restored(net, images).permute(0, 2, 3, 1)
            net.train()
        images = images[..., :3]  # of pairs of pictures the first
        return np.concatenate(list(images.to(torch.uint8).cpu().numpy()), axis=1)


def _restored(net: nn.Module, blurred: Tensor) -> Tensor:
    """uint8 NHWC -> the network's outputs NCHW, rounded to whole grey levels 0 ... 255."""
    return net(to_network(blurred)).float().clamp(0, 1).mul(255).round()


def _scores(output: Tensor, target: Tensor) -> Tensor:
    return torch.stack([psnr_ssim.psnr(output, target), psnr_ssim.ssim(output, target)])
