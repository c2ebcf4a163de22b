"""Runs a network on 8-bit images."""

import numpy as np
import torch

BATCH = 16  # images at a time


def restore(network: torch.nn.Module, blurred: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Run `network` on uint8 (N, H, W, 3) images; returns them deblurred, clamped and rounded to 8 bits."""
    return np.round(restore_unrounded(network, blurred, batch) * 255).astype(np.uint8)


def restore_unrounded(network: torch.nn.Module, blurred: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Like `restore`, as float32 in [0, 1] before rounding."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(blurred), batch):
            output = network(to_tensor(blurred[start : start + batch]).to(device)).float().clamp(0, 1)
            parts.append(output.permute(0, 2, 3, 1).cpu().numpy())
    network.train(was_training)
    return np.concatenate(parts)


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1]."""
    return torch.tensor(np.asarray(images)).permute(0, 3, 1, 2).float().div(255)
