"""Where sharp faces come from: the sample, a folder, a zip, CelebA-HQ as people have it, a hub dataset."""

import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from facedeblur_utils import downloads
from facedeblur_utils.data import celeba_hq
from facedeblur_utils.data.faces import ImageProblem, decode
from facedeblur_utils.data.source_files import Item, Source, folder_source, zip_source
from facedeblur_utils.errors import StudyError
from facedeblur_utils.profiles import Profile

SAMPLE_FACES = 999
LARGEST_MAPPING = 50_000_000  # bytes; the real one has one million
FORMS = "'sample', a folder, a zip, 'celeba-hq:FOLDER-OR-ZIP' or 'hub:NAME[:SPLIT]'"
MORE_CELEBA = "get CelebAMask-HQ or a 256 px copy of CelebA-HQ and name it: source: celeba-hq:FOLDER-OR-ZIP"


def open_source(profile: Profile) -> Source:
    """The source that `profile.source` names, cut to its first `profile.limit` images by id.

    Raises StudyError, one line, for a source that isn't there, is empty, or doesn't hold what it promises.
    """
    kind, colon, rest = profile.source.partition(":")
    if profile.source == "sample":
        source = folder_source(downloads.fetch("sample_faces"), f"{SAMPLE_FACES} CelebA faces (sample)")
        if len(source.items) != SAMPLE_FACES:
            raise StudyError(f"the sample must hold {SAMPLE_FACES} faces, found {len(source.items)}")
    elif kind == "celeba-hq":
        if not rest:
            raise StudyError(f"source 'celeba-hq' doesn't say where the images are; {MORE_CELEBA}")
        source = _celeba_hq(profile, Path(rest).expanduser())
    elif kind == "hub" and colon:
        from facedeblur_utils.data.hub_source import hub_source

        source = hub_source(rest)
    else:
        source = _files(Path(profile.source).expanduser())
        if any(celeba_hq.MASKS_FOLDER in item.name.split("/")[:-1] for item in source.items):
            raise StudyError(
                f"{source.description} is CelebAMask-HQ, whose mask pictures would count as faces; name it "
                f"as source: celeba-hq:{profile.source}, or name its folder {celeba_hq.IMAGES_FOLDER}"
            )
    items = sorted(source.items, key=lambda item: item.image_id)
    return replace(source, items=items[: profile.limit] if profile.limit else items)


def identities(profile: Profile, source: Source) -> dict[str, str] | None:
    """Person of each image by id, from the profile's identity file; None where there is none.

    Raises StudyError where the file knows none of the images.
    """
    if not profile.identity_file:
        return None
    known = read_identities(profile.identity_file)
    names = {item.image_id: source.originals.get(item.image_id, item.image_id) for item in source.items}
    people = {image_id: known[name] for image_id, name in names.items() if name in known}
    if not people:
        raise StudyError(
            f"identity file {profile.identity_file} names none of the images of {source.description}; "
            f"it has ids like '{next(iter(known), '')}', the source like '{next(iter(names.values()))}'"
        )
    return people


def read_identities(path: str) -> dict[str, str]:
    """Person by file name without suffix, from CelebA's `identity_CelebA.txt` (lines `000001.jpg 2880`)."""
    text = read_text(Path(path).expanduser(), "identity file")
    people = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if len(fields) not in (0, 2):
            raise StudyError(f"identity file {path}, line {number}: expected 'file person', got '{line}'")
        if fields:
            people[Path(fields[0]).stem] = fields[1]
    return people


def read_text(path: Path, what: str) -> str:
    """The text of a file, or a StudyError that names `what` it should have been."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "not a text file"
        raise StudyError(f"{what} {path} can't be read ({reason})") from None


def picture(source: Source, item: Item) -> np.ndarray | None:
    """The decoded image, uint8 RGB (H, W, 3), or None where it can't be decoded."""
    try:
        return decode(source.read(item))
    except (ImageProblem, OSError):
        return None


def _files(path: Path) -> Source:
    if path.is_dir():
        return folder_source(path, f"folder {path.name}")
    if path.is_file():
        return zip_source(path)
    raise StudyError(f"source '{path}' doesn't exist; a source is {FORMS}")


def _celeba_hq(profile: Profile, path: Path) -> Source:
    source = _files(path)
    if profile.mapping_file:
        where = Path(profile.mapping_file).expanduser()
        text = read_text(where, "mapping file")
    else:
        where, text = _mapping_beside(path)
    mapping = celeba_hq.read_mapping(text, str(where))
    return celeba_hq.train_part(source, mapping, profile.first_number)


def _mapping_beside(path: Path) -> tuple[str, str]:
    """The mapping file in the folder or zip, or in the folder around it."""
    name = celeba_hq.MAPPING_NAME
    beside = [path / name, path.parent / name] if path.is_dir() else [path.parent / name]
    for file in beside:
        if file.is_file():
            return str(file), read_text(file, "mapping file")
    if path.is_file():
        import zipfile

        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if re.search(rf"(^|/){re.escape(name)}$", member.filename):
                        if member.file_size > LARGEST_MAPPING:
                            raise StudyError(f"{path}:{member.filename} is too large for a mapping")
                        return f"{path}:{member.filename}", archive.read(member).decode("utf-8", "replace")
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
            raise StudyError(f"{name} in {path} can't be read ({error})") from None
    raise StudyError(
        f"no {name} in or beside {path}: it says which images are CelebA's train part; it comes with "
        "CelebAMask-HQ, name it by mapping_file"
    )
