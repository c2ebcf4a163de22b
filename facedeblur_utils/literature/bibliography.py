"""The 118 references of the thesis, read from `references.bib`."""

import re
from pathlib import Path

import pandas as pd

from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import PACKAGE

BIB = PACKAGE / "literature" / "references.bib"
COLUMNS = ("number", "key", "type", "authors", "year", "title", "venue", "arxiv", "same_as")
ENTRY = re.compile(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}$", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (\w+) = \{(.*)\},$", re.MULTILINE)
NUMBER = re.compile(r"^\[(\d+)\] in the thesis")


def references(path: Path = BIB) -> pd.DataFrame:
    """One row per reference, in the thesis's order: number, key, type, authors, year, title, venue, …

    `authors` are as the thesis prints them, joined by "; " ("and others" where it shortens the list);
    `arxiv` is the identifier where one is printed; `same_as` is the key of the entry for the same work.
    Reads the plain layout of this file (one field a line), not BibTeX at large. Raises StudyError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} can't be read ({error}); restore it with git") from None
    rows = []
    for kind, key, body in ENTRY.findall(text):
        fields = dict(FIELD.findall(body))
        number = NUMBER.match(fields.get("note", ""))
        missing = [name for name in ("author", "title", "year") if name not in fields]
        if missing or not number:
            raise StudyError(f"{path}: entry '{key}' lacks {(missing or ['note = {[n] in the thesis}'])[0]}")
        rows.append((int(number[1]), key, kind, *_columns(fields)))
    if [row[0] for row in rows] != list(range(1, 119)) or len({row[1] for row in rows}) != 118:
        raise StudyError(f"{path} must hold 118 entries with different keys, in order; it holds {len(rows)}")
    return pd.DataFrame(rows, columns=COLUMNS)


def _columns(fields: dict[str, str]) -> tuple:
    plain = {name: re.sub(r"[{}]|\\(?=&)", "", value) for name, value in fields.items()}
    venue = plain.get("journal") or plain.get("booktitle") or plain.get("archiveprefix", "")
    return (
        plain["author"].replace(" and ", "; "),
        int(plain["year"]),
        plain["title"],
        venue,
        plain.get("eprint", ""),
        plain.get("related", ""),
    )
