"""The project's own small DeepLabV3, and the script that trains it from MediaPipe's selfie segmenter.

`python -m facedeblur_utils.tools.train_head_segmenter` writes `weights/head_segmenter.safetensors` and beside
it a JSON file with the scores on faces that training has not seen. It stands in for torchvision's pretrained
DeepLabV3 where those weights can't be fetched.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from facedeblur_utils import downloads, paths
from facedeblur_utils.data.head_segmenter import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SIZE,
    build_network,
    load_network,
)
from facedeblur_utils.errors import StudyError
from facedeblur_utils.progress import Progress

TEACHER_SIZE = 256  # pixels, the teacher's own
WEIGHTS = paths.WEIGHTS / "head_segmenter.safetensors"


def teacher_faces(files: list[Path], size: int = TEACHER_SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Sample faces (N, size, size, 3) and the teacher's confidence in a person (N, size, size), uint8."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    images = np.empty((len(files), size, size, 3), np.uint8)
    masks = np.empty((len(files), size, size), np.uint8)
    progress = Progress(len(files), "Teacher: MediaPipe selfie segmenter")
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=str(downloads.fetch("selfie_segmenter"))),
        output_confidence_masks=True,
    )
    with vision.ImageSegmenter.create_from_options(options) as teacher:
        for i, file in enumerate(files):
            crop = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)[20:198]  # central square
            images[i] = cv2.resize(crop, (size, size), interpolation=cv2.INTER_CUBIC)
            view = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=images[i])
            confidence = teacher.segment(view).confidence_masks[0].numpy_view()
            masks[i] = np.round(255 * confidence.reshape(size, size))
            progress.advance()
    progress.finish()
    return images, masks


def augmented(
    images: torch.Tensor, masks: torch.Tensor, size: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Randomly placed, coloured and coarsened copies at `size` pixels.

    `images` (B, 3, H, W) and `masks` (B, 1, H, W) are float32 in [0, 1]; both get the same geometry.
    """

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(images), *shape, generator=generator)

    turn, zoom = torch.deg2rad(uniform(-12, 12)), torch.exp(uniform(-0.25, 0.15))
    flip = torch.sign(uniform(-1, 1))
    cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    shift = uniform(-0.12, 0.12, 2)
    rows = [torch.stack([flip * cos, -sin, shift[:, 0]], 1), torch.stack([flip * sin, cos, shift[:, 1]], 1)]
    grid = nn.functional.affine_grid(torch.stack(rows, 1), (len(images), 3, size, size), align_corners=False)
    both = torch.cat([images, masks], dim=1)
    both = nn.functional.grid_sample(both, grid, padding_mode="reflection", align_corners=False)
    pixels, masks = both[:, :3], both[:, 3:]
    pixels = (pixels * uniform(0.7, 1.3, 3, 1, 1) + uniform(-0.1, 0.1, 1, 1, 1)).clamp(0, 1)
    # The profiles' faces have 32 to 256 pixels, so the network must also know enlarged small ones.
    if torch.rand(1, generator=generator) < 0.4:
        small = size // int(torch.randint(2, 5, (1,), generator=generator))
        coarse = nn.functional.interpolate(pixels, small, mode="bilinear", antialias=True)
        pixels = nn.functional.interpolate(coarse, size, mode="bilinear")
    return pixels, masks


@torch.inference_mode()
def scores(network: nn.Module, images: torch.Tensor, masks: torch.Tensor, source_size: int) -> dict:
    """IoU with the teacher, and share of equal pixels, when the faces come with `source_size` pixels."""
    found = []
    for pixels in images.split(16):
        small = nn.functional.interpolate(_unit(pixels), source_size, mode="bilinear", antialias=True)
        logits = network(normalised(nn.functional.interpolate(small, SIZE, mode="bilinear")))["out"]
        found.append(nn.functional.interpolate(logits, TEACHER_SIZE, mode="bilinear") > 0)
    found, person = torch.cat(found)[:, 0], masks > 127
    iou = (found & person).sum((1, 2)) / (found | person).sum((1, 2)).clamp(min=1)
    return {
        "mean IoU": round(iou.mean().item(), 4),
        "median IoU": round(iou.median().item(), 4),
        "lowest IoU": round(iou.min().item(), 4),
        "pixel accuracy": round((found == person).float().mean().item(), 4),
    }


def held_out_and_rest(count: int, held_out: int, generator: torch.Generator) -> tuple:
    """Indices of the faces that are only scored, and of those that are trained on."""
    order = torch.randperm(count, generator=generator)
    return order[:held_out], order[held_out:]


