"""Tables 2.7, 2.9 and 2.10 made executable: where each entry can be called, and which way it points."""

import importlib
import math

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torchmetrics.functional import mean_squared_error

from facedeblur_utils import downloads
from facedeblur_utils.blur import kernels, operators
from facedeblur_utils.data import faces
from facedeblur_utils.errors import StudyError
from facedeblur_utils.literature.loader import load
from facedeblur_utils.metrics import no_reference, psnr_ssim
from facedeblur_utils.metrics.further import FurtherMetrics
from facedeblur_utils.reporting.figures import COLOURS, WIDE, styled

ABSENT = "not here yet"
LENGTHS = (2, 4, 8, 12, 18, 26)  # pixels of motion on a face 178 pixels wide: 1 to 15 %
ANGLE = 30.0  # degrees
FACE = "000001.jpg"


def named(table: str) -> pd.DataFrame:
    """Losses ("2.9"), metrics ("2.10") or measures ("2.7") with the name of each, or 'not here yet'.

    Every name is imported; raises StudyError for one that doesn't exist.
    """
    frame = load("implementations").query("table == @table").drop(columns="table").reset_index(drop=True)
    for name in frame["object"]:
        if name:
            resolve(name)
    return frame.assign(object=[f"`{name}`" if name else ABSENT for name in frame["object"]])


def resolve(name: str):
    """The object behind a name such as "facedeblur_utils.evaluation.psnr"; raises StudyError."""
    parts = name.split(".")
    for stop in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:stop]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[stop:]:
            if not hasattr(found, attribute):
                raise StudyError(f"implementations.csv names {name}, but {found.__name__} has no {attribute}")
            found = getattr(found, attribute)
        return found
    raise StudyError(f"implementations.csv names {name}, but no module {parts[0]} can be imported")


def sample_face() -> np.ndarray:
    """The first sample face, uint8 RGB (178, 178, 3)."""
    return faces.central_square(faces.decode((downloads.fetch("sample_faces") / FACE).read_bytes()))


def blurred_faces(face: np.ndarray) -> list[np.ndarray]:
    """`face` (H, W, 3) after motion over each of `LENGTHS`."""
    return [operators.convolve(face, kernels.linear_motion_kernel(length, ANGLE)) for length in LENGTHS]


def scores_by_blur(face: np.ndarray) -> pd.DataFrame:
    """Every metric that can be had here for `face` (uint8 RGB, square) under growing blur.

    One row for each metric, one column for each blur length in pixels. Table 2.10's other metrics are of sets
    of images; LPIPS is among the rows where its weights can be had. NIQE and PI are this study's own.
    """
    further = FurtherMetrics(len(face))
    columns = {
        length: scores(image, face, further)
        for length, image in zip(LENGTHS, blurred_faces(face), strict=True)
    }
    return pd.DataFrame(columns).rename_axis("metric").dropna()


def scores(image: np.ndarray, face: np.ndarray, further: FurtherMetrics) -> dict[str, float]:
    """Metrics of Table 2.10 of `image` against the sharp `face`, by name; NaN for one not available."""
    output, target = (_tensor(picture) for picture in (image, face))
    more = further(image[None], face[None], [""])
    niqe = no_reference.niqe(image[None])
    values = {
        "MSE": mean_squared_error(output, target),
        "RMSE": mean_squared_error(output, target, squared=False),
        "PSNR": psnr_ssim.psnr(output, target),
        "SSIM": psnr_ssim.ssim(output, target),
        "MS-SSIM": more["ms_ssim"],
        "VIF": more["vif"],
        "GMSD": more["gmsd"],
        "LPIPS": more["lpips"],
        "BRISQUE": no_reference.brisque(image[None]),
        "NIQE": niqe,
        "PI": no_reference.perceptual_index(niqe, no_reference.face_opinion(image[None])),
    }
    return {name: float(value.item()) for name, value in values.items()}


def directions(values: pd.DataFrame) -> pd.DataFrame:
    """Compare `scores_by_blur` with Table 2.10: first and last value, which way, whether it agrees.

    `measured` is Better where the value falls at every step of more blur, Worse where it rises at every
    step, otherwise unclear.
    """
    stated = load("2.10").set_index("metric")["higher_means"][values.index].to_numpy()
    steps = values.diff(axis=1).iloc[:, 1:]
    measured = np.select([(steps < 0).all(axis=1), (steps > 0).all(axis=1)], ["Better", "Worse"], "unclear")
    return pd.DataFrame(
        {
            "metric": values.index,
            f"at {LENGTHS[0]} px": values[LENGTHS[0]].to_numpy(),
            f"at {LENGTHS[-1]} px": values[LENGTHS[-1]].to_numpy(),
            "higher means, measured": measured,
            "higher means, Table 2.10": stated,
            "agrees": measured == stated,
        }
    )


@styled
def directions_figure(face: np.ndarray, values: pd.DataFrame) -> Figure:
    """The blurred faces above, one small curve for each metric below."""
    images = [face, *blurred_faces(face)]
    fig = plt.figure(figsize=(WIDE, 3.9))
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 2.6])
    for i, (ax, image) in enumerate(zip(top.subplots(1, len(images)), images, strict=True)):
        ax.imshow(image)
        ax.set_title("sharp" if i == 0 else f"{LENGTHS[i - 1]} px")
        ax.axis("off")
    axes = bottom.subplots(2, math.ceil(len(values) / 2), sharex=True).ravel()
    for ax, (name, row) in zip(axes, values.iterrows(), strict=False):
        ax.plot(row.index, row, "o-", color=COLOURS[0], markersize=2.5)
        ax.set_title(f"{name} (dB)" if name == "PSNR" else name)
        ax.grid()
    for ax in axes[len(values) :]:
        ax.axis("off")
    bottom.supxlabel("length of the motion in pixels", fontsize=7.5)
    return fig


def _tensor(image: np.ndarray) -> torch.Tensor:
    return torch.tensor(image).permute(2, 0, 1)[None].float().div(255).contiguous()
