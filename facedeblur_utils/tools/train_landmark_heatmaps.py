"""Trains the landmark network from MediaPipe's landmarks on the sample faces.

`python -m facedeblur_utils.tools.train_landmark_heatmaps` writes `weights/landmark_heatmaps.safetensors` and
beside it a JSON file with the errors on faces that training has not seen.
"""

import argparse
import json
import platform
import shlex
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from facedeblur_utils import downloads
from facedeblur_utils.data import segmentation
from facedeblur_utils.errors import StudyError
from facedeblur_utils.metrics.further_losses import gaussian_heatmaps, heatmap_positions
from facedeblur_utils.models.landmark_heatmaps import INPUT, OUTPUT, POINTS, SIGMA, WEIGHTS, LandmarkHeatmaps
from facedeblur_utils.progress import Progress
from facedeblur_utils.tools.train_head_segmenter import held_out_and_rest, save

TEACHER_SIZE = 178  # pixels, the sample faces' own width
EYES = [list(POINTS).index(name) for name in ("left eye out", "right eye out")]
MIRROR = [
    list(POINTS).index(name.replace("left", "?").replace("right", "left").replace("?", "right"))
    for name in POINTS
]


def teacher_faces(files: list[Path]) -> tuple[torch.Tensor, torch.Tensor]:
    """Faces uint8 (N, 3, S, S) and MediaPipe's landmarks (N, K, 2), in pixels, where it finds a face."""
    images, points = [], []
    progress = Progress(len(files), "Teacher: MediaPipe face landmarker")
    with segmentation.open_landmarker() as landmarker:
        for file in files:
            image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)[20 : 20 + TEACHER_SIZE]
            found = segmentation.face_landmarks(image, landmarker)
            if found is not None:
                images.append(image)
                points.append(found[list(POINTS.values())])
            progress.advance()
    progress.finish()
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(points)).float()


