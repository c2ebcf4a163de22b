"""Blur as the mean of moved frames at a finer resolution: no kernel, so nothing is checked against itself."""

import cv2
import numpy as np

FINER = 4  # times the resolution at which frames are moved
FRAMES_PER_PIXEL = 2  # of the finer picture


def blur_by_frames(sharp: np.ndarray, path: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """uint8 (H, W, 3): the mean of `sharp`, uint8 (H, W, 3), moved along `path`, (N, 2) in its pixels.

    The picture is enlarged fourfold (cubic), moved (bilinear, borders mirrored), averaged as light where
    `gamma` is not 1, and reduced by averaging areas. The path's middle stays where it is.
    """
    height, width = sharp.shape[:2]
    large = cv2.resize(sharp, (FINER * width, FINER * height), interpolation=cv2.INTER_CUBIC)
    light = (large.astype(np.float32) / 255) ** gamma
    moves = (path - path.mean(axis=0)) * FINER
    total = np.zeros_like(light)
    for dx, dy in moves:
        shift = np.float32([[1, 0, dx], [0, 1, dy]])
        total += cv2.warpAffine(light, shift, light.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    mean = cv2.resize(total / len(moves), (width, height), interpolation=cv2.INTER_AREA)
    return np.rint(255 * np.clip(mean, 0, 1) ** (1 / gamma)).astype(np.uint8)


def reduced_from_finer(sharp: np.ndarray) -> np.ndarray:
    """`sharp` enlarged and reduced likewise without a motion: what undoing `blur_by_frames` should give."""
    return blur_by_frames(sharp, np.zeros((1, 2)))


def line_frames(length: float, angle: float) -> np.ndarray:
    """(N, 2) positions of constant speed along a line of `length` pixels at `angle` degrees, x and y down."""
    return arc_frames(length, angle, 0.0)


def arc_frames(length: float, angle: float, turn: float) -> np.ndarray:
    """The same along an arc whose direction turns by `turn` degrees."""
    count = max(2, int(np.ceil(length * FINER * FRAMES_PER_PIXEL)))
    time = (np.arange(count) + 0.5) / count - 0.5
    direction = np.deg2rad(angle + turn * time)
    steps = np.stack([np.cos(direction), -np.sin(direction)], axis=1) * length / count
    return np.cumsum(steps, axis=0)
