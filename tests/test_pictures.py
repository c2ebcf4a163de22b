"""Picture files in and out: colours, transparency, profiles, EXIF and quality stay as they were."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from facedeblur_utils.data.faces import ImageProblem
from facedeblur_utils.errors import StudyError
from facedeblur_utils.photo import pictures

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def gradient(height=60, width=80):
    y, x = np.mgrid[:height, :width]
    return np.stack([3 * x, 4 * y, 255 - 3 * x], axis=-1).astype(np.uint8)


def stored(path, image, **options):
    image.save(path, **options)
    return path


def changed_and_saved(source, target, step=8.0):
    """A change in the upper left quarter, as a network would make one."""
    picture = pictures.read_picture(source)
    high, wide = picture.colours.shape[0] // 2, picture.colours.shape[1] // 2
    picture.add(slice(0, high), slice(0, wide), np.full((high, wide, 3), step, np.float32))
    return pictures.save_picture(picture, target)


def alpha():
    return Image.linear_gradient("L").resize((80, 60))


def with_alpha(image):
    image = image.convert({"L": "LA"}.get(image.mode, "RGBA"))
    image.putalpha(alpha())
    return image


def keyed(tmp_path):
    palette = Image.fromarray(gradient()).quantize(16)
    return stored(tmp_path / "palette.png", palette, transparency=3)


def test_half_transparent_pixels_keep_their_colours(tmp_path):
    image = with_alpha(Image.fromarray(gradient()))
    source = stored(tmp_path / "in.png", image)
    changed_and_saved(source, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as result:
        assert result.mode == "RGBA"
        before, after = np.asarray(image).astype(int), np.asarray(result).astype(int)
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    np.testing.assert_array_equal(after[30:], before[30:])
    np.testing.assert_array_equal(after[:, 40:], before[:, 40:])
    seen = before[:30, :40, 3] > 0
    wanted = np.clip(before[:30, :40, :3] + 8, 0, 255)
    np.testing.assert_array_equal(after[:30, :40, :3][seen], wanted[seen])
    np.testing.assert_array_equal(after[:30, :40, :3][~seen], before[:30, :40, :3][~seen])


@pytest.mark.parametrize("kind", ["palette", "colour key", "grey key", "palette with alpha"])
def test_transparency_of_every_kind_stays(tmp_path, kind):
    if kind == "palette":
        source = keyed(tmp_path)
    elif kind == "colour key":
        image = Image.fromarray(gradient())
        source = stored(tmp_path / "in.png", image, transparency=(0, 0, 255))
    elif kind == "grey key":
        source = stored(tmp_path / "in.png", Image.fromarray(gradient()[..., 0]), transparency=30)
    else:
        image = Image.fromarray(gradient()).quantize(16)
        source = stored(tmp_path / "in.png", image, transparency=bytes(range(0, 256, 16)))
    with Image.open(source) as image:
        before = np.asarray(image.convert("RGBA"))
    assert (before[..., 3] < 255).any() and (before[..., 3] > 0).any()
    changed_and_saved(source, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as result:
        after = np.asarray(result.convert("RGBA"))
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    np.testing.assert_array_equal(after[30:], before[30:])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_the_mode_stays_and_what_was_not_restored_is_exactly_as_it_was(tmp_path, mode):
    image = Image.fromarray(gradient())
    if mode == "I;16":
        image = Image.fromarray(gradient()[..., 0].astype(np.uint16) * 257 + 3)
    elif mode in ("LA", "RGBA"):
        image = with_alpha(image.convert("L") if mode == "LA" else image)
    else:
        image = image.convert(mode)
    for suffix in (".png", ".tif"):
        source = stored(tmp_path / f"in{suffix}", image)
        changed_and_saved(source, tmp_path / f"out{suffix}")
        with Image.open(tmp_path / f"out{suffix}") as result:
            assert result.mode == mode
            before, after = np.asarray(image).astype(int), np.asarray(result).astype(int)
        np.testing.assert_array_equal(after[30:], before[30:])
        assert (after[:25, :35] != before[:25, :35]).any()


def test_grey_stays_grey_under_a_coloured_change(tmp_path):
    source = stored(tmp_path / "grey.png", Image.fromarray(gradient()[..., 0]))
    picture = pictures.read_picture(source)
    change = np.zeros((60, 80, 3), np.float32) + np.float32([9, 0, 0])
    assert picture.pixels.shape == (60, 80, 3) and picture.add(slice(None), slice(None), change) > 0
    assert picture.colours.ndim == 2


@pytest.mark.parametrize("space", ["RGB", "GRAY", "CMYK"])
def test_profiles_fit_the_mode_or_are_left(tmp_path, space):
    """A grey or CMYK profile on RGB pixels would be shown in wrong colours."""
    profile = SRGB[:16] + space.ljust(4).encode() + SRGB[20:]
    source = stored(tmp_path / "in.png", Image.fromarray(gradient()), icc_profile=profile)
    changed_and_saved(source, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as result:
        assert result.info.get("icc_profile") == (profile if space == "RGB" else None)
    grey = stored(tmp_path / "grey.png", Image.fromarray(gradient()[..., 0]), icc_profile=profile)
    changed_and_saved(grey, tmp_path / "out2.png")
    with Image.open(tmp_path / "out2.png") as result:
        assert result.mode == "L"
        assert result.info.get("icc_profile") == (profile if space == "GRAY" else None)


def test_cmyk_becomes_rgb_without_its_profile_and_says_so(tmp_path):
    image = Image.fromarray(gradient()).convert("CMYK")
    profile = SRGB[:16] + b"CMYK" + SRGB[20:]
    for name in ("in.tif", "in.jpg"):
        source = stored(tmp_path / name, image, icc_profile=profile)
        picture = pictures.read_picture(source)
        assert picture.notes[0] == "CMYK turned into RGB"
        changed_and_saved(source, tmp_path / f"out_{name}")
        with Image.open(tmp_path / f"out_{name}") as result:
            assert result.mode == "RGB" and "icc_profile" not in result.info


def exif_with(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    exif[0x8769] = {0x9003: "2026:11:25 10:00:00", 0x927C: b"maker's own notes"}
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 14.0)}
    return exif


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_gps_and_resolution_stay_and_the_orientation_is_made_right(tmp_path, suffix, orientation):
    picture = Image.fromarray(gradient())
    if orientation == 6:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    elif orientation == 3:
        picture = picture.transpose(Image.Transpose.ROTATE_180)
    source = stored(
        tmp_path / f"in{suffix}", picture, exif=exif_with(orientation).tobytes(), dpi=(300, 300), quality=95
    )
    changed_and_saved(source, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as result:
        exif = result.getexif()
        assert result.size == (80, 60) and exif.get(0x0112, 1) == 1
        assert exif[0x010F] == "Maker" and exif.get_ifd(0x8769)[0x9003] == "2026:11:25 10:00:00"
        assert exif.get_ifd(0x8769)[0x927C] == b"maker's own notes"
        assert exif.get_ifd(0x8825)[1] == "N" and float(exif.get_ifd(0x8825)[2][0]) == 48
        if suffix != ".webp":
            assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert np.abs(np.asarray(result.convert("RGB"))[40:].astype(int) - gradient()[40:]).mean() < 4


@pytest.mark.parametrize("quality", [40, 75, 92])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_jpeg_keeps_its_quality(tmp_path, quality, subsampling):
    source = stored(
        tmp_path / "in.jpg",
        Image.fromarray(gradient()),
        quality=quality,
        subsampling=subsampling,
        comment=b"hi",
    )
    changed_and_saved(source, tmp_path / "out.jpg", step=1)
    with Image.open(source) as before, Image.open(tmp_path / "out.jpg") as after:
        assert after.quantization == before.quantization and after.layer == before.layer
        assert after.info["comment"] == b"hi"
    assert (tmp_path / "out.jpg").stat().st_size < 1.1 * source.stat().st_size


def test_jpeg_has_no_transparency_and_says_so(tmp_path):
    source = stored(tmp_path / "in.png", with_alpha(Image.fromarray(gradient())))
    assert changed_and_saved(source, tmp_path / "out.jpg") == [
        "transparency laid over white, since .jpg has none"
    ]


@pytest.mark.parametrize(("bits", "suffix"), [(10, ".tif"), (12, ".tif"), (16, ".png")])
def test_deep_grey_is_read_bright_and_kept_deep(tmp_path, bits, suffix):
    values = np.round(np.linspace(0, 2**bits - 1, 4800)).astype(np.uint16).reshape(60, 80)
    source = stored(tmp_path / f"in{suffix}", Image.fromarray(values))
    assert pictures.read_picture(source).pixels.max() == 255
    changed_and_saved(source, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as result:
        np.testing.assert_array_equal(np.asarray(result)[30:], values[30:])


def test_a_compressed_tiff_keeps_its_exif(tmp_path):
    """libtiff refuses to compress beside GPS: then it is written uncompressed."""
    image = Image.fromarray(gradient())
    source = stored(tmp_path / "in.tif", image, exif=exif_with(6).tobytes())
    picture = pictures.read_picture(source)
    picture.kept["compression"] = "tiff_lzw"
    assert pictures.save_picture(picture, tmp_path / "out.tif") == []
    with Image.open(tmp_path / "out.tif") as result:
        assert result.getexif().get_ifd(0x8825)[1] == "N"


def test_what_cannot_be_kept_is_said(tmp_path):
    frames = [Image.fromarray(gradient() // n) for n in (1, 2, 3)]
    stored(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert pictures.read_picture(tmp_path / "a.gif").notes == ["the first of 3 pictures"]
    stored(tmp_path / "f.tif", Image.fromarray(gradient()[..., 0].astype(np.float32) / 255))
    picture = pictures.read_picture(tmp_path / "f.tif")
    assert picture.notes == ["F values stored with 8 bits"] and picture.colours.max() > 200


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_of_16_bits_becomes_8_and_says_so(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"deep{suffix}"), gradient()[..., ::-1].astype(np.uint16) * 257)
    picture = pictures.read_picture(tmp_path / f"deep{suffix}")
    assert picture.notes == ["16 bits a colour stored with 8"]
    np.testing.assert_array_equal(picture.colours, gradient())


def test_damaged_exif_and_profiles_refuse_no_picture(tmp_path):
    for exif in (
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II",
        b"nonsense",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
    ):
        source = stored(tmp_path / "in.jpg", Image.fromarray(gradient()), exif=exif)
        changed_and_saved(source, tmp_path / "out.jpg")
        assert Image.open(tmp_path / "out.jpg").size == (80, 60)


def test_bad_files_are_one_line(tmp_path):
    whole = io.BytesIO()
    Image.fromarray(gradient()).save(whole, "JPEG")
    bad = {
        "words.jpg": (b"words", "not an image"),
        "cut.jpg": (whole.getvalue()[:600], "damaged image file"),
        "phone.heic": (b"\0\0\0\x18ftypheic" + bytes(64), "a HEIC picture"),
    }
    for name, (data, said) in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(StudyError, match=said) as caught:
            pictures.read_picture(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(StudyError, match="No such file"):
        pictures.read_picture(tmp_path / "missing.jpg")
    with pytest.raises(StudyError, match="not a file"):
        pictures.read_picture(tmp_path)
    with pytest.raises(ImageProblem, match="more than 210 million"):
        pictures.check_size(30_000, 10_000)


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    picture = pictures.Picture(gradient())
    with pytest.raises(StudyError, match="cannot write .*nowhere"):
        pictures.save_picture(picture, tmp_path / "nowhere" / "out.png")

    def cut(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", cut)
    with pytest.raises(StudyError, match="No space left"):
        pictures.save_picture(picture, tmp_path / "out.png")
    assert not list(tmp_path.iterdir())
