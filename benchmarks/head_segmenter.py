"""How well DeepLabV3 as the study uses it (two views) agrees with its teacher on held-out sample faces.

Run `FACEDEBLUR_HEAD_SEGMENTER=own python benchmarks/head_segmenter.py`; exit code 1 below the goal.
"""

import json
import sys

import cv2
import numpy as np
import torch

from facedeblur_utils import downloads, paths
from facedeblur_utils.data import segmentation
from facedeblur_utils.tools import train_head_segmenter

GOAL = 0.93  # mean intersection over union
SIZES = (256, 128, 64)


def main() -> int:
    facts = json.loads((paths.WEIGHTS / "head_segmenter.json").read_text(encoding="utf-8"))
    generator = torch.Generator().manual_seed(facts["seed"])
    held_out, _ = train_head_segmenter.held_out_and_rest(999, 100, generator)
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))
    images, confidence = train_head_segmenter.teacher_faces([files[i] for i in held_out])
    teacher, found = confidence > 127, {}
    for size in SIZES:
        small = np.stack([cv2.resize(i, (size, size), interpolation=cv2.INTER_AREA) for i in images])
        masks = segmentation.head_masks(small).astype(np.uint8)
        masks = [cv2.resize(mask, images.shape[1:3], interpolation=cv2.INTER_LINEAR) > 0 for mask in masks]
        pairs = list(zip(masks, teacher, strict=True))
        found[size] = np.mean([(ours & theirs).sum() / (ours | theirs).sum() for ours, theirs in pairs])
        print(f"{segmentation.head_segmenter_name()}, faces of {size} px: mean IoU {found[size]:.4f}")
    met = sum(value > GOAL for value in found.values())
    print(f"{met} of {len(found)} sizes above {GOAL}, {len(files)} faces, {len(held_out)} held out")
    return 0 if met == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
