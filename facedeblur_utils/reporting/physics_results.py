"""Deblurring by physics: tables, figures and sentences; motion fields drawn over faces."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facedeblur_utils.blur.kernels import padded
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation.harder_sets import HARDER
from facedeblur_utils.evaluation.physics_scores import BLIND, KNOWN, REFINED, RESTORER, PhysicsStudy
from facedeblur_utils.evaluation.scores import INPUT, SHARP, score_images
from facedeblur_utils.physics.field import Field
from facedeblur_utils.reporting.data_figures import show_image
from facedeblur_utils.reporting.figures import COLOURS, WIDE, styled
from facedeblur_utils.reporting.result_tables import INPUT_LABEL, harm_table, mean_table, region_table

METHODS = {
    RESTORER: "published restorer",
    KNOWN: "physics, true kernel",
    BLIND: "physics, blind",
    REFINED: "with refinement",
}
NEED_NO_KERNEL = (RESTORER, BLIND, REFINED)
SET_WORDS = dict(zip(DATASETS, DATASETS, strict=True)) | {name: row.words for name, row in HARDER.items()}
SHOWN = ("SFB1", "SB2SM", "frames_light_noise")  # a face of each: everywhere, the face alone, light and noise
SURE = 0.1  # confidence below which a cell of a motion field is left empty
MARK = 0.1  # of the picture's width: length of strokes that have none of their own


def gains(scores: pd.DataFrame) -> pd.DataFrame:
    """Gain in PSNR (dB) over the blurred input, image by image: method, dataset, image_id, value."""
    psnr = scores[(scores["metric"] == "psnr") & (scores["region"] == "whole") & (scores["dataset"] != SHARP)]
    wide = psnr.pivot_table(index=["dataset", "image_id"], columns="model", values="value", sort=False)
    wide = wide.sub(wide[INPUT], axis=0).drop(columns=INPUT)
    return wide.melt(ignore_index=False, var_name="method").reset_index()


def physics_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Rows: test sets; columns: PSNR of the blurred input, and mean and worst gain of each method (dB).

    Sets are rows here, since twenty columns would fit no page.
    """
    each = gains(scores).groupby(["dataset", "method"], sort=False)["value"].agg(["mean", "min"])
    names = [name for name in SET_WORDS if name in set(scores["dataset"])]
    table = {("blurred", "PSNR"): mean_table(scores, "psnr").loc[INPUT, names]}
    for method, words in METHODS.items():
        if method in set(scores["model"]):
            part = each.xs(method, level="method").loc[names]
            table |= {(words, "mean"): part["mean"], (words, "worst"): part["min"]}
    return pd.DataFrame(table).rename(SET_WORDS).rename_axis("Test set")


def best_blind(table: pd.DataFrame, decimals: int = 2) -> pd.DataFrame:
    """True for each test set's highest mean gain among the methods that aren't told the kernel."""
    blind = [METHODS[method] for method in NEED_NO_KERNEL]
    means = table.loc[:, [column for column in table if column[0] in blind and column[1] == "mean"]]
    means = means.round(decimals)
    best = means.eq(means.max(axis=1), axis=0)
    return best.reindex(columns=table.columns, fill_value=False)


def physics_regions(scores: pd.DataFrame) -> pd.DataFrame:
    """Rows: input and methods; gain where the blur is (dB), harm where there is none (dB), landmark error."""
    landmarks = mean_table(scores, "landmark_error")[list(DATASETS)]
    parts = {"gain": region_table(scores), "harm": harm_table(scores), "landmark error": landmarks}
    order = [INPUT, *(method for method in METHODS if method in landmarks.index)]
    table = pd.concat({head: part.reindex(order) for head, part in parts.items()}, axis=1)
    return table.rename({INPUT: INPUT_LABEL} | METHODS).rename_axis("Method")


def how_many(study: PhysicsStudy, tested: int) -> str:
    """For captions: which of the `tested` test faces were taken."""
    count = len(next(iter(study.pairs.values())))
    return f"All {count} test faces." if count >= tested else f"The first {count} of {tested} test faces."


