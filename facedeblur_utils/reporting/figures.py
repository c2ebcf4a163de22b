"""Style and export of figures (PNG and PDF, with the data behind them as CSV).

A figure is drawn at the size at which it is printed, so that its letters keep theirs: plots and diagrams at
the width of a column, rows of faces and large matrices at the width of the page.
"""

import functools
import io
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox
from PIL import Image

from facedeblur_utils.files import write_bytes, write_text
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import SHORTENED
from facedeblur_utils.reporting.pdf_pictures import compact
from facedeblur_utils.reporting.tables import latex_text, minus_signs, record_caption

COLUMN = 3.3  # inches: one column of a two-column page
WIDE = 6.3  # inches: the text width of an A4 page, both columns
SMALLEST = 7  # points: of any text
DPI = 300  # of a PNG
PALETTE = 256  # colours of a PNG
PREVIEW, STEP = 3, 5  # one with photographs is so many times coarser, its colours of 0, 5, … 255
# Okabe and Ito's colours, neighbours differ as greys too; so do line styles and markers.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#444444")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (6, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
DIVERGING = "PuOr"  # safe for colour-blind readers; each end also darkens in grey print
SMALL_GAIN = {"PSNR": 0.2, "SSIM": 0.005}  # to be seen; epochs of one run differ by 0.1 to 0.5 dB
STYLE = {
    "figure.figsize": (COLUMN, 2.2),
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,  # TrueType: text stays text, and publishers accept it
    "ps.fonttype": 42,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": SMALLEST,
    "axes.titlesize": 7.5,
    "axes.labelsize": SMALLEST,
    "xtick.labelsize": SMALLEST,
    "ytick.labelsize": SMALLEST,
    "legend.fontsize": SMALLEST,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.prop_cycle": mpl.cycler(color=COLOURS) + mpl.cycler(linestyle=LINES),
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "grid.linewidth": 0.4,
    "grid.color": "#cccccc",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "image.interpolation": "none",  # a PDF holds a picture's own pixels, not those of some resolution
    "image.cmap": "viridis",
    "image.composite_image": False,  # in PDF every image stays one of its own, which is also faster
}
MARK_HEIGHT = 0.16  # inches below the figure for the shortened-run line


def styled(draw: Callable) -> Callable:
    """Decorator: `draw` runs in this project's style, and leaves matplotlib's settings as they were."""

    @functools.wraps(draw)
    def drawn(*arguments, **options):
        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return drawn


def legend_above(axis: Axes, **layout) -> None:
    """A legend on top of the plot's frame, where no curve runs through it."""
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, handlelength=1.6, **layout)


def legend_below(fig: Figure, axis: Axes, columns: int) -> None:
    """One legend for all plots of `fig`, which `axis` knows, below them."""
    layout = {"ncols": columns, "handlelength": 1.8, "columnspacing": 1.0}
    fig.legend(*axis.get_legend_handles_labels(), loc="outside lower center", **layout)


