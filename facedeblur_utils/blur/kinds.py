"""The kinds of blur by name; each draws a blur with its parameters, its operator and the adjoint of that."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from facedeblur_utils.blur import trajectories
from facedeblur_utils.blur.blurs import KernelBlur, MovedBlur
from facedeblur_utils.blur.kernels import disk_kernel, linear_motion_kernel, motion_from, path_kernel
from facedeblur_utils.profiles import Profile

SPACING = 1 / 8  # pixels between the points of a path, at most
SMALLEST = 1 / 8  # pixels: what is drawn shorter is taken for this long
FOCAL_LENGTH = 2.0  # widths of the picture: of a lens that has the face fill a good part of it
FIELD_SPACING = 0.9  # pixels between the instants of the longest vector in a field
FRAMES = (7, 13)  # averaged for one picture in GoPro (7-13), HIDE (11) and 2MF2
TURN = 6.0  # degrees, the highest roll of a head during an exposure
ZOOM = 0.03  # the highest share by which it comes nearer


@dataclass(frozen=True)
class Kind:
    """One kind of blur: `draw(random, size, length, angle)` gives its blur, with a length in pixels.

    `scale` multiplies the profile's lengths so that all kinds blur equally much: the same mean PSNR of the
    study's faces as lines have (`benchmarks/kinds_of_blur.py` measures it). `part` is the mask of what moves,
    if not all does. Called with a generator, the picture's side in pixels and perhaps a profile, it draws.
    """

    name: str
    words: str  # what it is, in tables and figures
    source: str  # who describes it, by the thesis's numbers where it has them
    draw: Callable
    scale: float = 1.0
    part: str = ""  # key of a face's masks
    gamma: float | None = None  # None: the profile's

    def __call__(self, rng: np.random.Generator, size: int, profile: Profile | None = None):
        """A blur for pictures of `size` pixels, its length in the profile's range times `scale`."""
        lengths = (profile or Profile).blur_length
        gamma = self.gamma or (profile or Profile).blur_gamma
        length, angle = motion_from(rng, size, lengths)
        return self.draw(rng, size, max(SMALLEST, round(length * self.scale, 4)), angle, gamma)


def line(random, size: int, length: float, angle: float, gamma: float = 1.0) -> KernelBlur:
    """A straight motion of constant speed (thesis, Figures 4.2 and 4.3)."""
    return KernelBlur({"length": length, "angle": angle}, gamma, linear_motion_kernel(length, angle))


def trajectory(random, size: int, length: float, angle: float, gamma: float = 1.0) -> KernelBlur:
    """A random trajectory with inertia and sudden turns (Boracchi and Foi 2012), all or a part of it exposed.

    `exposure` is the share of the path, 1/4, 1/2 or all, that the picture is taken in; the part is `length`
    long. The source's shortest exposure, 1/16, is nearly a line and left to that.
    """
    exposure = float(random.choice([0.25, 0.5, 1.0]))
    path = trajectories.inertial_path(random, length / exposure)
    path = path[: max(2, round(exposure * len(path)))]
    return _of_path(path, {"exposure": exposure}, length, gamma)


def spline(random, size: int, length: float, angle: float, gamma: float = 1.0) -> KernelBlur:
    """A cubic spline through six random grid points (Chakrabarti 2016), at constant speed."""
    return _of_path(trajectories.smooth_path(random, length), {}, length, gamma)


def gaussian_process(random, size: int, length: float, angle: float, gamma: float = 1.0) -> KernelBlur:
    """Coordinates that are Gaussian processes in time (Matérn 3/2), as deepinv draws its motion blur."""
    return _of_path(trajectories.gaussian_process_path(random, length), {}, length, gamma)