@styled
def physics_figure(study: PhysicsStudy) -> tuple[Figure, pd.DataFrame]:
    """A face of each set in SHOWN: blurred, by each method, sharp; the true path and the one that was found.

    With the data behind it.
    """
    names = [name for name in SHOWN if name in study.pairs]
    heads = ["blurred", "restorer", "physics, blind", "with refinement", "sharp"]
    side = WIDE / (len(heads) + 0.55)
    figure, axes = plt.subplots(
        len(names),
        len(heads) + 1,
        figsize=(WIDE, len(names) * (side + 0.13) + 0.15),
        width_ratios=[*[1] * len(heads), 0.5],
        squeeze=False,
    )
    rows = []
    for number, (name, line) in enumerate(zip(names, axes, strict=True)):
        pairs, found = study.pairs[name], study.found[name]
        index = number % len(pairs)  # another face in each row, where there are others
        images = (pairs.blurred, found.restored, found.solved, found.refined, pairs.sharp)
        images = np.stack([each[index] for each in images])
        psnr = score_images(images, np.stack([pairs.sharp[index]] * len(heads)), {"": None})["", "psnr"]
        for axis, head, image, value in zip(line, heads, images, psnr, strict=False):
            axis.imshow(image)
            if number == 0:
                axis.set_title(head)
            if head != "sharp":
                axis.set_xlabel(f"{value:.1f} dB", labelpad=1)
                row = {"dataset": name, "image_id": pairs.image_ids[index], "image": head}
                rows.append(row | {"psnr": round(float(value), 4)})
        length, angle, turn, gamma = found.motions[index]
        rows[-1] |= {"region": str(found.regions[index]), "gamma": gamma}
        rows[-1] |= {"length_found": length, "angle_found": angle, "turn_found": turn}
        line[0].set_ylabel({"SB2SM": "SB2SM (face)"}.get(name, SET_WORDS[name].replace(", ", ",\n", 1)))
        _paths(line[-1], pairs.kernel(index), found.kernel(index))
        if number == 0:
            line[-1].set_title("path, true\nand found")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, pd.DataFrame(rows)


def _paths(axis, true: np.ndarray, found: np.ndarray) -> None:
    """The true kernel above the one that was found, on one scale, dark on light."""
    side = max(len(true), len(found)) + 2
    gap = np.full((1, side), np.nan)
    both = np.concatenate([padded(true, side), gap, padded(found, side)])
    axis.imshow(both, cmap="gray_r", vmin=0, vmax=0.7 * max(true.max(), found.max()))


def on_physics(scores: pd.DataFrame) -> str:
    """What physics gains, where, and what it costs, as a line of a Markdown list."""
    table, harm = physics_table(scores), harm_table(scores)
    harder = [row for row in table.index if row not in DATASETS]
    mean = {method: table[words, "mean"] for method, words in METHODS.items() if words in table}
    worst = {method: table[words, "worst"] for method, words in METHODS.items() if words in table}

    def span(values: pd.Series) -> str:
        return f"{values.min():+z.1f} to {values.max():+z.1f} dB"  # z: never −0.0

    own = {method: values[list(DATASETS)] for method, values in mean.items()}
    sentences = [
        f"told the kernel it gains {span(own[KNOWN])} on the four test sets: so much is still in the blurred "
        "pictures.",
        f"Blind it gains {span(own[BLIND])} there (worst face {worst[BLIND][list(DATASETS)].min():+.1f} dB), "
        f"the published restorer {span(own[RESTORER])}.",
        f"On the harder sets it gains {span(mean[BLIND][harder])}, the least on "
        f"{mean[BLIND][harder].idxmin()} (worst face {worst[BLIND][harder].min():+.1f} dB).",
    ]
    more = mean[REFINED] - mean[BLIND]
    sentences.append(f"A network after it adds {span(more)}, the most on {more.idxmax()}.")
    if behind := list(table.index[mean[BLIND] < mean[RESTORER]]):
        sentences.append(f"It stays behind the restorer on {', '.join(behind)}.")
    sharp = {method: harm.loc[method, "sharp face"] for method in (BLIND, RESTORER)}
    at = {method: "unchanged" if np.isnan(value) else f"at {value:.1f} dB" for method, value in sharp.items()}
    sentences.append(f"A sharp face comes back {at[BLIND]}, from the restorer {at[RESTORER]}.")
    return "- **Physics**: " + " ".join(sentences)


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
