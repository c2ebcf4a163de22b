"""A picture file and back: colours, transparency, profile, EXIF and resolution are decided here alone."""

import hashlib
import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from facedeblur_utils.data import faces
from facedeblur_utils.errors import StudyError
from facedeblur_utils.photo.beside import beside_pixels

LARGEST_PIXELS = 210_000_000  # phones take pictures of 200 million
LARGEST_FILE = 2_000_000_000  # bytes
WRITTEN = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # what results can be named
READ = (*WRITTEN, ".avif", ".gif", ".heic", ".heif", ".jfif", ".jp2")
WITHOUT_ALPHA = (".bmp", ".jpeg", ".jpg")
LOSSLESS_TIFF = ("packbits", "tiff_adobe_deflate", "tiff_deflate", "tiff_lzw", "raw")
COLOUR_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}


@dataclass
class Picture:
    """A picture, upright, and what its file says beside the pixels.

    `colours` are its own values: uint8 (H, W, 3) RGB, or uint8 or uint16 (H, W) grey, of which `white` is
    white; `alpha` is uint8 (H, W) where it has transparency. `kept` are options for Pillow's `save`; `notes`
    say what isn't as it was.
    """

    colours: np.ndarray
    alpha: np.ndarray | None = None
    white: float = 255.0
    kept: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lossless: bool = True

    @property
    def pixels(self) -> np.ndarray:
        """uint8 RGB (H, W, 3) as the networks see it; what is fully transparent is white."""
        shown = self.colours
        if shown.dtype != np.uint8 or self.white != 255:
            shown = faces.as_8_bits(shown)
        if shown.ndim == 2:
            shown = np.repeat(shown[..., None], 3, axis=2)
        if self.alpha is not None:
            shown = np.where(self.alpha[..., None] > 0, shown, np.uint8(255))
        return shown

    def add(self, rows: slice, columns: slice, change: np.ndarray) -> int:
        """Add `change`, float32 (h, w, 3) in 8-bit levels, to a part of the picture, in its own way.

        Grey stays grey, depth stays, what is fully transparent stays. Returns how many pixels it changed.
        """
        part = self.colours[rows, columns]
        if part.ndim == 2:
            change = change.mean(axis=2)
        new = np.rint(part + change * (self.white / 255))
        new = np.clip(new, 0, self.white).astype(part.dtype)
        if self.alpha is not None:
            seen = self.alpha[rows, columns] > 0
            new = np.where(seen if part.ndim == 2 else seen[..., None], new, part)
        changed = (new != part).reshape(*part.shape[:2], -1).any(axis=2).sum()
        self.colours[rows, columns] = new
        return int(changed)


def read_picture(path: Path) -> Picture:
    """The picture in a file; raises StudyError, in one line, for what isn't one or can't be read."""
    try:
        size = path.stat().st_size
        if not path.is_file():  # reading a pipe or device might never end
            raise faces.ImageProblem("not a file")
        if size > LARGEST_FILE:
            raise faces.ImageProblem(f"a file of more than {LARGEST_FILE / 1e9:g} GB")
        return picture_of(path.read_bytes())
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror or error}") from None
    except MemoryError:
        raise StudyError(f"cannot use {path}: it needs more memory than there is") from None
    except faces.ImageProblem as problem:
        raise StudyError(f"cannot use {path}: {problem}") from None


def picture_of(data: bytes) -> Picture:
    """The picture in the bytes of a file; raises ImageProblem for what isn't one, is damaged or too large."""
    if data[4:8] == b"ftyp":
        faces.read_heic_too()
    try:
        with _any_size(), Image.open(io.BytesIO(data)) as image:
            check_size(*image.size)
            return _picture(image, data)
    except Image.UnidentifiedImageError:
        raise faces.ImageProblem(faces.not_read(data)) from None
    except (faces.ImageProblem, MemoryError):
        raise
    except Exception as error:  # Pillow's plug-ins raise whatever their parsing stumbles over
        raise faces.ImageProblem(f"damaged image file ({' '.join(str(error).split())[:100]})") from None


def check_size(width: int, height: int) -> None:
    """Raise ImageProblem for more pixels than are taken."""
    if width * height > LARGEST_PIXELS:
        limit = LARGEST_PIXELS // 1_000_000
        raise faces.ImageProblem(
            f"{width}×{height} pixels is more than {limit} million; make it smaller first"
        )


def _picture(image: Image.Image, data: bytes) -> Picture:
    count = getattr(image, "n_frames", 1)
    notes = [f"the first of {count} pictures"] if count > 1 and image.format != "MPO" else []
    if image.mode in ("RGB", "RGBA") and any(";16" in str(tile) for tile in getattr(image, "tile", ())):
        notes.append("16 bits a colour stored with 8")  # as Pillow reads them
    image.load()
    kept = beside_pixels(image)
    lossless = image.format not in ("JPEG", "MPO", "HEIF", "AVIF") and (
        image.format != "WEBP" or b"VP8L" in data[:64]
    )
    upright = ImageOps.exif_transpose(image)
    if "xmp" in upright.info:
        kept["xmp"] = upright.info["xmp"]
    profile = image.info.get("icc_profile") or b""
    image = _in_a_kept_mode(upright, profile, notes)
    alpha, white = None, 255.0
    if image.mode in ("LA", "RGBA"):
        alpha = np.array(image.getchannel("A"))
        image = image.convert(image.mode[:-1])
    colours = np.array(image)
    if image.mode.startswith(("I", "F")):
        white = faces.full_scale(colours)
        if colours.dtype.kind == "u" and colours.dtype.itemsize == 2:  # in whatever order of bytes
            colours = colours.astype(np.uint16)
        else:  # 32 bits or floating point: no result is written that way
            notes.append(f"{image.mode} values stored with 8 bits")
            colours, white = faces.as_8_bits(colours), 255.0
    mode = "L" if colours.ndim == 2 else "RGB"
    if profile[16:20] == COLOUR_SPACES[mode]:
        kept["icc_profile"] = profile
    return Picture(colours, alpha, white, kept, notes, lossless)


