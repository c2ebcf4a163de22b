"""Figure 4.1: how the four datasets are made, drawn with one real face taken through the stages."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from facedeblur_utils.dataset_figures import FACE_COLOUR, HEAD_COLOUR, outline, show_image, show_kernel
from facedeblur_utils.datasets import FacePairs
from facedeblur_utils.figures import WIDE
from facedeblur_utils.kernels import padded

HEIGHT = 4.0  # inches
SIDE = 0.82  # inches, of a picture
COLUMNS = {"source": 0.08, "sharp": 1.28, "mask": 2.5, "kernel": 3.72, "whole": 4.55, "part": 5.45}
ROWS = {"upper": 2.45, "middle": 1.5, "lower": 0.5}


@dataclass(frozen=True)
class Box:
    """A picture's place in inches from the lower left corner."""

    column: str
    row: str
    side: float = SIDE

    @property
    def left(self) -> float:
        return COLUMNS[self.column]

    @property
    def bottom(self) -> float:
        return ROWS[self.row] + (SIDE - self.side) / 2


def creation_diagram(source: np.ndarray, pairs: dict[str, FacePairs], image_id: str, counts: dict) -> Figure:
    """Diagram from a source photograph (uint8 HWC) to `image_id` in the four datasets.

    `pairs` are the four datasets by name, `counts` the images in train, val and test.
    """
    fig = plt.figure(figsize=(WIDE, HEIGHT), layout="none")
    index = pairs["SFB1"].image_ids.index(image_id)
    sharp = pairs["SFB1"].batch([index])[1][0]
    start, middle = Box("source", "middle"), Box("sharp", "middle")
    _picture(fig, start, source, "source")
    _picture(fig, middle, sharp, f"sharp face\n{len(sharp)} × {len(sharp)} px")
    _arrow(fig, start, middle)
    split = "   ".join(f"{name} {count}" for name, count in counts.items())
    fig.text(
        (COLUMNS["source"] + 1.0) / WIDE,
        0.62 / HEIGHT,
        f"split before any blur\n{split}",
        ha="center",
        va="top",
    )
    rows = {
        "upper": ("SFB1", "SB1SD", "DeepLabV3\nhead mask", "head_masks", HEAD_COLOUR, 1),
        "lower": ("SFB2", "SB2SM", "MediaPipe\nface mask", "face_masks", FACE_COLOUR, 2),
    }
    for row, (whole, part, label, masks, colour, number) in rows.items():
        data, mask = pairs[whole], getattr(pairs[whole], masks)[index]
        mask_box, kernel_box = Box("mask", row), Box("kernel", row, 0.5)
        _arrow(fig, middle, mask_box)
        axis = _picture(fig, mask_box, np.where(mask[..., None], sharp, sharp // 4), label)
        outline(axis, mask, colour)
        kernel = data.kernel(index)
        drawn = f"random blur {number}\n{data.lengths[index]:.1f} px, {data.angles[index]:.0f}°"
        show_kernel(_axes(fig, kernel_box, drawn), padded(kernel, len(kernel) + 2))
        _arrow(fig, mask_box, kernel_box)
        boxes = {whole: Box("whole", row), part: Box("part", row)}
        for name, box in boxes.items():
            axis = _picture(fig, box, pairs[name].batch([index])[0][0], name, below=_what(name))
            outline(axis, pairs[name].blur_masks[index], colour)
        _arrow(fig, kernel_box, boxes[whole])
    return fig


def _what(name: str) -> str:
    return {"SB1SD": "head blurred", "SB2SM": "face blurred"}.get(name, "all blurred")


def _axes(fig: Figure, box: Box, title: str):
    place = [box.left / WIDE, box.bottom / HEIGHT, box.side / WIDE, box.side / HEIGHT]
    axis = fig.add_axes(place)
    axis.set_title(title, fontsize=7, pad=3)
    return axis


def _picture(fig: Figure, box: Box, picture: np.ndarray, title: str, below: str = ""):
    axis = _axes(fig, box, title)
    show_image(axis, picture)
    axis.set_xlabel(below, fontsize=6.5, labelpad=2)
    return axis


def _arrow(fig: Figure, start: Box, end: Box) -> None:
    tail = (start.left + start.side + 0.03, start.bottom + start.side / 2)
    head = (end.left - 0.03, end.bottom + end.side / 2)
    points = [(x / WIDE, y / HEIGHT) for x, y in (tail, head)]
    arrow = FancyArrowPatch(
        *points, transform=fig.transFigure, arrowstyle="-|>", mutation_scale=8, linewidth=0.9, color="#444444"
    )
    fig.add_artist(arrow)
