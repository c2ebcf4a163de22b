"""What training looked like: curves of one run, several side by side, validation faces over the epochs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting.figures import (
    COLOURS,
    COLUMN,
    LINES,
    MARKERS,
    legend_above,
    legend_below,
    plain_log,
    styled,
)

MACHINE_COLUMNS = ("seconds", "images_per_s", "memory_mb", "overhead_seconds")  # differ from run to run
STRIP_EPOCHS = 4  # rows of the strip, so that faces stay large enough on a page


def plotted(history: pd.DataFrame) -> pd.DataFrame:
    """The part of a history that is the same on every repetition."""
    return history.drop(columns=[name for name in MACHINE_COLUMNS if name in history])


def together(histories: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """That part of several runs' histories in one table, told apart by its last column `run`."""
    parts = [plotted(history).assign(run=name) for name, history in histories.items()]
    return pd.concat(parts).reset_index(drop=True)


def summary(histories: dict[str, pd.DataFrame], facts: dict[str, dict]) -> pd.DataFrame:
    """One row per run: validation scores of the blurred input, of the last and the best epoch; its cost."""
    rows = []
    for name, history in histories.items():
        best, last = history.loc[history["val_psnr"].idxmax()], history.iloc[-1]
        rows.append(
            {
                "run": name,
                "epochs": len(history),
                "input PSNR (dB)": facts[name]["validation_input"]["psnr"],
                "last PSNR (dB)": last["val_psnr"],
                "best PSNR (dB)": best["val_psnr"],
                "best epoch": int(best["epoch"]),
                "last SSIM": last["val_ssim"],
                "images/s": history["images_per_s"].median(),
                "minutes": history[["seconds", "overhead_seconds"]].to_numpy().sum() / 60,
            }
        )
    return pd.DataFrame(rows)


@styled
def curves_figure(history: pd.DataFrame, facts: dict) -> Figure:
    """Loss terms, gradient norms (and the discriminator's answers), validation PSNR and SSIM by epoch.

    `history` and `facts` are a run's, from `train` and `run_facts`.
    """
    gan = facts["network"] == "gan"
    weights = facts["loss_weights"]
    fig, axes = plt.subplots(2, 2, figsize=(COLUMN, 3.9), sharex=True)
    epochs = history["epoch"]
    loss, balance, psnr, ssim = axes.flat
    for i, (name, weight) in enumerate(weights.items()):
        label = name if weight == 1 else f"{weight:g} × {name}"
        values = weight * history[name if len(weights) > 1 else "loss"]
        loss.plot(epochs, values, color=COLOURS[i], linestyle=LINES[i], label=label)
    loss.set_ylabel("generator's loss terms" if gan else "loss terms")
    plain_log(loss)
    if gan:
        for i, (name, label) in enumerate((("d_real", "sharp"), ("d_fake", "deblurred"))):
            balance.plot(epochs, history[name], color=COLOURS[i], linestyle=LINES[i], label=label)
        balance.axhline(0.5, color=COLOURS[7], linewidth=0.6)
        balance.set(ylabel="discriminator says real", ylim=(0, 1))
    else:
        balance.plot(epochs, history["grad_norm"], color=COLOURS[0])
        balance.set_ylabel("gradient norm")
        plain_log(balance)
    for axis, metric, label in ((psnr, "psnr", "validation PSNR (dB)"), (ssim, "ssim", "validation SSIM")):
        values = history[f"val_{metric}"]
        axis.plot(epochs, values, color=COLOURS[0], label="network")
        axis.axhline(
            facts["validation_input"][metric], color=COLOURS[4], linestyle=LINES[1], label="blurred input"
        )
        axis.set_ylabel(label)
    best = history["val_psnr"].idxmax()
    psnr.plot(epochs[best], history["val_psnr"][best], MARKERS[0], color=COLOURS[0], label="best epoch")
    for axis in axes.flat:
        axis.xaxis.get_major_locator().set_params(integer=True)
        if axis.get_legend_handles_labels()[0]:
            legend_above(axis)
    for axis in axes[1]:
        axis.set_xlabel("epoch")
    _mark_datasets(axes.flat, history)
    return fig


@styled
def overview_figure(histories: dict[str, pd.DataFrame], facts: dict[str, dict]) -> Figure:
    """Validation PSNR of several runs above that of their blurred inputs, by epoch."""
    fig, axis = plt.subplots(figsize=(COLUMN, 2.9))
    for i, (name, history) in enumerate(histories.items()):
        gain = history["val_psnr"] - facts[name]["validation_input"]["psnr"]
        style = {"color": COLOURS[i % 8], "linestyle": LINES[i % 8], "marker": MARKERS[i % 8]}
        style |= {"linewidth": 0.9, "markersize": 3}
        axis.plot(history["epoch"], gain, label=name, markevery=max(1, len(history) // 8), **style)
    axis.axhline(0, color=COLOURS[7], linewidth=0.8)
    axis.set(xlabel="epoch", ylabel="gain over the blurred input (dB)")
    axis.xaxis.get_major_locator().set_params(integer=True)
    legend_below(fig, axis, 4)
    return fig


@styled
def strip_figure(paths: RunPaths, run_name: str, seed: int = 1) -> Figure:
    """The same validation faces blurred, after some of the epochs, and sharp, one row each."""
    folder = paths.training(run_name, seed)
    trained = sorted(int(path.stem.removeprefix("epoch_")) for path in folder.strips.glob("epoch_*.png"))
    if not trained:
        raise StudyError(
            f"run {run_name} has no pictures in {folder.path}; train it first (notebooks 03 and 04)"
        )
    picks = np.linspace(0, len(trained) - 1, min(STRIP_EPOCHS, len(trained))).round().astype(int)
    rows = {"blurred": "blurred", **{f"epoch {trained[i]}": trained[i] for i in picks}, "sharp": "sharp"}
    images = [np.asarray(Image.open(folder.strip(name))) for name in rows.values()]
    side, width = images[0].shape[:2]
    label, gap = 0.6, 0.03  # inches
    face = (COLUMN - label) * side / width
    high = len(rows) * (face + gap)
    fig = plt.figure(figsize=(COLUMN, high))
    fig.set_layout_engine("none")
    for i, (name, image) in enumerate(zip(rows, images, strict=True)):
        bottom = high - (i + 1) * (face + gap)
        axis = fig.add_axes((label / COLUMN, bottom / high, 1 - label / COLUMN, face / high))
        axis.imshow(image)
        axis.set_axis_off()
        fig.text((label - 0.05) / COLUMN, (bottom + face / 2) / high, name, ha="right", va="center")
    return fig


def _mark_datasets(axes, history: pd.DataFrame) -> None:
    """A thin line wherever a run goes on to another dataset."""
    changes = history["epoch"][history["dataset"] != history["dataset"].shift()].iloc[1:]
    for axis in axes:
        for epoch in changes:
            axis.axvline(epoch - 0.5, color=COLOURS[7], linewidth=0.5, linestyle=":")
