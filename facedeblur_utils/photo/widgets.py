"""What notebook 08 shows: an upload button, a before/after slider, a playground for blur and restoration."""

import base64
import hashlib
import html
import io
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, display
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from facedeblur_utils import downloads
from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import linear_motion_kernel
from facedeblur_utils.data import faces, segmentation
from facedeblur_utils.errors import StudyError
from facedeblur_utils.evaluation.scores import score_images
from facedeblur_utils.models.apply import restore
from facedeblur_utils.photo.account import Deblurred
from facedeblur_utils.reporting.figures import styled

EXAMPLE_FACE = "000014"  # a test face of the study: no network has been trained on it
EXAMPLE_BLUR = (0.10, 30.0)  # length as a fraction of the width, angle in degrees
REGIONS = ("whole image", "head", "face")
SHOWN_WIDTH = 420  # pixels of the slider on the page


def example_photo() -> tuple[np.ndarray, np.ndarray]:
    """(blurred, sharp), uint8 RGB (218, 178, 3): a sample face and what motion blur makes of it."""
    sharp = faces.decode((downloads.fetch("sample_faces") / f"{EXAMPLE_FACE}.jpg").read_bytes())
    length, angle = EXAMPLE_BLUR
    return operators.convolve(sharp, linear_motion_kernel(length * sharp.shape[1], angle)), sharp


def example_face(size: int) -> np.ndarray:
    """The sharp example as the networks see faces: uint8 RGB (size, size, 3)."""
    return faces.resize(faces.central_square(example_photo()[1]), size)


def upload_button() -> widgets.FileUpload:
    """A button that takes one picture; works in JupyterLab and in Colab."""
    return widgets.FileUpload(accept="image/*", multiple=False, description="Choose a photo")


def uploaded(button: widgets.FileUpload) -> np.ndarray | None:
    """The picture that was chosen as uint8 RGB (H, W, 3), or None; raises StudyError for other files."""
    if not button.value:
        return None
    # ipywidgets 8 gives a tuple of files, version 7 (in some Colab images) a dict by name.
    chosen = button.value[0] if isinstance(button.value, tuple) else next(iter(button.value.values()))
    name = chosen.get("name") or chosen["metadata"]["name"]
    try:
        return faces.decode(bytes(chosen["content"]))
    except faces.ImageProblem as problem:
        raise StudyError(f"cannot use {name}: {problem}") from None


SLIDER = """<figure style="margin:0;max-width:{width}px">
<div style="position:relative;line-height:0">
<img alt="{after}" src="{after_data}" style="width:100%">
<img alt="{before}" id="{key}" src="{before_data}"
 style="width:100%;position:absolute;left:0;top:0;clip-path:inset(0 50% 0 0)">
</div>
<input type="range" min="0" max="100" value="50" style="width:100%;margin:0"
 aria-label="how much of the picture {before} is shown"
 oninput="document.getElementById('{key}').style.clipPath='inset(0 '+(100-this.value)+'% 0 0)'">
<figcaption style="display:flex;justify-content:space-between">
<span>{before}</span><span>{after}</span></figcaption>
</figure>"""


def before_after(
    before: np.ndarray,
    after: np.ndarray,
    names: tuple[str, str] = ("before", "after"),
    width: int = SHOWN_WIDTH,
) -> HTML:
    """A picture with a slider that uncovers `after` (right) below `before` (left), uint8 RGB of one size.

    Plain HTML with the pictures inside, so that it works in JupyterLab, Colab and a saved page alike.
    """
    one, other = (html.escape(name) for name in names)
    pictures = {"before_data": _data_url(before), "after_data": _data_url(after)}
    key = f"slider-{hashlib.sha256(repr(pictures).encode()).hexdigest()[:8]}"
    return HTML(SLIDER.format(key=key, before=one, after=other, width=width, **pictures))


@styled
def playground_figure(
    face: np.ndarray, networks: dict[str, nn.Module], length: float, angle: float, region: str
) -> Figure:
    """`face` (uint8 RGB, square) sharp, blurred over `length` % of its width at `angle` degrees, restored.

    `region` is one of `REGIONS`; PSNR in dB stands below each picture.
    """
    everywhere = np.ones(face.shape[:2], bool)
    masks = {"whole image": lambda _: everywhere, "head": segmentation.head_mask, "face": _oval}
    kernel = linear_motion_kernel(length / 100 * face.shape[1], angle)
    blurred = operators.composite(face, kernel, masks[region](face))
    pictures = {"sharp": face, "blurred": blurred}
    pictures |= {name: restore(network, blurred[None])[0] for name, network in networks.items()}
    figure, axes = plt.subplots(1, len(pictures), figsize=(1.9 * len(pictures), 2.2), squeeze=False)
    for axis, (name, picture) in zip(axes[0], pictures.items(), strict=True):
        score = score_images(picture[None], face[None], {"whole": None})["whole", "psnr"][0]
        axis.imshow(picture)
        axis.set(title=name, xticks=[], yticks=[], xlabel="" if name == "sharp" else f"{score:.1f} dB")
    return figure


def playground(face: np.ndarray, networks: dict[str, nn.Module]) -> widgets.Widget:
    """Controls for length, angle and region above `playground_figure`, which follows them."""
    controls = {
        "length": widgets.FloatSlider(10, min=0, max=20, step=0.5, description="length (%)"),
        "angle": widgets.FloatSlider(30, min=0, max=180, step=5, description="angle (°)"),
        "region": widgets.Dropdown(options=REGIONS, description="region"),
    }
    for control in controls.values():
        control.continuous_update = False  # one drawing per choice, not one per pixel of the way

    def draw(**values) -> None:
        figure = playground_figure(face, networks, **values)
        display(figure)
        plt.close(figure)

    return widgets.VBox([*controls.values(), widgets.interactive_output(draw, controls)])


def motions_figure(done: Deblurred) -> Figure | None:
    """The motions that were found in a photo as kernels, each with its confidence; None where none was."""
    found = [motion for motion in done.motions if motion]
    if not found:
        return None
    figure, axes = plt.subplots(1, len(found), figsize=(2.4 * len(found), 2.6), squeeze=False)
    for axis, motion in zip(axes[0], found, strict=True):
        axis.imshow(motion.motion.kernel(), cmap="gray_r", interpolation="nearest")
        axis.set_title(f"{motion.motion.length:.0f} px, confidence {motion.confidence:.2f}", fontsize=8)
        axis.set_axis_off()
    return figure


def _oval(face: np.ndarray) -> np.ndarray:
    mask = segmentation.face_mask(face)
    if mask is None:
        raise StudyError("no face found in this picture; choose the whole image as region")
    return mask


def _data_url(image: np.ndarray) -> str:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def save_page(content: HTML, path: Path) -> None:
    """Write a before/after slider as a page of its own, to keep or to send."""
    page = f'<!doctype html><meta charset="utf-8"><title>Before and after</title>{content.data}'
    path.write_text(page, encoding="utf-8")
