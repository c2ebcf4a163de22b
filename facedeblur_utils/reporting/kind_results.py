"""Notebooks 09 and 10: kinds of blur side by side, and what restorers trained on each gain on the others."""

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import nn

from facedeblur_utils.blur.kernels import generator_for
from facedeblur_utils.blur.kinds import BLURS
from facedeblur_utils.blur.operators import to_light
from facedeblur_utils.evaluation.blur_comparison import INDEPENDENT
from facedeblur_utils.evaluation.scores import INPUT, SHARP, split_seeds
from facedeblur_utils.profiles import Profile
from facedeblur_utils.reporting.data_figures import show_image, show_kernel
from facedeblur_utils.reporting.figures import COLUMN, WIDE, gain_colours, styled, write_gains
from facedeblur_utils.training.batches import to_network
from facedeblur_utils.training.experiments import LEARNT_FROM

WORDS = {name: kind.words for name, kind in BLURS.items()} | {
    "line_head": "line, head alone",
    "line_face": "line, face alone",
    "all": "all kinds",
    "camera": "camera pipeline",
    "five": "five kinds of kernel",
    "learnt": "network that blurs",
    INDEPENDENT: "independent set",
    SHARP: "sharp",
}
NOISE_WORDS = {
    "gaussian": "Gaussian",
    "poisson": "Poisson",
    "laplace": "Laplacian",
    "salt_and_pepper": "salt and pepper",
    "poisson_gaussian": "Poisson–Gaussian",
}
SEGMENTED = ("line_head", "line_face")  # against the line everywhere
NOT_MOTION = ("disc", "gaussian")
CAMERAS = {"camera", INDEPENDENT}  # tests in light, with noise and JPEG
PER_ROW = 6  # pictures of a plate
DOTS = 5  # along each side of a picture of dots


def strengths(sharp: np.ndarray, image_ids: list[str], profile: Profile) -> pd.DataFrame:
    """How much each kind blurs the faces `sharp`, uint8 (N, S, S, 3): rows by kind and image.

    Columns: PSNR of the blurred face (dB), length (pixels), and `peak`, the kernel's highest weight.
    """
    rows = []
    for name, kind in BLURS.items():
        for picture, image_id in zip(sharp, image_ids, strict=True):
            random = generator_for(profile.seed, f"strength {name}", image_id)
            blur = kind(random, len(picture), profile)
            error = np.mean((blur.apply(picture).astype(float) - picture) ** 2)
            psnr = 10 * np.log10(255**2 / max(error, 1e-9))
            rows.append((name, image_id, psnr, blur.parameters["length"], float(blur.kernel.max())))
    return pd.DataFrame(rows, columns=["kind", "image_id", "psnr", "length", "peak"])


def strength_table(each: pd.DataFrame) -> pd.DataFrame:
    """By kind: what it is, who describes it, mean and standard deviation of PSNR, mean length and peak."""
    by_kind = each.groupby("kind", sort=False)
    return pd.DataFrame(
        {
            "models": [BLURS[name].words for name in by_kind.groups],
            "source": [BLURS[name].source for name in by_kind.groups],
            "PSNR (dB)": by_kind["psnr"].mean(),
            "SD (dB)": by_kind["psnr"].std(),
            "length (px)": by_kind["length"].mean(),
            "peak": by_kind["peak"].mean(),
        }
    ).rename_axis("Kind")


