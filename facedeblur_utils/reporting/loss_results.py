"""Notebook 11: what each loss brings, over training seeds, and whether Table 2.9 foresaw it."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from facedeblur_utils.evaluation.contrasts import over_seeds
from facedeblur_utils.evaluation.scores import INPUT
from facedeblur_utils.evaluation.statistics import LEVEL
from facedeblur_utils.reporting.figures import COLUMN, legend_above, styled
from facedeblur_utils.reporting.tables import with_spread
from facedeblur_utils.training.experiments import PIXELS

HEADS = {  # metric -> its column; those of which less is better are marked
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "face_psnr": "face (dB)",
    "landmark_error": "NME (%) ↓",
    "distance": "distance ↓",
    "equal_error_rate": "EER (%) ↓",
    "true_accepts": "TA (%)",
    "rank_one": "rank 1 (%)",
    "brisque": "BRISQUE ↓",
    "niqe": "NIQE-faces ↓",
}
PERCENT = ("landmark_error", "equal_error_rate", "true_accepts", "rank_one")
DECIMALS = {"ssim": 3, "distance": 3, "landmark_error": 2, "psnr": 2, "face_psnr": 2, "niqe": 2}  # else 1
NETWORKS = {"A": "Autoencoder", "N": "Restorer"}
# Term -> the loss of Table 2.9 that it stands for.
ROWS = {
    "mse": 1, "l1": 2, "perceptual": 3, "adversarial": 4, "relativistic": 5, "local_structure": 6,
    "optical_flow": 7, "heatmap": 8, "identity": 9, "unsupervised": 10, "landmark": 11,
    "facial_structure": 12,
}  # fmt: skip
RATING = {"Low": 0, "Medium": 1, "High": 2}
AIMS = {  # term -> the score that it is made for
    "landmark": "landmark_error", "heatmap": "landmark_error", "identity": "distance", "ssim": "ssim",
    "facial_structure": "face_psnr",
}  # fmt: skip
BETTER_BELOW = ("landmark_error", "distance", "equal_error_rate", "brisque", "niqe")


def words(name: str) -> str:
    """`N_plus_landmark` -> `l1 + landmark`."""
    letter, _, loss = name.partition("_")
    added = loss.removeprefix("plus_")
    term = added.replace("_", " ")
    return f"{PIXELS[letter]} + {term}" if added != loss else term


def loss_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds, as text: networks and losses in rows, scores in columns."""
    rows = {("", "Blurred input"): _cells(scores[scores["loss"] == INPUT])}
    trained = scores[scores["loss"] != INPUT]
    for name in trained["loss"].unique():
        rows[NETWORKS[name[0]], words(name)] = _cells(trained[trained["loss"] == name])
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(rows, names=["Network", "Loss"])
    return table


def _cells(scores: pd.DataFrame) -> dict[str, str]:
    cells = {}
    for metric, head in HEADS.items():
        values = scores.loc[scores["metric"] == metric, "value"].to_numpy(float)
        values = values * 100 if metric in PERCENT else values
        if not len(values):
            continue
        digits = DECIMALS.get(metric, 1)
        cells[head] = with_spread(values, digits)
    return cells


def differences(scores: pd.DataFrame) -> pd.DataFrame:
    """What each added term changes: by network, term, metric and seed, against the pixels' term alone.

    Columns: network, term, metric, seed, value; positive is better for every metric.
    """
    wide = scores.pivot(index=["loss", "seed"], columns="metric", values="value")
    rows = []
    for name in wide.index.get_level_values("loss").unique():
        letter, _, term = name.partition("_plus_")
        base = f"{letter}_{PIXELS.get(letter, '')}"
        if not term or base not in wide.index.get_level_values("loss"):
            continue
        change = (wide.loc[name] - wide.loc[base]).stack()
        for (seed, metric), value in change.items():
            rows.append((letter, term, metric, seed, -value if metric in BETTER_BELOW else value))
    return pd.DataFrame(rows, columns=["network", "term", "metric", "seed", "value"])


def change_table(scores: pd.DataFrame) -> pd.DataFrame:
    """By term: PSNR of the restorer trained on it alone, and what adding it changes, as text over seeds.

    Columns: `alone (dB)`, then for each network the changes of PSNR, NME and distance; positive is better.
    """
    alone = scores[scores["metric"] == "psnr"].set_index("loss")["value"]
    changes = differences(scores).set_index(["network", "metric", "term"])["value"].sort_index()
    rows = {}
    for term in ROWS:
        name = f"N_{term}"
        row = {"alone (dB)": with_spread(alone[[name]].to_numpy(float), 2) if name in alone.index else ""}
        for letter in NETWORKS:
            for metric, digits in (("psnr", 2), ("landmark_error", 2), ("distance", 3)):
                key, factor = (letter, metric, term), 100 if metric in PERCENT else 1
                found = factor * changes[[key]].to_numpy(float) if key in changes.index else []
                row[f"{letter}: {_name(metric)}"] = with_spread(found, digits, "+") if len(found) else ""
        rows[term.replace("_", " ")] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Term")


