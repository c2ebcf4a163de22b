"""Style and export of figures (PNG and PDF, with the data behind them as CSV)."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from facedeblur_utils.files import write_text
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import SHORTENED
from facedeblur_utils.reporting.tables import latex_text, record_caption

COLUMN = 3.35  # inches: one column of a two-column page
WIDE = 6.3  # inches: the text width of an A4 thesis
# Okabe and Ito's colours, neighbours differ as greys too; so do line styles and markers.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#444444")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (6, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
DIVERGING = "PuOr"  # safe for colour-blind readers; each end also darkens in grey print
STYLE = {
    "figure.figsize": (WIDE, 3.2),
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType: text stays text, and publishers accept it
    "ps.fonttype": 42,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
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
    "image.interpolation": "nearest",
    "image.cmap": "viridis",
    "image.composite_image": False,  # in PDF every image stays one of its own, which is also faster
}
MARK_HEIGHT = 0.14  # inches below the figure for the shortened-run line


def styled(draw: Callable) -> Callable:
    """Decorator: `draw` runs in this project's style, and leaves matplotlib's settings as they were."""

    @functools.wraps(draw)
    def drawn(*arguments, **options):
        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return drawn


@styled
def save_figure(
    fig: Figure, name: str, caption: str, paths: RunPaths, *, data: pd.DataFrame | None = None
) -> list[Path]:
    """Write `fig` as `<name>.png` (300 dpi) and `<name>.pdf`, `data` as `<name>.csv`; returns the paths.

    `<name>.tex` has the figure environment with caption and label, ready for `\\input`. The caption is
    recorded for the report. Shortened runs get a line below the figure that says so. The same
    figure gives the same bytes: no dates or versions are written into the files.
    """
    full = record_caption(name, "figure", caption, paths)
    paths.figures.mkdir(parents=True, exist_ok=True)
    width, height = fig.get_size_inches()
    mark = None
    if paths.profile in SHORTENED:
        line = f"Shortened run (profile {paths.profile}): not a result of the study"
        mark = fig.text(0.995, -0.04 / height, line, ha="right", va="top", fontsize=5.5, color="#555555")
        mark.set_in_layout(False)
    box = Bbox([[0, -MARK_HEIGHT if mark else 0], [width, height]])
    written = []
    for suffix, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None, "Producer": None})):
        path = paths.figures / f"{name}.{suffix}"
        partial = path.with_name(path.name + ".partial")
        fig.savefig(partial, format=suffix, bbox_inches=box, metadata=metadata)
        os.replace(partial, path)
        written.append(path)
    if mark:
        mark.remove()
    if data is not None:
        text = data.round(6).to_csv(index=not isinstance(data.index, pd.RangeIndex), lineterminator="\n")
        written.append(write_text(paths.figures / f"{name}.csv", text))
    write_text(paths.figures / f"{name}.tex", _latex(name, full))
    return written


def _latex(name: str, caption: str) -> str:
    lines = [
        r"\begin{figure}[htbp]",
        r"\centering",
        rf"\includegraphics{{{name}}}",  # at its own size, for which its letters were chosen
        rf"\caption{{{latex_text(caption)}}}\label{{fig:{name}}}",
        r"\end{figure}",
    ]
    return "\n".join(lines) + "\n"
