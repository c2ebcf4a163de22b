"""Motion fields drawn over the faces that they blur."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facedeblur_utils.physics.field import Field
from facedeblur_utils.reporting.data_figures import show_image
from facedeblur_utils.reporting.figures import COLOURS, WIDE, styled

SURE = 0.1  # confidence below which a cell is left empty
MARK = 0.1  # of the picture's width: length of strokes that have none of their own


@styled
def fields_figure(blurred: np.ndarray, found: dict[str, Field], true: np.ndarray) -> Figure:
    """`blurred`, uint8 (S, S, 3), with the `true` vectors (C, C, 2) over it and those `found`, by title.

    Strokes are as long as the motion, without heads, since blur doesn't tell forth from back. Fields without
    lengths, of vectors of length 1, get strokes of one length.
    """
    fig, axes = plt.subplots(1, len(found) + 2, figsize=(WIDE, WIDE / (len(found) + 2) + 0.2))
    for axis in axes:
        show_image(axis, blurred)
    axes[0].set_title("blurred")
    axes[1].set_title("true")
    first = next(iter(found.values()))
    _strokes(axes[1], first.centres, true, np.ones(true.shape[:2]))
    for axis, (title, field) in zip(axes[2:], found.items(), strict=True):
        axis.set_title(title)
        known = field.vectors if field.lengths.max() > 1 + 1e-6 else MARK * len(blurred) * field.vectors
        _strokes(axis, field.centres, known, field.confidence)
    return fig


def _strokes(axis: Axes, centres: np.ndarray, vectors: np.ndarray, confidence: np.ndarray) -> None:
    for at, vector in zip(centres[confidence > SURE], vectors[confidence > SURE], strict=True):
        ends = np.stack([at - vector / 2, at + vector / 2], axis=1)
        axis.plot(*ends, color=COLOURS[1], linestyle="-", linewidth=1.2, solid_capstyle="round")
