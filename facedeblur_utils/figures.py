"""Style and export of figures (PNG and PDF, with the data behind them as CSV)."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from facedeblur_utils.paths import RunPaths


def save_figure(
    fig: Figure, name: str, caption: str, paths: RunPaths, *, data: pd.DataFrame | None = None
) -> list[Path]:
    """Write `fig` as `<name>.png` (300 dpi) and `<name>.pdf`, `data` as `<name>.csv`; returns the paths."""
    raise NotImplementedError
