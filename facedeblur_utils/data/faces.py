"""Sharp faces: reads any image file as a square RGB face, and splits faces into train, val and test."""

import hashlib
import io
import warnings
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from facedeblur_utils.errors import UsageError

if TYPE_CHECKING:  # it takes a fifth of a second, and who deblurs a photo doesn't need it
    import pandas as pd

SPLITS = ("train", "val", "test")
LARGEST_PIXELS = 64_000_000  # 192 MB decoded; more is a scan, a panorama or a decompression bomb
SMALLEST_SIDE = 16
MAY_MOVE = (".gif", ".png", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")  # may hold many pictures
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


class ImageProblem(Exception):
    """Why one image can't be used; it is listed and left out, and the others go on."""


def decode(data: bytes) -> np.ndarray:
    """Bytes of an image file -> uint8 RGB (H, W, 3), turned as its EXIF orientation says.

    Grey, palette, CMYK, 10- to 16-bit and floating point images are converted; transparency is laid over
    white; of an animation the first picture is taken. Raises ImageProblem for what isn't an image, is cut
    short, or is too large.
    """
    if data[4:8] == b"ftyp":
        read_heic_too()
    try:
        with warnings.catch_warnings():
            # Size is checked here, before any pixel is decoded; Pillow's own warning would only repeat it.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > LARGEST_PIXELS:
                    limit = LARGEST_PIXELS // 1_000_000
                    raise ImageProblem(f"{width}×{height} pixels is more than {limit} million")
                return np.asarray(_as_rgb(image))
    except Image.DecompressionBombError:
        raise ImageProblem(f"more than {LARGEST_PIXELS // 1_000_000} million pixels") from None
    except UnidentifiedImageError:
        raise ImageProblem(not_read(data)) from None
    except (ImageProblem, MemoryError):
        raise
    except Exception as error:  # Pillow's plug-ins raise whatever their parsing stumbles over
        raise ImageProblem(f"damaged image file ({' '.join(str(error).split())[:100]})") from None


def _as_rgb(image: Image.Image) -> Image.Image:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # Pillow's own conversion would clip them
        return Image.fromarray(as_8_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def full_scale(values: np.ndarray) -> float:
    """Which of `values` (10 to 16 bits, or floating point) is white: files don't say how many bits they use.

    A picture whose values fit into fewer bits is taken to have them: read with more it would be black.
    Raises ImageProblem for values beyond 16 bits.
    """
    top = float(np.nanmax(values, initial=0, where=np.isfinite(values)))
    scales = (1.0,) if np.issubdtype(values.dtype, np.floating) else ()
    for scale in (*scales, 255.0, 1023.0, 4095.0, 65535.0):
        if top <= scale:
            return scale
    raise ImageProblem(f"values up to {top:g} have no known white; store it with 8 or 16 bits")


def as_8_bits(values: np.ndarray) -> np.ndarray:
    """uint8 of `values` with more bits or floating point, white at their `full_scale`."""
    scaled = np.nan_to_num(values.astype(np.float64) * (255 / full_scale(values)), posinf=255, neginf=0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def not_read(data: bytes) -> str:
    """What to say of bytes that Pillow doesn't know."""
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS:
        if read_heic_too():
            return "damaged image file (a HEIC picture that can't be opened)"
        return "a HEIC picture; pip install pillow-heif to read it, or store it as JPEG"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "an AVIF picture that Pillow can't read here; store it as JPEG or PNG"
    return "not an image"


def read_heic_too() -> bool:
    """Teach Pillow to read HEIC where the optional pillow-heif is installed; says whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def pictures_in(data: bytes) -> int:
    """How many pictures an image file holds: more than one in an animation; 1 where that can't be told."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return getattr(image, "n_frames", 1)
    except Exception:  # as in `decode`, which says what is wrong
        return 1


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """uint8 (256,): the central square of `pixels` (H, W, 3) in 16 x 16 grey pixels, to compare pictures."""
    grey = cv2.cvtColor(np.ascontiguousarray(central_square(pixels)), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA).ravel()


def central_square(image: np.ndarray) -> np.ndarray:
    """The largest central square; of an aligned CelebA image (178×218) that is rows 20 to 198."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Square uint8 image to `(size, size, 3)`: area average when shrinking, cubic when enlarging."""
    if image.shape[0] == size:
        return np.ascontiguousarray(image)
    method = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


def reduce_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Square bool mask to `(size, size)`: a pixel belongs to it when at least half of its area does."""
    if mask.shape[0] == size:
        return mask
    method = cv2.INTER_AREA if mask.shape[0] > size else cv2.INTER_LINEAR
    return cv2.resize(mask.astype(np.float32), (size, size), interpolation=method) >= 0.5


def check_side(side: int, size: int) -> None:
    """Raise ImageProblem where a square of `side` pixels holds too little for an image of `size`."""
    if side < max(SMALLEST_SIDE, size / 2):
        raise ImageProblem(f"{side} pixels wide is too small for faces of {size} pixels")


def split_faces(
    image_ids: list[str],
    fractions: tuple[float, float, float],
    seed: int,
    identities: dict[str, str] | None = None,
) -> "pd.DataFrame":
    """Divide `image_ids` into train, val and test; columns `image_id, split`, sorted by id.

    Val and test get their rounded shares (at least one image each), train the rest. Which image goes where
    depends on `seed` and the ids alone, not on their order. With `identities` (id -> person) a person's
    images stay together, so shares are met as nearly as whole persons allow. Raises UsageError for
    repeated ids or fewer than three images (or persons).
    """
    import pandas as pd

    if len(set(image_ids)) != len(image_ids):
        raise UsageError("image ids must not repeat")
    person = {image_id: (identities or {}).get(image_id, f"image {image_id}") for image_id in image_ids}
    groups: dict[str, list[str]] = {}
    for image_id in sorted(image_ids):
        groups.setdefault(person[image_id], []).append(image_id)
    if len(groups) < len(SPLITS):
        raise UsageError(f"a split needs at least three different faces, got {len(groups)}")
    shuffled = sorted(groups, key=lambda name: hashlib.sha256(f"{seed}/split/{name}".encode()).digest())

    part = dict.fromkeys(image_ids, "train")
    start = 0
    for name, fraction in (("val", fractions[1]), ("test", fractions[2])):
        wanted, taken = max(1, round(fraction * len(image_ids))), 0
        while taken < wanted and start < len(shuffled) - 1:
            for image_id in groups[shuffled[start]]:
                part[image_id] = name
            taken += len(groups[shuffled[start]])
            start += 1
    rows = [(image_id, part[image_id]) for image_id in sorted(image_ids)]
    return pd.DataFrame(rows, columns=["image_id", "split"])


def leakage(split: "pd.DataFrame", identities: dict[str, str]) -> "pd.DataFrame":
    """How many images of each part show a person who is also in `train`; identities: id -> person."""
    import pandas as pd

    people = split["image_id"].map(identities)
    trained = set(people[split["split"] == "train"].dropna())
    rows = []
    for name in SPLITS:
        here = people[split["split"] == name]
        known = here.notna()
        shared = here.isin(trained) & known if name != "train" else here.isin([])
        rows.append((name, len(here), int(known.sum()), int(here[known].nunique()), int(shared.sum())))
    return pd.DataFrame(rows, columns=["split", "images", "identity known", "persons", "also in train"])
