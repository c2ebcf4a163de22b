"""The thesis's own Tables 4.1, 4.2 and 5.1 to 5.5, as printed, and tables that set ours beside them."""

import numpy as np
import pandas as pd

from facedeblur_utils.data.datasets import DATASETS
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting.tables import export_table

TABLE_4_1 = {
    "Learning rate": "0.001",
    "Batch size": "16",
    "Optimizer": "Adam",
    "Criterion": "Combined Loss (MSE + Perceptual Loss)",
    "Maximum epoch": "50",
}
TABLE_4_2 = {
    "Learning rate": "0.0002",
    "Batch size": "16",
    "Optimizer": "Adam (betas = (0.5, 0.999))",
    "Generator Loss": "Adversarial + MSE (Content) + SSIM",
    "Discriminator Loss": "Binary Cross Entropy (BCE)",
    "Maximum epoch": "50",
}
TABLE_5_1 = {"Autoencoder": (26.2243, 0.7491, 25.3114, 0.7225), "GAN": (23.0206, 0.8117, 24.2852, 0.8635)}
TABLE_5_2 = {"Autoencoder": (26.2784, 0.7513, 29.3614, 0.8834), "GAN": (27.1409, 0.8860, 28.5285, 0.9396)}
TABLE_5_4 = {
    "ASFB1": (26.223, 0.7491, 24.4925, 0.7269, 26.2395, 0.7495, 26.4802, 0.8024),
    "ASB1SD": (24.6737, 0.6945, 25.3114, 0.7225, 24.7044, 0.6954, 27.1715, 0.8313),
    "ASFB2": (26.252, 0.7507, 24.3855, 0.7255, 26.2784, 0.7513, 25.9232, 0.7817),
    "ASB2SM": (25.7062, 0.7367, 24.7136, 0.7404, 25.7311, 0.7372, 29.3614, 0.8834),
    "GSFB1": (23.0206, 0.8117, 21.0733, 0.7870, 23.0092, 0.8115, 20.7365, 0.7708),
    "GSB1SD": (23.8784, 0.8544, 24.2852, 0.8635, 23.9055, 0.8546, 25.0381, 0.8822),
    "GSFB2": (27.1548, 0.8860, 23.8647, 0.8503, 27.1409, 0.8860, 23.0679, 0.8312),
    "GSB2SM": (25.4178, 0.8703, 24.2205, 0.8675, 25.4670, 0.8714, 28.5285, 0.9396),
}
TABLE_5_5 = {
    "GSFB2_50": (27.1548, 0.8860, 23.8647, 0.8503, 27.1409, 0.8860, 23.0679, 0.8312),
    "GSFB2_25": (27.2817, 0.8872, 24.3905, 0.8615, 27.3047, 0.8873, 24.7057, 0.8623),
    "GSFB2_100": (24.6067, 0.7991, 22.8405, 0.7902, 24.6562, 0.7998, 22.2620, 0.7750),
    "GSFB2_20": (25.4839, 0.8256, 25.4993, 0.8266, 23.8199, 0.8144, 24.8443, 0.8401),
}
TABLE_5_3 = {  # dataset: (blur, where it was laid)
    "SFB1": ("random blur 1", "whole image"),
    "SB1SD": ("random blur 1", "head segmented with DeepLabV3"),
    "SFB2": ("random blur 2", "whole image"),
    "SB2SM": ("random blur 1", "face segmented with MediaPipe"),
}
OURS_5_3 = TABLE_5_3 | {"SB2SM": ("random blur 2", "face segmented with MediaPipe")}
TRAINING = {"table_4_1": TABLE_4_1, "table_4_2": TABLE_4_2}
PRINTED = {"table_5_1": TABLE_5_1, "table_5_2": TABLE_5_2, "table_5_4": TABLE_5_4, "table_5_5": TABLE_5_5}


def printed_table(name: str, like: pd.DataFrame) -> pd.DataFrame:
    """A table of the thesis with its columns of `like` (two levels: test set or segmentation, metric)."""
    width = len(next(iter(PRINTED[name].values())))
    columns = [label for label in like.columns if label[1] in ("PSNR", "SSIM")][:width]
    return pd.DataFrame.from_dict(
        PRINTED[name], orient="index", columns=pd.MultiIndex.from_tuples(columns, names=like.columns.names)
    )


