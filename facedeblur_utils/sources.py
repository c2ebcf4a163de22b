"""Where sharp faces come from: the sample, a folder, a zip, CelebA-HQ as people have it, a hub dataset."""

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from facedeblur_utils import assets
from facedeblur_utils.errors import StudyError
from facedeblur_utils.faces import ImageProblem, decode
from facedeblur_utils.profiles import Profile

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
SAMPLE_FACES = 999


@dataclass(frozen=True)
class Item:
    """One image file of a source; `name` is its path inside, as shown in messages."""

    image_id: str
    name: str
    size: int  # bytes


@dataclass(frozen=True)
class Source:
    """Image files in a fixed order, and how to read them; `notes` say what was taken for granted."""

    description: str
    items: list[Item]
    read: Callable[[Item], bytes]
    notes: list[str] = field(default_factory=list)

    def listing_hash(self) -> str:
        """SHA-256 of ids, names and sizes: changes when files are added, removed or replaced."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(f"{item.image_id}\0{item.name}\0{item.size}\n".encode())
        return digest.hexdigest()


def open_source(profile: Profile) -> Source:
    """The source that `profile.source` names, cut to its first `profile.limit` images by id.

    Raises StudyError, one line, for a source that isn't there, is empty, or doesn't hold what it promises.
    """
    if profile.source == "sample":
        source = folder_source(assets.fetch("sample_faces"), "999 CelebA faces (sample)")
        if len(source.items) != SAMPLE_FACES:
            raise StudyError(f"the sample must hold {SAMPLE_FACES} faces, found {len(source.items)}")
    else:
        path = Path(profile.source).expanduser()
        if path.is_dir():
            source = folder_source(path, f"folder {path.name}")
        elif path.is_file():
            source = zip_source(path)
        else:
            raise StudyError(f"source '{profile.source}' is neither 'sample' nor a folder or zip that exists")
    items = sorted(source.items, key=lambda item: item.image_id)
    if profile.limit:
        items = items[: profile.limit]
    return Source(source.description, items, source.read, source.notes)


def folder_source(folder: Path, description: str) -> Source:
    """All image files in `folder` and below; ids are their paths without suffix."""
    files = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not hidden:
            files[inside.as_posix()] = path
    if not files:
        raise StudyError(f"no images in folder {folder}; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    sizes = {name: path.stat().st_size for name, path in files.items()}
    return Source(description, named_items(sizes), lambda item: files[item.name].read_bytes())


def zip_source(path: Path) -> Source:
    """All image files in a zip. Nothing is unpacked, so no member can leave the archive."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise StudyError(f"{path} is not a zip that can be read ({error})") from None
    sizes = {}
    for member in archive.infolist():
        inside = PurePosixPath(member.filename)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in inside.parts)
        if inside.suffix.lower() in IMAGE_SUFFIXES and not member.is_dir() and not hidden:
            sizes[member.filename] = member.file_size
    if not sizes:
        raise StudyError(f"no images in zip {path}; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    return Source(f"zip {path.name}", named_items(sizes), lambda item: archive.read(item.name))


def named_items(sizes: dict[str, int]) -> list[Item]:
    """Items for `sizes` (path inside the source -> bytes): id is the path without suffix, `/` as `_`.

    Where two files would get the same id, both keep their suffix.
    """
    plain = {name: PurePosixPath(name).with_suffix("").as_posix().replace("/", "_") for name in sizes}
    counts: dict[str, int] = {}
    for image_id in plain.values():
        counts[image_id] = counts.get(image_id, 0) + 1
    items = []
    for name, image_id in plain.items():
        unique = image_id if counts[image_id] == 1 else name.replace("/", "_")
        items.append(Item(unique, name, sizes[name]))
    return sorted(items, key=lambda item: item.image_id)


def read_identities(path: str) -> dict[str, str]:
    """Person of each image from CelebA's `identity_CelebA.txt` (lines `000001.jpg 2880`), by image id."""
    file = Path(path).expanduser()
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"identity file {file} can't be read ({error})") from None
    people = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise StudyError(f"identity file {file}, line {number}: expected 'file person', got '{line}'")
        people[PurePosixPath(fields[0]).stem] = fields[1]
    return people


def picture(source: Source, item: Item) -> np.ndarray | None:
    """The decoded image, uint8 RGB (H, W, 3), or None where it can't be decoded."""
    try:
        return decode(source.read(item))
    except (ImageProblem, OSError):
        return None
