"""Figures of chapter 4 and of the data: diagram, kernels, masks, draws, the four datasets, failures."""

import textwrap
from collections.abc import Iterable, Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import padded
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.data import faces, recipe
from facedeblur_utils.data.face_pairs import FacePairs
from facedeblur_utils.profiles import CHOICES, Profile
from facedeblur_utils.reporting.figures import COLOURS, COLUMN, WIDE, legend_above, styled

HEAD_COLOUR, FACE_COLOUR = COLOURS[1], COLOURS[3]


def example_blur(profile: Profile, length: float, angle: float, seed: int = 0):
    """A blur of the profile's kind, of this length (pixels) and angle (degrees)."""
    return BLURS[profile.blur_kind].draw(np.random.default_rng(seed), profile.image_size, length, angle)


def most_frontal(pairs: FacePairs, image_ids: Iterable[str]) -> str:
    """Of `image_ids` the face turned least to a side: its oval is most like its own mirror image."""

    def likeness(image_id: str) -> float:
        mask = np.asarray(pairs.face_masks[pairs.image_ids.index(image_id)])
        across = np.flatnonzero(mask.any(axis=0))
        oval = mask[:, across[0] : across[-1] + 1]
        return (oval & oval[:, ::-1]).sum() / (oval | oval[:, ::-1]).sum()

    return max(image_ids, key=likeness)


@styled
def kernel_row_figure(sharp: np.ndarray, blurs: Sequence) -> Figure:
    """Kernels of `blurs` above, their effect on `sharp` (uint8 HWC) below; pixels and degrees.

    The first column is the sharp face and the kernel that does nothing.
    """
    kernels = [blur.kernel for blur in blurs]
    side = max(len(kernel) for kernel in kernels) + 2
    titles = ["{length:.3g} px, {angle:.3g}°".format(**blur.parameters) for blur in blurs]
    fig, axes = plt.subplots(2, len(kernels) + 1, figsize=(WIDE, 2 * WIDE / (len(kernels) + 1) + 0.25))
    nothing = np.ones((1, 1), np.float32)
    pictures = [sharp, *(blur.apply(sharp) for blur in blurs)]
    columns = zip(axes.T, ["sharp", *titles], [nothing, *kernels], pictures, strict=True)
    for (top, bottom), title, kernel, picture in columns:
        show_kernel(top, padded(kernel, side))
        top.set_title(title)
        show_image(bottom, picture)
    return fig


@styled
def four_datasets_figure(pairs: dict[str, FacePairs], image_id: str) -> Figure:
    """One face sharp and in all four datasets, with the kernel as an inset and the mask's outline."""
    first = next(iter(pairs.values()))
    fig, axes = plt.subplots(1, len(pairs) + 1, figsize=(WIDE, WIDE / (len(pairs) + 1) + 0.4))
    show_image(axes[0], first.batch([first.image_ids.index(image_id)])[1][0])
    axes[0].set_title("sharp")
    for axis, (name, data) in zip(axes[1:], pairs.items(), strict=True):
        index = data.image_ids.index(image_id)
        show_image(axis, data.batch([index])[0][0])
        outline(axis, data.blur_masks[index], FACE_COLOUR if name == "SB2SM" else HEAD_COLOUR)
        inset = axis.inset_axes([0.72, 0.72, 0.27, 0.27])
        show_kernel(inset, padded(data.kernel(index), max(len(data.kernel(index)), 3)))
        axis.set_title(name)
        axis.set_xlabel(f"{data.lengths[index]:.1f} px, {data.angles[index]:.0f}°")
    return fig


@styled
def composite_figure(sharp: np.ndarray, masks: dict[str, np.ndarray], blur) -> Figure:
    """`blur` laid under each mask (bool HW, by name) both ways, as the thesis does and as a matte; uint8."""
    fig, axes = plt.subplots(len(masks), 4, figsize=(WIDE, len(masks) * (WIDE / 4 + 0.2)), squeeze=False)
    for row, (name, mask) in zip(axes, masks.items(), strict=True):
        pasted, matted = (blur.under(sharp, mask, mode) for mode in operators.MODES)
        change = np.abs(pasted.astype(int) - matted).mean(axis=2)
        for axis, picture in zip(row, (sharp, pasted, matted), strict=False):
            show_image(axis, picture)
        outline(row[0], mask, FACE_COLOUR if name == "face" else HEAD_COLOUR)
        row[3].imshow(change, cmap="gray_r", vmin=0, vmax=max(change.max(), 1))
        row[3].set(xticks=[], yticks=[])
        row[3].spines[:].set_visible(False)
        row[0].set_ylabel(name)
        titles = ("mask", "paste (thesis)", "matte", f"difference, up to {change.max():.0f} of 255")
        for axis, title in zip(row, titles, strict=True):
            axis.set_title(title)
    return fig


