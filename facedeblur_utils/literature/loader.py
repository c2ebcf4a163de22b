"""Reads the literature files and checks every cell against the schema."""

import csv
from functools import cache
from pathlib import Path

import pandas as pd

from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.literature.bibliography import references
from facedeblur_utils.literature.schema import TABLES, Column, Table
from facedeblur_utils.paths import PACKAGE

FOLDER = PACKAGE / "literature"
SEPARATOR = "|"  # between the elements of a list cell
EXPECTED = {"whole": "a whole number", "number": "a number", "yes_no": "yes or no"}


def load(name: str, folder: Path = FOLDER) -> pd.DataFrame:
    """A literature table by the thesis's number ("1.1" … "2.10") or by name ("prisma", "errata", …).

    One row per item, in the thesis's order; `number` is its row there. Whole numbers are Int64, numbers
    float64, yes/no bool, list columns Python lists; what the thesis leaves out is "", NaN or an empty list.
    Raises UsageError for an unknown name, StudyError (one line) for a file that breaks its schema.
    """
    if name not in TABLES:
        raise UsageError(f"unknown literature table '{name}'; known tables: {', '.join(TABLES)}")
    table = TABLES[name]
    path = folder / f"{table.file}.csv"
    lines = _lines(path)
    _check_header(lines[0][1], table, path)
    if len(lines) - 1 != table.rows:
        raise _broken(path, f"{len(lines) - 1} rows instead of {table.rows}")
    columns = {
        column: [_typed(cells[i], kind, f"line {line}, column '{column}'", path) for line, cells in lines[1:]]
        for i, (column, kind) in enumerate(table.columns.items())
    }
    _check_parallel(columns, table, [line for line, _ in lines[1:]], path)
    return pd.DataFrame({name: _series(values, table.columns[name]) for name, values in columns.items()})


def search(text: str) -> pd.DataFrame:
    """Cells of the twelve tables that contain `text`, upper or lower case: table, number, column, cell."""
    found = []
    for name in TABLES:
        if TABLES[name].printed is None:
            continue
        for row in load(name).to_dict("records"):
            for column, value in row.items():
                shown = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
                if text.lower() in shown.lower():
                    found.append((name, row["number"], row.get("reference", ""), column, shown))
    return pd.DataFrame(found, columns=["table", "number", "reference", "column", "cell"])


def _broken(path: Path, what: str) -> StudyError:
    return StudyError(f"literature file {path}: {what}; mend it or restore it with git")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not empty, the header first."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except FileNotFoundError:
        raise _broken(path, "it is missing") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _broken(path, f"it can't be read ({' '.join(str(error).split())})") from None
    if not lines:
        raise _broken(path, "it is empty")
    width = len(lines[0][1])
    for number, cells in lines:
        if len(cells) != width:
            raise _broken(path, f"line {number} has {len(cells)} cells instead of {width}")
    return lines


def _check_header(header: list[str], table: Table, path: Path) -> None:
    expected = list(table.columns)
    missing = [name for name in expected if name not in header]
    if missing:
        raise _broken(path, f"line 1: column '{missing[0]}' is missing")
    if header != expected:
        strange = next(name for name, wanted in zip(header, [*expected, ""], strict=False) if name != wanted)
        raise _broken(path, f"line 1: column '{strange}' is unknown, repeated or out of order")


def _check_parallel(columns: dict, table: Table, lines: list[int], path: Path) -> None:
    for names in table.parallel:
        for line, *lists in zip(lines, *(columns[name] for name in names), strict=True):
            # A column that says nothing for this row has nothing to match.
            if len({len(values) for values in lists if values}) > 1:
                raise _broken(path, f"line {line}: columns {' and '.join(names)} differ in length")


def _typed(cell: str, column: Column, where: str, path: Path):
    if not cell.strip():
        if column.required:
            raise _broken(path, f"{where}: empty")
        return [] if column.many else None
    if column.many:
        return [_single(part.strip(), column, where, path) for part in cell.split(SEPARATOR)]
    return _single(cell, column, where, path)


def _single(text: str, column: Column, where: str, path: Path):
    if text != text.strip() or not text:
        raise _broken(path, f"{where}: stray space or empty element")
    if column.choices and text not in column.choices:
        raise _broken(path, f"{where}: '{text}' is none of {', '.join(column.choices)}")
    if column.kind == "key" and text not in _keys():
        raise _broken(path, f"{where}: '{text}' is no key of references.bib")
    try:
        if column.kind == "whole":
            return int(text)
        if column.kind == "number":
            return float(text)
        if column.kind == "yes_no":
            return {"yes": True, "no": False}[text]
    except (ValueError, KeyError):
        raise _broken(path, f"{where}: '{text}' is not {EXPECTED[column.kind]}") from None
    return text


def _series(values: list, column: Column) -> pd.Series:
    if column.many:
        return pd.Series(values, dtype=object)
    if column.kind in ("text", "key"):
        return pd.Series(["" if value is None else value for value in values])
    return pd.Series(values, dtype={"whole": "Int64", "number": "float64", "yes_no": "bool"}[column.kind])


@cache
def _keys() -> frozenset[str]:
    return frozenset(references()["key"])
