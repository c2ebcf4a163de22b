"""Figures beyond the thesis's: gains as a heat map, scores against blur length, error maps, extreme faces."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from facedeblur_utils.evaluation.scores import INPUT
from facedeblur_utils.reporting import figures
from facedeblur_utils.reporting.panels import Gallery, Shot, draw_rows, shot_table
from facedeblur_utils.reporting.result_tables import MODELS
from facedeblur_utils.training.experiments import DATASETS

BINS = 4  # of blur length, with equally many images each
ERROR_SCALE = 0.25  # of the colour scale's end: errors above a quarter of the range look the same


def gain_heat_map(gains: pd.DataFrame) -> Figure:
    """Table 5.4 as gain over the input; orange: worse than the blurred image, purple: better."""
    gains = gains.loc[MODELS]
    fig, axes = plt.subplots(1, 2, figsize=(figures.WIDE, 2.9), sharey=True)
    for ax, metric, unit, decimals in zip(axes, ("PSNR", "SSIM"), (" (dB)", ""), (2, 3), strict=True):
        values = gains.xs(metric, axis=1, level=1)[list(DATASETS)]
        end = float(np.nanmax(np.abs(values.to_numpy()))) or 1.0
        image = ax.imshow(values, cmap=figures.DIVERGING, vmin=-end, vmax=end, aspect="auto")
        for (row, column), value in np.ndenumerate(values.to_numpy()):
            colour = "white" if abs(value) > 0.6 * end else "black"
            ax.text(column, row, f"{value:+.{decimals}f}", ha="center", va="center", color=colour)
        ax.set(xticks=range(len(DATASETS)), yticks=range(len(MODELS)), title=f"{metric} gain{unit}")
        ax.set_xticklabels(DATASETS)
        ax.set_yticklabels(MODELS)
        ax.axhline(3.5, color="white", linewidth=2)  # between autoencoders and GANs
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        fig.colorbar(image, ax=ax, shrink=0.8)
    return fig


def by_blur_length(scores: pd.DataFrame, gallery: Gallery, metric: str = "psnr") -> pd.DataFrame:
    """Mean score of each model in bins of blur length (pixels), per test set."""
    chosen = scores[(scores["region"] == "whole") & (scores["metric"] == metric)]
    chosen = chosen[chosen["model"].isin([INPUT, *MODELS])]
    rows = []
    for dataset in DATASETS:
        pairs = gallery.pairs(dataset)
        lengths = pd.Series(pairs.lengths, index=pairs.image_ids)
        bins = pd.qcut(lengths.rank(method="first"), min(BINS, len(lengths)), labels=False)
        part = chosen[chosen["dataset"] == dataset]
        part = part.assign(bin=part["image_id"].map(bins), length=part["image_id"].map(lengths))
        means = part.groupby(["model", "bin"], as_index=False)[["length", "value"]].mean()
        rows.append(means.assign(dataset=dataset))
    table = pd.concat(rows, ignore_index=True).rename(columns={"value": metric})
    return table[["dataset", "model", "bin", "length", metric]]


def length_plot(table: pd.DataFrame) -> Figure:
    """PSNR against blur length: one plot per test set, one line per model."""
    fig, axes = plt.subplots(2, 2, figsize=(figures.WIDE, 4.4), sharex=True)
    for ax, dataset in zip(axes.flat, DATASETS, strict=True):
        part = table[table["dataset"] == dataset]
        for model in [INPUT, *MODELS]:
            line = part[part["model"] == model].sort_values("length")
            ax.plot(
                line["length"],
                line["psnr"],
                label="blurred input" if model == INPUT else model,
                **_line(model),
            )
        ax.set(title=f"{dataset} test set", ylabel="PSNR (dB)")
        ax.grid(axis="y")
    for ax in axes[1]:
        ax.set_xlabel("blur length (pixels)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside right center")
    return fig


def _line(model: str) -> dict:
    """Colour and marker tell the training set, the line tells the network."""
    if model == INPUT:
        return {"color": "black", "linestyle": "-", "linewidth": 2, "marker": ""}
    number = DATASETS.index(model[1:])
    colour = [figures.COLOURS[i] for i in (0, 1, 3, 6)][number]
    return {"color": colour, "linestyle": {"A": "-", "G": "--"}[model[0]], "marker": "os^D"[number]}


def error_maps(gallery: Gallery, index: int = 0) -> tuple[Figure, pd.DataFrame]:
    """One face in all four test sets: images, and the absolute error of input and of the set's own models."""
    heads = ("sharp", "blurred", "autoencoder", "GAN", "error, blurred", "error, autoencoder", "error, GAN")
    side = figures.WIDE / len(heads)
    fig, axes = plt.subplots(len(DATASETS), len(heads), figsize=(figures.WIDE, 4 * side + 0.55))
    rows = []
    for row, dataset in zip(axes, DATASETS, strict=True):
        shots = [gallery.shots(letter + dataset, dataset, np.array([index]))[0] for letter in "AG"]
        sharp, outputs = shots[0].sharp, [shots[0].blurred, shots[0].restored, shots[1].restored]
        errors = [np.abs(image.astype(float) - sharp).mean(axis=2) / 255 for image in outputs]
        for ax, image in zip(row, [sharp, *outputs], strict=False):
            ax.imshow(image)
        for ax, error in zip(row[4:], errors, strict=True):
            shown = ax.imshow(error, cmap="magma", vmin=0, vmax=ERROR_SCALE)
        row[0].set_ylabel(dataset)
        names = (INPUT, "A" + dataset, "G" + dataset)
        rows += [
            {
                "dataset": dataset,
                "image_id": shots[0].image_id,
                "model": name,
                "mean_absolute_error": error.mean(),
            }
            for name, error in zip(names, errors, strict=True)
        ]
    for ax, head in zip(axes[0], heads, strict=True):
        ax.set_title(head, fontsize=6)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    label = f"mean absolute error of the colours (1 is white against black; {ERROR_SCALE} and above alike)"
    fig.colorbar(shown, ax=axes, location="bottom", shrink=0.5, aspect=40, label=label)
    return fig, pd.DataFrame(rows)


def extreme_faces(
    scores: pd.DataFrame, gallery: Gallery, dataset: str = "SFB2"
) -> tuple[Figure, pd.DataFrame]:
    """The test faces on which a set's own autoencoder and GAN gained most, in the middle, and least PSNR."""
    blocks = [_ranked(scores, gallery, letter + dataset, dataset) for letter in "AG"]
    rows = [list(row) for row in zip(*blocks, strict=True)]
    return draw_rows(rows), shot_table(rows)


def _ranked(scores: pd.DataFrame, gallery: Gallery, model: str, dataset: str) -> list[Shot]:
    chosen = scores[(scores["region"] == "whole") & (scores["metric"] == "psnr")]
    wide = chosen[chosen["dataset"] == dataset].pivot(index="image_id", columns="model", values="value")
    gains = (wide[model] - wide[INPUT]).sort_values(ascending=False, kind="stable")
    ids = gallery.pairs(dataset).image_ids
    places = {"best": 0, "median": len(gains) // 2, "worst": len(gains) - 1}
    indices = np.array([ids.index(gains.index[place]) for place in places.values()])
    shots = gallery.shots(model, dataset, indices)
    return [
        replace(shot, remark=f": {name}, {gains[shot.image_id]:+.2f} dB")
        for name, shot in zip(places, shots, strict=True)
    ]
