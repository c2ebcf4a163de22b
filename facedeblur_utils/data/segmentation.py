"""Face and head masks: MediaPipe's face oval, and the class person of a DeepLabV3."""

import os
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from facedeblur_utils import downloads, paths
from facedeblur_utils.errors import UsageError

WORKING_SIZE = 256  # pixels; smaller images are enlarged to it, so that the detector sees enough
LONGEST_SIDE = 16_384  # pixels; MediaPipe ends the whole process where a side has 32 767 or more
MOST_FACES = 8
CONNECT_SECONDS = 4
PERSON = 15  # class of torchvision's COCO_WITH_VOC_LABELS weights
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OWN_NAME = "own DeepLabV3 MobileNetV3-small"

# The outline of the face in the order of MediaPipe's FaceLandmarksConnections.FACE_LANDMARKS_FACE_OVAL.
# fmt: off
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
# fmt: on


class Landmarker:
    """MediaPipe's FaceLandmarker. Make one with `open_landmarker`, which closes it."""

    def __init__(self, task):
        self._task = task

    def faces(self, image: np.ndarray) -> list[np.ndarray]:
        """Landmarks of every face in `image` (uint8 RGB HWC), the largest face first.

        Each is (478, 2) float32, x and y in pixels; (0, 0) is the centre of the top left pixel. Landmarks
        of a face that the border cuts may lie outside the image.
        """
        import mediapipe

        image = checked_image(image)
        height, width = image.shape[:2]
        scale = min(WORKING_SIZE / min(height, width), LONGEST_SIDE / max(height, width))
        if scale > 1 or max(height, width) > LONGEST_SIDE:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
            image = cv2.resize(image, size, interpolation=method)
        view = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        found = self._task.detect(view).face_landmarks
        faces = [np.array([(point.x, point.y) for point in face], np.float32) for face in found]
        # MediaPipe counts from the image's corner in units of its size; pixel centres lie half a pixel in.
        faces = [face * np.float32([width, height]) - np.float32(0.5) for face in faces]
        return sorted(faces, key=oval_area, reverse=True)


@contextmanager
def open_landmarker(most_faces: int = MOST_FACES):
    """`with open_landmarker() as landmarker:` loads the model once for many images, and closes it."""
    model = downloads.fetch("face_landmarker")
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)), num_faces=most_faces
    )
    with _without_native_messages():
        task = vision.FaceLandmarker.create_from_options(options)
        landmarker = Landmarker(task)
        landmarker.faces(np.zeros((WORKING_SIZE, WORKING_SIZE, 3), np.uint8))  # the first run speaks too
    with task:
        yield landmarker


@contextmanager
def _without_native_messages():
    """Drop what libraries write to the process's standard error: MediaPipe's start says nothing to users."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def face_landmarks(image: np.ndarray, landmarker: Landmarker | None = None) -> np.ndarray | None:
    """Landmarks (478, 2), float32 pixels, of the largest face in `image` (uint8 RGB HWC); None without face.

    Pass a `landmarker` for many images: without one the model is loaded for this image alone.
    """
    if landmarker is None:
        with open_landmarker() as landmarker:
            return face_landmarks(image, landmarker)
    faces = landmarker.faces(image)
    return faces[0] if faces else None


def face_mask(image: np.ndarray, landmarker: Landmarker | None = None) -> np.ndarray | None:
    """Bool HW, True inside the oval of the largest face in `image` (uint8 RGB HWC); None without face."""
    landmarks = face_landmarks(image, landmarker)
    return None if landmarks is None else oval_mask(landmarks, image.shape[:2])


def oval_mask(landmarks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bool mask of `shape` (height, width): True in the hull of the face oval of `landmarks` (478, 2)."""
    return _hull_mask(landmarks[list(FACE_OVAL)], shape)  # from the side the oval folds over itself


