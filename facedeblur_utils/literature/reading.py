"""Reads the ten articles across: what they use, which kernels they blur with, what they score."""

import re

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facedeblur_utils.errors import StudyError
from facedeblur_utils.literature.loader import load
from facedeblur_utils.literature.schema import MEASURES, NONE
from facedeblur_utils.literature.shapes import names
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting.figures import COLOURS, WIDE, styled
from facedeblur_utils.training import experiments

# The articles name their losses freely; the first word found puts a loss into a family.
FAMILIES = {
    "adversarial": "adversarial",
    "perceptual": "perceptual",
    "content": "pixel values",
    "reconstruction": "pixel values",
    "pixel": "pixel values",
    "structure": "structure, edges, parts",
    "edge": "structure, edges, parts",
    "local": "structure, edges, parts",
    "identification": "identity",
    "feature": "features, context",
    "context": "features, context",
    "super-resolution": "named by the task",
    "deblurring": "named by the task",
    "prediction": "prediction-weighted",
    NONE.lower(): "none",
}
GAINS = {"psnr_gain_db": "psnr_db"}  # a gain in a measure is a use of it
NO_MEASURE = "mprnet_gain_db"  # MPRNet is a network
REGION = "whole"  # the literature scores whole images
INPUT = "input"  # the row of scores.csv that stands for the blurred images themselves
MODELS = (INPUT, *experiments.MODELS)


def usage() -> pd.DataFrame:
    """How many articles use each dataset, loss family, measure and optimiser: what, name, articles."""
    models, training = load("2.7"), load("2.8")
    # The parts of EDFace-Celeb, 1M and 150K, count as one dataset.
    datasets = [{re.sub(r"-\d+[KM] .*", "", name) for name in row} for row in models["datasets"]]
    losses = [{family(loss) for loss in row} for row in training["losses"]]
    measures = [
        {
            MEASURES[GAINS.get(column, column)]
            for column in MEASURES
            if column != NO_MEASURE and not pd.isna(row[column])
        }
        for row in models.to_dict("records")
    ]
    optimisers = [set(row) for row in training["optimizers"]]
    rows = []
    for what, used in zip(
        ("dataset", "loss", "measure", "optimiser"), (datasets, losses, measures, optimisers), strict=True
    ):
        counts = pd.Series([name for names in used for name in sorted(names)]).value_counts(sort=False)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0].lower()))
        rows += [(what, name, count) for name, count in ordered]
    return pd.DataFrame(rows, columns=["what", "name", "articles"])


def family(loss: str) -> str:
    """Family of a loss of Table 2.8; raises StudyError for one that no word of `FAMILIES` describes."""
    for word, name in FAMILIES.items():
        if word in loss.lower():
            return name
    raise StudyError(f"loss '{loss}' of Table 2.8 belongs to no family; add a word to reading.FAMILIES")


@styled
def usage_figure() -> tuple[Figure, pd.DataFrame]:
    """Bars of `usage`, one panel for each kind; its data."""
    counts = usage()
    titles = {
        "dataset": "Datasets",
        "measure": "Measures",
        "loss": "Losses, by family",
        "optimiser": "Optimisers",
    }
    fig, axes = plt.subplot_mosaic(
        [["dataset", "measure"], ["loss", "optimiser"]],
        figsize=(WIDE, 4.0),
        height_ratios=[1.55, 1],
    )
    for what, ax in axes.items():
        rows = counts[counts["what"] == what].iloc[::-1]
        ax.barh(rows["name"], rows["articles"], color=COLOURS[0], height=0.65)
        ax.bar_label(ax.containers[0], padding=2, fontsize=6.5)
        ax.set(title=titles[what], xlim=(0, 8.5), xticks=[])
        ax.tick_params(left=False)
        ax.spines["bottom"].set_visible(False)
    return fig, counts


