"""Figures beyond the thesis's: gains as a heat map, scores against blur length, error maps, extreme faces."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation.scores import INPUT, score_images
from facedeblur_utils.evaluation.statistics import LEVEL, METRICS
from facedeblur_utils.models.apply import restore
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting.figures import (
    COLOURS,
    COLUMN,
    LINES,
    MARKERS,
    SMALL_GAIN,
    WIDE,
    gain_colours,
    legend_below,
    styled,
    write_gains,
)
from facedeblur_utils.reporting.panels import Gallery, Shot, draw_rows, shot_table
from facedeblur_utils.reporting.result_tables import MODELS
from facedeblur_utils.training import trained

BINS = 4  # of blur length, with equally many images each
ERROR_SCALE = 0.25  # of the colour scale's end: errors above a quarter of the range look the same


@styled
def gain_heat_map(gains: pd.DataFrame) -> Figure:
    """Table 5.4 as gain over the input; orange: worse than the blurred image, purple: better."""
    gains = gains.loc[MODELS]
    fig, axes = plt.subplots(2, 1, figsize=(COLUMN, 4.2))
    for ax, metric, unit, decimals in zip(axes, ("PSNR", "SSIM"), (" (dB)", ""), (2, 3), strict=True):
        values = gains.xs(metric, axis=1, level=1)[list(DATASETS)].to_numpy()
        mesh = ax.pcolormesh(values, **gain_colours(values, metric))
        write_gains(ax, mesh, f"+.{decimals}f")
        ax.set_xticks(np.arange(len(DATASETS)) + 0.5, list(DATASETS))
        ax.set_yticks(np.arange(len(MODELS)) + 0.5, MODELS)
        ax.set_title(f"{metric} gain{unit}")
        ax.axhline(len(DATASETS), color="white", linewidth=2)  # between autoencoders and GANs
        ax.invert_yaxis()
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        marks = [mark * SMALL_GAIN[metric] for mark in (-25, -5, -1, 0, 1, 5, 25)]
        marks = [mark for mark in marks if abs(mark) <= mesh.norm.vmax]
        fig.colorbar(mesh, ax=ax, ticks=marks, format="{x:g}").minorticks_off()
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


@styled
def length_plot(table: pd.DataFrame) -> Figure:
    """PSNR against blur length: one plot per test set, one line per model."""
    rows = (len(DATASETS) + 1) // 2
    fig, axes = plt.subplots(rows, 2, figsize=(COLUMN, 1.7 * rows + 0.6), sharex=True)
    for ax, dataset in zip(axes.flat, DATASETS, strict=False):
        part = table[table["dataset"] == dataset]
        for model in [INPUT, *MODELS]:
            line = part[part["model"] == model].sort_values("length")
            ax.plot(
                line["length"],
                line["psnr"],
                label="blurred input" if model == INPUT else model,
                **_line(model),
            )
        ax.set_title(dataset)
        ax.grid(axis="y")
    for ax in axes.flat[len(DATASETS) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("blur length (pixels)")
    for ax in axes[:, 0]:
        ax.set_ylabel("PSNR (dB)")
    legend_below(fig, axes[0, 0], 3)
    return fig


def _line(model: str) -> dict:
    """Colour and marker tell the training set, the line tells the network."""
    if model == INPUT:
        return {"color": "black", "linestyle": "-", "linewidth": 1.6, "marker": ""}
    number = list(DATASETS).index(model[1:])
    colour = [COLOURS[i] for i in (0, 1, 3, 6, 4, 5, 7)][number % 7]
    look = {"color": colour, "linestyle": {"A": "-", "G": "--"}[model[0]], "marker": MARKERS[number % 7]}
    return look | {"linewidth": 0.8, "markersize": 3}


@styled
def error_maps(gallery: Gallery, index: int = 0) -> tuple[Figure, pd.DataFrame]:
    """One face in all four test sets: images, and the absolute error of input and of the set's own models."""
    heads = ["sharp", "blurred", "autoencoder", "GAN"]
    heads += [f"error,\n{head}" for head in heads[1:]]
    side = WIDE / len(heads)
    fig, axes = plt.subplots(len(DATASETS), len(heads), figsize=(WIDE, 4 * side + 0.65))
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
        ax.set_title(head)
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