def outline_mask(landmarks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bool mask of `shape` (height, width): True in the hull of all `landmarks` (478, 2).

    Of a face seen from the side, nose and lips lie beyond the oval, but in this.
    """
    return _hull_mask(landmarks, shape)


def _hull_mask(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    fraction_bits = 4  # polygon corners in sixteenths of a pixel: it matters in small images
    corners = cv2.convexHull(np.round(points * 2**fraction_bits).astype(np.int32))
    cv2.fillPoly(mask, [corners], 1, shift=fraction_bits)
    return mask.astype(bool)


def oval_area(landmarks: np.ndarray) -> float:
    """Area of the face oval in square pixels."""
    return float(cv2.contourArea(cv2.convexHull(landmarks[list(FACE_OVAL)].astype(np.float32))))


def checked_image(image: np.ndarray) -> np.ndarray:
    """`image` if it is uint8 RGB HWC and not empty; raises UsageError otherwise."""
    right = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,)
    if not right or not image.size:
        what = f"{image.dtype} array of shape {image.shape}" if isinstance(image, np.ndarray) else type(image)
        raise UsageError(f"an image must be a uint8 RGB array of shape (height, width, 3), got {what}")
    return image


def head_mask(image: np.ndarray) -> np.ndarray:
    """Bool HW, True on the person (head, hair, clothes) in `image` (uint8 RGB HWC)."""
    return head_masks(checked_image(image)[None])[0]


def head_masks(images: np.ndarray, batch: int = 16) -> np.ndarray:
    """Bool (N, H, W): `head_mask` of many images (N, H, W, 3) of one size, `batch` at a time."""
    segmenter = _head_segmenter()
    masks = [segmenter.masks(images[start : start + batch]) for start in range(0, len(images), batch)]
    return np.concatenate(masks) if masks else np.zeros(images.shape[:3], bool)


def head_segmenter_name() -> str:
    """Which network and weights `head_mask` uses on this machine."""
    return _head_segmenter().name


@dataclass(frozen=True)
class _HeadSegmenter:
    name: str
    network: nn.Module
    size: int  # pixels of the image's longer side as the network sees it
    channel: int | None  # the class person, or None for a network with the one class

    @torch.inference_mode()
    def masks(self, images: np.ndarray) -> np.ndarray:
        height, width = images.shape[1:3]
        device = next(self.network.parameters()).device
        # copy: memory-mapped arrays are read-only, which torch warns about
        pixels = torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).float() / 255
        scale = self.size / max(height, width)
        size = [max(32, 8 * round(side * scale / 8)) for side in (height, width)]
        pixels = nn.functional.interpolate(
            pixels, size, mode="bilinear", antialias=scale < 1, align_corners=False
        )
        pixels = _normalised(pixels)
        # Seen as it is and mirrored: a little better than either (IoU 0.932 instead of 0.929).
        logits = self.network(pixels)["out"] + self.network(pixels.flip(3))["out"].flip(3)
        if self.channel is None:
            person = logits[:, :1]
        else:  # the margin by which the person beats every other class
            others = torch.cat([logits[:, : self.channel], logits[:, self.channel + 1 :]], dim=1)
            person = logits[:, self.channel : self.channel + 1] - others.amax(dim=1, keepdim=True)
        person = nn.functional.interpolate(person, (height, width), mode="bilinear", align_corners=False)
        return (person[:, 0] > 0).cpu().numpy()


@lru_cache(maxsize=1)
def _head_segmenter() -> _HeadSegmenter:
    """torchvision's pretrained DeepLabV3 where its weights can be had, else the project's own.

    `FACEDEBLUR_HEAD_SEGMENTER=own` asks for the project's own even where torchvision's can be had.
    """
    wish = os.environ.get("FACEDEBLUR_HEAD_SEGMENTER", "auto")
    if wish not in ("auto", "own"):
        raise UsageError(f"FACEDEBLUR_HEAD_SEGMENTER must be 'auto' or 'own', got '{wish}'")
    pretrained = None if wish == "own" else _torchvision_network()
    if pretrained:
        return pretrained
    # torchvision takes seconds to load, and who looks for faces alone doesn't need it.
    from facedeblur_utils.data import head_segmenter

    network = head_segmenter.load_network(paths.WEIGHTS / "head_segmenter.safetensors")
    return _HeadSegmenter(OWN_NAME, network, head_segmenter.SIZE, None)


def _torchvision_network() -> _HeadSegmenter | None:
    from torchvision.models import segmentation as torchvision_segmentation

    if torch.cuda.is_available():
        weights = torchvision_segmentation.DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1
        build, name, device = torchvision_segmentation.deeplabv3_resnet101, "ResNet-101", "cuda"
    else:  # ResNet-101 takes ten times as long, which a CPU notices
        weights = torchvision_segmentation.DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1
        build, name, device = (
            torchvision_segmentation.deeplabv3_mobilenet_v3_large,
            "MobileNetV3-large",
            "cpu",
        )
    cached = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
    if not cached.is_file() and not _reachable(weights.url):
        return None
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # a download that breaks, a hash that differs
        print(f"torchvision's DeepLabV3 weights could not be fetched ({error}); using the project's own")
        return None
    network = build(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    network.load_state_dict(state)
    full_name = f"torchvision DeepLabV3 {name} (COCO)"
    return _HeadSegmenter(full_name, network.eval().to(device), 520, PERSON)


def _normalised(pixels: torch.Tensor) -> torch.Tensor:
    """NCHW in [0, 1] as the networks were trained: ImageNet's means and deviations taken out."""
    mean, std = (torch.tensor(value, device=pixels.device).view(3, 1, 1) for value in IMAGENET)
    return (pixels - mean) / std


def _reachable(url: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