def _in_a_kept_mode(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """`image` in L, LA, RGB, RGBA or grey with more bits; a note where that isn't what it was."""
    clear = "transparency" in image.info
    if image.mode.startswith(("I", "F")):
        return image
    if image.mode == "1" or (image.mode == "L" and not clear):
        return image.convert("L")
    if image.mode in ("L", "LA", "La"):
        return image.convert("LA")
    if image.mode == "RGBa":
        return image.convert("RGBA")
    if image.mode in ("RGB", "RGBA") and not clear:
        return image
    if image.mode in ("P", "PA", "RGB", "RGBA"):
        with_alpha = clear or image.mode == "PA" or image.mode == "RGBA"
        return image.convert("RGBA" if with_alpha else "RGB")
    notes.append(f"{image.mode} turned into RGB")
    if image.mode in ("CMYK", "LAB"):
        space = b"Lab " if image.mode == "LAB" else b"CMYK"
        try:
            if image.mode == "LAB":
                source = ImageCms.createProfile("LAB")
            elif profile[16:20] == space:
                source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            else:
                return image.convert("RGB")
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("its colour profile can't be used")
    return image.convert("RGB")


def partial_of(path: Path) -> Path:
    """Where a picture is written before it is renamed to `path`."""
    name = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return path.with_name(f".{name}.partial{path.suffix}")


def save_picture(picture: Picture, path: Path) -> list[str]:
    """Write `picture` beside `path`, then rename; the suffix says the format. Returns what couldn't be kept.

    A JPEG from a JPEG has the quality of the source. Raises StudyError where it can't be written.
    """
    suffix, kept, said = path.suffix.lower(), picture.kept, []
    colours, alpha = picture.colours, picture.alpha
    if alpha is not None and suffix in WITHOUT_ALPHA:
        said.append(f"transparency laid over white, since {suffix} has none")
        share = alpha[..., None] / np.float32(255) if colours.ndim == 3 else alpha / np.float32(255)
        colours = np.rint(colours * share + 255 * (1 - share)).astype(np.uint8)
        alpha = None
    if colours.dtype != np.uint8 and suffix not in (".png", ".tif", ".tiff"):
        said.append(f"16 bits stored with 8, since {suffix} has no more")
        colours = np.rint(colours * (255 / picture.white)).astype(np.uint8)
    image = Image.fromarray(colours)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    options = {key: kept[key] for key in ("exif", "icc_profile", "dpi") if key in kept}
    if suffix in (".jpg", ".jpeg"):
        options |= {key: kept[key] for key in ("xmp", "comment", "progressive") if key in kept}
        options |= _jpeg_quality(kept)
    elif suffix == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        if isinstance(kept.get("xmp"), bytes):
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", kept["xmp"].decode("utf-8", "replace"))
    elif suffix == ".webp":
        options |= {"lossless": picture.lossless, "quality": 95, "exact": True}
        options |= {"xmp": kept["xmp"]} if "xmp" in kept else {}
        options.pop("dpi", None)
    elif suffix in (".tif", ".tiff"):
        same = kept.get("compression") in LOSSLESS_TIFF
        options["compression"] = kept["compression"] if same else "tiff_lzw"
    elif suffix == ".bmp":
        options = {"dpi": kept["dpi"]} if "dpi" in kept else {}
    partial = partial_of(path)
    try:
        said += _written(image, partial, options)
        os.replace(partial, path)
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise StudyError(f"cannot write {path}: {reason}") from None
    finally:
        partial.unlink(missing_ok=True)
    return said


def _written(image: Image.Image, file: Path, options: dict) -> list[str]:
    """Write `image`, without what can't be written beside its pixels; returns what that was."""
    loose = {key: value for key, value in options.items() if key != "compression"}
    plain = {key: options[key] for key in ("lossless", "quality", "subsampling", "exact") if key in options}
    attempts = [
        (options, []),
        (loose, []),  # libtiff refuses to compress beside some EXIF
        (plain, ["EXIF and profile are damaged and left out"]),
    ]
    for chosen, said in attempts:
        try:
            image.save(file, **chosen)
            return said
        except (
            AttributeError,
            KeyError,
            OverflowError,
            RuntimeError,
            TypeError,
            ValueError,
            struct.error,
        ) as e:
            reason = e
    raise ValueError(reason)


def _jpeg_quality(kept: dict) -> dict:
    tables = kept.get("qtables") or {}
    if tables and all(
        len(values) == 64 and 0 < min(values) <= max(values) < 256 for values in tables.values()
    ):
        return {"qtables": list(tables.values())[:2], "subsampling": kept["subsampling"]}
    return {"quality": 95, "subsampling": 0}


@contextmanager
def _any_size() -> Iterator[None]:
    """Sizes are checked here, before any pixel is decoded; Pillow's own limit is lower."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
