"""Tables 4.1, 4.2 and 5.1 to 5.5 in the thesis's form, made from scores.csv and the runs' own records."""

import numpy as np
import pandas as pd

from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.evaluation.blind_pictures import BLIND_ROW, REFINED_ROW
from facedeblur_utils.evaluation.recognition_scores import MIRRORED
from facedeblur_utils.evaluation.scores import BEST, INPUT, LAST, PHYSICS, SHARP, split_seeds
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting.tables import training_seeds
from facedeblur_utils.training import trained
from facedeblur_utils.training.experiments import MODELS

BUDGET = ("ASFB2", "GSFB2", "NSFB2")  # one network of each kind, trained on the same data
INPUT_LABEL = "Blurred input"
MIRRORED_LABEL = "Sharp face, mirrored"
REFERENCE_LABELS = {  # the first three are told the kernel, two of them not how the blur treats borders
    "Wiener": "Wiener (approximate border)",
    "RichardsonLucy": "Richardson–Lucy (approximate border)",
    PHYSICS: "Physics (knows the kernel)",
    BLIND_ROW: "Physics (blind)",
    REFINED_ROW: "Physics (blind, refined)",
}
PAIR_TABLES = {  # table -> (test set blurred everywhere, test set blurred in the mask, name of the mask)
    "table_5_1": ("SFB1", "SB1SD", "DeepLabV3 segmentation"),
    "table_5_2": ("SFB2", "SB2SM", "MediaPipe segmentation"),
}
NETWORK_LABELS = {"autoencoder": "Autoencoder", "gan": "GAN", "restorer": "Restorer"}
LABELS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ssim_region": "SSIM (region)",
    "ms_ssim": "MS-SSIM",
    "vif": "VIF",
    "gmsd": "GMSD",
    "lpips": "LPIPS",
    "face_found": "Found",
    "landmark_error": "NME",
}
METRICS = ("psnr", "ssim")  # of Tables 5.4 and 5.5; a further name of scores.csv is a further column
LOWER_IS_BETTER = {"GMSD", "LPIPS", "NME", "EER (%)"}
EPOCH_MODELS = {
    "GSFB2_50": "GSFB2",
    "GSFB2_25": "GSFB2_25",
    "GSFB2_100": "GSFB2_100",
    "GSFB2_20": "GSFB2_20",
    "GSFB2 (best epoch)": BEST,
}
EXTRA_MODELS = [name for name in EPOCH_MODELS.values() if name not in MODELS]


def mean_scores(scores: pd.DataFrame, region: str = "whole", names=METRICS) -> pd.DataFrame:
    """Means over the images of a region: model x (dataset, metric), metrics under their `LABELS`.

    Where a model was trained with several seeds, the mean is over the images of all of them.
    """
    chosen = scores[(scores["region"] == region) & scores["metric"].isin(names)]
    chosen = chosen.assign(model=split_seeds(chosen["model"])[0])
    means = chosen.pivot_table(index="model", columns=["dataset", "metric"], values="value", dropna=False)
    means = means[[(dataset, name) for dataset in DATASETS for name in names]]
    return means.rename(columns=LABELS, level=1).rename_axis(columns=[None, None])


def seeds_words(scores: pd.DataFrame, names=METRICS) -> str:
    """For captions: over how many training seeds the means of the metrics `names` are."""
    trained = scores[scores["metric"].isin(names)]["model"]
    count = split_seeds(trained)[1].nunique()
    return ("means over " if count > 1 else "") + training_seeds(count)


def table_5_4(scores: pd.DataFrame, region: str = "whole", names=METRICS) -> pd.DataFrame:
    """Rows: the blurred input and the eight models; columns: the metrics `names` on the four test sets."""
    table = mean_scores(scores, region, names).loc[[INPUT, *MODELS]].rename({INPUT: INPUT_LABEL})
    return table.rename_axis("Autoencoder (A) GAN (G)")


def table_5_5(scores: pd.DataFrame, region: str = "whole") -> pd.DataFrame:
    """Rows: the blurred input and GSFB2 after other numbers of epochs and on mixed data."""
    means = mean_scores(scores, region).loc[[INPUT, *EPOCH_MODELS.values()]]
    means.index = pd.Index([INPUT_LABEL, *EPOCH_MODELS], name="Models")
    return means