def shake(random, size: int, length: float, angle: float, gamma: float = 1.0) -> MovedBlur:
    """A camera that turns about three axes along a random 3-D trajectory (Shen 2018, Lee 2020: MSPL).

    Pitch, yaw and roll follow an inertial path in three dimensions that is as long as `length` pixels in the
    picture's middle for a lens of two picture widths; roll moves what is far from the middle. Homographies
    K R K⁻¹; `roll` in the parameters is its range in degrees.
    """
    focal = FOCAL_LENGTH * size
    angles = trajectories.inertial_path(random, length, dimensions=3) / focal
    angles = _at_equal_times(angles, _count(length / 2))
    angles -= angles.mean(axis=0)
    lens = np.diag([focal, focal, 1.0])
    turns = np.stack([cv2.Rodrigues(turn)[0] for turn in angles])
    return _moved(
        lens @ turns @ np.linalg.inv(lens), {"roll": np.rad2deg(np.ptp(angles[:, 2]))}, length, gamma
    )


def field(random, size: int, length: float, angle: float, gamma: float = 1.0) -> MovedBlur:
    """A line of its own at every pixel, from a motion field that is affine (Sun 2015).

    The middle moves by `length` at `angle`; towards the edges each component of the vector changes by up to
    half the length to either side, as under a camera that turns, zooms or shears.
    """
    vector = length * np.array([np.cos(np.deg2rad(angle)), -np.sin(np.deg2rad(angle))])
    slopes = random.uniform(-1, 1, (2, 2)) * length / size
    return field_blur(size, vector, slopes, gamma)


def field_blur(size: int, vector: np.ndarray, slopes: np.ndarray, gamma: float = 1.0) -> MovedBlur:
    """The blur of the field vector + slopes @ (x, y), (x, y) in pixels from the middle of `size`,
    y down.

    Each pixel is the mean along its own vector, centred on it. Slopes of zero are a line.
    """
    length = float(np.hypot(*vector))
    longest = length + np.linalg.norm(slopes, 2) * size / 2
    count = _count(longest / FIELD_SPACING)
    time = (np.arange(count) + 0.5) / count - 0.5
    # A pixel is itself a pixel wide, which a line's length counts; see `linear_motion_kernel`.
    own = np.sqrt(1 - 1 / max(longest, 1) ** 2)
    instants = np.tile(np.eye(3), (count, 1, 1))
    instants[:, :2, 2] += own * time[:, None] * vector
    instants[:, :2, :2] += own * time[:, None, None] * slopes
    angle = round(float(np.rad2deg(np.arctan2(-vector[1], vector[0]))) % 180, 4) % 180
    slope = {f"slope_{a}{b}": float(slopes[i, j]) for i, a in enumerate("xy") for j, b in enumerate("xy")}
    return MovedBlur({"length": round(length, 4), "angle": angle, **slope}, gamma, instants)


def frames(random, size: int, length: float, angle: float, gamma: float = 1.0) -> MovedBlur:
    """The mean of 7 to 13 frames of a head that moves as a whole (GoPro, HIDE, 2MF2), where masked over a
    still background.

    It moves along a spline of `length` pixels, rolls by up to 6° and comes nearer by up to 3 %. Frames lie as
    far apart as they do in such videos: nothing is interpolated between them.
    """
    count = int(random.integers(FRAMES[0], FRAMES[1] + 1))
    path = _at_equal_times(trajectories.smooth_path(random, length), count)
    path -= path.mean(axis=0)
    time = np.linspace(-0.5, 0.5, count)
    roll, zoom = random.uniform(-TURN, TURN), random.uniform(-ZOOM, ZOOM)
    turn, nearer = np.deg2rad(roll * time), 1 + zoom * time
    instants = np.tile(np.eye(3), (count, 1, 1))
    rotations = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    instants[:, :2, :2] = (rotations * nearer).transpose(2, 0, 1)
    instants[:, :2, 2] = path
    return _moved(instants, {"frames": count, "roll": roll, "zoom": zoom}, length, gamma)


