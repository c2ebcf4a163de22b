"""Tests the thesis's hypothesis: does training on segmented blur change PSNR and SSIM, image by image?"""

import numpy as np
import pandas as pd
from scipy import stats

from facedeblur_utils.data.datasets import DATASETS, PAIRS
from facedeblur_utils.evaluation.scores import split_seeds

LEVEL = 0.05  # of significance, after Holm's correction
RESAMPLES = 5000
METRICS = ("psnr", "ssim")
NETWORKS = {"A": "autoencoder", "G": "GAN"}  # those of the thesis, by the letter of their runs


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation in [-1, 1]: 1 where every difference is positive.

    Kerby 2014: the share of ranks in favour minus the share against; zeros are left out.
    """
    differences = differences[differences != 0]
    if not len(differences):
        return 0.0
    ranks = stats.rankdata(np.abs(differences))
    return float((ranks * np.sign(differences)).sum() / ranks.sum())


def wilcoxon(differences: np.ndarray) -> float:
    """Two-sided p of the Wilcoxon signed-rank test; 1 where all differences are zero."""
    if not np.any(differences):
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values, in the order given."""
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    result = np.empty_like(p_values)
    result[order] = np.minimum(adjusted, 1)
    return result


def bootstrap_interval(
    differences: np.ndarray, rng: np.random.Generator, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean over images, from `RESAMPLES` samples drawn with replacement."""
    if len(differences) < 2:  # nothing to draw from
        return (float(differences.mean()),) * 2
    how = {"n_resamples": RESAMPLES, "confidence_level": level, "method": "percentile", "rng": rng}
    return tuple(map(float, stats.bootstrap((differences,), np.mean, **how).confidence_interval))


def paired_differences(
    scores: pd.DataFrame, letter: str, pair: tuple[str, str], dataset: str, metric: str, region: str = "whole"
) -> pd.DataFrame:
    """Score of the model trained on the segmented set minus that of its twin: image x training seed."""
    chosen = scores[
        (scores["dataset"] == dataset) & (scores["metric"] == metric) & (scores["region"] == region)
    ]
    names, seeds = split_seeds(chosen["model"])
    table = chosen.assign(model=names, seed=seeds)
    wide = table.pivot(index="image_id", columns=["model", "seed"], values="value")
    return (wide[letter + pair[1]] - wide[letter + pair[0]]).dropna()


def test_hypothesis(scores: pd.DataFrame, seed: int, region: str = "whole") -> pd.DataFrame:
    """One row per network, dataset pair, test set and metric: difference, interval, test and verdict.

    `region` is one that every test set has: `whole`, `face` or `head`.

    The differences of an image are averaged over training seeds before they are tested. Holm's correction
    runs over all rows. `seeds_agreeing` counts the training seeds whose mean difference has the sign of all.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for metric in METRICS:
        for letter, network in NETWORKS.items():
            for pair in PAIRS:
                for dataset in DATASETS:
                    table = paired_differences(scores, letter, pair, dataset, metric, region)
                    by_image, by_seed = table.mean(axis=1).to_numpy(), table.mean(axis=0)
                    low, high = bootstrap_interval(by_image, rng)
                    rows.append(
                        {
                            "metric": metric,
                            "network": network,
                            "compared": f"{letter}{pair[1]} - {letter}{pair[0]}",
                            "test set": dataset,
                            "images": len(by_image),
                            "difference": by_image.mean(),
                            "low": low,
                            "high": high,
                            "effect": rank_biserial(by_image),
                            "p": wilcoxon(by_image),
                            "seeds": len(by_seed),
                            "seeds_agreeing": int((np.sign(by_seed) == np.sign(by_image.mean())).sum()),
                        }
                    )
    table = pd.DataFrame(rows)
    table["p (Holm)"] = holm(table["p"])
    table["verdict"] = [
        verdict(p, mean) for p, mean in zip(table["p (Holm)"], table["difference"], strict=True)
    ]
    return table


test_hypothesis.__test__ = False  # its name is not a test of pytest's


def verdict(p: float, difference: float) -> str:
    """H0: no difference between the two training sets. H1: there is one."""
    if p >= LEVEL:
        return "H0 kept"
    return "H1, segmented better" if difference > 0 else "H1, segmented worse"


def p_text(p: float) -> str:
    """A p value for print; empty where there is none."""
    if np.isnan(p):
        return ""
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def print_table(tests: pd.DataFrame, spread: pd.Series) -> pd.DataFrame:
    """The tests in the form for print: short columns, p values as text.

    `spread` is that of `contrasts.spread_within`, and stands beside every difference.
    """
    return pd.DataFrame(
        {
            "Metric": tests["metric"].str.upper(),
            "Compared": tests["compared"],
            "Test set": tests["test set"],
            "n": tests["images"],
            "Seeds alike": [f"{row.seeds_agreeing} of {row.seeds}" for row in tests.itertuples()],
            "Difference": tests["difference"],
            "Low": tests["low"],
            "High": tests["high"],
            "In a run": spread.reindex(zip(tests["metric"], tests["network"], strict=True)).to_numpy(),
            "Effect": tests["effect"],
            "p (Holm)": [p_text(p) for p in tests["p (Holm)"]],
            "Verdict": tests["verdict"],
        }
    )