def augmented(images: torch.Tensor, points: torch.Tensor, generator: torch.Generator):
    """Copies at INPUT pixels, placed, mirrored, coloured and blurred at random: (pixels, points in INPUT)."""

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(images), *shape, generator=generator)

    turn, zoom = torch.deg2rad(uniform(-15, 15)), torch.exp(uniform(-0.2, 0.25))
    flip = torch.sign(uniform(-1, 1))
    cos, sin, shift = torch.cos(turn) * zoom, torch.sin(turn) * zoom, uniform(-0.15, 0.15, 2)
    rows = [torch.stack([flip * cos, -sin, shift[:, 0]], 1), torch.stack([flip * sin, cos, shift[:, 1]], 1)]
    matrix = torch.stack(rows, 1)  # from places in the new picture to those in the old, both in [-1, 1]
    grid = F.affine_grid(matrix, (len(images), 3, INPUT, INPUT), align_corners=False)
    shrunk = F.interpolate(images.float() / 255, (2 * INPUT, 2 * INPUT), mode="bilinear", antialias=True)
    pixels = F.grid_sample(shrunk, grid, padding_mode="reflection", align_corners=False)
    pixels = (pixels * uniform(0.7, 1.3, 3, 1, 1) + uniform(-0.1, 0.1, 1, 1, 1)).clamp(0, 1)
    if torch.rand(1, generator=generator) < 0.5:  # half of the batches are coarse or blurred along one axis
        factor = int(torch.randint(2, 5, (1,), generator=generator))
        shape = [(INPUT, INPUT // factor), (INPUT // factor, INPUT), (INPUT // factor,) * 2]
        shape = shape[int(torch.randint(3, (1,), generator=generator))]
        coarse = F.interpolate(pixels, shape, mode="bilinear", antialias=True)
        pixels = F.interpolate(coarse, (INPUT, INPUT), mode="bilinear")
    unit = (points + 0.5) / TEACHER_SIZE * 2 - 1
    unit = torch.linalg.solve(matrix[:, None, :, :2], (unit - matrix[:, None, :, 2])[..., None])[..., 0]
    points = (unit + 1) / 2 * INPUT - 0.5
    return pixels, torch.where(flip[:, None, None] < 0, points[:, MIRROR], points)


def loss_of(network: LandmarkHeatmaps, pixels: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the heatmaps, and mean distance of their positions over the picture's side."""
    maps = network(pixels)
    small = (points + 0.5) * OUTPUT / INPUT - 0.5
    heights = F.mse_loss(maps, gaussian_heatmaps(small, (OUTPUT, OUTPUT), SIGMA))
    apart = (heatmap_positions(maps, (INPUT, INPUT)) - points).square().sum(-1).add(1e-6).sqrt()
    return 100 * heights + apart.mean()


@torch.inference_mode()
def errors(network: LandmarkHeatmaps, images: torch.Tensor, points: torch.Tensor, size: int) -> dict:
    """Distances from the teacher over the eyes' distance, in percent, when faces come with `size` pixels."""
    found = []
    for part in images.split(64):
        small = F.interpolate(part.float() / 255, (size, size), mode="bilinear", antialias=True)
        found.append(heatmap_positions(network(small), (TEACHER_SIZE, TEACHER_SIZE)))
    apart = (torch.cat(found) - points).norm(dim=-1)
    apart = 100 * apart / (points[:, EYES[0]] - points[:, EYES[1]]).norm(dim=-1, keepdim=True)
    by_face = apart.mean(dim=1)
    return {
        "mean": round(apart.mean().item(), 2),
        "median face": round(by_face.median().item(), 2),
        "worst face": round(by_face.max().item(), 2),
    }


def train(epochs: int, held_out: int, seed: int, rate: float, batch: int = 32):
    """Train on all sample faces but `held_out`; returns the network and its errors on those."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, points = teacher_faces(sorted(downloads.fetch("sample_faces").glob("*.jpg")))
    test, rest = held_out_and_rest(len(images), held_out, generator)
    network = LandmarkHeatmaps().to(memory_format=torch.channels_last)
    steps = epochs * (len(rest) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    progress = Progress(steps * batch, "Training")
    for _ in range(epochs):
        shuffled = rest[torch.randperm(len(rest), generator=generator)]
        for indices in shuffled[: len(rest) // batch * batch].split(batch):
            loss = loss_of(network, *augmented(images[indices], points[indices], generator))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            progress.advance(batch, f"loss {loss.item():.3f}")
    progress.finish()
    network.eval()
    sizes = (178, 128, 64, 32)
    return network, {f"faces of {s} px": errors(network, images[test], points[test], s) for s in sizes}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m facedeblur_utils.tools.train_landmark_heatmaps", description=__doc__
    )
    parser.add_argument("--epochs", type=int, default=80, help="passes over the faces")
    parser.add_argument("--held-out", type=int, default=100, help="faces that are only scored")
    parser.add_argument("--rate", type=float, default=4e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    chosen = parser.parse_args(arguments)
    start = time.monotonic()
    network, found = train(chosen.epochs, chosen.held_out, chosen.seed, chosen.rate)
    options = sys.argv[1:] if arguments is None else arguments
    facts = {
        "network": "models.landmark_heatmaps, random start",
        "teacher": f"MediaPipe face landmarker, SHA-256 {downloads.ASSETS['face_landmarker'].sha256}",
        "data": f"999 sample faces (CelebA), {chosen.held_out} held out",
        "held-out distance from the teacher, percent of the distance between the eyes": found,
        "parameters": sum(value.numel() for value in network.parameters()),
        "commands": [
            shlex.join(["python", "-m", "facedeblur_utils.tools.train_landmark_heatmaps", *options])
        ],
        "seed": chosen.seed,
        "minutes": round((time.monotonic() - start) / 60, 1),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    save(network, facts, chosen.output)
    print(json.dumps(found, indent=2))
    print(f"Wrote {chosen.output} ({chosen.output.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    try:
        main()
    except StudyError as error:
        sys.exit(f"error: {error}")
