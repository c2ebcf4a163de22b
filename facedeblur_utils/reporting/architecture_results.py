"""Notebook 12: what the surveyed networks cost and gain in the same time."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation.scores import INPUT, split_seeds
from facedeblur_utils.models import cost
from facedeblur_utils.models.networks import NETWORKS, build
from facedeblur_utils.profiles import Profile
from facedeblur_utils.reporting.figures import COLUMN, styled
from facedeblur_utils.reporting.tables import with_spread
from facedeblur_utils.training.experiments import ARCHITECTURES

WORDS = {"autoencoder": "autoencoder (thesis)", "gan": "GAN (thesis)", "restorer": "restorer (NAFNet)"}
PARAMETERS, ADDS = "parameters (k)", "multiply-adds (M)"
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


def costs(profile: Profile) -> pd.DataFrame:
    """Parameters (thousands) and multiply-adds of a picture (millions) of the profile's `architectures`.

    Of the net that deblurs; a discriminator costs nothing when the network is used.
    """
    rows = {}
    for name in profile.architectures:
        row = NETWORKS[name]
        net = next(iter(build(name, row.width_in(profile), **row.options_in(profile)).values()))
        adds = cost.multiply_adds(net, profile.image_size)
        rows[name] = {PARAMETERS: cost.count_parameters(net) / 1e3, ADDS: adds / 1e6}
    return pd.DataFrame.from_dict(rows, orient="index", columns=[PARAMETERS, ADDS])


def cost_table(gains: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """By network: its `costs`, and gain on each test set, mean and standard deviation over seeds as text."""
    rows = {}
    for network, spent in costs.round().iterrows():
        row = dict(spent)
        own = gains[gains["network"] == network]
        for dataset in DATASETS:
            values = own.loc[own["dataset"] == dataset, "gain"]
            row[f"{dataset}, {REGIONS[dataset]} (dB)"] = with_spread(values, 2, "+")
        rows[words(network)] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Network")


@styled
def cost_figure(gains: pd.DataFrame, costs: pd.DataFrame) -> Figure:
    """Mean gain over the four test sets against multiply-adds; a dot is a seed, numbered as in the legend."""
    fig, axis = plt.subplots(figsize=(COLUMN, 1.2 * COLUMN))
    placed = []
    by_seed = gains.groupby(["network", "seed"], sort=False)["gain"].mean()
    colours = plt.get_cmap("tab20").colors
    for number, (network, adds) in enumerate(costs[ADDS].items()):
        values = by_seed.loc[network]
        label = f"{number + 1} {words(network)}"
        axis.plot([adds] * len(values), values, "o", markersize=3, color=colours[number], label=label)
        offset = {"xytext": (8 * placed.count(adds), 3), "textcoords": "offset points", "ha": "center"}
        axis.annotate(str(number + 1), (adds, values.max()), **offset)
        placed.append(adds)  # the numbers of networks of the same cost stand beside each other
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
