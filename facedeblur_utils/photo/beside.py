"""What a picture file says beside its pixels, in the form in which Pillow writes it again."""

import struct

from PIL import Image, JpegImagePlugin

ORIENTATION = 0x0112
TIFF_KEPT = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)  # description, camera, date, author


def beside_pixels(image: Image.Image) -> dict:
    """EXIF, resolution, comment, and how a JPEG was compressed."""
    kept = {}
    if exif := _exif(image):
        kept["exif"] = exif
    try:
        dots = tuple(float(value) for value in image.info["dpi"])
        if len(dots) == 2 and all(0 < value < 65_000 for value in dots):
            kept["dpi"] = dots
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        pass
    if isinstance(image.info.get("comment"), bytes) and len(image.info["comment"]) < 60_000:
        kept["comment"] = image.info["comment"]
    if image.format in ("JPEG", "MPO"):
        kept["qtables"] = {n: list(values) for n, values in image.quantization.items()}
        kept["subsampling"] = max(0, JpegImagePlugin.get_sampling(image))
        kept["progressive"] = bool(image.info.get("progressive"))
    if image.format == "TIFF":
        kept["compression"] = image.info.get("compression")
    return kept


def _exif(image: Image.Image) -> bytes:
    """The EXIF block for an upright copy: as it is where it can be, but for the orientation."""
    raw = image.info.get("exif")
    try:
        if isinstance(raw, bytes) and raw and image.format != "TIFF":
            return _upright(raw)
        exif, new = image.getexif(), Image.Exif()
        for tag in TIFF_KEPT:
            if tag in exif:
                new[tag] = exif[tag]
        for tag in (0x8769, 0x8825):  # exposure and the like; GPS
            if values := exif.get_ifd(tag):
                new[tag] = dict(values)
        return new.tobytes() if len(new) else b""
    except Exception:  # a damaged block: any of many kinds, and no reason to refuse the picture
        return b""


def _upright(exif: bytes) -> bytes:
    """`exif` with orientation 1, all other bytes as they are, so that makers' notes stay readable."""
    start = 6 if exif[:6] == b"Exif\0\0" else 0
    order = {b"II": "<", b"MM": ">"}[exif[start : start + 2]]
    (first,) = struct.unpack_from(f"{order}I", exif, start + 4)
    (count,) = struct.unpack_from(f"{order}H", exif, start + first)
    for entry in range(start + first + 2, start + first + 2 + 12 * count, 12):
        if struct.unpack_from(f"{order}H", exif, entry) == (ORIENTATION,):
            value = struct.pack(f"{order}HIHH", 3, 1, 1, 0)  # one short: 1
            return exif[: entry + 2] + value + exif[entry + 12 :]
    return exif
