"""The study's declared contrasts: is training on segmented blur better inside the face, over training seeds?

A network trained again from another seed is another network, and checkpoints of one training differ by
tenths of a decibel. So the unit is the seed: the difference of a pair of networks is averaged over test faces
within a seed, and interval and tests run over seeds. Eight contrasts were declared before the study was run
with several seeds; every other comparison in the study is descriptive.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from facedeblur_utils.data.datasets import PAIRS
from facedeblur_utils.evaluation.statistics import (
    LEVEL,
    METRICS,
    NETWORKS,
    holm,
    p_text,
    paired_differences,
)

EQUAL = 0.25  # dB: less counts as no difference
REGION, METRIC = "face", "psnr"
SAME = 1e-9  # differences that rounding alone makes
FEWEST = 2  # seeds from which an interval can be had


@dataclass(frozen=True)
class Contrast:
    """PSNR inside the face: of the network trained on `segmented`, minus that of its twin on `whole`."""

    letter: str
    whole: str
    segmented: str
    dataset: str  # on whose test faces

    def __str__(self) -> str:
        return f"{self.letter}{self.segmented} - {self.letter}{self.whole}"


CONTRASTS = tuple(
    Contrast(letter, whole, segmented, dataset)
    for letter in NETWORKS
    for whole, segmented in PAIRS
    for dataset in (whole, segmented)
)


def test_contrasts(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per declared contrast, from `scores` as `evaluate_all` gives them.

    Columns: network, compared, test set, seeds, difference (dB, mean over seeds of the means over images),
    low and high (95 % t interval over seeds), p (two-sided t test), p (Holm), p (equal) (two one-sided tests
    that the difference lies within ±`EQUAL` dB, Holm over the contrasts too), verdict. With fewer than two
    seeds there is no interval and no verdict.
    """
    rows = []
    for contrast in CONTRASTS:
        pair = (contrast.whole, contrast.segmented)
        table = paired_differences(scores, contrast.letter, pair, contrast.dataset, METRIC, REGION)
        by_seed = table.mean(axis=0).to_numpy()
        rows.append(
            {
                "network": NETWORKS[contrast.letter],
                "compared": str(contrast),
                "test set": contrast.dataset,
                "images": len(table),
                "seeds": len(by_seed),
                "difference": by_seed.mean(),
                **over_seeds(by_seed),
            }
        )
    table = pd.DataFrame(rows)
    if (table["seeds"] >= FEWEST).all():  # all are of the same seeds
        table["p (Holm)"], table["p (equal)"] = holm(table["p"]), holm(table["p (equal)"])
    else:
        table["p (Holm)"] = np.nan
    table["verdict"] = [_verdict(row) for row in table.to_dict("records")]
    return table


test_contrasts.__test__ = False  # its name is not a test of pytest's


def over_seeds(differences: np.ndarray) -> dict[str, float]:
    """`low` and `high` of the mean of (S,) differences, `p` that it is 0, `p (equal)` that it is as large as
    `EQUAL` in either direction; NaN each with fewer than two seeds."""
    if len(differences) < FEWEST:
        return dict.fromkeys(("low", "high", "p", "p (equal)"), float("nan"))
    if np.ptp(differences) < SAME:  # no spread, no test
        mean = float(differences.mean())
        return {
            "low": mean,
            "high": mean,
            "p": float(abs(mean) < SAME),
            "p (equal)": float(abs(mean) >= EQUAL),
        }
    test = stats.ttest_1samp(differences, 0)
    low, high = test.confidence_interval(0.95)
    above = stats.ttest_1samp(differences, -EQUAL, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, EQUAL, alternative="less").pvalue
    return {"low": low, "high": high, "p": test.pvalue, "p (equal)": max(above, below)}


def mean_effect(scores: pd.DataFrame, datasets: Iterable[str], region: str) -> np.ndarray:
    """PSNR of networks trained on segmented blur minus that of their twins, dB: (S,), one value a seed.

    The mean over both networks, both pairs and the test sets `datasets`.
    """
    differences = [
        paired_differences(scores, letter, pair, dataset, METRIC, region).mean(axis=0)
        for letter in NETWORKS
        for pair in PAIRS
        for dataset in datasets
    ]
    return np.mean(differences, axis=0)


def interval_text(by_seed: np.ndarray) -> str:
    """Mean and 95 % t interval over training seeds of (S,) differences in dB; of one seed its value alone."""
    said = f"{by_seed.mean():+.2f} dB"
    found = over_seeds(by_seed)
    return said if len(by_seed) < FEWEST else f"{said} ({found['low']:+.2f} to {found['high']:+.2f})"


def _verdict(row: dict) -> str:
    if row["seeds"] < FEWEST:
        return "open: one seed"
    said = []
    if row["p (Holm)"] < LEVEL:
        said.append("segmented better" if row["difference"] > 0 else "segmented worse")
    if row["p (equal)"] < LEVEL:
        said.append(f"within {EQUAL} dB")
    return ", ".join(said) or "open"


def spread_within(histories: dict[tuple[str, int], pd.DataFrame], epochs: int = 10) -> pd.Series:
    """By (metric, network), the standard deviation of a validation score over a training's last `epochs`.

    `histories` by run name and seed; the mean over runs and seeds. PSNR in dB. What a difference is to be
    held against: it comes from when the training stopped, and from nothing else.
    """
    rows = [
        (metric, NETWORKS[name[0]], history[f"val_{metric}"].tail(epochs).std(ddof=1))
        for (name, _), history in histories.items()
        if name[0] in NETWORKS
        for metric in METRICS
    ]
    table = pd.DataFrame(rows, columns=["metric", "network", "spread"])
    return table.groupby(["metric", "network"])["spread"].mean()


def print_table(table: pd.DataFrame, spread: pd.Series) -> pd.DataFrame:
    """The contrasts in the form for print: short columns, p values as text.

    `spread` (`spread_within`) stands beside every difference.
    """
    return pd.DataFrame(
        {
            "Compared": table["compared"],
            "Test set": table["test set"],
            "Seeds": table["seeds"],
            "Difference (dB)": table["difference"],
            "Low": table["low"],
            "High": table["high"],
            "In a run": spread.reindex([(METRIC, network) for network in table["network"]]).to_numpy(),
            "p (Holm)": [p_text(value) for value in table["p (Holm)"]],
            "p (equal)": [p_text(value) for value in table["p (equal)"]],
            "Verdict": table["verdict"],
        }
    )
