"""Runs a network on 8-bit images."""

import numpy as np
import torch

BATCH = 16  # images at a time


def restore(network: torch.nn.Module, blurred: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Run `network` on uint8 (N, H, W, 3) images; returns them deblurred, clamped and rounded to 8 bits."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(blurred), batch):
            images = to_tensor(blurred[start : start + batch]).to(device)
            output = network(images).float().clamp(0, 1).mul(255).round().to(torch.uint8)
            parts.append(output.permute(0, 2, 3, 1).cpu().numpy())
    network.train(was_training)
    return np.concatenate(parts)


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div(255)