def pair_table(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """Table 5.1 or 5.2: each network on the test set that belongs to its own training set."""
    full, masked, segmentation = PAIR_TABLES[name]
    means = mean_scores(scores)
    heads = {full: "No segmentation", masked: segmentation}
    rows = {INPUT_LABEL: {dataset: INPUT for dataset in heads}}
    rows |= {
        label: {dataset: letter + dataset for dataset in heads}
        for label, letter in (("Autoencoder", "A"), ("GAN", "G"))
    }
    values = {
        label: {
            (heads[dataset], metric): means.loc[model, (dataset, metric)]
            for dataset, model in models.items()
            for metric in ("PSNR", "SSIM")
        }
        for label, models in rows.items()
    }
    return pd.DataFrame.from_dict(values, orient="index").rename_axis("Model name")


def score_table(scores: pd.DataFrame, names: tuple[str, ...], region: str = "whole") -> pd.DataFrame:
    """Like Table 5.4 with other metrics or another region, and with rows of references and checkpoints.

    Scores made before there was a reference are shown without it. Where networks have the running mean of
    their weights, those of the last step stand below.
    """
    means = mean_scores(scores, region, names)
    labels = {INPUT: INPUT_LABEL} | REFERENCE_LABELS | dict(zip(MODELS, MODELS, strict=True))
    labels |= {name + LAST: f"{name} (last step)" for name in MODELS} | {name: name for name in EXTRA_MODELS}
    known = [name for name in labels if name in means.index]
    return means.loc[known].rename(labels).rename_axis("Model")


def gain_table(scores: pd.DataFrame, region: str = "whole") -> pd.DataFrame:
    """PSNR and SSIM of every model minus those of the blurred input: below zero, it made images worse."""
    table = score_table(scores, ("psnr", "ssim"), region)
    return table.drop(index=INPUT_LABEL) - table.loc[INPUT_LABEL]


def seed_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over whole images, (model, training seed) x (dataset, metric): PSNR and SSIM."""
    chosen = scores[(scores["region"] == "whole") & scores["metric"].isin(METRICS)]
    names, seeds = split_seeds(chosen["model"])
    return chosen.assign(model=names, seed=seeds).pivot_table(
        index=["model", "seed"], columns=["dataset", "metric"], values="value"
    )


def seed_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over training seeds of each model's mean score, as text `mean ± sd`."""
    by_seed = seed_means(scores)
    means, deviations = by_seed.groupby("model").mean(), by_seed.groupby("model").std(ddof=1)
    text = means.copy().astype(object)
    for column in means:
        decimals = 2 if column[1] == "psnr" else 4
        text[column] = [
            f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"
            for mean, deviation in zip(means[column], deviations[column], strict=True)
        ]
    text = text.loc[MODELS, [(dataset, name) for dataset in DATASETS for name in METRICS]]
    return text.rename(columns=str.upper).rename_axis("Model").rename_axis(columns=[None, None])


def best_cells(
    table: pd.DataFrame, decimals: int = 4, skip: tuple[str, ...] = (INPUT_LABEL,)
) -> pd.DataFrame:
    """True for the best cells of each column among the rows not in `skip`.

    All cells that print as the same number as the best one share it. Metrics in `LOWER_IS_BETTER` count
    downwards.
    """
    shown = table.round(decimals)
    candidates = shown.drop(index=[row for row in skip if row in shown.index])
    down = [label[-1] in LOWER_IS_BETTER for label in shown.columns]
    best = candidates.max().where(~np.array(down), candidates.min())
    return shown.eq(best) & ~shown.index.isin(skip)[:, None]


def training_table(facts: dict[str, dict]) -> pd.DataFrame:
    """Table 4.1 or 4.2: parameter and value, as the runs of one network recorded them.

    `facts` maps run names to their records (`training.run_facts`). Where runs differ all values are listed.
    The thesis's own rows come first.
    """
    rows = {}
    for record in facts.values():
        for parameter, value in _training_rows(record).items():
            values = rows.setdefault(parameter, [])
            if value not in values:
                values.append(value)
    table = [(parameter, "; ".join(values)) for parameter, values in rows.items()]
    return pd.DataFrame(table, columns=["Parameter", "Value"])


def _training_rows(record: dict) -> dict[str, str]:
    """One run's record as the lines of its table, all text."""
    rows = {
        "Learning rate": f"{record['learning_rate']:g}",
        "Batch size": str(record["batch_size"]),
        "Optimizer": record["optimizer"],
    }
    weights = record["loss_weights"]
    if record["network"] == "autoencoder":
        rows["Criterion"] = f"Combined loss ({_weighted(weights)})"
    else:
        rows["Generator Loss"] = _weighted(weights)
        rows["Discriminator Loss"] = "Binary cross entropy (on logits)"
    rows["Maximum epoch"] = str(record["epochs"])
    rows["Image size"] = f"{record['image_size']} × {record['image_size']} pixels"
    for net, count in record["parameters"].items():
        rows[f"Parameters ({net})"] = f"{count:,}".replace(",", " ")
    for net, count in record["multiply_adds"].items():
        rows[f"Multiply-adds per image ({net})"] = f"{count / 1e9:.3f} G"
    if record["vgg"]:
        rows["VGG19 weights of the perceptual loss"] = record["vgg"]
    if record["network"] == "gan":
        rows["Normalisation in the generator"] = record["norm"]
    rows["Precision"] = f"{record['precision']} on {record['device']}"
    return rows


def _weighted(weights: dict[str, float]) -> str:
    """`{"mse": 1, "perceptual": 0.001}` -> `mse + 0.001 × perceptual`."""
    return " + ".join(name if weight == 1 else f"{weight:g} × {name}" for name, weight in weights.items())


def mean_table(scores: pd.DataFrame, metric: str, region: str = "whole") -> pd.DataFrame:
    """Means over the images: models by data set. Infinite PSNR (an untouched picture) counts as missing."""
    chosen = scores[(scores["metric"] == metric) & (scores["region"] == region)]
    chosen = chosen.assign(value=chosen["value"].replace(np.inf, np.nan))
    return chosen.pivot_table(index="model", columns="dataset", values="value", sort=False, dropna=False)


def cross_table(scores: pd.DataFrame) -> pd.DataFrame:
    """PSNR, SSIM and the gain in PSNR over the input of every model on the four test sets."""
    psnr, ssim = (mean_table(scores, metric)[list(DATASETS)] for metric in ("psnr", "ssim"))
    gain = psnr - psnr.loc[INPUT]
    parts = {
        (dataset, head): table[dataset]
        for dataset in DATASETS
        for head, table in (("PSNR", psnr), ("gain", gain), ("SSIM", ssim))
    }
    return pd.DataFrame(parts).rename_axis("Model").rename({INPUT: INPUT_LABEL})


def region_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Gain in PSNR over the input where the blur is: the whole image, the head, the face."""
    regions = {"SFB1": "whole", "SB1SD": "head", "SFB2": "whole", "SB2SM": "face"}
    gains = {}
    for dataset, region in regions.items():
        psnr = mean_table(scores, "psnr", region)[dataset]
        gains[f"{dataset}, {region}"] = psnr - psnr[INPUT]
    return pd.DataFrame(gains).drop(index=INPUT).rename_axis("Model")


def recognition_table(scores: pd.DataFrame, metrics: dict[str, str]) -> pd.DataFrame:
    """Scores of `evaluation.recognition_scores` in percent: models in rows, test set and score in columns.

    `metrics` maps names of scores to their heads. Without scores the table has no row.
    """
    parts = {
        (dataset, head): 100
        * scores[(scores["dataset"] == dataset) & (scores["metric"] == metric)].set_index("model")["value"]
        for dataset in DATASETS
        for metric, head in metrics.items()
    }
    table = pd.DataFrame(parts).rename_axis("Model")
    return table.reindex(scores["model"].unique()).rename({INPUT: INPUT_LABEL, MIRRORED: MIRRORED_LABEL})


def harm_table(scores: pd.DataFrame) -> pd.DataFrame:
    """PSNR of the output against the input where nothing was blurred: higher is less harm."""
    background, whole = mean_table(scores, "psnr", "background"), mean_table(scores, "psnr")
    harm = pd.DataFrame(
        {
            "sharp face": whole[SHARP],
            "background of SB1SD": background["SB1SD"],
            "background of SB2SM": background["SB2SM"],
        }
    )
    return harm.drop(index=INPUT).rename_axis("Model")


def budget_table(scores: pd.DataFrame, paths: RunPaths, dataset: str = "SFB2") -> pd.DataFrame:
    """One network of each kind on `dataset`: its size, what its training took, and what it reached."""
    means = {
        head: mean_table(scores, metric, region)[dataset]
        for head, metric, region in (
            ("PSNR whole", "psnr", "whole"),
            ("PSNR face", "psnr", "face"),
            ("PSNR head", "psnr", "head"),
            ("SSIM whole", "ssim", "whole"),
            ("landmark error", "landmark_error", "whole"),
        )
    }
    rows = {}
    for name in [name for name in BUDGET if name in set(scores["model"])]:
        facts, history = trained.run_facts(paths, name), trained.read_history(paths, name)
        images = len(face_pairs.open_pairs(paths, dataset, "train")) * len(history)
        rows[NETWORK_LABELS[facts["network"]]] = {
            "param. (M)": sum(facts["parameters"].values()) / 1e6,
            "MACs (G)": next(iter(facts["multiply_adds"].values())) / 1e9,
            "images (k)": images / 1e3,
            "seconds": round(float(history["seconds"].sum())),
            **{head: mean[name] for head, mean in means.items()},
        }
    rows[INPUT_LABEL] = {head: mean[INPUT] for head, mean in means.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Network")