def disc(random, size: int, length: float, angle: float, gamma: float = 1.0) -> KernelBlur:
    """Not motion: the disc of a lens out of focus (thesis, Eq. 3), `length` pixels across."""
    return KernelBlur({"length": length, "angle": 0.0}, gamma, disk_kernel(length / 2))


def gaussian(random, size: int, length: float, angle: float, gamma: float = 1.0) -> KernelBlur:
    """Not motion: a Gaussian with a line's variance, length² / 12, in each direction; cut at 3 σ."""
    sigma = float(length / np.sqrt(12))
    reach = int(np.ceil(3 * sigma))
    row = cv2.getGaussianKernel(2 * reach + 1, sigma, cv2.CV_64F)
    kernel = (row @ row.T).astype(np.float32)
    return KernelBlur({"length": length, "angle": 0.0, "sigma": round(sigma, 4)}, gamma, kernel)


SETTINGS = {  # a network that is trained on a kind depends on its settings and its function alone
    "line": {},
    "line_light": {"scale": 0.837, "gamma": 2.2},
    "trajectory": {"scale": 1.495},
    "spline": {"scale": 2.64},
    "gaussian_process": {"scale": 2.114},
    "shake": {"scale": 2.55},
    "field": {"scale": 0.976},
    "frames": {"scale": 2.5, "part": "head"},
    "disc": {"scale": 0.788},
    "gaussian": {"scale": 0.795},
}
BLURS = {
    name: Kind(name, words, source, draw, **SETTINGS[name])
    for name, words, source, draw in (
        ("line", "line", "the study", line),
        ("line_light", "line, in light", "Rim [110]", line),
        ("trajectory", "inertial trajectory", "Boracchi and Foi [106]", trajectory),
        ("spline", "spline", "Chakrabarti [107]", spline),
        ("gaussian_process", "Gaussian process", "deepinv", gaussian_process),
        ("shake", "camera shake in 3-D", "Shen [59], Lee [57]", shake),
        ("field", "motion field", "Sun [108]", field),
        ("frames", "frames of a head", "GoPro [104], HIDE [105], 2MF2 [66]", frames),
        ("disc", "disc (defocus)", "thesis, Eq. 3", disc),
        ("gaussian", "Gaussian", "textbooks", gaussian),
    )
}


def gamma_of(profile: Profile) -> float:
    """The gamma in which the profile's blur is made: its kind's own, or the profile's."""
    return BLURS[profile.blur_kind].gamma or profile.blur_gamma


def longest_kernel(profile: Profile) -> int:
    """Side of the square, odd, that holds every kernel of the profile's kind."""
    kind = BLURS[profile.blur_kind]
    length = kind.scale * profile.blur_length[1] * profile.image_size
    if kind.draw is line:
        return max(len(linear_motion_kernel(length, angle)) for angle in (0.0, 90.0))
    return 2 * int(np.ceil(length)) + 3  # no path leaves its mean by more than its length


def _of_path(path: np.ndarray, parameters: dict, length: float, gamma: float) -> KernelBlur:
    kernel = path_kernel(trajectories.finely(path, SPACING))
    return KernelBlur({"length": length, "angle": trajectories.main_angle(path), **parameters}, gamma, kernel)


def _moved(instants: np.ndarray, parameters: dict, length: float, gamma: float) -> MovedBlur:
    middle = instants[:, :2, 2] / instants[:, 2:, 2]
    rounded = {name: round(float(value), 4) for name, value in parameters.items()}
    return MovedBlur({"length": length, "angle": trajectories.main_angle(middle), **rounded}, gamma, instants)


def _count(length: float) -> int:
    """Instants of a motion of `length` pixels: about one a pixel."""
    return max(2, int(np.ceil(length)) + 1)


def _at_equal_times(points: np.ndarray, count: int) -> np.ndarray:
    """`count` of `points`, each in the middle of its share of the time."""
    wanted = (np.arange(count) + 0.5) / count * len(points) - 0.5
    return np.stack([np.interp(wanted, np.arange(len(points)), axis) for axis in points.T], axis=1)
