"""VGG19 features for the perceptual loss: ImageNet weights where they can be had, else seeded random ones."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from facedeblur_utils import paths
from facedeblur_utils.progress import Progress
from facedeblur_utils.training.batches import Batches, to_network

LAYERS = 22  # `features[:22]`: through conv4_2, which the thesis counts as layer 21
URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"  # torchvision's IMAGENET1K_V1
HASH_PREFIX = URL.rsplit("-", 1)[1].removesuffix(".pth")  # torchvision names files by their SHA-256
TRIMMED = f"vgg19_features{LAYERS}_{HASH_PREFIX}.safetensors"
CONNECT_SECONDS = 5  # a machine without network must not wait long
RANDOM_SEED = 19
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as torchvision's ImageNet networks expect
IMAGENET, RANDOM, LEFT_OUT = "ImageNet", "random", "left out"
TARGET_BYTES = 1 << 30  # budget for keeping the features of all targets
TARGET_BATCH = 16


class Features(nn.Module):
    """(B, 3, H, W) in [0, 1] -> VGG19's conv4_2 maps (B, 512, H/8, W/8), before their ReLU; frozen.

    `kind` says which weights: "ImageNet" or "random". With `dtype` bf16 or fp16 the maps are computed in
    half precision, which is what autocast would do, without converting the weights in every step.
    """

    def __init__(self, kind: str, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.kind, self.dtype = kind, dtype
        self.layers = _random_layers()
        if kind == IMAGENET:
            self.layers.load_state_dict(load_file(paths.cache_folder() / TRIMMED))
        self.layers.requires_grad_(False).eval().to(dtype=dtype, memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(((image - self.mean) / self.std).to(self.dtype))


def features_of_targets(vgg: Features, batches: Batches) -> Tensor | None:
    """(2, N, h, w, 512): features of each sharp image as it is and mirrored; None if they don't fit.

    They never change, and computing them anew for each batch would be a third of VGG19's work. All are
    computed before the first step, so that a resumed run finds the same ones to the last bit.
    """
    side, count = batches.pairs.size // 8, len(batches)
    size = 2 * count * side**2 * 512 * torch.finfo(vgg.dtype).bits // 8
    if size > TARGET_BYTES or not batches.resident:
        return None
    table = torch.empty(2, count, side, side, 512, dtype=vgg.dtype, device=batches.device)
    with torch.no_grad():
        for start in range(0, count, TARGET_BATCH):
            sharp = to_network(batches.sharp[start : start + TARGET_BATCH])
            for mirrored, images in enumerate((sharp, sharp.flip(3))):
                features = vgg(images).permute(0, 2, 3, 1)
                table[mirrored, start : start + len(features)] = features
    return table


def available_kind() -> tuple[str, str]:
    """Which weights `Features` can have here, and the sentence that says so.

    ImageNet's are looked for in this package's cache, torch.hub's cache, the folder `FACEDEBLUR_ASSETS` and
    at torchvision's address; they are verified by SHA-256, and only the layers in use are kept.
    """
    trimmed = paths.cache_folder() / TRIMMED
    if trimmed.is_file():
        return IMAGENET, f"VGG19 with ImageNet weights from {trimmed}"
    name = URL.rsplit("/", 1)[1]
    tried = []
    for folder in (os.environ.get("FACEDEBLUR_ASSETS"), Path(torch.hub.get_dir()) / "checkpoints"):
        if folder and (file := Path(folder).expanduser() / name).is_file():
            if _trim(file, trimmed):
                return IMAGENET, f"VGG19 with ImageNet weights from {file}"
            tried.append(f"{file} has the wrong SHA-256")
    try:
        if _trim(_download(trimmed.with_name(name)), trimmed, remove=True):
            return IMAGENET, f"VGG19 with ImageNet weights from {URL}"
        tried.append(f"{URL} gave a file with the wrong SHA-256")
    except (OSError, http.client.HTTPException) as error:
        tried.append(f"{URL} is not reachable ({getattr(error, 'reason', error)})")
    return RANDOM, (
        f"VGG19 WITHOUT ImageNet weights: {'; '.join(tried)}; to have the thesis's loss, put {name} into a "
        "folder named by FACEDEBLUR_ASSETS"
    )


def _random_layers() -> nn.Sequential:
    """torchvision's VGG19 as it starts out (He initialisation), without touching the global generator."""
    from torchvision.models import vgg19  # takes over a second to load, and most losses need no VGG19

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        with torch.device("meta"):
            layers = vgg19(weights=None).features[:LAYERS]
        layers.to_empty(device="cpu")
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
    return layers


def _trim(file: Path, trimmed: Path, remove: bool = False) -> bool:
    """Keep the first layers of torchvision's file as safetensors; False where its hash is wrong."""
    with file.open("rb") as opened:
        genuine = hashlib.file_digest(opened, "sha256").hexdigest().startswith(HASH_PREFIX)
    if genuine:
        state = torch.load(file, weights_only=True, map_location="cpu")
        wanted = _random_layers().state_dict()
        kept = {name: state[f"features.{name}"].contiguous() for name in wanted}
        trimmed.parent.mkdir(parents=True, exist_ok=True)
        partial = trimmed.with_name(f"{trimmed.name}.{os.getpid()}.partial")
        save_file(kept, partial)
        os.replace(partial, trimmed)
    if remove:
        file.unlink(missing_ok=True)
    return genuine


def _download(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with urllib.request.urlopen(URL, timeout=CONNECT_SECONDS) as answer, partial.open("wb") as file:
            progress = Progress(
                int(answer.headers.get("Content-Length") or 1), "Fetching VGG19", unit="bytes"
            )
            while block := answer.read(1 << 20):
                file.write(block)
                progress.advance(len(block))
            progress.finish()
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target
