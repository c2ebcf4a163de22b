"""What a drawn blur is: an operator with its parameters, for whole pictures and for a part of one."""

from dataclasses import dataclass

import cv2
import numpy as np

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import path_kernel
from facedeblur_utils.errors import UsageError


@dataclass(frozen=True)
class _Blur:
    """Mean over the exposure of a picture that moves, in stored values or, with another `gamma`, in light."""

    parameters: dict[str, float]  # pixels and degrees; each blur has a `length` and an `angle`
    gamma: float = 1.0

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The blurred `image`, float32 or uint8 (H, W, 3), the same out; a constant picture stays."""
        if self.gamma == 1:
            return self.linear(image)
        light = self.linear(operators.to_light(image, self.gamma))
        return operators.from_light(light, self.gamma, image.dtype)

    def linear(self, image: np.ndarray) -> np.ndarray:
        """The blur without its `gamma`: of light, or of a mask (H, W)."""
        raise NotImplementedError

    def adjoint(self, image: np.ndarray) -> np.ndarray:
        """The transpose of `linear`, which `apply` is at gamma 1; float32 (H, W, 3) or (H, W), the same out.

        For all x, y the sums of linear(x) * y and x * adjoint(y) are equal.
        """
        raise NotImplementedError

    def under(self, sharp: np.ndarray, mask: np.ndarray, mode: str = "paste") -> np.ndarray:
        """`sharp` with the part under `mask` (H, W, bool) blurred; see `operators.composite` for `mode`."""
        return operators.laid_under(sharp, self.linear, mask, mode, self.gamma)


@dataclass(frozen=True)
class KernelBlur(_Blur):
    """One `kernel`, float32 (k, k), for the whole picture, borders reflected."""

    kernel: np.ndarray = None

    def linear(self, image: np.ndarray) -> np.ndarray:
        return operators.convolve(image, self.kernel)

    def under(self, sharp: np.ndarray, mask: np.ndarray, mode: str = "paste") -> np.ndarray:
        return operators.composite(sharp, self.kernel, mask, mode, self.gamma)

    def adjoint(self, image: np.ndarray) -> np.ndarray:
        return operators.convolve_adjoint(image, self.kernel)


@dataclass(frozen=True)
class MovedBlur(_Blur):
    """The mean of the picture at some instants of a motion that no single kernel describes.

    `instants` (N, 3, 3) are homographies: where a point that is seen at (x, y), in pixels from the picture's
    middle, x to the right and y down, is taken from. Bilinear, borders reflected.
    """

    instants: np.ndarray = None

    @property
    def kernel(self) -> np.ndarray:
        """The kernel in the picture's middle, float32 (k, k), with its own mean at its centre."""
        middle = self.instants[:, :2, 2] / self.instants[:, 2:, 2]
        return path_kernel(-middle)  # what is taken from the left is seen on the right

    def linear(self, image: np.ndarray) -> np.ndarray:
        if image.dtype not in (np.uint8, np.float32):
            raise UsageError(f"a blur takes uint8 or float32 images, got {image.dtype}")
        total = np.zeros(image.shape, np.float32)
        source = image.astype(np.float32, copy=False)
        how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": operators.BORDER}
        for matrix in self._matrices(image.shape):
            moved = cv2.warpPerspective(source, matrix, image.shape[1::-1], **how)
            cv2.add(total, moved, dst=total)
        mean = total / np.float32(len(self.instants))
        return np.rint(mean).astype(np.uint8) if image.dtype == np.uint8 else mean

    def adjoint(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        flat = image.reshape(height * width, -1).astype(float)
        total = np.zeros((height * width, flat.shape[1]))
        for matrix in self._matrices(image.shape):
            for pixels, weights in _taken_from(matrix, height, width):
                for channel, values in enumerate(flat.T):
                    total[:, channel] += np.bincount(pixels, weights * values, height * width)
        return (total / len(self.instants)).reshape(image.shape).astype(np.float32)

    def _matrices(self, shape: tuple[int, ...]) -> np.ndarray:
        """The homographies in pixels from the first one's centre."""
        there, back = np.eye(3), np.eye(3)
        there[:2, 2] = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        back[:2, 2] = -there[:2, 2]
        return there @ self.instants @ back


def _taken_from(matrix: np.ndarray, height: int, width: int):
    """For each pixel of the moved picture the four it is mixed of: their flat positions and weights."""
    rows, columns = np.mgrid[:height, :width].reshape(2, -1).astype(float)
    x, y, scale = matrix @ np.stack([columns, rows, np.ones(rows.size)])
    x, y = x / scale, y / scale
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for right in (0, 1):
        for down in (0, 1):
            weights = np.abs(1 - right - (x - left)) * np.abs(1 - down - (y - top))
            yield _reflected(top + down, height) * width + _reflected(left + right, width), weights


def _reflected(positions: np.ndarray, size: int) -> np.ndarray:
    """Where a position beyond the border lies in the picture, mirrored as dcba|abcd|dcba."""
    folded = positions % (2 * size)
    return np.minimum(folded, 2 * size - 1 - folded)
