"""CelebA-HQ in the forms people have it: numbering, and CelebA's official parts by the mapping file."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from facedeblur_utils.data.source_files import Source
from facedeblur_utils.errors import StudyError

TOTAL = 30_000
# CelebA's list_eval_partition.txt by CelebA's own numbers, which start at 0 in the mapping file.
VAL_FROM, TEST_FROM = 162_770, 182_637
COUNTS = {"train": 24_183, "val": 2_993, "test": 2_824}
MAPPING_NAME = "CelebA-HQ-to-CelebA-mapping.txt"
MAPPING_COLUMNS = ["number", "celeba_number", "celeba_file"]
IMAGES_FOLDER = "CelebA-HQ-img"  # inside CelebAMask-HQ, beside a folder of 400 000 mask pictures
MASKS_FOLDER = "CelebAMask-HQ-mask-anno"


def read_mapping(text: str, where: str) -> pd.DataFrame:
    """Table `number, celeba_number, celeba_file, part`, one row per CelebA-HQ image, numbers from 0.

    `text` is the file that comes with CelebAMask-HQ. Raises StudyError unless it holds all 30 000 images
    and gives the official 24 183 / 2 993 / 2 824.
    """
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if rows and not rows[0][0].isdigit():
        rows = rows[1:]  # a header: idx orig_idx orig_file
    try:
        values = [(int(number), int(celeba), file) for number, celeba, file in rows]
    except ValueError:
        raise StudyError(
            f"mapping {where}: every line must be 'number number file', as {MAPPING_NAME}"
        ) from None
    table = pd.DataFrame(values, columns=MAPPING_COLUMNS)
    if sorted(table["number"]) != list(range(TOTAL)) or not table["celeba_number"].is_unique:
        raise StudyError(
            f"mapping {where} must list CelebA-HQ images 0 to {TOTAL - 1} once each, has {len(table)}"
        )
    edges = [-1, VAL_FROM - 1, TEST_FROM - 1, 10**9]
    table["part"] = pd.cut(table["celeba_number"], edges, labels=list(COUNTS)).astype(str)
    found = table["part"].value_counts().to_dict()
    if found != COUNTS:
        raise StudyError(f"mapping {where} gives {found}, not CelebA's official {COUNTS}; is it complete?")
    return table.sort_values("number", ignore_index=True)


def numbers_of(names: Iterable[str], first_number: int) -> dict[str, int]:
    """CelebA-HQ number (from 0) of each file name, checked against the `first_number` that was stated.

    Copies are numbered from 0 (CelebAMask-HQ) or from 1; one off would put other people into train without
    anyone noticing. Raises StudyError for names without number, for two files of one number, and where the
    numbers can't be right with `first_number`.
    """
    if first_number not in (0, 1):
        raise StudyError(f"copies of CelebA-HQ are numbered from 0 or from 1, not from {first_number}")
    names = list(names)
    by_number: dict[int, str] = {}
    for name in names:
        match = re.search(r"(?:^|\D)(\d+)\.\w+$", name)
        if not match:
            raise StudyError(f"CelebA-HQ images are named by number; '{name}' has none")
        number = int(match[1])
        if number in by_number:
            raise StudyError(f"two files have number {number}: '{by_number[number]}' and '{name}'")
        by_number[number] = name
    low, high = min(by_number), max(by_number)
    if low < first_number or high >= first_number + TOTAL:
        other = 1 - first_number
        advice = (
            f"set first_number to {other}" if other <= low and high < other + TOTAL else "is it CelebA-HQ?"
        )
        raise StudyError(
            f"the files are numbered {low} to {high}, which is impossible when the first is {first_number}: "
            f"{advice}"
        )
    return {name: number - first_number for number, name in by_number.items()}


def train_part(source: Source, mapping: pd.DataFrame, first_number: int) -> Source:
    """The official train part of a CelebA-HQ source; ids are the numbers from 0 in five digits.

    Raises StudyError where any of the 24 183 images is missing.
    """
    # CelebAMask-HQ keeps its photographs in one folder beside hundreds of thousands of mask pictures.
    items = [item for item in source.items if f"/{IMAGES_FOLDER}/" in f"/{item.name}"] or source.items
    numbers = numbers_of([item.name for item in items], first_number)
    wanted = set(mapping.loc[mapping["part"] == "train", "number"])
    missing = sorted(wanted - set(numbers.values()))
    if missing:
        raise StudyError(
            f"{source.description}: CelebA-HQ's train part has {len(wanted)} images, but {len(missing)} are "
            f"missing here (first: number {missing[0] + first_number}); "
            f"found {len(items)} images, taken as numbered from {first_number}"
        )
    chosen = [
        replace(item, image_id=f"{numbers[item.name]:05d}") for item in items if numbers[item.name] in wanted
    ]
    files = mapping.set_index("number")["celeba_file"]
    notes = [f"files are numbered from {first_number}, as stated in the profile"]
    # File 0 exists only in copies numbered from 0, file 30000 only in those numbered from 1.
    telling = {0: 0, 1: TOTAL - 1}[first_number]
    if telling not in numbers.values():
        notes.append(f"no file {telling + first_number} is there, so the names can't confirm the numbering")
    folders = {item.name.split("/")[0] for item in items} & {"train", "val", "test"}
    if folders:
        notes.append(f"folders {', '.join(sorted(folders))} are not CelebA's parts; the mapping file decides")
    return Source(
        f"{source.description}: CelebA-HQ, official train part",
        sorted(chosen, key=lambda item: item.image_id),
        source.read,
        [*source.notes, *notes],
        {item.image_id: Path(files[int(item.image_id)]).stem for item in chosen},
    )
