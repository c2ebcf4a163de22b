"""Notebook 12: what the surveyed networks cost and gain in the same time."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation.scores import INPUT, split_seeds
from facedeblur_utils.models.networks import NETWORKS
from facedeblur_utils.reporting.figures import COLUMN, styled
from facedeblur_utils.reporting.tables import with_spread
from facedeblur_utils.training.experiments import ARCHITECTURES

WORDS = {"autoencoder": "autoencoder (thesis)", "gan": "GAN (thesis)", "restorer": "restorer (NAFNet)"}
REGIONS = {"SFB1": "whole", "SB1SD": "head", "SFB2": "whole", "SB2SM": "face"}  # where the blur is


def seed_gains(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean gain in PSNR (dB) where the blur is: columns network, seed, dataset, gain."""
    region = scores["dataset"].map(REGIONS)
    chosen = scores[(scores["metric"] == "psnr") & (scores["region"] == region)]
    means = chosen.groupby(["model", "dataset"], sort=False)["value"].mean().unstack()
    gains = (means - means.loc[INPUT]).drop(index=INPUT)
    long = gains.stack().rename("gain").reset_index()
    names, long["seed"] = split_seeds(long["model"])
    long["network"] = names.str.removeprefix(f"{ARCHITECTURES}_")
    return long[["network", "seed", "dataset", "gain"]]


def words(network: str) -> str:
    """What the table calls a network."""
    return NETWORKS[network].survey or WORDS[network]


def cost_table(gains: pd.DataFrame, facts: dict[str, dict], seconds: dict[str, float]) -> pd.DataFrame:
    """By network: parameters, multiply-adds, images/s of training, its seconds, and gain on each test set.

    `facts` are the runs' records, `seconds` those of the training loop for a seed, both by network. Gains are
    mean and standard deviation over seeds, as text.
    """
    rows = {}
    for network, fact in facts.items():
        role = next(iter(fact["parameters"]))  # the net that deblurs
        row = {
            "parameters (k)": fact["parameters"][role] / 1e3,
            "multiply-adds (M)": fact["multiply_adds"][role] / 1e6,
            "images/s": fact["images_per_s"],
            "training (s)": seconds[network],
        }
        own = gains[gains["network"] == network]
        for dataset in DATASETS:
            values = own.loc[own["dataset"] == dataset, "gain"]
            row[f"{dataset}, {REGIONS[dataset]} (dB)"] = with_spread(values, 2, "+")
        rows[words(network)] = row
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("Network")
    return table.round({"parameters (k)": 0, "multiply-adds (M)": 0, "images/s": 0, "training (s)": 0})


@styled
def cost_figure(gains: pd.DataFrame, facts: dict[str, dict]) -> Figure:
    """Mean gain over the four test sets against multiply-adds; a dot is a seed, numbered as in the legend."""
    fig, axis = plt.subplots(figsize=(COLUMN, 1.2 * COLUMN))
    costs = []
    by_seed = gains.groupby(["network", "seed"], sort=False)["gain"].mean()
    colours = plt.get_cmap("tab20").colors
    for number, (network, fact) in enumerate(facts.items()):
        values = by_seed.loc[network]
        cost = fact["multiply_adds"][next(iter(fact["multiply_adds"]))] / 1e6
        label = f"{number + 1} {words(network)}"
        axis.plot([cost] * len(values), values, "o", markersize=3, color=colours[number], label=label)
        offset = {"xytext": (8 * costs.count(cost), 3), "textcoords": "offset points", "ha": "center"}
        axis.annotate(str(number + 1), (cost, values.max()), **offset)
        costs.append(cost)  # the numbers of networks of the same cost stand beside each other
    axis.axhline(0, color="0.6", linewidth=0.6)
    axis.set(xscale="log", xlabel="multiply-adds of a picture (millions)", ylabel="mean gain (dB)")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
    axis.legend(handletextpad=0.1, labelspacing=0.2, **below)
    return fig


def sentences(gains: pd.DataFrame) -> str:
    """Which network gains most in the same time, and is it clearly ahead?"""
    by_seed = gains.groupby(["network", "seed"])["gain"].mean()
    means = by_seed.groupby("network").mean().sort_values(ascending=False)
    if len(means) < 2:
        return "Fewer than two networks were trained: nothing to compare."
    best, second = means.index[:2]
    seeds = by_seed.groupby("network").size().min()
    said = (
        f"**{words(best)}** gains most in the same time: {means[best]:+.2f} dB over the four test sets, "
        f"before {words(second)} ({means[second]:+.2f} dB)"
    )
    if seeds > 1:
        spread = by_seed.groupby("network").std(ddof=1)
        said += f"; standard deviations over {seeds} seeds are {spread[best]:.2f} and {spread[second]:.2f} dB"
    below = [words(name) for name in means.index if means[name] < 0]
    lines = [f"{said}."]
    if below:
        lines.append(f"Below their blurred input stay: {', '.join(below)}.")
    judged = [name for name in means.index if NETWORKS[name].judge and NETWORKS[name].survey]
    if judged and "restorer" in means.index:
        worse = ", ".join(f"{words(name)} {means[name] - means['restorer']:+.2f} dB" for name in judged)
        lines.append(f"With a discriminator, against the restorer alone: {worse}.")
    lines.append(
        "All are small, and trained for minutes: what holds for them need not hold for their papers'."
    )
    return "\n".join(f"- {line}" for line in lines)