def beside_thesis(name: str, ours: pd.DataFrame) -> pd.DataFrame:
    """Rows of `ours` that the thesis has, one line per row and column group: ours, thesis's, difference."""
    theirs = printed_table(name, ours)
    ours = ours.loc[theirs.index]
    lines = {}
    for row in theirs.index:
        for group in theirs.columns.get_level_values(0).unique():
            lines[row, group] = {
                (metric, kind): value
                for metric in ("PSNR", "SSIM")
                for kind, value in (
                    ("ours", ours.loc[row, (group, metric)]),
                    ("thesis", theirs.loc[row, (group, metric)]),
                    ("difference", ours.loc[row, (group, metric)] - theirs.loc[row, (group, metric)]),
                )
            }
    table = pd.DataFrame.from_dict(lines, orient="index")
    table.index.names = ["Model", "Test set"]
    return table


def export_beside(
    what: str, name: str, ours: pd.DataFrame, seeds: str, paths: RunPaths, **layout
) -> pd.DataFrame:
    """Export `beside_thesis` as `<name>_vs_thesis`, captioned `what`, and return it.

    `seeds` says how many training seeds ours are of (`result_tables.seeds_words`).
    """
    beside = beside_thesis(name, ours)
    caption = f"{what}: ours (profile {paths.profile}, {seeds}) and the thesis's"
    export_table(beside, f"{name}_vs_thesis", caption, paths, **layout)
    return beside


def training_beside_thesis(name: str, ours: pd.DataFrame) -> pd.DataFrame:
    """Table 4.1 or 4.2 (`result_tables.training_table`) with the thesis's value of each parameter.

    Raises KeyError where `ours` lacks a parameter of the thesis.
    """
    theirs = TRAINING[name]
    lacking = [parameter for parameter in theirs if parameter not in set(ours["Parameter"])]
    if lacking:
        raise KeyError(f"{name} lacks the thesis's parameter '{lacking[0]}'")
    printed = [theirs.get(parameter, "not in its table") for parameter in ours["Parameter"]]
    return ours.rename(columns={"Value": "Ours"}).assign(Thesis=printed)


def export_training_beside(name: str, ours: pd.DataFrame, paths: RunPaths) -> pd.DataFrame:
    """Export `training_beside_thesis` as `<name>_vs_thesis` and return it."""
    beside = training_beside_thesis(name, ours)
    caption = f"Table {name[-3]}.{name[-1]}: ours ({paths.profile}) and the thesis's, as printed"
    columns = r"p{0.26\linewidth}p{0.36\linewidth}p{0.3\linewidth}"  # long words break within their column
    export_table(beside, f"{name}_vs_thesis", caption, paths, column_format=columns)
    return beside


def export_datasets_beside(paths: RunPaths) -> None:
    """Export `datasets_beside_thesis` as `table_5_3_vs_thesis`."""
    columns = "l" + "".join(rf"p{{{width}\linewidth}}" for width in (0.13, 0.18, 0.13, 0.18, 0.18))
    caption = "Table 5.3: our datasets and the thesis's"
    export_table(datasets_beside_thesis(), "table_5_3_vs_thesis", caption, paths, column_format=columns)


def datasets_beside_thesis() -> pd.DataFrame:
    """Table 5.3's blur and area of each dataset as we made it and as the thesis prints it."""
    rows = [(name, *OURS_5_3[name], *TABLE_5_3[name], _same(name)) for name in TABLE_5_3]
    columns = ["Dataset", "Our blur", "Our area", "Blur in the thesis", "Area in the thesis", "Difference"]
    return pd.DataFrame(rows, columns=columns)


def _same(name: str) -> str:
    if OURS_5_3[name] == TABLE_5_3[name]:
        return "none"
    return "the thesis's text gives each pair a blur of its own, so blur 2"


def own_set_means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean PSNR and SSIM of the autoencoders and the GANs of a Table 5.4, each on its own test set."""
    values = {
        network: {
            metric: float(
                np.mean([table.loc[letter + d, (d, metric)] for d in DATASETS if letter + d in table.index])
            )
            for metric in ("PSNR", "SSIM")
        }
        for letter, network in (("A", "autoencoder"), ("G", "GAN"))
    }
    return pd.DataFrame.from_dict(values, orient="index")