def train(network: nn.Module, plan: list[tuple[int, int]], held_out: int, seed: int, rate: float, batch=16):
    """Train on all sample faces but `held_out` of them, by `plan`: (epochs, pixels) one after the other.

    Which faces are held out depends on `seed` alone. The learning rate rises to `rate`, then falls. Returns
    the averaged network in eval mode and its scores on the held-out faces.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))
    test, rest = held_out_and_rest(len(files), held_out, generator)
    images, masks = (torch.from_numpy(array) for array in teacher_faces(files))
    images = images.permute(0, 3, 1, 2)
    network = network.to(memory_format=torch.channels_last).train()
    steps = sum(epochs for epochs, _ in plan) * (len(rest) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.15)
    # Averaged weights: with 899 faces the last steps alone still swing by a point of IoU.
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    progress = Progress(steps * batch, "Training")
    for epochs, size in plan:
        for _ in range(epochs):
            shuffled = rest[torch.randperm(len(rest), generator=generator)]
            for indices in shuffled[: len(rest) // batch * batch].split(batch):
                pixels, target = augmented(
                    _unit(images[indices]), _unit(masks[indices, None]), size, generator
                )
                logits = network(normalised(pixels))["out"]
                loss = _loss(logits, target)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                average.update_parameters(network)
                progress.advance(batch, f"{size} px, loss {loss.item():.3f}")
    progress.finish()
    network = average.module
    # Batch norm's own running statistics lag behind the weights, and those of averaged weights differ.
    sample = rest[torch.randperm(len(rest), generator=generator)][:400].split(batch)
    unseen = (augmented(_unit(images[i]), _unit(masks[i, None]), SIZE, generator)[0] for i in sample)
    torch.optim.swa_utils.update_bn((normalised(pixels) for pixels in unseen), network)
    network.eval()
    return network, {
        f"faces of {pixels} px": scores(network, images[test], masks[test], pixels)
        for pixels in (256, 128, 64, 32)
    }


def _loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy with the teacher's confidence, plus one minus the soft IoU of each image."""
    guess = torch.sigmoid(logits)
    both, either = (guess * target).sum((1, 2, 3)), (guess + target - guess * target).sum((1, 2, 3))
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target)
    return entropy + (1 - (both + 1) / (either + 1)).mean()


def _unit(array: torch.Tensor) -> torch.Tensor:
    return array.float() / 255


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """NCHW in [0, 1] with ImageNet's channel means taken off and its deviations divided out."""
    constants = (IMAGENET_MEAN, IMAGENET_STD)
    mean, std = (torch.tensor(value, device=pixels.device).view(3, 1, 1) for value in constants)
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def save(network: nn.Module, facts: dict, file: Path) -> None:
    """Write the weights in fp16 and `facts` as JSON beside them, each first under another name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    new = file.with_suffix(".new")
    save_file(state, new)
    os.replace(new, file)
    new.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    os.replace(new, file.with_suffix(".json"))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m facedeblur_utils.tools.train_head_segmenter", description=__doc__
    )
    parser.add_argument("--coarse-epochs", type=int, default=22, help="passes over the faces at 128 pixels")
    parser.add_argument("--fine-epochs", type=int, default=8, help=f"passes at {SIZE} pixels after that")
    parser.add_argument("--held-out", type=int, default=100, help="faces that are only scored")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--go-on", action="store_true", help="start from the weights at --output")
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    chosen = parser.parse_args(arguments)
    start, plan = time.monotonic(), [(chosen.coarse_epochs, 128), (chosen.fine_epochs, SIZE)]
    torch.manual_seed(chosen.seed)
    network = load_network(chosen.output) if chosen.go_on else build_network()
    network, found = train(network, plan, chosen.held_out, chosen.seed, chosen.rate)
    options = sys.argv[1:] if arguments is None else arguments
    commands = [shlex.join(["python", "-m", "facedeblur_utils.tools.train_head_segmenter", *options])]
    if chosen.go_on:
        earlier = json.loads(chosen.output.with_suffix(".json").read_text(encoding="utf-8"))
        commands = [*earlier["commands"], *commands]
    facts = {
        "network": "torchvision DeepLabV3, MobileNetV3-small backbone, random start",
        "teacher": f"MediaPipe selfie segmenter, SHA-256 {downloads.ASSETS['selfie_segmenter'].sha256}",
        "data": f"999 sample faces (CelebA), {chosen.held_out} held out",
        "held-out scores against the teacher": found,
        "parameters": sum(value.numel() for value in network.parameters()),
        "commands": commands,
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
