"""The 118 references of the thesis, read from `references.bib`."""

import re
from pathlib import Path

import pandas as pd

from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import PACKAGE

BIB = PACKAGE / "literature" / "references.bib"
COLUMNS = (
    *("number", "key", "type", "authors", "year", "title", "venue"),
    *("doi", "arxiv", "added", "link", "same_as"),
)
ENTRY = re.compile(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}$", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (\w+) = \{?(.*?)\}?,$", re.MULTILINE)
NUMBER = re.compile(r"^\[(\d+)\] in the thesis")
SAME = re.compile(r"same work as \[(\d+)\]")
ADDED = re.compile(r"added: ([\w, ]+)")
LEFT_OUT = r"{\dots}"  # where the thesis prints '...' between authors


def references(path: Path = BIB) -> pd.DataFrame:
    """One row per reference, in the thesis's order: number, key, type, authors, year, title, venue, …

    `authors` are as the thesis prints them, joined by "; " ("…" where it leaves some out); `doi` and
    `arxiv` are identifiers, `added` names those that the thesis doesn't print; `link` is the address that
    they lead to, or empty; `same_as` is the key of the entry for the same work.
    Reads the plain layout of this file (one field a line), not BibTeX at large. Raises StudyError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} can't be read ({error}); restore it with git") from None
    rows = []
    for kind, key, body in ENTRY.findall(text):
        fields = dict(FIELD.findall(body))
        number = NUMBER.match(fields.get("annotation", ""))
        missing = [name for name in ("author", "title", "year") if name not in fields]
        if missing or not number:
            lacks = (missing or ["annotation = {[n] in the thesis}"])[0]
            raise StudyError(f"{path}: entry '{key}' lacks {lacks}")
        rows.append((int(number[1]), key, kind, *_columns(fields)))
    if [row[0] for row in rows] != list(range(1, 119)) or len({row[1] for row in rows}) != 118:
        raise StudyError(f"{path} must hold 118 entries with different keys, in order; it holds {len(rows)}")
    frame = pd.DataFrame(rows, columns=COLUMNS)
    keys = dict(zip(frame["number"].astype(str), frame["key"], strict=True))
    return frame.assign(same_as=[keys[number] if number else "" for number in frame["same_as"]])


def _columns(fields: dict[str, str]) -> tuple:
    fields = {name: value.replace(LEFT_OUT, "…") for name, value in fields.items()}
    plain = {name: re.sub(r"[{}]|\\(?=&)", "", value) for name, value in fields.items()}
    doi, arxiv = plain.get("doi", ""), plain.get("eprint", "")
    link = f"https://doi.org/{doi}" if doi else f"https://arxiv.org/abs/{arxiv}" if arxiv else ""
    found = {name: pattern.search(fields["annotation"]) for name, pattern in (("a", ADDED), ("s", SAME))}
    return (
        plain["author"].replace(" and ", "; "),
        int(plain["year"]),
        plain["title"],
        plain.get("journal") or plain.get("booktitle") or plain.get("archiveprefix", ""),
        doi,
        arxiv,
        found["a"][1].replace("eprint", "arxiv") if found["a"] else "",
        link,
        found["s"][1] if found["s"] else "",
    )
