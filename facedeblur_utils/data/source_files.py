"""Image files in a folder or a zip: the items of a source, their ids, and how they are read."""

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from facedeblur_utils.data.faces import ImageProblem
from facedeblur_utils.errors import StudyError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
LARGEST_FILE = 200_000_000  # bytes unpacked; a picture in a zip may claim any size


@dataclass(frozen=True)
class Item:
    """One image file of a source; `name` is its path inside, as shown in messages."""

    image_id: str
    name: str
    size: int  # bytes


@dataclass(frozen=True)
class Source:
    """Image files in a fixed order, and how to read them.

    `read` gives an item's bytes, or raises OSError or ImageProblem. `notes` say what was taken for granted.
    `originals` gives the name under which an identity file knows an image, where that isn't its id.
    """

    description: str
    items: list[Item]
    read: Callable[[Item], bytes]
    notes: list[str] = field(default_factory=list)
    originals: dict[str, str] = field(default_factory=dict)

    def listing_hash(self) -> str:
        """SHA-256 of ids, names and sizes: changes when files are added, removed or replaced."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(f"{item.image_id}\0{item.name}\0{item.size}\n".encode())
        return digest.hexdigest()


def folder_source(folder: Path, description: str) -> Source:
    """All image files in `folder` and below, hidden ones apart; ids are their paths without suffix."""
    files, sizes = {}, {}
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _hidden((name,))]
        inside = Path(place).relative_to(folder).as_posix()
        for name in names:
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not _hidden((name,)):
                path = os.path.join(place, name)
                key = name if inside == "." else f"{inside}/{name}"
                files[key], sizes[key] = path, os.stat(path).st_size
    if not files:
        raise StudyError(f"no images in folder {folder}; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    return Source(description, named_items(sizes), lambda item: Path(files[item.name]).read_bytes())


def zip_source(path: Path) -> Source:
    """All image files in a zip, read in place: nothing is unpacked, so no member can leave the archive.

    Members whose path tries to are left out with a note. Raises StudyError for a file that isn't a zip, is
    encrypted or holds no images.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise StudyError(f"{path} is not a zip that can be read ({error})") from None
    sizes, unsafe = {}, []
    for member in archive.infolist():
        inside = PurePosixPath(member.filename)
        if member.is_dir() or inside.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if inside.is_absolute() or ".." in inside.parts or "\\" in member.filename:
            unsafe.append(member.filename)
        elif not _hidden(inside.parts):
            sizes[member.filename] = member.file_size
            if member.flag_bits & 1:
                raise StudyError(f"zip {path} is encrypted; unpack it and name the folder")
    if not sizes:
        raise StudyError(f"no images in zip {path}; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")

    def read(item: Item) -> bytes:
        if item.size > LARGEST_FILE:
            raise ImageProblem(f"file of {item.size / 1e6:.0f} MB is more than {LARGEST_FILE / 1e6:.0f} MB")
        try:
            return archive.read(item.name)
        except (zipfile.BadZipFile, EOFError) as error:
            raise ImageProblem(f"damaged in the zip ({error})") from None

    notes = [f"{len(unsafe)} members with unsafe paths left out, such as '{unsafe[0]}'"] if unsafe else []
    return Source(f"zip {path.name}", named_items(sizes), read, notes)


def named_items(sizes: dict[str, int]) -> list[Item]:
    """Items for `sizes` (path inside the source -> bytes), sorted: id is the path without suffix, `/` as `_`.

    Files that would get the same id keep their whole path, marks included.
    """
    plain = {name: os.path.splitext(name)[0].replace("/", "_") for name in sizes}
    counts = Counter(plain.values())
    items = [Item(plain[n] if counts[plain[n]] == 1 else n, n, size) for n, size in sizes.items()]
    return sorted(items, key=lambda item: item.image_id)


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
