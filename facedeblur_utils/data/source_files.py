"""Image files in a folder or a zip: the items of a source, their ids, and how they are read."""

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from facedeblur_utils.data.faces import ImageProblem
from facedeblur_utils.errors import StudyError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
IMAGE_SUFFIXES |= {".jp2", ".avif", ".heic", ".heif"}
MOST_NAMED = 5
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
    """All image files in `folder` and below, each once, hidden ones apart; ids are paths without suffix.

    Links are followed where they lead to something new; what was passed over is named in a note.
    """
    files, odd = look_into(folder, IMAGE_SUFFIXES)
    if not files:
        also = f"; {passed_over(odd)}" if odd else ""
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise StudyError(f"no images in folder {folder}; looked for {kinds}{also}")
    sizes = {name: path.stat().st_size for name, path in files.items()}
    notes = [passed_over(odd)] if odd else []
    return Source(description, named_items(sizes), lambda item: files[item.name].read_bytes(), notes)


def look_into(
    folder: Path, suffixes: Iterable[str], deep: bool = True
) -> tuple[dict[str, Path], list[tuple[str, str]]]:
    """Files with these suffixes in `folder` (and below, if `deep`), by their path inside, sorted, each once.

    Also what was passed over, as (path inside, reason): links that lead nowhere, back, or to a file that is
    there anyway; pipes and devices; what can't be looked at. Hidden files don't count.
    """
    files, odd, links = {}, [], []
    root = os.path.realpath(folder)
    seen, waiting = {root}, [("", root)]
    while waiting:
        inside, place = waiting.pop()
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            odd.append((inside or ".", f"can't be opened ({error.strerror})"))
            continue
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            wanted = os.path.splitext(entry.name)[1].lower() in suffixes
            if _hidden((entry.name,)):
                continue
            if not printable(entry.name):
                odd.append((shown(name), "a name that can't be written"))
            elif entry.is_symlink():
                links.append((name, entry.path, wanted))
            elif entry.is_dir():
                if deep:
                    seen.add(entry.path)
                    waiting.append((name, entry.path))
            elif wanted and entry.is_file():
                seen.add(entry.path)
                files[name] = Path(entry.path)
            elif wanted:
                odd.append((name, "not a file"))
        if waiting or not links:
            continue
        # What is there itself comes before links to it, so that each file is found under its own name.
        for name, path, wanted in sorted(links):
            target = os.path.realpath(path)
            if not os.path.exists(target):
                odd.append((name, "a link that leads nowhere"))
            elif target in seen and (wanted or os.path.isdir(target)):
                odd.append((name, "a link to what is there already"))
            elif os.path.isdir(target) and deep:
                seen.add(target)
                waiting.append((name, target))
            elif wanted and os.path.isfile(target):
                seen.add(target)
                files[name] = Path(target)
            elif wanted:
                odd.append((name, "not a file"))
        links = []
    return dict(sorted(files.items())), sorted(odd)


def passed_over(odd: list[tuple[str, str]]) -> str:
    """One sentence on what `look_into` passed over."""
    named = ", ".join(f"{name} ({why})" for name, why in odd[:MOST_NAMED])
    return f"passed over: {named}" + (f" and {len(odd) - MOST_NAMED} more" if len(odd) > MOST_NAMED else "")


def printable(name: str) -> bool:
    """False for a name with bytes that aren't UTF-8 or with control characters."""
    return not any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in name)


def shown(name: str) -> str:
    """`name` as it can be printed in one line."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if ord(letter) >= 32 else "?" for letter in text)


def zip_source(path: Path) -> Source:
    """All image files in a zip, read in place: nothing is unpacked, so no member can leave the archive.

    Members whose path tries to are left out with a note. Raises StudyError for a file that isn't a zip, is
    encrypted or holds no images.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises many kinds for damaged directories
        reason = " ".join(str(error).split())[:80]
        raise StudyError(f"{path} is not a zip that can be read ({reason})") from None
    sizes, unsafe = {}, []
    for member in archive.infolist():
        inside = PurePosixPath(member.filename)
        if member.is_dir() or inside.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        odd = ".." in inside.parts or "\\" in member.filename or not printable(member.filename)
        if inside.is_absolute() or odd:
            unsafe.append(shown(member.filename))
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
        except (OSError, MemoryError):
            raise
        except Exception as error:  # zipfile and its decompressors raise many kinds for damaged members
            raise ImageProblem(f"damaged in the zip ({' '.join(str(error).split())[:80]})") from None

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
