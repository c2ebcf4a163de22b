"""Faces: every kind of image file, the crop, the split, leakage."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from facedeblur_utils.data import faces
from facedeblur_utils.errors import UsageError

FRACTIONS = (0.9, 0.05, 0.05)


def gradient(height=24, width=32):
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * x, 6 * y, 255 - 4 * x], axis=-1).astype(np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_decode_is_lossless_for_png():
    pixels = gradient()
    np.testing.assert_array_equal(faces.decode(encoded(Image.fromarray(pixels))), pixels)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1"])
def test_decode_converts_colour_modes(mode):
    image = Image.fromarray(gradient()).convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    out = faces.decode(encoded(image, kind))
    assert out.shape == (24, 32, 3) and out.dtype == np.uint8
    if mode in ("RGBA", "CMYK"):
        assert np.abs(out.astype(int) - gradient()).max() <= 2
    if mode in ("L", "LA"):
        np.testing.assert_array_equal(out[..., 0], np.asarray(Image.fromarray(gradient()).convert("L")))


def test_decode_scales_16_bits():
    values = np.linspace(0, 65535, 24 * 32).reshape(24, 32).astype(np.uint16)
    out = faces.decode(encoded(Image.fromarray(values)))
    assert np.abs(out[..., 0] - values / 257).max() <= 0.51


def test_transparency_is_laid_over_white():
    clear = Image.new("RGBA", (20, 20), (200, 0, 0, 0))
    np.testing.assert_array_equal(faces.decode(encoded(clear)), 255)


def test_exif_orientation_is_applied():
    pixels = gradient()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: to be shown turned clockwise by 90°
    out = faces.decode(encoded(Image.fromarray(pixels), exif=exif))
    np.testing.assert_array_equal(out, np.rot90(pixels, -1))


def test_first_picture_of_an_animation():
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    out = faces.decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(out[0, 0], [255, 0, 0])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"these are only words", "not an image"),
        (b"", "not an image"),
        (encoded(Image.fromarray(gradient(200, 200)), "JPEG")[:-900], "damaged"),
        (encoded(Image.new("1", (30000, 3000))), "more than 64 million"),
        (encoded(Image.new("1", (20000, 20000))), "more than 64 million"),
    ],
)
def test_what_cannot_be_used_says_why(data, said):
    with pytest.raises(faces.ImageProblem, match=said):
        faces.decode(data)


def test_crop_of_an_aligned_celeba_image():
    rows = np.repeat(np.arange(218, dtype=np.uint8)[:, None], 178, axis=1)
    square = faces.central_square(np.stack([rows] * 3, axis=-1))
    assert square.shape == (178, 178, 3)
    assert (square[0, 0, 0], square[-1, 0, 0]) == (20, 197)


def test_resize_averages_areas():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, ::2] = 200
    np.testing.assert_array_equal(faces.resize(pixels, 4), 100)
    assert faces.resize(pixels, 8) is not None and faces.resize(pixels, 12).shape == (12, 12, 3)


def test_reduced_mask_takes_pixels_covered_by_half():
    mask = np.zeros((8, 8), bool)
    mask[:4, :3] = True
    np.testing.assert_array_equal(faces.reduce_mask(mask, 4)[:2], [[1, 1, 0, 0], [1, 1, 0, 0]])


@pytest.mark.parametrize("side", [1, 15, 31])
def test_too_small_for_the_size(side):
    with pytest.raises(faces.ImageProblem, match="too small"):
        faces.check_side(side, 64)


IDS = [f"{n:06d}" for n in range(1, 1000)]


def test_split_counts_and_parts():
    split = faces.split_faces(IDS, FRACTIONS, 2024)
    assert split["split"].value_counts().to_dict() == {"train": 899, "val": 50, "test": 50}
    assert sorted(split["image_id"]) == IDS and split["image_id"].is_unique


def test_split_ignores_order_and_follows_the_seed():
    split = faces.split_faces(IDS, FRACTIONS, 2024)
    assert split.equals(faces.split_faces(IDS[::-1], FRACTIONS, 2024))
    assert not split.equals(faces.split_faces(IDS, FRACTIONS, 7))


def test_split_keeps_persons_together():
    identities = {image_id: f"person {int(image_id) % 200}" for image_id in IDS}
    split = faces.split_faces(IDS, FRACTIONS, 2024, identities)
    people = split["image_id"].map(identities)
    assert people.groupby(people).size().max() > 1
    assert split["split"].groupby(people).nunique().max() == 1
    counts = split["split"].value_counts()
    assert 45 <= counts["val"] <= 56 and 45 <= counts["test"] <= 56
    report = faces.leakage(split, identities).set_index("split")
    assert report["also in train"].tolist() == [0, 0, 0]
    mixed = faces.leakage(faces.split_faces(IDS, FRACTIONS, 2024), identities).set_index("split")
    assert mixed.loc["test", "also in train"] > 40  # four in five of a person's pictures are in train


def test_impossible_splits():
    with pytest.raises(UsageError, match="at least three"):
        faces.split_faces(["a", "b"], FRACTIONS, 1)
    with pytest.raises(UsageError, match="repeat"):
        faces.split_faces(["a", "a", "b", "c"], FRACTIONS, 1)
    assert set(faces.split_faces(["a", "b", "c"], FRACTIONS, 1)["split"]) == {"train", "val", "test"}


def grey(values, kind="TIFF"):
    return faces.decode(encoded(Image.fromarray(values), kind))[..., 0]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_deep_grey_keeps_its_brightness(bits):
    wanted = gradient()[..., 0].astype(float)
    wanted[0, 0] = 255  # white is the brightest value that the bits can hold
    stored = np.round(wanted / 255 * (2**bits - 1)).astype(np.uint16)
    np.testing.assert_allclose(grey(stored), wanted, atol=1)
    np.testing.assert_allclose(grey(stored, "PNG"), wanted, atol=1)


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floating_point_keeps_its_brightness(white):
    wanted = gradient()[..., 0].astype(float)
    wanted[0, 0] = 255
    stored = (wanted / 255 * white).astype(np.float32)
    np.testing.assert_allclose(grey(stored), wanted, atol=1)
    stored[1, 1] = np.nan
    assert grey(stored)[1, 1] == 0 and grey(stored)[0, 0] == 255


def test_values_without_a_known_white_are_named():
    with pytest.raises(faces.ImageProblem, match="no known white"):
        grey(np.full((8, 8), 10**6, np.int32))


def test_formats_that_need_more_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(faces.ImageProblem, match="a HEIC picture; pip install pillow-heif"):
        faces.decode(b"\0\0\0\x18ftypheic" + bytes(64))


def test_heic_is_read_where_its_package_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = encoded(Image.fromarray(gradient()), "HEIF", quality=100, chroma=444)
    assert data[4:8] == b"ftyp"
    np.testing.assert_allclose(faces.decode(data).astype(int), gradient().astype(int), atol=6)
    with pytest.raises(faces.ImageProblem, match="damaged image file"):
        faces.decode(data[:12] + bytes(64))


def test_how_many_pictures_a_file_holds():
    one, two = (Image.fromarray(gradient() // n) for n in (1, 2))
    assert faces.pictures_in(encoded(one, "GIF", save_all=True, append_images=[two, one])) == 3
    assert faces.pictures_in(encoded(one)) == 1 and faces.pictures_in(b"nothing") == 1
