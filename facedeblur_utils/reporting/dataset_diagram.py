"""Figure 4.1: how the four datasets are made, drawn with one real face taken through the stages."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from facedeblur_utils.blur.kernels import padded
from facedeblur_utils.data.face_pairs import FacePairs
from facedeblur_utils.reporting.data_figures import FACE_COLOUR, HEAD_COLOUR, outline, show_image, show_kernel
from facedeblur_utils.reporting.figures import WIDE, styled

HEIGHT = 3.1  # inches
SIDE = 0.9  # inches, of a picture
KERNEL_SIDE = 0.55
# Left edges and lower edges in inches.
COLUMNS = {"source": 0.05, "sharp": 1.02, "kernel": 2.3, "whole": 3.15, "mask": 4.25, "part": 5.35}
ROWS = {"upper": 1.82, "middle": 1.1, "lower": 0.22}


@dataclass(frozen=True)
class Box:
    """A picture's place in inches from the lower left corner."""

    column: str
    row: str
    side: float = SIDE
    width: float = SIDE

    @property
    def left(self) -> float:
        return COLUMNS[self.column]

    @property
    def bottom(self) -> float:
        return ROWS[self.row] + (SIDE - self.side) / 2


@styled
def creation_diagram(source: np.ndarray, pairs: dict[str, FacePairs], image_id: str, counts: dict) -> Figure:
    """Diagram from a source photograph (uint8 HWC) to `image_id` in the four datasets.

    `pairs` are the four datasets by name, `counts` the images in each part of the split.
    """
    fig = plt.figure(figsize=(WIDE, HEIGHT), layout="none")
    index = pairs["SFB1"].image_ids.index(image_id)
    sharp = pairs["SFB1"].batch([index])[1][0]
    narrow = SIDE * min(1, source.shape[1] / source.shape[0])
    start, middle = Box("source", "middle", width=narrow), Box("sharp", "middle")
    _picture(fig, start, source, "source")
    _picture(fig, middle, sharp, f"sharp face\n{len(sharp)} × {len(sharp)} px")
    _arrow(fig, start, middle)
    parts = ", ".join(f"{name} {counts[name]}" for name in ("train", "val", "test"))
    fig.text(0.98 / WIDE, 0.9 / HEIGHT, f"split before any blur:\n{parts}", ha="center", va="top", fontsize=7)
    rows = {
        "upper": ("SFB1", "SB1SD", "head mask\n(DeepLabV3)", "head_masks", HEAD_COLOUR, 1),
        "lower": ("SFB2", "SB2SM", "face mask\n(MediaPipe)", "face_masks", FACE_COLOUR, 2),
    }
    for row, (whole, part, label, masks, colour, number) in rows.items():
        data, mask = pairs[whole], getattr(pairs[whole], masks)[index]
        kernel, drawn = data.kernel(index), f"{data.lengths[index]:.1f} px, {data.angles[index]:.0f}°"
        boxes = [
            Box("kernel", row, KERNEL_SIDE, KERNEL_SIDE),
            *(Box(c, row) for c in ("whole", "mask", "part")),
        ]
        show_kernel(_axes(fig, boxes[0], f"random blur {number}\n{drawn}"), padded(kernel, len(kernel) + 2))
        _picture(fig, boxes[1], data.batch([index])[0][0], f"{whole}\nall blurred")
        dimmed = np.where(mask[..., None], sharp, 40 + sharp // 4)
        outline(_picture(fig, boxes[2], dimmed, label), mask, colour)
        what = "head" if row == "upper" else "face"
        last = _picture(fig, boxes[3], pairs[part].batch([index])[0][0], f"{part}\n{what} blurred")
        outline(last, mask, colour)
        for first, second in zip([middle, *boxes], boxes, strict=False):
            _arrow(fig, first, second)
    return fig


def _axes(fig: Figure, box: Box, title: str) -> Axes:
    axis = fig.add_axes([box.left / WIDE, box.bottom / HEIGHT, box.width / WIDE, box.side / HEIGHT])
    axis.set_title(title, fontsize=7, pad=3)
    return axis


def _picture(fig: Figure, box: Box, picture: np.ndarray, title: str) -> Axes:
    axis = _axes(fig, box, title)
    show_image(axis, picture)
    return axis


def _arrow(fig: Figure, start: Box, end: Box) -> None:
    tail = (start.left + start.width + 0.02, start.bottom + start.side / 2)
    head = (end.left - 0.02, end.bottom + end.side / 2)
    points = [(x / WIDE, y / HEIGHT) for x, y in (tail, head)]
    arrow = FancyArrowPatch(
        *points,
        transform=fig.transFigure,
        arrowstyle="-|>",
        mutation_scale=7,
        shrinkA=0,
        shrinkB=0,
        linewidth=0.9,
        color="#444444",
    )
    fig.add_artist(arrow)
