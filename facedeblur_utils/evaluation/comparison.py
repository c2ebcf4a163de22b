"""The modern restorer beside the thesis's networks: same data, same scores, same budget (notebook 07)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from facedeblur_utils.data import face_pairs
from facedeblur_utils.data.segmentation import open_landmarker
from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation.scores import (
    COLUMNS,
    DECIMALS,
    INPUT,
    network_restorer,
    score_images,
    score_pairs,
)
from facedeblur_utils.metrics.tasks import TaskScores
from facedeblur_utils.models.apply import restore
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting.curves import read_history
from facedeblur_utils.reporting.figures import COLOURS, COLUMN, LINES, MARKERS, WIDE
from facedeblur_utils.reporting.tables import write_text
from facedeblur_utils.training import experiments, loops

SHARP = "sharp"  # the test faces without any blur, as a data set of their own
BUDGET = ("ASFB2", "GSFB2", "NSFB2")  # one network of each kind, trained on the same data
LABELS = {"autoencoder": "Autoencoder", "gan": "GAN", "restorer": "Restorer"}


class SharpPairs:
    """The sharp faces of `pairs` on both sides: what does a network do to a picture without blur?"""

    def __init__(self, pairs: face_pairs.FacePairs):
        self.name, self.split, self.image_ids, self.size = SHARP, pairs.split, pairs.image_ids, pairs.size
        self.face_masks, self.head_masks = pairs.face_masks, pairs.head_masks
        self.blur_masks = pairs.face_masks  # what lies outside counts as background
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """(sharp, sharp), uint8 (B, H, W, 3) each."""
        sharp = self._pairs.batch(indices)[1]
        return sharp, sharp


def test_sets(paths: RunPaths) -> list:
    """The four test sets, and the sharp faces as a fifth."""
    four = [face_pairs.open_pairs(paths, name, "test") for name in experiments.DATASETS]
    return [*four, SharpPairs(four[0])]


def score_networks(networks: dict[str, nn.Module], paths: RunPaths) -> pd.DataFrame:
    """Scores of the input and of `networks` on `test_sets`, in the columns of scores.csv.

    To PSNR and SSIM by region come `face_found` and `landmark_error` (see `task_scores`).
    """
    restorers = {INPUT: lambda pairs, indices: pairs.batch(indices)[0]}
    restorers |= {name: network_restorer(network) for name, network in networks.items()}
    with open_landmarker() as landmarker:
        task = TaskScores(landmarker)
        parts = []
        for pairs in test_sets(paths):
            for name, restorer in restorers.items():
                parts += [
                    score_pairs(name, restorer, pairs),
                    _task_rows(name, restorer, pairs, task),
                ]
    return pd.concat(parts, ignore_index=True)


def _task_rows(name: str, restorer, pairs, task: TaskScores) -> pd.DataFrame:
    indices = np.arange(len(pairs))
    output, sharp = restorer(pairs, indices), pairs.batch(indices)[1]
    frames = [
        pd.DataFrame({"image_id": pairs.image_ids, "metric": metric, "value": values})
        for metric, values in task(output, sharp, list(pairs.image_ids)).items()
    ]
    together = pd.concat(frames, ignore_index=True)
    return together.assign(model=name, dataset=pairs.name, region="whole")[COLUMNS]


def compare(run_names: list[str], paths: RunPaths) -> pd.DataFrame:
    """Score the restorers `run_names` and the thesis's eight models; writes `results/restorer_scores.csv`.

    Models of the thesis that have not been trained are left out, and said so.
    """
    networks = {}
    for name in [letter + dataset for letter in "AG" for dataset in experiments.DATASETS] + list(run_names):
        try:
            networks[name] = loops.load_network(paths, name)
        except StudyError:
            print(f"{name} has not been trained in this profile and is left out of the comparison")
    scores = score_networks(networks, paths)
    scores["value"] = scores["value"].astype(float).round(DECIMALS)
    write_text(paths.restorer_scores, scores.to_csv(index=False, lineterminator="\n"))
    return scores


def mean_table(scores: pd.DataFrame, metric: str, region: str = "whole") -> pd.DataFrame:
    """Means over the images: models by data set. Infinite PSNR (an untouched picture) counts as missing."""
    chosen = scores[(scores["metric"] == metric) & (scores["region"] == region)]
    chosen = chosen.assign(value=chosen["value"].replace(np.inf, np.nan))
    return chosen.pivot_table(index="model", columns="dataset", values="value", sort=False, dropna=False)


def cross_table(scores: pd.DataFrame) -> pd.DataFrame:
    """PSNR, SSIM and the gain in PSNR over the input of every model on the four test sets."""
    psnr, ssim = (mean_table(scores, metric)[list(experiments.DATASETS)] for metric in ("psnr", "ssim"))
    gain = psnr - psnr.loc[INPUT]
    parts = {
        (dataset, head): table[dataset]
        for dataset in experiments.DATASETS
        for head, table in (("PSNR", psnr), ("gain", gain), ("SSIM", ssim))
    }
    return pd.DataFrame(parts).rename_axis("Model").rename({INPUT: "Blurred input"})


def region_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Gain in PSNR over the input where the blur is: the whole image, the head, the face."""
    regions = {"SFB1": "whole", "SB1SD": "head", "SFB2": "whole", "SB2SM": "face"}
    gains = {}
    for dataset, region in regions.items():
        psnr = mean_table(scores, "psnr", region)[dataset]
        gains[f"{dataset}, {region}"] = psnr - psnr[INPUT]
    return pd.DataFrame(gains).drop(index=INPUT).rename_axis("Model")


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
    for name in _trained(BUDGET, scores):
        facts, history = loops.run_facts(paths, name), read_history(paths, name)
        images = len(face_pairs.open_pairs(paths, dataset, "train")) * len(history)
        rows[LABELS[facts["network"]]] = {
            "param. (M)": sum(facts["parameters"].values()) / 1e6,
            "MACs (G)": next(iter(facts["multiply_adds"].values())) / 1e9,
            "images (k)": images / 1e3,
            "seconds": round(float(history["seconds"].sum())),
            **{head: mean[name] for head, mean in means.items()},
        }
    rows["Blurred input"] = {head: mean[INPUT] for head, mean in means.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Network")


def _trained(names: tuple[str, ...], scores: pd.DataFrame) -> list[str]:
    return [name for name in names if name in set(scores["model"])]


def budget_curves(run_names: list[str], paths: RunPaths, by: str) -> tuple[Figure, pd.DataFrame]:
    """Gain in validation PSNR over the blurred input, one line per run, with the data behind it.

    `by` says what lies along the x axis: "seconds" of training on this machine, or "compute", the
    multiply-adds of all forward passes so far, which are the same on every machine.
    """
    labels = {"seconds": "training time (s)", "compute": "multiply-adds of training, forward (T)"}
    figure, axis = plt.subplots(figsize=(COLUMN, 2.3))
    parts = []
    for i, name in enumerate(run_names):
        history, facts = read_history(paths, name), loops.run_facts(paths, name)
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
    axis.legend()
    return figure, pd.concat(parts, ignore_index=True)


def panel(paths: RunPaths, run_names: list[str], dataset: str, faces: int = 4) -> tuple[Figure, pd.DataFrame]:
    """The first test faces: blurred, restored by each of `run_names`, sharp; with the data behind it."""
    pairs = face_pairs.open_pairs(paths, dataset, "test")
    indices = np.argsort(np.asarray(pairs.image_ids), kind="stable")[:faces]
    blurred, sharp = pairs.batch(indices)
    columns = {"blurred": blurred}
    columns |= {name: restore(loops.load_network(paths, name), blurred) for name in run_names}
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
