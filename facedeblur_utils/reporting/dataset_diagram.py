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
from facedeblur_utils.reporting.figures import COLUMN, styled

HEIGHT = 4.52  # inches
SIDE = 0.78  # inches, of a picture
KERNEL_SIDE = 0.55
TITLE = 0.15  # inches, of a line above a picture
# Left edges and lower edges in inches.
COLUMNS = {"face": 0.04, "how": 1.23, "dataset": 2.39}
ROWS = {"whole 1": 3.54, "part 1": 2.45, "whole 2": 1.3, "part 2": 0.21, "middle": 1.75}


@dataclass(frozen=True)
class Box:
    """A picture's place in inches from the lower left corner."""

    column: str
    row: str
    side: float = SIDE
    width: float = SIDE

    @property
    def left(self) -> float:
        return COLUMNS[self.column] + (SIDE - self.width) / 2

    @property
    def bottom(self) -> float:
        return ROWS[self.row] + (SIDE - self.side) / 2

    @property
    def top(self) -> float:
        return self.bottom + self.side


@styled
def creation_diagram(source: np.ndarray, pairs: dict[str, FacePairs], image_id: str, counts: dict) -> Figure:
    """Diagram from a source photograph (uint8 HWC) to `image_id` in the four datasets.

    Blur and mask both start from the sharp face. `pairs` are the four datasets by name, `counts` the images
    in each part of the split.
    """
    fig = plt.figure(figsize=(COLUMN, HEIGHT))
    fig.set_layout_engine("none")
    index = pairs["SFB1"].image_ids.index(image_id)
    sharp = pairs["SFB1"].batch([index])[1][0]
    start = Box("face", "whole 1", width=SIDE * min(1, source.shape[1] / source.shape[0]))
    middle = Box("face", "middle")
    _picture(fig, start, source, "source")
    _picture(fig, middle, sharp, f"sharp face\n{len(sharp)} × {len(sharp)} px")
    _down(fig, start, middle, lines=2)
    parts = [f"{name} {counts[name]}" for name in ("train", "val", "test")]
    _write(fig, middle, "\n".join(["split before any", "blur:", *parts]))
    for number, (whole, part, finder, masks, what, colour) in enumerate(
        (
            ("SFB1", "SB1SD", "DeepLabV3", "head_masks", "head", HEAD_COLOUR),
            ("SFB2", "SB2SM", "MediaPipe", "face_masks", "face", FACE_COLOUR),
        ),
        start=1,
    ):
        data, mask = pairs[whole], getattr(pairs[whole], masks)[index]
        above, below = f"whole {number}", f"part {number}"
        blur, everywhere = Box("how", above, KERNEL_SIDE, KERNEL_SIDE), Box("dataset", above)
        found, partly = Box("how", below), Box("dataset", below)
        kernel = data.kernel(index)
        show_kernel(_axes(fig, blur, f"random blur {number}"), padded(kernel, len(kernel) + 2))
        _write(fig, blur, f"{data.lengths[index]:.1f} px, {data.angles[index]:.0f}°")
        _picture(fig, everywhere, data.batch([index])[0][0], f"{whole}: all blurred")
        dimmed = np.where(mask[..., None], sharp, 40 + sharp // 4)
        outline(_picture(fig, found, dimmed, f"{what} mask"), mask, colour)
        _write(fig, found, finder)
        last = _picture(fig, partly, pairs[part].batch([index])[0][0], f"{part}: {what} blurred")
        outline(last, mask, colour)
        for first, second in ((middle, blur), (blur, everywhere), (middle, found), (found, partly)):
            _across(fig, first, second)
        _down(fig, everywhere, partly, lines=1)
    return fig


def _axes(fig: Figure, box: Box, title: str) -> Axes:
    axis = fig.add_axes((box.left / COLUMN, box.bottom / HEIGHT, box.width / COLUMN, box.side / HEIGHT))
    axis.set_title(title, fontsize="medium", pad=3)
    return axis


def _picture(fig: Figure, box: Box, picture: np.ndarray, title: str) -> Axes:
    axis = _axes(fig, box, title)
    show_image(axis, picture)
    return axis


def _write(fig: Figure, box: Box, text: str) -> None:
    """Text below a picture."""
    fig.text((box.left + box.width / 2) / COLUMN, (box.bottom - 0.04) / HEIGHT, text, ha="center", va="top")


def _across(fig: Figure, start: Box, end: Box) -> None:
    tail = (start.left + start.width + 0.02, start.bottom + start.side / 2)
    _arrow(fig, tail, (end.left - 0.02, end.bottom + end.side / 2))


def _down(fig: Figure, start: Box, end: Box, lines: int) -> None:
    """From below one picture to above the title of the next, which has so many lines."""
    x = start.left + start.width / 2
    _arrow(fig, (x, start.bottom - 0.02), (x, end.top + 0.04 + lines * TITLE))


def _arrow(fig: Figure, tail: tuple[float, float], head: tuple[float, float]) -> None:
    points = [(x / COLUMN, y / HEIGHT) for x, y in (tail, head)]
    style = {"arrowstyle": "-|>", "mutation_scale": 7, "linewidth": 0.9, "color": "#444444"}
    fig.add_artist(FancyArrowPatch(*points, transform=fig.transFigure, shrinkA=0, shrinkB=0, **style))
