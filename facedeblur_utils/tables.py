"""Exports tables as CSV, LaTeX (booktabs) and Markdown, with caption and provenance."""

import json
import os
from pathlib import Path

import pandas as pd

from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import SHORTENED


def export_table(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    paths: RunPaths,
    *,
    bold: pd.DataFrame | None = None,
    decimals: int = 4,
) -> list[Path]:
    """Write `frame` as `<name>.csv`, `.tex` and `.md` and record its caption; returns the three paths.

    `bold` is a boolean frame of the same shape that marks the cells to print in bold.
    """
    raise NotImplementedError


def write_text(path: Path, text: str) -> Path:
    """Write beside and rename, so that no half-written file is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def record_caption(name: str, kind: str, caption: str, paths: RunPaths) -> str:
    """Store the caption of an exported `kind` (table, figure) for the report; shortened runs say so."""
    if paths.profile in SHORTENED:
        caption += f" (Shortened run, profile {paths.profile}: not a result of the study.)"
    facts = {"name": name, "kind": kind, "caption": caption, "profile": paths.profile}
    write_text(paths.captions / f"{name}.json", json.dumps(facts, indent=1))
    return caption
