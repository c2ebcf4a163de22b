"""Finds and reads the pairs of sharp and blurred pictures in folders as people have them.

Understood are the layouts of GoPro (Nah et al. 2017), HIDE (Shen et al. 2019) and RealBlur (Rim et al.
2020), and any folders of sharp and of blurred files with the same names.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from facedeblur_utils.data import faces
from facedeblur_utils.data.source_files import IMAGE_SUFFIXES, MOST_NAMED, look_into, passed_over
from facedeblur_utils.errors import UsageError
from facedeblur_utils.metrics.psnr_ssim import WINDOW
from facedeblur_utils.progress import track

SHARP_FOLDERS = ("sharp", "gt", "target", "groundtruth", "ground_truth")
BLURRED_FOLDERS = ("blurred", "blur", "blurry", "input")
SHARP, BLURRED, OTHER = "sharp", "blurred", "other"  # sides; OTHER is blurred and not asked for
GAMMA_FOLDER = "blur_gamma"  # GoPro's blur in light, beside that of stored values in `blur`
PREFIX = re.compile(rf"({'|'.join((*SHARP_FOLDERS, *BLURRED_FOLDERS))})_(?=.)", re.I)  # gt_1, blur_1
LISTS = "*_list.txt"  # RealBlur: sharp and blurred path in each line
SPLITS = ("train", "val", "valid", "validation", "test")
FORMS = (
    "sharp/ and blurred/ (or gt/, target/ and blur/, input/) with the same names, "
    "GoPro's, HIDE's or RealBlur's folders, or a list file with a sharp and a blurred path in each line"
)
LEAST_SIDE = WINDOW  # pixels, SSIM's


@dataclass(frozen=True)
class Pair:
    """Files of one picture; `name` is unique in `dataset`: the folder with its split, or the list."""

    name: str
    sharp: Path
    blurred: Path
    dataset: str = ""


def find_pairs(folder: Path | str, gamma: bool = False) -> list[Pair]:
    """The pairs in `folder` (or of a list file), sorted by name; prints which files have no partner.

    Folders on the way to a file say which side it is of, in any case: SHARP_FOLDERS, BLURRED_FOLDERS (with
    `gamma` GAMMA_FOLDER instead). What lies beside a GT folder and on no side is blurred (HIDE). Names are
    compared without suffix, and where that finds no partner without `gt_` and `blur_` (RealBlur). List files
    `*_list.txt` in `folder` win over what lies there, those of tests over others. Raises UsageError where
    there is no pair, or two files claim one place.
    """
    folder = Path(folder).expanduser()
    if folder.is_file():
        return _listed([folder], folder.parent)
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; name one that holds {FORMS}")
    if lists := sorted(folder.glob(LISTS)):
        return _listed([file for file in lists if "test" in file.name.lower()] or lists, folder)
    files, odd = look_into(folder, IMAGE_SUFFIXES)
    if odd:
        print(passed_over(odd))
    if not files:
        raise UsageError(f"no pictures in {folder}; it should hold {FORMS}")
    sides = {name: _side(name, gamma) for name in files}
    sharp, blurred, rest = (
        {name: key for name, (side, key) in sides.items() if side == wanted}
        for wanted in (SHARP, BLURRED, "")
    )
    ways = [str, _without_prefix]
    if sharp and not blurred:
        blurred, ways = rest, [lambda key: PurePosixPath(key).name]  # HIDE
    partners = _partners(sharp, blurred, ways, folder)
    if not partners:
        raise UsageError(_no_pair(folder, sharp, blurred, sides))
    alone = {*sharp, *blurred} - {*partners, *partners.values()}
    tell(sorted(alone), "without a partner")
    root = folder.resolve().name
    keys = sorted((key, name) for name, key in blurred.items() if name in partners)
    return [Pair(key, files[partners[name]], files[name], _dataset(root, key)) for key, name in keys]


def check(pairs: list[Pair]) -> None:
    """Read all files; raises UsageError for the first that can't be used."""
    if not pairs:
        raise UsageError(f"no pairs to score; a folder should hold {FORMS}")
    for pair in track(pairs, "Reading", unit="pairs"):
        read_pair(pair)


