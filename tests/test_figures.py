"""Exported figures: files, fonts, size, the shortened-run line, and the same bytes twice."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting import figures


@pytest.fixture
def draw():
    def make():
        fig, ax = plt.subplots(figsize=(3, 2))
        ax.plot([1, 3, 2], label="curve")
        ax.imshow(np.linspace(0, 1, 64).reshape(8, 8), extent=(0, 1, 1, 2))
        ax.legend()
        return fig

    yield make
    plt.close("all")


def test_files_and_size(draw, tmp_path):
    paths = RunPaths("study", tmp_path)
    data = pd.DataFrame({"x": [1.0, 2.0]})
    png, pdf, csv = figures.save_figure(draw(), "fig_5_01", "A curve", paths, data=data)
    with Image.open(png) as image:
        assert image.size == (900, 600)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.5)
        assert "Software" not in image.info
    assert b"/FontFile2" in pdf.read_bytes() or b"/Type42" in pdf.read_bytes()
    assert b"CreationDate" not in pdf.read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(csv), data)
    assert json.loads((paths.captions / "fig_5_01.json").read_text())["kind"] == "figure"


def test_shortened_runs_carry_a_line_below(draw, tmp_path):
    plain = figures.save_figure(draw(), "fig_5_01", "A curve", RunPaths("study", tmp_path))[0]
    marked = figures.save_figure(draw(), "fig_5_01", "A curve", RunPaths("smoke", tmp_path))[0]
    with Image.open(plain) as a, Image.open(marked) as b:
        assert b.size[0] == a.size[0] and b.size[1] > a.size[1]
        a, b = (np.asarray(image.convert("L")) for image in (a, b))
    np.testing.assert_array_equal(a, b[: a.shape[0]])  # the line covers nothing of the figure
    assert (b[a.shape[0] :] < 160).any()


def test_same_bytes_twice(draw, tmp_path):
    paths = RunPaths("smoke", tmp_path)
    first = [path.read_bytes() for path in figures.save_figure(draw(), "fig_5_01", "A curve", paths)]
    second = [path.read_bytes() for path in figures.save_figure(draw(), "fig_5_01", "A curve", paths)]
    assert first == second


def test_colours_differ_in_grey_print():
    rgb = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in figures.COLOURS])
    grey = rgb @ [0.299, 0.587, 0.114]
    assert np.abs(np.diff(grey)).min() > 25  # neighbours in the cycle; line styles tell the others apart
    assert len(set(figures.COLOURS)) == len(figures.LINES) == len(figures.MARKERS) == 8
