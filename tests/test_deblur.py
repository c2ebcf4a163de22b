"""`deblur` on photos as people have them: several faces, none, turned, grey, large, transparent, broken."""

import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import facedeblur_utils
from facedeblur_utils import downloads
from facedeblur_utils.data import alignment, segmentation
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.models.nafnet import Restorer
from facedeblur_utils.photo import deblur


class Brighter(nn.Module):
    """Stands in for a trained network: what it changes is known exactly."""

    def __init__(self, step=20):
        super().__init__()
        self.step = nn.Parameter(torch.tensor(step / 255))

    def forward(self, images):
        return images + self.step


@pytest.fixture(scope="module")
def faces():
    files = sorted(downloads.fetch("sample_faces").glob("*.jpg"))[:6]
    return [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]


@pytest.fixture(scope="module")
def landmarker():
    with segmentation.open_landmarker() as opened:
        yield opened


def scene(height, width, *placed):
    """A grey photo with `placed`: (face, top, left, height in pixels)."""
    photo = np.full((height, width, 3), 110, np.uint8)
    for face, top, left, tall in placed:
        size = (round(tall * face.shape[1] / face.shape[0]), tall)
        photo[top : top + tall, left : left + size[0]] = cv2.resize(face, size, interpolation=cv2.INTER_CUBIC)
    return photo


def run(photo, landmarker, **options):
    return deblur.deblur_photo(photo, Brighter(), size=64, landmarker=landmarker, **options)


def test_identity_network_changes_nothing(faces, landmarker):
    photo = scene(400, 500, (faces[0], 60, 120, 300))
    done = deblur.deblur_photo(photo, nn.Sequential(Brighter(0)), size=64, landmarker=landmarker)
    assert np.array_equal(done.image, photo)


def test_face_changes_and_the_rest_stays_bit_identical(faces, landmarker):
    photo = scene(500, 700, (faces[0] // 2, 100, 300, 300))  # dim enough for a brighter result
    before = photo.copy()
    done = run(photo, landmarker)
    change = done.image.astype(int) - photo
    mask = segmentation.face_mask(photo, landmarker)
    assert np.array_equal(photo, before), "the photo given must not be written into"
    assert abs(np.median(change[mask]) - 20) <= 1  # the network's own change, at full strength
    assert not change[:, :200].any() and not change[430:].any()
    assert done.image.shape == photo.shape and done.image.dtype == np.uint8
    assert "1 face restored" in done.text and "the rest is unchanged" in done.text
    # A soft edge: neighbouring pixels never differ by more than a small part of the step.
    assert np.abs(np.diff(change[..., 0][:, 200:600], axis=1))[150:350].max() <= 4


def test_several_faces_large_and_small(faces, landmarker):
    photo = scene(900, 1400, (faces[0], 60, 40, 800), (faces[1], 300, 750, 230), (faces[4], 500, 1100, 160))
    done = run(photo, landmarker)
    assert len(done.faces) == 3 and "3 faces restored" in done.text
    sides = [face.side for face in done.faces]
    assert sides == sorted(sides, reverse=True)
    centres = [face.centre for face in done.faces]
    for (x, y), wanted in zip(centres, [(366, 460), (844, 415), (1165, 580)], strict=True):
        assert abs(x - wanted[0]) < 45 and abs(y - wanted[1]) < 45


def test_alignment_puts_the_eyes_where_celeba_has_them(faces, landmarker):
    photo = scene(600, 600, (faces[0], 100, 150, 327))
    turn = cv2.getRotationMatrix2D((300, 300), 25, 1.0)
    turned = cv2.warpAffine(photo, turn, (600, 600), borderValue=(110, 110, 110))
    for image in (photo, turned):
        (face,) = alignment.find_faces(image, landmarker)
        eyes = face.to_crop @ np.vstack([face.landmarks[[468, 473]].T, [1, 1]])
        assert np.abs(eyes.T * 178 - [[69.5, 91.5], [109.5, 91.5]]).max() < 6
        assert face.side == pytest.approx(178 * 327 / 218, rel=0.12)


def test_no_face_is_one_polite_line_and_everywhere_goes_on(landmarker):
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    with pytest.raises(StudyError, match="no face found.*--everywhere"):
        run(photo, landmarker)
    done = run(photo, landmarker, everywhere=True)
    assert np.abs(done.image.astype(int) - np.clip(photo.astype(int) + 20, 0, 255)).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (40, 2000)])
