"""Is a figure ready for print? Looks at the PDF that it is saved as, without the code that wrote it."""

import io
import re
import zlib
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting.figures import save_figure

WIDTHS = (3.3, 6.3)  # inches: a column, and the page
SMALLEST = 7.0  # points
OBJECT = re.compile(rb"(\d+) 0 obj\n(.*?)\nendobj\n", re.DOTALL)


def saved(fig: Figure, base: Path, profile: str = "study") -> bytes:
    """The PDF of `fig`."""
    return save_figure(fig, "fig_x", "A caption", RunPaths(profile, base))[1].read_bytes()


def streams(pdf: bytes) -> list[tuple[bytes, bytes]]:
    """(dictionary, content) of each stream."""
    bodies = [content.partition(b"\nstream\n") for _, content in OBJECT.findall(pdf)]
    return [(head, rest.removesuffix(b"\nendstream")) for head, found, rest in bodies if found]


def letters(pdf: bytes) -> set[float]:
    """Sizes of its texts in points."""
    pages = [
        zlib.decompress(data)
        for head, data in streams(pdf)
        if b"/FlateDecode" in head and b"/Image" not in head
    ]
    return {float(size) for page in pages for size in re.findall(rb"/F\d+ ([\d.]+) Tf", page)}


def pictures(pdf: bytes) -> list[tuple[int, int, bytes, bytes]]:
    """(width, height, filter, content) of each picture that is stored."""
    found = []
    for head, data in streams(pdf):
        if b"/Subtype /Image" in head:
            width, height = (int(re.search(rb"/%s (\d+)" % side, head)[1]) for side in (b"Width", b"Height"))
            found.append((width, height, re.search(rb"/Filter /(\w+)", head)[1], data))
    return found


def photographs(pdf: bytes) -> list[np.ndarray]:
    """Those stored as JPEG, uint8 (H, W, 3)."""
    return [
        np.asarray(Image.open(io.BytesIO(data)))
        for *_, coding, data in pictures(pdf)
        if coding == b"DCTDecode"
    ]


def width(pdf: bytes) -> float:
    """Of its page in inches."""
    return float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", pdf)[1]) / 72


def table_is_right(pdf: bytes) -> bool:
    """Does the table at its end point to its objects?"""
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", pdf)[1])
    entries = pdf[start:].partition(b"trailer")[0].splitlines()[2:]
    places = {n: int(entry[:10]) for n, entry in enumerate(entries) if entry[17:18] == b"n"}
    found = {int(match[1]): match.start() for match in OBJECT.finditer(pdf)}
    return pdf[start : start + 4] == b"xref" and places == found


def covered(fig: Figure) -> list[str]:
    """First entries of legends that lie over a plot's area, where curves are."""
    fig.draw_without_rendering()
    legends = [*fig.legends, *(axis.get_legend() for axis in fig.axes if axis.get_legend())]
    return [
        legend.get_texts()[0].get_text()
        for legend in legends
        for axis in fig.axes
        if legend.get_window_extent().shrunk(0.98, 0.98).overlaps(axis.get_window_extent())
    ]


def assert_ready(fig: Figure, base: Path) -> bytes:
    """Width, letters, minus signs and legends of `fig`, which is saved in `base`; returns the PDF."""
    assert covered(fig) == []
    pdf = saved(fig, base)
    assert any(abs(width(pdf) - wanted) < 0.01 for wanted in WIDTHS), width(pdf)
    assert letters(pdf) and min(letters(pdf)) >= SMALLEST, letters(pdf)
    texts = [text.get_text() for text in fig.findobj(Text)]
    assert [text for text in texts if re.search(r"(?<!\w)-\.?\d", text)] == []
    assert table_is_right(pdf)
    return pdf
