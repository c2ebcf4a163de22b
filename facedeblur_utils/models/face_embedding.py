"""dlib's face recognition network in torch: maps a face to 128 numbers that are close for one person.

King 2017, "High quality face recognition with deep metric learning" (dlib; LFW 99.38 %, public domain): a
ResNet of 29 convolutions, trained so that faces of one person lie within 0.6. The weights come by
`downloads` as 8-bit arrays (package face-api, MIT) and are only read.
"""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facedeblur_utils import downloads
from facedeblur_utils.errors import StudyError

SIDE = 150  # pixels of the square face that the network looks at
MEAN, RANGE = (122.782, 117.001, 104.298), 256  # as dlib's `input_rgb_image_sized`
SAME_PERSON = 0.6  # distance below which dlib takes two faces for one person's


class FaceEmbedding(nn.Module):
    """Faces (B, 3, H, W) in [0, 1], cropped by `metrics.recognition`, to (B, 128), with gradients."""

    def __init__(self):
        super().__init__()
        self.conv32_down = _Convolution(3, 32, 7, stride=2)
        blocks = []
        for name, count, before, width in (
            ("conv32", 3, 32, 32),
            ("conv64", 4, 32, 64),
            ("conv128", 3, 64, 128),
            ("conv256", 3, 128, 256),
        ):
            first = [] if before == width else [(f"{name}_down", _Residual(before, width, stride=2))]
            rest = range(1, count + 1 - len(first))
            blocks += [*first, *((f"{name}_{i}", _Residual(width, width)) for i in rest)]
        self.blocks = nn.ModuleDict([*blocks, ("conv256_down_out", _Residual(256, 256, stride=2))])
        self.fc = nn.Linear(256, 128, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            faces = F.interpolate(
                images.float(), (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
            )
            mean = torch.tensor(MEAN, device=faces.device).view(1, 3, 1, 1)
            x = F.relu(self.conv32_down((faces * 255 - mean) / RANGE))
            x = F.max_pool2d(x, 3, 2)
            for block in self.blocks.values():
                x = block(x)
            return self.fc(x.mean(dim=(2, 3)))


class _Convolution(nn.Sequential):
    """Convolution and the fixed scale and shift that its batch norm became; without padding if it strides."""

    def __init__(self, channels: int, width: int, side: int, stride: int = 1):
        padding = side // 2 if stride == 1 else 0
        super().__init__(nn.Conv2d(channels, width, side, stride, padding), _Scale(width))


class _Scale(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class _Residual(nn.Module):
    """Two convolutions beside a way past them, which averages 2 x 2 pixels where they stride."""

    def __init__(self, channels: int, width: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.conv1 = _Convolution(channels, width, 3, stride)
        self.conv2 = _Convolution(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(F.relu(self.conv1(x)))
        if self.stride == 1:
            return F.relu(out + x)
        past = F.avg_pool2d(x, 2)
        past = F.pad(past, (0, 0, 0, 0, 0, out.shape[1] - past.shape[1]))
        # The convolution without padding may lack a last row and column: dlib takes them for 0.
        return F.relu(past + F.pad(out, (0, past.shape[3] - out.shape[3], 0, past.shape[2] - out.shape[2])))


@lru_cache(maxsize=1)
def load_embedding() -> FaceEmbedding:
    """The network with its published weights, frozen; raises StudyError where they can't be had."""
    network = FaceEmbedding()
    arrays = read_arrays(downloads.fetch("face_embedding"), downloads.fetch("face_embedding_names"))
    network.load_state_dict({_renamed(name): _reordered(array) for name, array in arrays.items()})
    return network.eval().requires_grad_(False)


def read_arrays(data: Path, manifest: Path) -> dict[str, np.ndarray]:
    """The arrays of a model of TensorFlow.js, float32 by name; 8-bit ones are `scale` * value + `min`.

    Raises StudyError where the data doesn't have the length that the manifest says.
    """
    rows = [row for group in json.loads(manifest.read_text(encoding="utf-8")) for row in group["weights"]]
    content, at, arrays = data.read_bytes(), 0, {}
    for row in rows:
        packed = row.get("quantization")
        kind = np.dtype(packed["dtype"] if packed else row["dtype"])
        count = int(np.prod(row["shape"]))
        if at + count * kind.itemsize > len(content):
            break
        values = np.frombuffer(content, kind, count, at).astype(np.float32)
        at += count * kind.itemsize
        if packed:
            values = values * packed["scale"] + packed["min"]
        arrays[row["name"]] = values.reshape(row["shape"]).astype(np.float32)
    if len(arrays) < len(rows) or at != len(content):
        raise StudyError(f"{data} has {len(content)} bytes, which doesn't fit {manifest.name}")
    return arrays


def _renamed(name: str) -> str:
    """`conv64_1/conv2/scale/biases` -> the name of the same values in `FaceEmbedding`."""
    if name == "fc":
        return "fc.weight"
    block, *inner, layer, values = name.split("/")
    place = {"conv": "0", "scale": "1"}[layer]
    path = [block, place] if block == "conv32_down" else ["blocks", block, *inner, place]
    return ".".join([*path, "bias" if values.startswith("bias") else "weight"])


def _reordered(array: np.ndarray) -> Tensor:
    """TensorFlow's (rows, columns, in, out) -> torch's (out, in, rows, columns); (in, out) -> (out, in)."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T))
