"""Figures of the data, on made-up pairs: who is shown, what leads to what, ready for print."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fake_pairs import BlurredPairs
from matplotlib.patches import FancyArrowPatch
from print_checks import assert_ready, photographs

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.reporting import data_figures, dataset_diagram
from facedeblur_utils.reporting.figures import COLUMN

SIZE = 32
MOTIONS = {"000001": (5.0, 20.0), "000002": (6.0, 110.0), "000003": (7.0, 45.0), "000004": (4.0, 0.0)}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def pairs():
    sharp = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    return {name: BlurredPairs(name, sharp, MOTIONS, slice(8, 24), slice(8, 24)) for name in DATASETS}


def test_the_most_frontal_face_is_the_symmetric_one(pairs):
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    oval = (x / 8) ** 2 + (y / 11) ** 2 < 1
    turned = oval & (x > -3)  # a D, as MediaPipe gives for a profile
    tilted = ((x + 0.5 * y) / 8) ** 2 + (y / 11) ** 2 < 1
    aside = np.roll(oval, 5, axis=1)
    pairs["SFB1"].face_masks = np.stack([turned, tilted, aside, turned])
    assert data_figures.most_frontal(pairs["SFB1"], MOTIONS) == "000003"  # where it stands doesn't matter


def test_in_the_diagram_blur_and_mask_start_from_the_sharp_face(pairs, tmp_path):
    photograph = np.zeros((40, 30, 3), np.uint8)
    counts = {"train": 2, "val": 1, "test": 1}
    fig = dataset_diagram.creation_diagram(photograph, pairs, "000002", counts)
    fig.draw_without_rendering()
    boxes = {axis.get_title().split("\n")[0]: axis.get_tightbbox() for axis in fig.axes}

    def nearest(place: tuple[float, float]) -> str:
        """The picture, with its title, that is closest to a place in the figure."""
        x, y = fig.transFigure.transform(place)
        gaps = {
            name: max(box.x0 - x, x - box.x1, 0) + max(box.y0 - y, y - box.y1, 0)
            for name, box in boxes.items()
        }
        return min(gaps, key=gaps.get)

    ends = [arrow._posA_posB for arrow in fig.findobj(FancyArrowPatch)]
    arrows = {tuple(map(nearest, pair)) for pair in ends}
    assert arrows == {
        ("source", "sharp face"),
        ("sharp face", "random blur 1"),
        ("sharp face", "random blur 2"),
        ("sharp face", "head mask"),
        ("sharp face", "face mask"),
        ("random blur 1", "SFB1: all blurred"),
        ("random blur 2", "SFB2: all blurred"),
        ("head mask", "SB1SD: head blurred"),
        ("face mask", "SB2SM: face blurred"),
        ("SFB1: all blurred", "SB1SD: head blurred"),
        ("SFB2: all blurred", "SB2SM: face blurred"),
    }
    pdf = assert_ready(fig, tmp_path)
    assert {picture.shape for picture in photographs(pdf)} == {(SIZE, SIZE, 3)}
    assert fig.get_figwidth() == pytest.approx(COLUMN)


def test_they_are_ready_for_print(pairs, tmp_path):
    profile = load_profile("smoke")
    sharp = pairs["SFB1"].sharp[0]
    blurs = [data_figures.example_blur(profile, 5, angle) for angle in (0, 30, 60)]
    names = ("length_1", "length_2", "angle_1", "angle_2", "head_coverage", "face_coverage")
    draws = pd.DataFrame(np.random.default_rng(1).random((40, 6)), columns=names)
    left_out = {"000009": None, "000010": np.zeros((30, 20, 3), np.uint8)}
    figures = (
        data_figures.kernel_row_figure(sharp, blurs),
        data_figures.four_datasets_figure(pairs, "000001"),
        data_figures.composite_figure(sharp, {"face": pairs["SFB1"].face_masks[0]}, blurs[1]),
        data_figures.mask_figure(pairs["SFB1"], per_row=1)[0],
        data_figures.draws_figure(draws),
        data_figures.failures_figure(
            left_out, {"000009": "damaged file", "000010": "no face found in it at all"}
        ),
        data_figures.failures_figure({}, {}),
    )
    for fig in figures:
        assert_ready(fig, tmp_path)