@styled
def plate(sharp: np.ndarray, blurs: dict, masks: dict[str, np.ndarray]) -> Figure:
    """`sharp`, uint8 (S, S, 3), under each of `blurs` by name, and below it a grid of dots of light likewise.

    Each dot shows the kernel where it stands. What moves before a still background does so under its mask of
    `masks`, bool (S, S) by name.
    """
    size = len(sharp)
    dots = np.zeros((size, size), np.float32)
    at = ((np.arange(DOTS) + 0.5) / DOTS * size).astype(int)
    dots[np.ix_(at, at)] = 1
    columns = [("sharp", sharp, dots)]
    for name, blur in blurs.items():
        part = BLURS[name].part
        face = blur.under(sharp, masks[part], "matte") if part else blur.apply(sharp)
        columns.append((WORDS[name], face, blur.linear(dots)))
    blocks = -(-len(columns) // PER_ROW)
    side = WIDE / PER_ROW
    fig, axes = plt.subplots(2 * blocks, PER_ROW, figsize=(WIDE, blocks * (2 * side + 0.15)), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (title, face, spots) in enumerate(columns):
        block, column = divmod(number, PER_ROW)
        above, below = axes[2 * block, column], axes[2 * block + 1, column]
        show_image(above, face)
        above.set_title(title, fontsize="medium")
        # The root shows faint tails beside bright middles, as an eye would.
        below.imshow(to_light(spots / max(spots.max(), 1e-9), 0.5), cmap="gray_r", vmin=0, vmax=1)
        below.set(xticks=[], yticks=[])
        below.set_axis_on()
    return fig


@styled
def gallery(rows: list[dict[str, np.ndarray]]) -> Figure:
    """Pictures, uint8 (S, S, 3), under their titles, row by row at the text width."""
    most = max(map(len, rows))
    fig, axes = plt.subplots(len(rows), most, figsize=(WIDE, len(rows) * (WIDE / most + 0.17)), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for line, row in zip(axes, rows, strict=True):
        for axis, (title, picture) in zip(line, row.items(), strict=False):
            show_image(axis, picture)
            axis.set_title(title, fontsize="medium")
    return fig


@styled
def learnt_figure(both: np.ndarray, true: np.ndarray, network: nn.Module) -> Figure:
    """What the network that blurs makes of pairs: `both`, uint8 (N, S, S, 6), of `TransferPairs`, and `true`.

    Rows: a blurred face, the kernel that its code stands for, another face, that blurred by the network and
    by the true blur, with the PSNR between the two.
    """
    sharp, blurred = (to_network(torch.from_numpy(both[..., part])) for part in (slice(3), slice(3, 6)))
    with torch.inference_mode():
        code = network.code(blurred)
        kernels = network.kernels(code).numpy()
        made = network.blur(sharp, code).clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    titles = ("blurred", "kernel\nread", "another\nface", "blurred\nby it", "true\nblur")
    height = len(both) * (COLUMN / 5 + 0.13) + 0.3
    fig, axes = plt.subplots(len(both), 5, figsize=(COLUMN, height), squeeze=False)
    for row, line in enumerate(axes):
        shown = both[row, ..., 3:], both[row, ..., :3], made[row], true[row]
        for axis, picture in zip(line[[0, 2, 3, 4]], shown, strict=True):
            show_image(axis, picture)
        show_kernel(line[1], kernels[row])
        error = np.mean((made[row].astype(float) - true[row]) ** 2)
        line[3].set_xlabel(f"{10 * np.log10(255**2 / max(error, 1e-9)):.1f} dB", labelpad=1)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize="medium")
    return fig


def seed_gains(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean gain in PSNR (dB) over the blurred input by `training`, `test` and training `seed`.

    On sharp faces, whose input has no finite PSNR, the mean PSNR of the output.
    """
    psnr = scores[(scores["metric"] == "psnr") & (scores["region"] == "whole")]
    wide = psnr.pivot_table(index=["dataset", "image_id"], columns="model", values="value", sort=False)
    before = wide.pop(INPUT).where(wide.index.get_level_values("dataset") != SHARP, 0.0)
    gains = wide.sub(before, axis=0).groupby("dataset", sort=False).mean()
    long = gains.melt(ignore_index=False, var_name="model", value_name="gain").reset_index(names="test")
    names, seeds = split_seeds(long["model"])
    return long.assign(training=names.str[1:], seed=seeds)[["training", "test", "seed", "gain"]]


def matrix(gains: pd.DataFrame, how: str = "mean") -> pd.DataFrame:
    """Rows: what was trained on; columns: what was tested on; mean (or std) over training seeds, dB."""
    table = gains.pivot_table(index="training", columns="test", values="gain", aggfunc=how, sort=False)
    return table.reindex(columns=[name for name in gains["test"].unique() if name in table])


def matrix_table(gains: pd.DataFrame) -> pd.DataFrame:
    """The matrix as text, mean ± standard deviation over training seeds, with the mean over unseen motion."""
    means, spread = matrix(gains), matrix(gains, "std").reindex(columns=matrix(gains).columns)
    cells = means.copy().astype(object)
    for test in means:
        for training in means.index:
            deviation = spread.at[training, test] if training in spread.index else np.nan
            cells.at[training, test] = _with_spread(means.at[training, test], deviation)
    unseen = carried(gains).groupby("training", sort=False)["gain"].agg(["mean", "std"])
    shown = [_with_spread(*unseen.loc[name]) if name in unseen.index else "–" for name in cells.index]
    cells.insert(0, "unseen motion", shown)
    return cells.rename(index=WORDS, columns=WORDS).rename_axis("Trained on").rename_axis(None, axis=1)


def carried(gains: pd.DataFrame) -> pd.DataFrame:
    """By `training` and `seed`: mean gain over the tests of motion that everyone is compared on.

    Motion of other kinds than the one trained on, cameras and the independent set: not what is no motion, not
    what is segmented, not sharp faces. A mixture is tested on all of them. Since each row leaves out another
    test, and some tests are easier, a gain is taken as the sum of what the training and what the test adds
    (least squares), and a row's mean is that over all tests.
    """
    apart = (*NOT_MOTION, *SEGMENTED, SHARP)
    part = gains[~gains["test"].isin(apart) & ~gains["training"].isin(NOT_MOTION)]
    own = part["test"] == part["training"].replace(dict.fromkeys(SEGMENTED, "line"))
    rows = []
    for seed, each in part[~own].groupby("seed"):
        trainings, tests = (pd.get_dummies(each[name], dtype=float) for name in ("training", "test"))
        sums = np.hstack([trainings, tests])
        parts = np.linalg.lstsq(sums, each["gain"], rcond=None)[0]
        added, easier = parts[: trainings.shape[1]], parts[trainings.shape[1] :].mean()
        rows += [(name, seed, value + easier) for name, value in zip(trainings, added, strict=True)]
    found = pd.DataFrame(rows, columns=["training", "seed", "gain"])
    order = {name: at for at, name in enumerate(gains["training"].unique())}
    return found.sort_values("training", key=lambda names: names.map(order), kind="stable", ignore_index=True)


@styled
def heat_map(gains: pd.DataFrame) -> Figure:
    """The matrix of gains as colours and numbers, at the width of the page; sharp faces are left out."""
    means = matrix(gains).drop(columns=SHARP, errors="ignore")
    rows, columns = means.shape
    fig, axis = plt.subplots(figsize=(WIDE, 1.5 + 0.17 * rows))
    write_gains(axis, axis.pcolormesh(means, **gain_colours(means.to_numpy())), ".1f")
    axis.set_xticks(np.arange(columns) + 0.5, [WORDS.get(name, name) for name in means], rotation=90)
    axis.set_yticks(np.arange(rows) + 0.5, [WORDS.get(name, name) for name in means.index])
    axis.invert_yaxis()
    axis.set_xlabel("tested on")
    axis.set_ylabel("trained on")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return fig


def sentences(gains: pd.DataFrame) -> str:
    """Which training blur carries furthest, and whether segmenting matters more or less than the kind."""
    far = carried(gains)
    seeds = far["seed"].nunique()
    mean = far.groupby("training", sort=False)["gain"].mean()
    spread = far.groupby("training", sort=False)["gain"].std()
    single = [name for name in mean.index if name in BLURS and name not in NOT_MOTION]
    said = []
    if single:
        best, worst = mean[single].idxmax(), mean[single].idxmin()
        line = (
            f"**Which training blur carries furthest?** Of single kinds of motion, *{WORDS[best]}*: "
            f"{_with_spread(mean[best], spread[best])} dB on motion that it was not trained on, against "
            f"{_with_spread(mean[worst], spread[worst])} dB for *{WORDS[worst]}*, the least"
        )
        mixed = [name for name in mean.index if name not in BLURS and name not in SEGMENTED]
        if mixed:
            parts = (f"*{WORDS[name]}* {_with_spread(mean[name], spread[name])} dB" for name in mixed)
            line += f"; of mixtures, which have seen part of what they are tested on, {', '.join(parts)}"
        said.append(f"{line}.")
    segmented = [name for name in SEGMENTED if name in mean.index]
    if segmented and "line" in mean.index and len(single) > 1:
        table = far.pivot(index="seed", columns="training", values="gain")
        losses = {name: table["line"] - table[name] for name in segmented}
        parts = ", ".join(
            f"*{WORDS[n]}* costs {_with_spread(e.mean(), e.std())} dB" for n, e in losses.items()
        )
        kinds = table[single].std(axis=1).mean()
        largest = max(each.mean() for each in losses.values())
        more = "more" if abs(largest) > kinds else "less"
        said.append(
            f"**Segmented blur or kind of blur?** Blurring a part instead of all of the training pictures "
            f"matters {more} than the kind of motion: against the line everywhere, {parts} on the same "
            f"tests, while among {len(single)} kinds of motion the standard deviation is {kinds:.2f} dB."
        )
    if {"line", "line_light"} <= set(mean.index) and CAMERAS & set(gains["test"]):
        said.append(_on_light(gains))
    if {"learnt", "five"} <= set(mean.index):
        said.append(_on_learning_to_blur(gains))
    unit = (
        "one training seed, so the spread between seeds is unknown"
        if seeds == 1
        else f"{seeds} training seeds"
    )
    said.append(
        f"The unit is the training seed ({unit}); all restorers are the same network after as many steps."
    )
    return " ".join(said)


def _on_light(gains: pd.DataFrame) -> str:
    """Lines in light against lines in stored values, on pictures of cameras and on the other motions."""
    motion = gains[~gains["test"].isin((*NOT_MOTION, *SEGMENTED, SHARP, "line", "line_light"))]
    motion = motion.assign(camera=motion["test"].isin(CAMERAS))
    by_kind = motion.groupby(["training", "camera", "seed"])["gain"]
    means = by_kind.mean().groupby(["training", "camera"]).agg(["mean", "std"])
    shown = {key: _with_spread(*means.loc[key]) for key in means.index}
    tests = " and ".join(WORDS[name] for name in gains["test"].unique() if name in CAMERAS)
    said = (
        f"**Light or stored values?** On pictures as cameras take them ({tests}) a restorer trained on lines "
        f"in light gains {shown['line_light', True]} dB, on lines in stored values {shown['line', True]} dB"
    )
    if ("line", False) in shown:
        others = f"{shown['line_light', False]} and {shown['line', False]}"
        said += f"; on other motion in stored values {others} dB"
    return f"{said}."


def _on_learning_to_blur(gains: pd.DataFrame) -> str:
    """Does a restorer gain more on blur that neither it nor the network that blurred for it has seen?"""
    apart = (*LEARNT_FROM, *NOT_MOTION, *SEGMENTED, SHARP)
    unseen = gains[~gains["test"].isin(apart)]
    table = unseen.pivot_table(index="seed", columns="training", values="gain")
    change = table["learnt"] - table["five"]
    word = "more" if change.mean() > 0 else "less"
    tests = ", ".join(WORDS.get(name, name) for name in unseen["test"].unique())
    return (
        f"**Does it help to learn how to blur?** On blur that neither has seen ({tests}), the restorer that "
        f"learnt from the network's pictures gains {abs(change.mean()):.2f} dB {word} than the one trained "
        "on the five kinds that the network learnt from (difference by seed "
        f"{_with_spread(change.mean(), change.std())} dB)."
    )


def _with_spread(mean: float, spread: float) -> str:
    shown = f"{mean:+.2f}".replace("-", "−")
    return shown if np.isnan(spread) else f"{shown} ± {spread:.2f}"