@styled
def mask_figure(pairs: FacePairs, per_row: int = 4) -> tuple[Figure, pd.DataFrame]:
    """Both masks over faces, where they agree best, middling and worst, and the numbers behind it.

    Agreement is the share of the face mask that lies in the head mask: a face is part of a head, so
    anything less than all is an error of one of them. Where all of it does, the narrowest margin (pixels)
    between the two outlines decides.
    """
    oval, head = pairs.face_masks, pairs.head_masks
    covered = np.array([(a & b).sum() / a.sum() for a, b in zip(oval, head, strict=True)])
    depth = [
        cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for mask in head
    ]
    margin = np.array([part[face].min() for part, face in zip(depth, oval, strict=True)])
    table = pd.DataFrame({"image_id": pairs.image_ids, "face in head": covered, "margin": margin})
    order = np.lexsort((pairs.image_ids, -margin, -covered))
    middle = len(order) // 2 - per_row // 2
    chosen = {"best": order[:per_row], "median": order[middle:][:per_row], "worst": order[-per_row:]}
    fig, axes = plt.subplots(len(chosen), per_row, figsize=(WIDE, 3 * WIDE / per_row + 0.5), squeeze=False)
    for row, (name, indices) in zip(axes, chosen.items(), strict=True):
        for axis, index in zip(row, indices, strict=False):
            show_image(axis, pairs.sharp[index])
            outline(axis, head[index], HEAD_COLOUR)
            outline(axis, oval[index], FACE_COLOUR)
            axis.set_title(f"{pairs.image_ids[index]}: {100 * covered[index]:.1f} %, {margin[index]:.1f} px")
        row[0].set_ylabel(name)
    return fig, table.iloc[order]


def head_choices(pairs: FacePairs, built: str) -> pd.DataFrame:
    """How much of the pictures each choice of the profile's `head_region` covers.

    `built` is the one that `pairs` were made with: each choice is a part of the one before, so that only
    those from it on can be seen.
    """
    faces, heads, rows = pairs.face_masks, pairs.head_masks, {}
    regions = CHOICES["head_region"]
    for region in regions[regions.index(built) :]:
        chosen = "all" if region == built else region  # which leaves the masks as they were made
        masks = [recipe.head_of(head, face, chosen) for head, face in zip(heads, faces, strict=True)]
        share = 100 * np.array([mask.mean() for mask in masks])
        less = sum(bool((head & ~mask).any()) for head, mask in zip(heads, masks, strict=True))
        rows[region] = {
            "median (%)": np.median(share),
            "highest (%)": share.max(),
            f"smaller than {built}": less,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("head_region")


@styled
def draws_figure(images: pd.DataFrame) -> Figure:
    """Histograms of lengths and angles of both blurs and of how much of the image each mask covers."""
    fig, axes = plt.subplots(3, 1, figsize=(COLUMN, 4.6))
    panels = {
        "length (px)": {"blur 1": images["length_1"], "blur 2": images["length_2"]},
        "angle (degrees)": {"blur 1": images["angle_1"], "blur 2": images["angle_2"]},
        "covered by the mask (%)": {
            "head": 100 * images["head_coverage"],
            "face": 100 * images["face_coverage"],
        },
    }
    for axis, (label, series) in zip(axes, panels.items(), strict=True):
        together = np.concatenate([values.to_numpy() for values in series.values()])
        edges = np.histogram_bin_edges(together, bins=18)
        for (name, values), colour, style in zip(series.items(), COLOURS, ("-", "--"), strict=False):
            axis.hist(
                values, edges, histtype="step", color=colour, linestyle=style, label=name, linewidth=1.2
            )
        axis.set(xlabel=label, ylabel="images")
        legend_above(axis, ncols=2)
    return fig


@styled
def failures_figure(
    pictures: dict[str, np.ndarray | None], reasons: dict[str, str], most: int = 12
) -> Figure:
    """The images that left the study, each with its reason; None stands for a file that can't be shown."""
    shown = list(pictures.items())[:most]
    columns = min(6, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    titles = {name: [name, *textwrap.wrap(reasons[name], 20)] for name, _ in shown}
    height = WIDE / 6 + 0.15 + 0.12 * max(map(len, titles.values()), default=0)
    fig, axes = plt.subplots(rows, columns, figsize=(WIDE, rows * height), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (image_id, picture) in zip(axes.flat, shown, strict=False):
        blank = np.full((8, 8, 3), 230, np.uint8)
        show_image(axis, blank if picture is None else faces.central_square(picture))
        axis.set_title("\n".join(titles[image_id]))
    if not shown:
        axes[0, 0].text(0.5, 0.5, "No image was left out.", ha="center", va="center")
    return fig


def show_image(axis: Axes, picture: np.ndarray) -> None:
    """An RGB picture without ticks."""
    axis.imshow(picture)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def show_kernel(axis: Axes, kernel: np.ndarray) -> None:
    """A kernel, bright where its weight is, scaled to its own maximum."""
    axis.imshow(kernel, cmap="gray", vmin=0, vmax=kernel.max())
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def outline(axis: Axes, mask: np.ndarray, colour: str) -> None:
    """The border of a bool mask; nothing where the mask fills the picture."""
    if mask.any() and not mask.all():
        for line, width in (("black", 1.6), (colour, 0.9)):
            axis.contour(mask, [0.5], colors=[line], linewidths=width)
