"""How long physics takes for a face in a photo, and what it gains there: `python benchmarks/physics.py`.

Sample faces that no network was trained on are brought to 128, 512 and 1024 px (so that the face's crop is
about as wide), blurred along a line as light by averaging frames, and deblurred by each method on one thread.
Goals: physics gains at least 2 dB more than the network alone on average, and takes under 60 s at 1024 px.
Ends with one line, and with exit code 1 where a goal is missed.
"""

import sys
import time

import cv2
import numpy as np
import torch

from facedeblur_utils.data import faces
from facedeblur_utils.data.segmentation import open_landmarker
from facedeblur_utils.data.sources import open_source, picture
from facedeblur_utils.machine import cpu_name
from facedeblur_utils.photo import deblur
from facedeblur_utils.profiles import load_profile

TEST = (13, 19, 43)  # in the source: 000014, 000020 and 000044 are test faces
WIDTHS = (128, 512, 1024)
LENGTH = 0.08  # of the width
GOAL_GAIN, GOAL_SECONDS = 2.0, 60.0


def blurred(sharp: np.ndarray, length: float, angle: float) -> np.ndarray:
    """The mean of moved frames in light, uint8."""
    light, total = (sharp.astype(np.float32) / 255) ** 2.2, 0.0
    times = np.linspace(-0.5, 0.5, 2 * int(length))
    direction = np.deg2rad(angle)
    for move in times * length:
        shift = np.float32([[1, 0, move * np.cos(direction)], [0, 1, -move * np.sin(direction)]])
        total = total + cv2.warpAffine(light, shift, light.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    return np.rint(255 * (total / len(times)) ** (1 / 2.2)).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """In the middle three quarters, dB."""
    border = len(one) // 8
    inner = slice(border, -border)
    return 10 * np.log10(255**2 / np.mean((one[inner, inner].astype(float) - other[inner, inner]) ** 2))


def main() -> int:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    source = open_source(load_profile("study"))
    photos = [faces.central_square(picture(source, source.items[number])) for number in TEST]
    print(f"{cpu_name()}, one thread; {len(TEST)} test faces, a line of {LENGTH:.0%} of the width, in light")
    gained, slowest = [], 0.0
    with open_landmarker() as landmarker:
        for width in WIDTHS:
            rows = {}
            for number, photo in enumerate(photos):
                way = cv2.INTER_CUBIC if width > len(photo) else cv2.INTER_AREA
                sharp = cv2.resize(photo, (width, width), interpolation=way)
                seen = blurred(sharp, LENGTH * width, 25.0 + 50 * number)
                for method in ("restorer", "both"):
                    start = time.perf_counter()
                    done = deblur.deblur_photo(seen, method=method, landmarker=landmarker)
                    seconds = time.perf_counter() - start
                    rows.setdefault(method, []).append((psnr(done.image, sharp) - psnr(seen, sharp), seconds))
            (network, fast), (both, slow) = (np.mean(rows[method], axis=0) for method in ("restorer", "both"))
            print(f"{width:5} px: network {network:+.2f} dB, {fast:.1f} s; both {both:+.2f} dB, {slow:.1f} s")
            gained.append(both - network)
            slowest = slow
    met = np.mean(gained) >= GOAL_GAIN and slowest <= GOAL_SECONDS
    print(
        f"physics adds {np.mean(gained):.2f} dB (goal {GOAL_GAIN}), {slowest:.0f} s at {WIDTHS[-1]} px "
        f"(goal {GOAL_SECONDS:.0f}): {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