def plain_log(axis: Axes) -> None:
    """A logarithmic y axis labelled 0.1, 1, 10: powers would be set in smaller letters."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    decades = math.log10(high / low)
    between = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3 else (1,)
    axis.yaxis.set_major_locator(LogLocator(subs=between))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def gain_colours(values: np.ndarray, metric: str = "PSNR") -> dict:
    """For `pcolormesh`: purple where a score is gained, orange where it is lost.

    Colours deepen with the gain up to SMALL_GAIN and with its logarithm beyond, so that a loss of 7 dB
    doesn't bleach a gain of 0.2 dB.
    """
    end = max(float(np.nanmax(np.abs(values))), 5 * SMALL_GAIN[metric])
    scale = AsinhNorm(SMALL_GAIN[metric], vmin=-end, vmax=end)
    return {"cmap": DIVERGING, "norm": scale, "edgecolor": "white", "linewidth": 0.5}


def write_gains(axis: Axes, mesh: QuadMesh, form: str) -> None:
    """Each value of `mesh` into its cell, white on dark colours; one that rounds to 0 has no minus sign."""
    for (row, column), value in np.ndenumerate(mesh.get_array()):
        light = np.dot(mesh.to_rgba(value)[:3], (0.299, 0.587, 0.114))
        colour = "white" if light < 0.5 else "black"
        text = format(value, form)
        text = format(0.0, form) if float(text) == 0 else text
        axis.text(column + 0.5, row + 0.5, minus_signs(text), ha="center", va="center", color=colour)


@styled
def save_figure(
    fig: Figure, name: str, caption: str, paths: RunPaths, *, data: pd.DataFrame | None = None
) -> list[Path]:
    """Write `fig` as `<name>.png` and `<name>.pdf`, `data` as `<name>.csv`; returns the paths.

    The PDF is for print: letters and lines at any size, pictures in their own pixels. The PNG is for the
    screen. `<name>.tex` has the figure environment with caption and label, ready for `\\input`; one wider
    than a column spans both. The caption is recorded for the report. Shortened runs get a line below the
    figure that says so. Numbers below zero get a minus sign. The same figure gives the same bytes: no dates
    or versions are written into the files.
    """
    full = record_caption(name, "figure", caption, paths)
    width, height = fig.get_size_inches()
    for text in fig.findobj(Text):
        text.set_text(minus_signs(text.get_text()))
    _settle(fig)
    mark = None
    if paths.profile in SHORTENED:
        line = f"Shortened run ({paths.profile}): not a result of the study"
        mark = fig.text(0.995, -0.04 / height, line, ha="right", va="top", color="#555555")
        mark.set_in_layout(False)
    box = Bbox([[0, -MARK_HEIGHT if mark else 0], [width, height]])
    written = [
        write_bytes(paths.figures / f"{name}.png", _png(fig, box)),
        write_bytes(paths.figures / f"{name}.pdf", _pdf(fig, box)),
    ]
    if mark:
        mark.remove()
    if data is not None:
        text = data.round(6).to_csv(index=not isinstance(data.index, pd.RangeIndex), lineterminator="\n")
        written.append(write_text(paths.figures / f"{name}.csv", text))
    write_text(paths.figures / f"{name}.tex", _latex(name, full, width))
    return written


def _settle(fig: Figure) -> None:
    """Lay `fig` out once, so that PNG and PDF agree and a line below moves nothing."""
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    for legend in fig.legends:
        legend.set_bbox_to_anchor((0, 0, 1, 1), fig.transFigure)


def _png(fig: Figure, box: Bbox) -> bytes:
    """For the screen, at a quarter of the size that all pixels and colours take."""
    drawn, held = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png", bbox_inches=box)
    picture, dpi = Image.open(drawn).convert("RGB"), DPI
    if any(image.get_array().ndim == 3 for image in fig.findobj(AxesImage)):
        pixels = np.asarray(picture.reduce(PREVIEW)).astype(int)
        picture, dpi = Image.fromarray(((pixels + STEP // 2) // STEP * STEP).astype(np.uint8)), DPI / PREVIEW
    else:
        picture = picture.quantize(PALETTE)
    picture.save(held, "png", optimize=True, dpi=(dpi, dpi))
    return held.getvalue()


def _pdf(fig: Figure, box: Bbox) -> bytes:
    held = io.BytesIO()
    fig.savefig(held, format="pdf", bbox_inches=box, metadata={"CreationDate": None, "Producer": None})
    return compact(held.getvalue())


def _latex(name: str, caption: str, width: float) -> str:
    figure = "figure*" if width > COLUMN else "figure"  # as wide as the page where that has two columns
    lines = [
        rf"\begin{{{figure}}}[htbp]",
        r"\centering",
        rf"\includegraphics{{{name}}}",  # at its own size, for which its letters were chosen
        rf"\caption{{{latex_text(caption)}}}\label{{fig:{name}}}",
        rf"\end{{{figure}}}",
    ]
    return "\n".join(lines) + "\n"