@styled
def kernel_figure() -> tuple[Figure, pd.DataFrame]:
    """Range of blur kernel sizes in the articles that give one, a dot for each size listed; its data."""
    rows = load("2.8").dropna(subset=["kernel_min_px"])
    fig, ax = plt.subplots(figsize=(WIDE, 1.6))
    for y, row in enumerate(rows.itertuples()):
        ax.plot(
            [row.kernel_min_px, row.kernel_max_px],
            [y, y],
            color=COLOURS[0],
            linestyle="-",
            linewidth=3,
            alpha=0.35,
        )
        ends = row.kernel_sizes_px or [row.kernel_min_px, row.kernel_max_px]
        ax.plot(ends, [y] * len(ends), "o" if row.kernel_sizes_px else "|", color=COLOURS[0])
    ax.set_yticks(range(len(rows)), names(rows))
    ax.set(
        xlabel="kernel side in pixels (dots: the sizes that the article lists)", ylim=(len(rows) - 0.5, -0.5)
    )
    ax.grid(axis="x")
    ax.tick_params(left=False)
    data = rows.assign(reference=names(rows))[["number", "reference", "kernel_min_px", "kernel_max_px"]]
    return fig, data.reset_index(drop=True)


def reported_scores() -> pd.DataFrame:
    """PSNR (dB) and SSIM of the articles that report them: source, on (the dataset, as far as said), …"""
    rows = load("2.7").dropna(subset=["psnr_db"])
    where = [
        row.measured_on or (row.datasets[0] if len(row.datasets) == 1 else "dataset not stated")
        for row in rows.itertuples()
    ]
    return pd.DataFrame(
        {
            "source": names(rows),
            "on": where,
            "PSNR": rows["psnr_db"],
            "SSIM": rows["ssim"],
            "role": "article",
        }
    ).reset_index(drop=True)


def study_scores(paths: RunPaths) -> pd.DataFrame:
    """This study's mean PSNR and SSIM for each model and test set, like `reported_scores`; else empty."""
    columns = ["source", "on", "PSNR", "SSIM", "role"]
    if not paths.scores.is_file():
        return pd.DataFrame(columns=columns)
    scores = pd.read_csv(paths.scores)
    scores = scores.query("region == @REGION and metric in ('psnr', 'ssim') and model in @MODELS")
    means = scores.pivot_table(index=["dataset", "model"], columns="metric", values="value", sort=False)
    means = means.reset_index().rename(columns={"dataset": "on", "psnr": "PSNR", "ssim": "SSIM"})
    means["role"] = ["blurred input" if model == INPUT else "model" for model in means["model"]]
    means["source"] = "This study"
    return means[columns]


@styled
def scores_figure(paths: RunPaths) -> tuple[Figure, pd.DataFrame]:
    """Reported PSNR and SSIM as dots, one line for each source and dataset, this study's below; its data."""
    scores = pd.concat([frame for frame in (reported_scores(), study_scores(paths)) if len(frame)])
    scores = scores.reset_index(drop=True)
    labels = scores["source"] + ", " + scores["on"]
    lines = list(dict.fromkeys(labels))
    fig, axes = plt.subplots(1, 2, figsize=(WIDE, 0.8 + 0.2 * len(lines)), sharey=True)
    looks = {
        "article": dict(marker="o", color=COLOURS[0], s=22),
        "model": dict(marker="D", color=COLOURS[4], s=14),
        "blurred input": dict(marker="x", color=COLOURS[2], s=20, linewidth=1, zorder=4),
    }
    for ax, measure in zip(axes, ("PSNR", "SSIM"), strict=True):
        for role, rows in scores.groupby("role", sort=False):
            ax.scatter(
                rows[measure], [lines.index(name) for name in labels[rows.index]], label=role, **looks[role]
            )
        ax.set_xlabel("PSNR in dB" if measure == "PSNR" else measure)
        ax.grid()
        ax.set_axisbelow(True)
    axes[0].set_yticks(range(len(lines)), lines)
    axes[0].set_ylim(len(lines) - 0.5, -0.5)
    _legend(fig, axes[0])
    return fig, scores


def _legend(fig: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(labels))