@styled
def change_figure(changes: pd.DataFrame) -> Figure:
    """Each added term's change of landmark error, distance to the own face and PSNR; a dot is a seed."""
    metrics = [name for name in ("psnr", "landmark_error", "distance") if name in set(changes["metric"])]
    labels = {"psnr": "PSNR gained (dB)", "landmark_error": "NME less (points)", "distance": "distance less"}
    terms = list(dict.fromkeys(changes["term"]))
    fig, axes = plt.subplots(
        len(metrics), 1, figsize=(COLUMN, 0.5 + 1.25 * len(metrics)), sharex=True, squeeze=False
    )
    for axis, metric in zip(axes[:, 0], metrics, strict=True):
        axis.axhline(0, color="0.6", linewidth=0.6)
        for letter, marker, shift in (("A", "o", -0.15), ("N", "s", 0.15)):
            part = changes[(changes["metric"] == metric) & (changes["network"] == letter)]
            if len(part):
                places = part["term"].map(terms.index) + shift
                factor = 100 if metric in PERCENT else 1
                axis.plot(places, factor * part["value"], marker, markersize=3, label=NETWORKS[letter])
        axis.set_ylabel(labels[metric])
    axes[-1, 0].set_xticks(
        range(len(terms)), [term.replace("_", " ") for term in terms], rotation=60, ha="right"
    )
    axes[-1, 0].set_xlim(-0.5, len(terms) - 0.5)
    legend_above(axes[0, 0], ncols=2)
    return fig


def sentences(scores: pd.DataFrame, table: pd.DataFrame) -> str:
    """Does each loss do what it is for, and does the column on facial details of Table 2.9, `table`, hold?"""
    changes = differences(scores)
    lines = []
    for term, metric in AIMS.items():
        for letter, network in NETWORKS.items():
            found = _change(changes, letter, term, metric)
            if found is not None:
                lines.append(_on_aim(term, metric, network, found))
    lines.append(_on_table(changes, table.set_index("number")["detail"]))
    lines.append(
        "The face embedding that scores is the one that the identity loss was trained with, which makes its "
        "gain an upper bound. MediaPipe, which scores landmarks, taught the network of the landmark losses."
    )
    return "\n".join(f"- {line}" for line in lines if line)


def _change(changes: pd.DataFrame, letter: str, term: str, metric: str) -> np.ndarray | None:
    part = changes[(changes["network"] == letter) & (changes["term"] == term) & (changes["metric"] == metric)]
    return part["value"].to_numpy(float) if len(part) else None


def _on_aim(term: str, metric: str, network: str, found: np.ndarray) -> str:
    factor, unit = (100, " points") if metric in PERCENT else (1, " dB" if metric.endswith("psnr") else "")
    mean = factor * found.mean()
    if len(found) > 1:
        spread = factor * found.std(ddof=1)
        clear = over_seeds(found)["p"] < LEVEL
        verdict = ("better" if mean > 0 else "worse") if clear else "no clear change"
        said = f"{mean:+.3f} ± {spread:.3f}{unit} over {len(found)} seeds"
    else:
        verdict, said = ("better" if mean > 0 else "worse"), f"{mean:+.3f}{unit}, one seed"
    name = term.replace("_", " ")
    return f"**{name}** added, {network.lower()}: {_name(metric)} {verdict} ({said}; positive is better)."


def _name(metric: str) -> str:
    """The score's name without its unit and arrow."""
    return HEADS[metric].removesuffix(" ↓").partition(" (")[0]


def _on_table(changes: pd.DataFrame, details: pd.Series) -> str:
    """Rank correlation of Table 2.9's ratings `details`, by row, with what the added terms change."""
    rated = {term: RATING[details[row]] for term, row in ROWS.items()}
    lines = []
    for letter, network in NETWORKS.items():
        for metric in ("landmark_error", "distance"):
            part = changes[(changes["network"] == letter) & (changes["metric"] == metric)]
            means = part.groupby("term")["value"].mean()
            means = means[means.index.isin(rated)]
            if len(means) < 4 or means.nunique() < 2:
                continue
            ratings = pd.Series({term: rated[term] for term in means.index})
            rank = means.corr(ratings, method="spearman")
            lines.append(f"{rank:+.2f} with {_name(metric)} ({network.lower()})")
    if not lines:
        return ""
    return (
        "**Table 2.9's column on facial details**: rank correlation of its ratings (low, medium, high) with "
        f"what the added terms change: {', '.join(lines)}; +1 would confirm it, 0 says nothing."
    )