def read_pair(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """(sharp, blurred), uint8 RGB (H, W, 3) each; raises UsageError where one can't be used."""
    sharp, blurred = _read(pair.sharp), _read(pair.blurred)
    if sharp.shape != blurred.shape:
        sizes = " and ".join(f"{image.shape[1]}×{image.shape[0]}" for image in (sharp, blurred))
        raise UsageError(
            f"{pair.sharp} and {pair.blurred} differ in size ({sizes}); a pair must have one size"
        )
    if min(sharp.shape[:2]) < LEAST_SIDE:
        raise UsageError(f"{pair.sharp} is too small: SSIM needs {LEAST_SIDE} pixels a side; take it out")
    return sharp, blurred


def _read(file: Path) -> np.ndarray:
    try:
        return faces.decode(file.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}; mend it or take it out") from None
    except faces.ImageProblem as problem:
        raise UsageError(f"cannot use {file}: {problem}; mend it or take the pair out") from None


def _side(name: str, gamma: bool) -> tuple[str, str]:
    """The side that the folders of `name` say ("" for none), and its path without that and its suffix."""
    words = dict.fromkeys(SHARP_FOLDERS, SHARP) | dict.fromkeys(BLURRED_FOLDERS, OTHER if gamma else BLURRED)
    words[GAMMA_FOLDER] = BLURRED if gamma else OTHER
    *parts, file = PurePosixPath(name).with_suffix("").parts
    marks = [index for index, part in enumerate(parts) if part.lower() in words]
    side = words[parts.pop(marks[-1]).lower()] if marks else ""
    return side, "/".join([*parts, file])


def _without_prefix(key: str) -> str:
    folder, _, name = key.rpartition("/")
    return f"{folder}/{PREFIX.sub('', name, count=1)}"


def _partners(
    sharp: dict[str, str], blurred: dict[str, str], ways: list[Callable[[str], str]], folder: Path
) -> dict[str, str]:
    """Blurred file -> the sharp one with the same key, seen in the first of `ways` that shows one."""
    _by_key(blurred, str, folder)
    partners = {}
    for way in ways:
        taken = set(partners.values())
        free = {name: key for name, key in sharp.items() if name not in taken}
        there = _by_key(free, way, folder)
        partners |= {
            name: there[way(key)]
            for name, key in blurred.items()
            if name not in partners and way(key) in there
        }
    return partners


def _by_key(keys: dict[str, str], way: Callable[[str], str], folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, key in keys.items():
        other = found.setdefault(way(key), name)
        if other != name:
            raise UsageError(
                f"{other} and {name} in {folder} claim the same place of one pair; keep one of them"
            )
    return found


def _dataset(root: str, key: str) -> str:
    """Folder and split, which the first part of `key` of such a name says."""
    parts = key.split("/")[:-1]
    split = [index for index, part in enumerate(parts) if part.lower() in SPLITS][:1]
    return "/".join([root, *(parts[: split[0] + 1] if split else ())])


def _no_pair(folder: Path, sharp: dict, blurred: dict, sides: dict) -> str:
    said = f"no pairs in {folder}: {len(sharp)} sharp and {len(blurred)} blurred pictures"
    if sharp and blurred:
        return f"{said} share no name, such as {min(sharp)} and {min(blurred)}; give both of a pair one name"
    other = sorted(name for name, (side, _) in sides.items() if side == OTHER)
    hint = f"; {other[0]} is the other kind of GoPro's blur, see --blur-gamma" if other else ""
    return f"{said} among {len(sides)}{hint}; it should hold {FORMS}"


def _listed(lists: list[Path], folder: Path) -> list[Pair]:
    """The pairs in list files, whose paths start from the list's folder."""
    pairs, missing = {}, []
    for file in lists:
        for sharp, blurred in _lines(file):
            gone = [path for path in (sharp, blurred) if not (file.parent / path).is_file()]
            missing += gone
            if not gone:
                key = _side(blurred, False)[1]
                pairs[file.stem, key] = Pair(key, file.parent / sharp, file.parent / blurred, file.stem)
    if not pairs:
        named = " and ".join(file.name for file in lists)
        first = f": {missing[0]} is not there" if missing else ""
        raise UsageError(
            f"no pair of {named} in {folder}{first}; put the list beside the folders that it names"
        )
    tell(missing, "listed but not there")
    return [pairs[key] for key in sorted(pairs)]


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """(sharp, blurred) paths of a list file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not a list of paths; name a folder, or a list file") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2:
            raise UsageError(f"{file}, line {number}: a sharp and a blurred path expected, got '{line[:80]}'")
        sharp, blurred = words[:2]
        turned = _side(sharp, False)[0] == BLURRED and _side(blurred, False)[0] == SHARP
        yield (blurred, sharp) if turned else (sharp, blurred)


def tell(names: list[str], what: str) -> None:
    """Print how many `names` are left out, why, and some of them."""
    if names:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        print(f"{len(names)} {what}, left out: {', '.join(names[:MOST_NAMED])}{more}")
