"""Notebook 08's parts: the example, the upload, the slider, the playground."""

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_evaluation import Darken

from facedeblur_utils.errors import StudyError
from facedeblur_utils.metrics import psnr_ssim
from facedeblur_utils.models.apply import to_tensor
from facedeblur_utils.photo import widgets


def png(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def test_example_is_a_blurred_test_face():
    blurred, sharp = widgets.example_photo()
    assert blurred.shape == sharp.shape == (218, 178, 3)
    assert psnr_ssim.psnr(to_tensor(blurred[None]), to_tensor(sharp[None])).item() < 32
    assert widgets.example_face(64).shape == (64, 64, 3)


def test_slider_holds_both_pictures_and_escapes_names():
    before, after = (np.full((5, 7, 3), value, np.uint8) for value in (10, 200))
    text = widgets.before_after(before, after, ("<b>x</b>", "y")).data
    pictures = [base64.b64decode(data) for data in re.findall(r'base64,([^"]+)"', text)]
    opened = [np.asarray(Image.open(io.BytesIO(picture))) for picture in pictures]
    assert np.array_equal(opened[0], after) and np.array_equal(opened[1], before)
    assert "<b>" not in text and 'type="range"' in text


@pytest.mark.parametrize("version", [7, 8])
def test_upload_of_both_widget_versions(version):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = {"name": "a.png", "content": memoryview(png(image))}
    if version == 7:
        file = {"a.png": {"metadata": {"name": "a.png"}, "content": png(image)}}
    value = (file,) if version == 8 else file
    assert np.array_equal(widgets.uploaded(SimpleNamespace(value=value)), image)


def test_nothing_or_nonsense_uploaded():
    assert widgets.uploaded(SimpleNamespace(value=())) is None
    with pytest.raises(StudyError, match="cannot use a.txt: not an image"):
        widgets.uploaded(SimpleNamespace(value=({"name": "a.txt", "content": b"hello"},)))


@pytest.mark.parametrize("region", widgets.REGIONS)
def test_playground_shows_blur_and_restoration(region):
    face = widgets.example_face(64)
    figure = widgets.playground_figure(face, {"same": Darken(1.0)}, 10, 30, region)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["sharp", "blurred", "same"]
    blurred, same = (float(axis.get_xlabel().split()[0]) for axis in figure.axes[1:])
    assert blurred == same and 15 < blurred < 50
