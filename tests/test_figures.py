"""Exported figures: files, fonts, size, pictures, legends, the shortened-run line, the same bytes twice."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from print_checks import assert_ready, covered, letters, photographs, pictures, saved, table_is_right, width

from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting import curves, figures


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
        a, b = (np.asarray(image.convert("L")).astype(int) for image in (a, b))
    assert (
        np.abs(a - b[: a.shape[0]]).max() < 64
    )  # the line covers nothing of it; the palettes differ a little
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


@pytest.fixture
def photograph():
    """Smooth, as photographs are, with more colours than a palette holds."""
    y, x = np.mgrid[:40, :60] / 60
    return np.uint8(255 * np.stack([x, y, 0.5 + 0.4 * np.sin(9 * x * y)], axis=-1))


@figures.styled
def with_pictures(*images, side=3.0):
    fig, axes = plt.subplots(1, len(images), figsize=(figures.WIDE, side), squeeze=False)
    for axis, image in zip(axes[0], images, strict=True):
        axis.imshow(image)
    return fig


def test_a_picture_is_stored_once_in_its_own_pixels(photograph, tmp_path):
    other = 255 - photograph
    grey = np.arange(12.0).reshape(3, 4)
    pdf = saved(with_pictures(photograph, other, photograph, grey), tmp_path)
    assert sorted(picture[:2] for picture in pictures(pdf)) == [(4, 3), (60, 40), (60, 40)]
    first, second = photographs(pdf)
    for stored, original in ((first, photograph), (second, other)):
        error = np.mean((stored[::-1].astype(float) - original) ** 2)  # a PDF counts rows from below
        assert 10 * np.log10(255**2 / error) > 40
    assert table_is_right(pdf)
    size = len(saved(with_pictures(photograph, side=2.0), tmp_path))
    assert (
        abs(len(saved(with_pictures(photograph, side=6.0), tmp_path)) - size) < 500
    )  # not more if drawn larger


def test_what_has_few_colours_keeps_each_of_them(tmp_path):
    flags = np.zeros((8, 8, 3), np.uint8)
    flags[2:5] = 200, 30, 7
    (_, _, coding, _), *more = pictures(saved(with_pictures(flags), tmp_path))
    assert coding == b"FlateDecode" and not more


def test_the_png_of_pictures_is_a_preview_with_true_colours(photograph, tmp_path):
    path = figures.save_figure(with_pictures(photograph), "fig_5_01", "Faces", RunPaths("study", tmp_path))[0]
    with Image.open(path) as image:
        assert image.size == (630, 300) and image.info["dpi"] == pytest.approx((100, 100), abs=0.5)
        shown = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert (shown == 255).all(axis=1).any()  # white stays white
    for colour in photograph[::9, ::9].reshape(-1, 3):
        assert np.abs(shown.astype(int) - colour).sum(axis=1).min() <= 12


def test_wide_figures_span_both_columns_in_latex(photograph, tmp_path):
    paths = RunPaths("study", tmp_path)
    figures.save_figure(with_pictures(photograph), "fig_5_01", "Faces", paths)
    assert r"\begin{figure*}" in (paths.figures / "fig_5_01.tex").read_text()
    figures.save_figure(plt.figure(figsize=(figures.COLUMN, 2)), "fig_5_02", "A plot", paths)
    text = (paths.figures / "fig_5_02.tex").read_text()
    assert r"\begin{figure}" in text and r"\end{figure}" in text


@figures.styled
def column():
    return plt.subplots(figsize=(figures.COLUMN, 2))


def test_numbers_below_zero_have_one_sign(tmp_path):
    fig, axis = column()
    axis.plot([-2, 3], [-1e-3, 1], label="-0.5 dB")
    axis.text(0, 0, "gain -1.25 (of -7), SB1SD-a, 3-4")
    figures.legend_above(axis)
    assert_ready(fig, tmp_path)
    texts = [text.get_text() for text in axis.texts + axis.get_legend().get_texts()]
    assert texts == ["gain −1.25 (of −7), SB1SD-a, 3-4", "−0.5 dB"]
    assert "−2" in [label.get_text() for label in axis.get_xticklabels()]


def test_logarithmic_labels_are_as_large_as_others(tmp_path):
    for values in ([1e-4, 1.0], [0.2, 7.0], [0.3, 0.4]):
        fig, axis = column()
        axis.plot(values)
        figures.plain_log(axis)
        pdf = assert_ready(fig, tmp_path)
        assert letters(pdf) == {7.0}
        low, high = axis.get_ylim()
        assert [at for at in axis.get_yticks() if low <= at <= high], values


def test_the_check_of_print_finds_faults(tmp_path):
    """Small letters, a legend over curves, and a line that would be drawn over one."""
    with plt.rc_context({"font.size": 6}):
        fig, axis = plt.subplots(figsize=(5, 2))
        axis.plot([1, 2], label="curve")
        axis.legend()
    assert covered(fig) == ["curve"]
    pdf = saved(fig, tmp_path)
    assert min(letters(pdf)) < 7 and width(pdf) == pytest.approx(5)


@pytest.fixture
def histories():
    random, epochs = np.random.default_rng(0), np.arange(1, 31)
    columns = ("loss", "mse", "perceptual", "adversarial", "content", "ssim", "grad_norm", "d_real", "d_fake")
    run = {name: 10 ** random.uniform(-3, 1, 30) for name in columns}
    run |= {"epoch": epochs, "val_psnr": 20 + random.random(30), "val_ssim": random.random(30)}
    run["dataset"] = ["SFB2"] * 20 + ["SFB1"] * 10
    facts = {"validation_input": {"psnr": 21.0, "ssim": 0.5}}
    weights = {
        "autoencoder": {"mse": 1.0, "perceptual": 0.001},
        "gan": {"adversarial": 1.0, "content": 100.0, "ssim": 1.0},
    }
    return pd.DataFrame(run), {
        name: facts | {"network": name, "loss_weights": w} for name, w in weights.items()
    }


def test_curves_of_training_are_ready_for_print(histories, tmp_path):
    history, facts = histories
    for network in facts:
        fig = curves.curves_figure(history, facts[network])
        assert fig.get_figwidth() == figures.COLUMN
        assert_ready(fig, tmp_path)
    names = [f"GSB{number}SM" for number in range(8)]
    fig = curves.overview_figure(dict.fromkeys(names, history), dict.fromkeys(names, facts["gan"]))
    assert fig.get_figwidth() == figures.COLUMN
    assert_ready(fig, tmp_path)


def test_the_line_of_shortened_runs_leaves_a_legend_below_alone(tmp_path):
    fig, axis = column()
    axis.plot([1, 2], label="curve")
    figures.legend_below(fig, axis, 1)
    pictures = []
    for profile in ("study", "smoke"):
        with Image.open(
            figures.save_figure(fig, "fig_x", "A curve", RunPaths(profile, tmp_path))[0]
        ) as image:
            pictures.append(np.asarray(image.convert("L")).astype(int))
    plain, marked = pictures
    assert np.abs(plain - marked[: len(plain)]).max() < 64 and plain[-60:].min() < 100


def test_small_gains_are_seen_beside_large_losses():
    values = np.array([[0.2, 0.0], [-0.2, -7.0]])
    fig, axis = column()
    mesh = axis.pcolormesh(values, **figures.gain_colours(values))
    better, same, worse, worst = mesh.to_rgba(values).reshape(-1, 4)[:, :3]
    for colour in (better, worse):
        assert np.abs(colour - same).max() > 0.1  # of a linear scale: 0.02
    assert better[2] > better[0] and worse[0] > worse[2]  # towards purple and orange
    assert worst.sum() < worse.sum() < same.sum()
    figures.write_gains(axis, mesh, "+.1f")
    assert [text.get_text() for text in axis.texts] == ["+0.2", "+0.0", "−0.2", "−7.0"]
    assert [text.get_color() for text in axis.texts][-1] == "white"
