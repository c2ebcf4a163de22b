"""Figures 5.1 to 5.18: blurred, deblurred and sharp faces in one layout, the same faces everywhere."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from facedeblur_utils.data import face_pairs
from facedeblur_utils.evaluation.scores import INPUT, read_scores, scored_models
from facedeblur_utils.metrics import tasks
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.reporting import figures
from facedeblur_utils.reporting.result_tables import EPOCH_MODELS

FACES = 6  # of the test set, the first by image id
COLUMN_TITLES = ("blurred", "deblurred", "sharp")
GAP, BLOCK_GAP, LINE = 0.03, 0.14, 0.13  # inches
ZOOM_ASPECT = 1.5
EVERYWHERE = Bbox.from_extents(-1e5, -1e5, 1e5, 1e5)  # dots
KERNEL_INSET = 0.24  # of the image's width; the longest kernel takes 0.15
NOTE = (
    "Each block shows the blurred input (motion kernel in its corner, outline of the blurred area where blur "
    "is local), the model's output and the sharp image, with eyes and mouth enlarged below; numbers are "
    "PSNR in dB and SSIM of the whole image; one training seed."
)
OTHERS = "on the test sets that it was not trained for"


@dataclass(frozen=True)
class Panel:
    """A figure of the thesis: what it shows, the (model, test set) pairs in it, and what it calls a model."""

    caption: str
    pairs: tuple[tuple[str, str], ...]
    names: dict[str, str] = field(default_factory=dict)


PANELS = {
    "fig_5_01": Panel(
        "Autoencoder: no segmentation (left), DeepLabV3 segmentation (right)",
        (("ASFB1", "SFB1"), ("ASB1SD", "SB1SD")),
    ),
    "fig_5_02": Panel(
        "GAN: no segmentation (left), DeepLabV3 segmentation (right)",
        (("GSFB1", "SFB1"), ("GSB1SD", "SB1SD")),
    ),
    "fig_5_03": Panel(
        "Autoencoder: no segmentation (left), MediaPipe segmentation (right)",
        (("ASFB2", "SFB2"), ("ASB2SM", "SB2SM")),
    ),
    "fig_5_04": Panel(
        "GAN: no segmentation (left), MediaPipe segmentation (right)",
        (("GSFB2", "SFB2"), ("GSB2SM", "SB2SM")),
    ),
    "fig_5_05": Panel(f"ASFB1 {OTHERS}", (("ASFB1", "SB1SD"), ("ASFB1", "SFB2"), ("ASFB1", "SB2SM"))),
    "fig_5_06": Panel(f"ASB1SD {OTHERS}", (("ASB1SD", "SFB1"), ("ASB1SD", "SFB2"), ("ASB1SD", "SB2SM"))),
    "fig_5_07": Panel(f"ASB2SM {OTHERS}", (("ASB2SM", "SFB1"), ("ASB2SM", "SB1SD"), ("ASB2SM", "SFB2"))),
    "fig_5_08": Panel(f"GSB2SM {OTHERS}", (("GSB2SM", "SFB1"), ("GSB2SM", "SB1SD"), ("GSB2SM", "SFB2"))),
    "fig_5_09": Panel("GSFB2 on the SFB2 test set", (("GSFB2", "SFB2"),)),
    "fig_5_10": Panel("GSFB2 on the SFB1 test set", (("GSFB2", "SFB1"),)),
    "fig_5_11": Panel("GSFB2 on the SB1SD test set", (("GSFB2", "SB1SD"),)),
    "fig_5_12": Panel("GSFB2 on the SB2SM test set", (("GSFB2", "SB2SM"),)),
    "fig_5_13": Panel(
        "GSFB2 after half of its epochs (left, GSFB2_25) and after all of them (right, GSFB2_50)",
        (("GSFB2_25", "SFB2"), ("GSFB2", "SFB2")),
        names={model: name for name, model in EPOCH_MODELS.items()},
    ),
    "fig_5_14": Panel("GSFB2_100 on the SFB2 test set", (("GSFB2_100", "SFB2"),)),
    "fig_5_15": Panel("GSFB2_100 on the SFB1 test set", (("GSFB2_100", "SFB1"),)),
    "fig_5_16": Panel("GSFB2_100 on the SB2SM test set", (("GSFB2_100", "SB2SM"),)),
    "fig_5_17": Panel("GSFB2_20 on the SFB2 test set", (("GSFB2_20", "SFB2"),)),
    "fig_5_18": Panel("GSFB2_20 on the SB2SM test set", (("GSFB2_20", "SB2SM"),)),
}


@dataclass(frozen=True)
class Shot:
    """One face before, after and as it should be; images are uint8 (H, W, 3)."""

    model: str
    dataset: str
    image_id: str
    blurred: np.ndarray
    restored: np.ndarray
    sharp: np.ndarray
    kernel: np.ndarray
    mask: np.ndarray | None  # bool (H, W) where blur is local
    values: dict[str, float]  # PSNR and SSIM of blurred and restored, blur length and angle
    name: str = ""  # of the model in the title, where it isn't `model`
    remark: str = ""  # added to the title


class Gallery:
    """Restores chosen test faces with any model of the study; each network is loaded once, when needed."""

    def __init__(self, profile: Profile, paths: RunPaths):
        self._loaders = dict(scored_models(profile, paths))
        self._restorers = {}
        self.paths = paths
        self._pairs = {}
        table = read_scores(paths)
        whole = table[(table["region"] == "whole") & table["metric"].isin(["psnr", "ssim"])]
        self._scores = whole.set_index(["model", "dataset", "image_id", "metric"])["value"].sort_index()

    def pairs(self, dataset: str) -> "face_pairs.FacePairs":
        """The test part of a dataset."""
        if dataset not in self._pairs:
            self._pairs[dataset] = face_pairs.open_pairs(self.paths, dataset, "test")
        return self._pairs[dataset]

    def shots(self, model: str, dataset: str, indices: np.ndarray) -> list[Shot]:
        """The faces at `indices` of a test set, restored by `model`."""
        pairs = self.pairs(dataset)
        if model not in self._restorers:
            self._restorers[model] = self._loaders[model]()
        restored = self._restorers[model](pairs, np.asarray(indices))
        blurred, sharp = pairs.batch(indices)
        shots = []
        for row, index in enumerate(indices):
            image_id = pairs.image_ids[index]
            mask = np.asarray(pairs.blur_masks[index])
            values = {
                f"{metric}_{kind}": float(self._scores[name, dataset, image_id, metric])
                for kind, name in (("blurred", INPUT), ("deblurred", model))
                for metric in ("psnr", "ssim")
            }
            values |= {"length": float(pairs.lengths[index]), "angle": float(pairs.angles[index])}
            local = None if mask.all() else mask
            images = blurred[row], restored[row], sharp[row]
            shots.append(Shot(model, dataset, image_id, *images, pairs.kernel(index), local, values))
        return shots


def save_panels(names: Iterable[str], gallery: Gallery) -> None:
    """Draw, save and show the figures called `names`."""
    for name in names:
        figure, caption, data = draw_panel(name, gallery)
        figures.save_figure(figure, name, caption, gallery.paths, data=data)
        plt.show()


def draw_panel(name: str, gallery: Gallery) -> tuple[Figure, str, pd.DataFrame]:
    """Figure `fig_5_01` … `fig_5_18` with its caption and the data behind it."""
    panel = PANELS[name]
    groups = [
        [
            replace(shot, name=panel.names.get(shot.model, ""))
            for shot in gallery.shots(*pair, face_indices(gallery.pairs(pair[1]), panel))
        ]
        for pair in panel.pairs
    ]
    if len(groups) == 2:  # compared side by side: one face a row
        rows = [list(pair) for pair in zip(*groups, strict=True)]
    else:  # two faces a row
        rows = [group[i : i + 2] for group in groups for i in range(0, len(group), 2)]
    return draw_rows(rows), f"{panel.caption}. {NOTE}", shot_table(rows)


def face_indices(pairs: "face_pairs.FacePairs", panel: Panel) -> np.ndarray:
    """The first test faces by id: six where one test set is shown, three for two, two for three."""
    order = np.argsort(np.asarray(pairs.image_ids), kind="stable")
    return order[: FACES // len(panel.pairs)]


def shot_table(rows: list[list[Shot]]) -> pd.DataFrame:
    """What a panel shows, one line per face: where it stands, what it is, its scores and its blur."""
    lines = [
        {
            "row": i + 1,
            "block": j + 1,
            "model": shot.model,
            "dataset": shot.dataset,
            "image_id": shot.image_id,
        }
        | shot.values
        for i, row in enumerate(rows)
        for j, shot in enumerate(row)
    ]
    return pd.DataFrame(lines)


@figures.styled
def draw_rows(rows: list[list[Shot]], width: float = figures.WIDE) -> Figure:
    """Rows of one or two blocks (blurred, deblurred, sharp), placed in inches so that all figures agree."""
    side = (width - BLOCK_GAP - 4 * GAP) / 6
    zoom = (side - GAP) / 2 / ZOOM_ASPECT
    block_height = 3 * LINE + side + 2 * GAP + zoom
    height = len(rows) * block_height
    fig = plt.figure(figsize=(width, height))
    fig.set_layout_engine("none")
    # One pair of axes in inches for everything: a hundred small ones would take seconds to draw.
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    for i, row in enumerate(rows):
        for j, shot in enumerate(row):
            left = j * (3 * side + 2 * GAP + BLOCK_GAP)
            _draw_block(ax, shot, left, height - i * block_height, side, zoom)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="auto")
    return fig


def _draw_block(ax: Axes, shot: Shot, left: float, top: float, side: float, zoom: float) -> None:
    def write(x: float, y: float, text: str, **style) -> None:
        ax.text(x, y, text, ha="center", va="center", **style)

    centre = left + 1.5 * side + GAP
    title = f"{shot.name or shot.model} on {shot.dataset}{shot.remark}"
    write(centre, top - 0.5 * LINE, title, weight="bold")
    boxes = tasks.feature_boxes(shot.sharp, ZOOM_ASPECT)
    bottoms = _bottom_lines(shot)
    y = top - 2 * LINE - side
    for k, image in enumerate((shot.blurred, shot.restored, shot.sharp)):
        x = left + k * (side + GAP)
        write(x + side / 2, top - 1.5 * LINE, COLUMN_TITLES[k])
        ax.imshow(image, extent=(x, x + side, y, y + side))
        for n, box in enumerate(boxes.values()):
            start = x + n * (side + GAP) / 2
            _draw_detail(ax, image, box, Rectangle((start, y - GAP - zoom), (side - GAP) / 2, zoom))
        write(x + side / 2, y - GAP - zoom - 0.5 * LINE, bottoms[k])
    _draw_blur(ax, shot, left, y, side)


def _draw_detail(ax: Axes, image: np.ndarray, box: tuple[int, int, int, int], window: Rectangle) -> None:
    """The pixels `box` of `image` in `window`: the whole picture behind it, so that a PDF holds it once."""
    x0, y0, x1, y1 = box
    (left, bottom), width, height = window.get_xy(), window.get_width(), window.get_height()
    rows, columns = image.shape[:2]
    across, down = width / (x1 - x0), height / (y1 - y0)  # inches a pixel
    left, top = left - x0 * across, bottom + height + y0 * down
    shown = ax.imshow(image, extent=(left, left + columns * across, top - rows * down, top))
    window.set_transform(ax.transData)
    shown.set_clip_path(window.get_path(), window.get_transform())
    shown.set_clip_box(EVERYWHERE)  # a smaller box would cut pixels off before they are stored


def _bottom_lines(shot: Shot) -> tuple[str, str, str]:
    values = shot.values
    scores = [f"{values[f'psnr_{kind}']:.2f} / {values[f'ssim_{kind}']:.3f}" for kind in COLUMN_TITLES[:2]]
    return scores[0], scores[1], f"face {shot.image_id}"


def _draw_blur(ax: Axes, shot: Shot, left: float, bottom: float, side: float) -> None:
    """Kernel in the corner, and the outline of the blurred area where it is not the whole image."""
    pixels = shot.blurred.shape[0]
    if shot.mask is not None:
        steps = (np.arange(pixels) + 0.5) / pixels * side
        for colour, style in (("black", "-"), ("white", ":")):  # seen on dark and on light skin and hair
            outline = {"colors": colour, "linestyles": style, "linewidths": 0.5}
            ax.contour(left + steps, bottom + side - steps, shot.mask, levels=[0.5], **outline)
    margin = max(round(KERNEL_INSET * pixels) - shot.kernel.shape[0], 0)  # the kernel at the image's scale
    kernel = np.pad(shot.kernel, (margin // 2, margin - margin // 2))
    inset = KERNEL_INSET * side
    corner = (left, bottom + side - inset)
    ax.imshow(kernel, cmap="gray", vmin=0, extent=(left, left + inset, corner[1], bottom + side), zorder=3)
    ax.add_patch(Rectangle(corner, inset, inset, fill=False, edgecolor="white", linewidth=0.5, zorder=4))