@styled
def forest_plot(tests: pd.DataFrame) -> Figure:
    """Mean differences with their 95 % intervals; filled where H0 is rejected.

    Under the two models compared stands a line for each test set.
    """
    count = len(tests) // len(METRICS)
    fig, axes = plt.subplots(1, 2, figsize=(COLUMN, 0.19 * count + 1.3), sharey=True)
    units = {"psnr": "PSNR difference (dB)", "ssim": "SSIM difference"}
    for ax, metric in zip(axes, METRICS, strict=True):
        rows = tests[tests["metric"] == metric].reset_index(drop=True)
        heights = -rows.index.to_numpy() - 1.3 * (rows.index.to_numpy() // len(DATASETS))
        compared = rows["compared"].str.replace(" - ", " − ")
        heads = pd.Series(heights + 1).groupby(compared, sort=False).max()
        ax.axvline(0, color="#888888", linewidth=0.8, linestyle="--")
        for height, row in zip(heights, rows.to_dict("records"), strict=True):
            style = {"marker": "o" if row["network"] == "autoencoder" else "s", "linestyle": "-"}
            colour = COLOURS[0] if row["network"] == "autoencoder" else COLOURS[6]
            filled = colour if row["p (Holm)"] < LEVEL else "white"
            style |= {"color": colour, "markerfacecolor": filled, "capsize": 2, "markersize": 3}
            error = [[row["difference"] - row["low"]], [row["high"] - row["difference"]]]
            ax.errorbar(row["difference"], height, xerr=error, **style)
        ax.set_xlabel(units[metric])
        ax.set_yticks([*heights, *heads], [*rows["test set"], *heads.index])
        ax.set_ylim(top=heads.max() + 0.7)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
    return fig


@styled
def budget_curves(run_names: list[str], paths: RunPaths, by: str) -> tuple[Figure, pd.DataFrame]:
    """Gain in validation PSNR over the blurred input, one line per run, with the data behind it.

    `by` says what lies along the x axis: "seconds" of training on this machine, or "compute", the
    multiply-adds of all forward passes so far, which are the same on every machine.
    """
    labels = {"seconds": "training time (s)", "compute": "multiply-adds of training, forward (T)"}
    figure, axis = plt.subplots(figsize=(COLUMN, 2.6))
    parts = []
    for i, name in enumerate(run_names):
        history, facts = trained.read_history(paths, name), trained.run_facts(paths, name)
        images = len(face_pairs.open_pairs(paths, "SFB1", "train"))
        compute = sum(facts["multiply_adds"].values()) * images / 1e12 * history["epoch"]
        along = {"seconds": history["seconds"].cumsum().round(1), "compute": compute.round(3)}[by]
        gain = (history["val_psnr"] - facts["validation_input"]["psnr"]).round(4)
        style = i % len(COLOURS)
        look = {"color": COLOURS[style], "linestyle": LINES[style], "marker": MARKERS[style]}
        axis.plot(along, gain, **look, markersize=2.5, label=name)
        parts.append(pd.DataFrame({"run": name, by: along, "gain": gain}))
    axis.axhline(0, color=COLOURS[7], linewidth=0.6)
    axis.set(xlabel=labels[by], ylabel="gain over the input (dB)")
    legend_below(figure, axis, 4)
    return figure, pd.concat(parts, ignore_index=True)


@styled
def panel(paths: RunPaths, run_names: list[str], dataset: str, faces: int = 4) -> tuple[Figure, pd.DataFrame]:
    """The first test faces: blurred, restored by each of `run_names`, sharp; with the data behind it."""
    pairs = face_pairs.open_pairs(paths, dataset, "test")
    indices = np.argsort(np.asarray(pairs.image_ids), kind="stable")[:faces]
    blurred, sharp = pairs.batch(indices)
    columns = {"blurred": blurred}
    columns |= {name: restore(trained.load_network(paths, name), blurred) for name in run_names}
    columns["sharp"] = sharp
    side = WIDE / len(columns)
    figure, axes = plt.subplots(
        len(indices), len(columns), figsize=(WIDE, len(indices) * (side + 0.13)), squeeze=False
    )
    rows = []
    for (name, images), column in zip(columns.items(), axes.T, strict=True):
        psnr = score_images(images, sharp, {"whole": None})["whole", "psnr"]
        for axis, image, index, value in zip(column, images, indices, psnr, strict=True):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if name != "sharp":
                axis.set_xlabel(f"{value:.1f} dB", labelpad=1)
                rows.append(
                    {"image_id": pairs.image_ids[index], "image": name, "psnr": round(float(value), 4)}
                )
        column[0].set_title(name)
    return figure, pd.DataFrame(rows)