def test_tiny_and_narrow_pictures_are_refused_politely(size, landmarker):
    with pytest.raises(StudyError, match="no face found"):
        run(np.zeros((*size, 3), np.uint8), landmarker)
    assert run(np.zeros((*size, 3), np.uint8), landmarker, everywhere=True).image.shape == (*size, 3)


def test_wrong_arrays_and_too_large(landmarker):
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), None):
        with pytest.raises(UsageError, match="uint8 RGB"):
            deblur.deblur_photo(wrong, Brighter(), size=64, landmarker=landmarker)
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (9000, 9000, 3))
    with pytest.raises(StudyError, match="more than 64 million pixels"):
        run(huge, landmarker)


def test_photo_of_4000_pixels(faces, landmarker):
    photo = scene(3000, 4000, (faces[0], 900, 1200, 1300), (faces[1], 1500, 3000, 500))
    start = time.monotonic()
    done = run(photo, landmarker)
    assert len(done.faces) == 2 and time.monotonic() - start < 30
    assert np.array_equal(done.image[:700], photo[:700])


@pytest.fixture
def tiny_weights(tmp_path):
    torch.manual_seed(0)
    network = Restorer(width=4)
    nn.init.normal_(network.last.weight, std=0.05)
    file = tmp_path / "tiny.safetensors"
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, file)
    return file


@pytest.fixture
def command(tiny_weights, monkeypatch):
    monkeypatch.setattr(deblur.published, "facts", lambda: {"image_size": 64})
    return lambda *words: deblur.main([*map(str, words), "--model", str(tiny_weights)])


def test_file_formats(faces, tmp_path, command, capsys):
    photo = scene(300, 320, (faces[0], 20, 40, 260))
    picture = Image.fromarray(photo)
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    picture.convert("L").save(tmp_path / "grey.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.tif")
    alpha = picture.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(picture.size).point(lambda v: max(v, 128)))
    alpha.save(tmp_path / "alpha.png")
    for name in ("turned.jpg", "grey.png", "cmyk.tif", "alpha.png"):
        target = tmp_path / f"out_{name}"
        assert command(tmp_path / name, target) == 0, capsys.readouterr()
        with Image.open(target) as result:
            assert result.size == (320, 300)  # upright, for the turned one
            assert result.getexif().get(0x0112, 1) == 1
            assert (result.mode == "RGBA") == (name == "alpha.png")
        assert "1 face restored" in capsys.readouterr().out
    with Image.open(tmp_path / "out_alpha.png") as result:
        assert np.array_equal(np.asarray(result.getchannel("A")), np.asarray(alpha.getchannel("A")))
    assert not list(tmp_path.glob(".*partial*"))


def test_bad_files_are_one_line_and_leave_nothing(faces, tmp_path, command, capsys):
    (tmp_path / "text.jpg").write_text("not an image")
    Image.fromarray(faces[0]).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2000])
    cases = {
        ("text.jpg", "out.png"): (1, "not an image"),
        ("cut.jpg", "out.png"): (1, "damaged"),
        ("missing.jpg", "out.png"): (1, "No such file"),
        ("whole.jpg", "out.xyz"): (2, "name it with one of"),
        ("whole.jpg", "whole.jpg"): (2, "is the photo itself"),
        ("whole.jpg", "nowhere/out.png"): (1, "cannot write"),
    }
    for (source, target), (code, words) in cases.items():
        assert command(tmp_path / source, tmp_path / target) == code
        message = capsys.readouterr().err
        assert words in message and message.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_folder(faces, tmp_path, command, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(faces[0]).save(photos / "a.jpg")
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(photos / "b.png")
    (photos / "notes.txt").write_text("")
    assert command(photos, tmp_path / "out") == 1
    said = capsys.readouterr()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.jpg"]
    assert "b.png: no face found" in said.err and "1 left out" in said.out
    (photos / "b.png").unlink()
    assert command(photos, tmp_path / "out") == 0
    (tmp_path / "empty").mkdir()
    assert command(tmp_path / "empty", tmp_path / "x") == 1
    assert "no photo in" in capsys.readouterr().err


def test_wrong_weights_are_one_line(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(StudyError, match="does not hold weights of the restorer") as error:
        deblur.deblur(np.zeros((8, 8, 3), np.uint8), tmp_path / "weights.safetensors")
    assert "\n" not in str(error.value)


def test_package_is_light_and_offers_deblur(faces, monkeypatch):
    monkeypatch.setattr(deblur.published, "facts", lambda: {"image_size": 64})
    assert facedeblur_utils.deblur(faces[0], Brighter()).shape == faces[0].shape
    code = "import sys, facedeblur_utils; print('torch' in sys.modules, callable(facedeblur_utils.deblur))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr
