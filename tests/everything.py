"""Makes a folder with one of everything that people have in theirs: `python tests/everything.py OUT`."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from facedeblur_utils import downloads
from facedeblur_utils.blur import operators
from facedeblur_utils.blur.kernels import linear_motion_kernel

RESTORED = (
    "alpha.png", "animation.gif", "avif.avif", "cmyk.jpg", "deep.png", "float.tif", "grey.png", "group.jpg",
    "jp2.jp2", "landscape.jpg", "overlap.png", "palette.png", "panorama.jpg", "photo.jpg", "ten_bits.tif",
    "turned.jpg", "webp.webp",
)  # fmt: skip
NOTHING = ("long.png", "sharp.jpg")
REFUSED = ("bomb.png", "cut.jpg", "empty.jpg", "phone.heic", "words.jpg")
NOT_LOOKED_AT = ("again.jpg", "gone.jpg", "loop", "notes.txt", "pipe.jpg", "raw.cr2", "round.jpg", "sub")


def sample(number: int, blur: float = 0.1) -> np.ndarray:
    """A sample face, uint8 RGB (218, 178, 3), blurred along a line of `blur` of its width."""
    file = downloads.fetch("sample_faces") / f"{number:06d}.jpg"
    face = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    return operators.convolve(face, linear_motion_kernel(blur * 178, 30.0)) if blur else face


def scene(height: int, width: int, *placed: tuple[np.ndarray, int, int]) -> np.ndarray:
    """A photo, uint8 RGB, of `placed` (face, top, left) before a plain wall."""
    photo = np.full((height, width, 3), 110, np.uint8)
    for face, top, left in placed:
        photo[top : top + face.shape[0], left : left + face.shape[1]] = face
    return photo


def make(folder: Path) -> Path:
    """Fill `folder`, which must not be there yet."""
    folder.mkdir(parents=True)
    pixels = sample(14, 0.08)
    photo = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x010F], exif[0x8825] = "Maker", {1: "N", 2: (48.0, 8.0, 14.0)}
    photo.save(folder / "photo.jpg", quality=85, exif=exif.tobytes(), dpi=(300, 300))
    exif[0x0112] = 6
    photo.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", quality=95, exif=exif.tobytes())
    photo.convert("L").save(folder / "grey.png")
    photo.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    clear = photo.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(photo.size).point(lambda value: max(value, 100)))
    clear.save(folder / "alpha.png")
    photo.quantize(255).save(folder / "palette.png", transparency=254)
    grey = np.asarray(photo.convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(grey.astype(np.uint16) * 4).save(folder / "ten_bits.tif")
    Image.fromarray(grey.astype(np.float32) / 255).save(folder / "float.tif")
    photo.save(folder / "animation.gif", save_all=True, append_images=[photo.rotate(5), photo.rotate(9)])
    for suffix in ("avif", "jp2", "webp"):
        photo.save(folder / f"{suffix}.{suffix}", quality=90)
    small = [cv2.resize(sample(n, 0.08), (155, 190)) for n in (1, 2, 5, 14)]
    places = [(10, 0), (10, 155), (200, 230), (200, 460)]
    group = scene(400, 620, *((face, *place) for face, place in zip(small, places, strict=True)))
    Image.fromarray(group).save(folder / "group.jpg", quality=95)
    beside = scene(300, 360, (sample(1)[:, 40:138], 40, 80), (sample(2)[:, 40:138], 40, 178))
    Image.fromarray(beside).save(folder / "overlap.png")
    wide = scene(330, 5000, *((face, 70, 300 + 1200 * n) for n, face in enumerate(small)))
    Image.fromarray(wide).save(folder / "panorama.jpg", quality=95)
    Image.fromarray(sample(14, 0)).save(folder / "sharp.jpg", quality=95)
    hills = cv2.resize(np.random.default_rng(0).integers(60, 200, (6, 8, 3), dtype=np.uint8), (800, 600))
    Image.fromarray(hills).save(folder / "landscape.jpg", quality=95)
    Image.new("L", (3000, 20), 127).save(folder / "long.png")
    Image.new("1", (20_000, 20_000), 1).save(folder / "bomb.png")
    (folder / "cut.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:3000])
    (folder / "words.jpg").write_text("only words")
    (folder / "empty.jpg").touch()
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    (folder / "notes.txt").write_text("words")
    (folder / "raw.cr2").write_bytes(b"II*\0" + bytes(50))
    (folder / ".hidden.jpg").write_bytes(b"")
    (folder / "sub").mkdir()
    (folder / "loop").symlink_to(".")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "round.jpg").symlink_to("round.jpg")
    (folder / "again.jpg").symlink_to("photo.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return folder


if __name__ == "__main__":
    make(Path(sys.argv[1]))
