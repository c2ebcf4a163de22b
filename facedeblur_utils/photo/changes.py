"""What networks change in parts of a photo, laid back so that overlapping parts share their pixels."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

BLOCK = 1024  # side in pixels of what is computed at once, so that memory doesn't grow with the photo


@dataclass(frozen=True)
class Patch:
    """A change, float32 (S, T, 3) in 8-bit levels, its weight (S, T) from 0 to 1, and the 2x3 transform from
    the photo's pixels to its own. `endless`: it goes on beyond its border, for a whole photo."""

    change: np.ndarray
    weight: np.ndarray
    to_patch: np.ndarray
    endless: bool = False

    def box(self) -> tuple[int, int, int, int]:
        """left, top, right, bottom in the photo's pixels, the last two outside."""
        high, wide = self.weight.shape
        corners = cv2.invertAffineTransform(self.to_patch) @ np.array(
            [[-1, wide, -1, wide], [-1, -1, high, high], [1, 1, 1, 1]]
        )
        return (*np.floor(corners.min(axis=1)).astype(int), *(np.ceil(corners.max(axis=1)).astype(int) + 1))

    def within(self, left: int, top: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """(weighted change, weight) in a part of the photo, float32 (height, width[, 3])."""
        back = cv2.invertAffineTransform(self.to_patch)
        back[:, 2] -= left, top
        border = cv2.BORDER_REPLICATE if self.endless else cv2.BORDER_CONSTANT
        both = np.dstack([self.change * self.weight[..., None], self.weight])
        laid = cv2.warpAffine(both, back, (width, height), flags=cv2.INTER_CUBIC, borderMode=border)
        return laid[..., :3], np.clip(laid[..., 3], 0, 1)


@dataclass
class Changes:
    """Patches of one photo. Where their weights add up to more than one, the mean counts, not the sum."""

    patches: list[Patch] = field(default_factory=list)

    def parts(self, height: int, width: int) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """(rows, columns, change (h, w, 3) in 8-bit levels) of the parts of a photo that patches touch."""
        boxes = [patch.box() for patch in self.patches]
        for top in range(0, height, BLOCK):
            for left in range(0, width, BLOCK):
                right, bottom = min(left + BLOCK, width), min(top + BLOCK, height)
                here = [
                    (patch, box)
                    for patch, box in zip(self.patches, boxes, strict=True)
                    if patch.endless
                    or (box[0] < right and box[2] > left and box[1] < bottom and box[3] > top)
                ]
                if not here:
                    continue
                if not any(patch.endless for patch, _ in here):
                    lefts, tops, rights, bottoms = zip(*(box for _, box in here), strict=True)
                    x, y = max(left, min(lefts)), max(top, min(tops))
                    right, bottom = min(right, max(rights)), min(bottom, max(bottoms))
                else:
                    x, y = left, top
                yield slice(y, bottom), slice(x, right), self._sum(here, x, y, right, bottom)

    def _sum(self, here, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        change = np.zeros((bottom - top, right - left, 3), np.float32)
        weight = np.zeros(change.shape[:2], np.float32)
        for patch, _ in here:
            one, share = patch.within(left, top, right - left, bottom - top)
            change += one
            weight += share
        return change / np.maximum(weight, 1)[..., None]
