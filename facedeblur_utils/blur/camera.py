"""A blurred face as a camera records it: light, clipped highlights, sensor, noise, processing, JPEG."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.noise import poisson_gaussian
from facedeblur_utils.blur.operators import LIGHT

WHITE = 0.99  # stored value from which a highlight may have been brighter than could be stored
GAINS = ((1.5, 2.4), (1.0, 1.0), (1.4, 2.1))  # white balance of red, green and blue, drawn between
COLOURS = np.array(  # from a sensor's red, green and blue to the screen's; grey stays grey
    [[1.65, -0.50, -0.15], [-0.20, 1.50, -0.30], [0.00, -0.50, 1.50]]
)
MOST = 2**16 - 1  # of the raw picture


@dataclass(frozen=True)
class Camera:
    """What of the way from light to a file is imitated; each pair is a range that a picture draws from."""

    gamma: float = LIGHT  # of the stored values; 1 takes them for light
    highlights: tuple[float, float] = (0.0, 0.0)  # light beyond white in what is stored as white
    shot: tuple[float, float] = (0.0, 0.0)  # variance of noise per light, drawn evenly in its logarithm
    read: tuple[float, float] = (0.0, 0.0)  # standard deviation of noise in the dark
    raw: bool = False  # through white balance, colour matrix and the sensor's colour filter, and back
    jpeg: tuple[int, int] | None = None  # quality


SATURATION, SHOT, READ = (0.25, 1.75), (1e-4, 1e-3), (5e-4, 3e-3)
CAMERAS = {  # what each step adds, in the order of Rim's ablation
    "stored": Camera(gamma=1.0),
    "light": Camera(),
    "light_saturation": Camera(highlights=SATURATION),
    "light_noise": Camera(shot=SHOT, read=READ),
    "full": Camera(highlights=SATURATION, shot=SHOT, read=READ, raw=True, jpeg=(70, 98)),
}


def photograph(
    sharp: np.ndarray,
    blur: Callable[[np.ndarray], np.ndarray],
    random: np.random.Generator,
    camera: Camera = CAMERAS["full"],
) -> np.ndarray:
    """`sharp`, uint8 (H, W, 3), taken by `camera` while it moves as `blur` says; uint8 again.

    `blur` maps light, float32 (H, W, 3), to its mean over the exposure. The steps are those of Rim and others
    2022 (the thesis's [110]): stored values become light, highlights may exceed white, the light is blurred
    and clipped; backwards through colour matrix and white balance it falls on a sensor with a colour filter
    (red, green; green, blue), which adds Poisson and Gaussian noise; the missing colours are interpolated,
    and white balance, colour matrix, gamma and JPEG follow. Rim interpolates between a video's frames; here
    the motion is continuous already.
    """
    light = operators.to_light(sharp, camera.gamma)
    beyond = random.uniform(*camera.highlights)
    light = light + np.float32(beyond) * (sharp >= round(255 * WHITE)).all(axis=2, keepdims=True)
    light = np.clip(blur(np.ascontiguousarray(light, np.float32)), 0, 1)
    shot = np.exp(random.uniform(*np.log(camera.shot))) if camera.shot[1] else 0.0
    read = random.uniform(*camera.read)
    light = _through_sensor(light, shot, read, random) if camera.raw else _noisy(light, shot, read, random)
    picture = operators.from_light(light, camera.gamma, np.uint8)
    return operators.jpeg(picture, int(random.integers(*camera.jpeg))) if camera.jpeg else picture


def _through_sensor(light: np.ndarray, shot: float, read: float, random: np.random.Generator) -> np.ndarray:
    """Light as the screen has it, by way of a raw picture with its noise; (H, W, 3), the same out."""
    gains = np.array([random.uniform(*gain) for gain in GAINS])
    seen = np.clip(light @ np.linalg.inv(COLOURS).T / gains, 0, 1)
    raw = seen[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = seen[::2, ::2, 0], seen[1::2, 1::2, 2]
    raw = _noisy(raw, shot, read, random)
    whole = cv2.cvtColor(np.rint(MOST * raw).astype(np.uint16), cv2.COLOR_BayerRGGB2RGB)
    return np.clip((whole / MOST * gains) @ COLOURS.T, 0, 1).astype(np.float32)


def _noisy(light: np.ndarray, shot: float, read: float, random: np.random.Generator) -> np.ndarray:
    return poisson_gaussian(light, random, shot, read) if shot or read else light
