"""Exports tables as CSV, LaTeX (booktabs, siunitx) and Markdown, with caption and provenance."""

import json
import math
import numbers
import os
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from facedeblur_utils.files import write_text
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import SHORTENED

TEXT_WIDTH = 455  # points, of an A4 page with margins of 2.5 cm
HEAD = 12  # letters of a line in a column's head
SPLIT = r"\\"  # between the lines of a head
SMALLEST = r"\scriptsize\setlength{\tabcolsep}{2pt}"
FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"  # never wider than the text
CSV_DECIMALS = 6  # one number for every machine's last bits, and more digits than any table shows
LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": r"$-$",
    "–": "--",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "∞": r"$\infty$",
    "σ": r"$\sigma$",
    "Δ": r"$\Delta$",
    "…": r"\dots{}",
}


NEGATIVE = re.compile(r"(?<![\w.)−-])-(?=\.?\d)")  # the hyphen of a negative number, not of a word or range


def minus_signs(text: str) -> str:
    """`text` with a minus sign (U+2212) before negative numbers, in place of a hyphen."""
    return NEGATIVE.sub("−", text)


def training_seeds(count: int) -> str:
    """`one training seed` or `3 training seeds`."""
    return "one training seed" if count == 1 else f"{count} training seeds"


def with_spread(values: np.ndarray, digits: int, sign: str = "") -> str:
    """`mean ± standard deviation` of values over seeds as text; of one value that alone."""
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{round(np.mean(values), digits) + 0.0:{sign}.{digits}f}{spread}"  # never -0.00


def export_table(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    paths: RunPaths,
    *,
    bold: pd.DataFrame | None = None,
    decimals: int = 4,
    escape: bool = True,
    column_format: str = "",
    longtable: bool = False,
) -> list[Path]:
    """Write `frame` as `<name>.csv`, `.tex` and `.md` and record its caption; returns the three paths.

    `bold` is a boolean frame of the same shape that marks the cells to print in bold. Columns may have two
    levels (Table 5.4). The index is shown unless it is a plain RangeIndex. Floats get `decimals` decimals;
    NaN is shown as a dash. With `escape=False` strings go into LaTeX as they are (for `\\cite`).
    `column_format` replaces the LaTeX column types, `longtable` lets a long table run over pages.
    """
    bold = pd.DataFrame(False, index=frame.index, columns=frame.columns) if bold is None else bold
    if bold.shape != frame.shape:
        raise ValueError(f"{name}: bold has shape {bold.shape}, the table {frame.shape}")
    full = record_caption(name, "table", caption, paths)
    return [
        write_text(paths.tables / f"{name}.csv", _csv(frame)),
        write_text(
            paths.tables / f"{name}.tex",
            _latex(frame, bold, decimals, name, full, paths.profile, escape, column_format, longtable),
        ),
        write_text(paths.tables / f"{name}.md", _markdown(frame, bold, decimals, full)),
    ]


def latex_text(text: str) -> str:
    """Plain text as LaTeX that prints it."""
    return "".join(LATEX_SPECIAL.get(letter, letter) for letter in text)


def show_number(value, decimals: int) -> str:
    """A cell as text: floats with `decimals` decimals, NaN as a dash, the rest as it is."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return "–"
    if isinstance(value, float | np.floating):
        return f"{value:.{decimals}f}" if math.isfinite(value) else ("∞" if value > 0 else "−∞")
    return str(value)


def _header_rows(frame: pd.DataFrame) -> list[list[str]]:
    """One list of labels per header level."""
    if isinstance(frame.columns, pd.MultiIndex):
        return [[str(label[level]) for label in frame.columns] for level in range(frame.columns.nlevels)]
    return [[str(label) for label in frame.columns]]


def _index_labels(frame: pd.DataFrame) -> list[list[str]]:
    """Labels of each row; empty lists where the index is only a running number."""
    if isinstance(frame.index, pd.RangeIndex):
        return [[] for _ in range(len(frame))]
    return [
        [str(part) for part in (label if isinstance(label, tuple) else (label,))] for label in frame.index
    ]


def _index_names(frame: pd.DataFrame) -> list[str]:
    if isinstance(frame.index, pd.RangeIndex):
        return []
    return [str(name) if name is not None else "" for name in frame.index.names]


def _csv(frame: pd.DataFrame) -> str:
    flat = frame.copy()
    flat.columns = [" ".join(labels) for labels in zip(*_header_rows(frame), strict=True)]
    shown = not isinstance(frame.index, pd.RangeIndex)
    return flat.round(CSV_DECIMALS).to_csv(index=shown, lineterminator="\n")


def _markdown(frame: pd.DataFrame, bold: pd.DataFrame, decimals: int, caption: str) -> str:
    def cell(text: str) -> str:
        return minus_signs(text).replace("|", r"\|").replace("\n", " ")

    heads = [" ".join(labels) for labels in zip(*_header_rows(frame), strict=True)]
    index = _index_labels(frame)
    lines = [[cell(head) for head in _index_names(frame) + heads]]
    numeric = [_is_numeric(frame.iloc[:, i]) for i in range(frame.shape[1])]
    lines.append(["---"] * len(_index_names(frame)) + ["---:" if number else "---" for number in numeric])
    for i in range(len(frame)):
        shown = [cell(show_number(value, decimals)) for value in frame.iloc[i]]
        marked = [f"**{text}**" if bold.iloc[i, j] else text for j, text in enumerate(shown)]
        lines.append([cell(label) for label in index[i]] + marked)
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{body}\n\n{caption}\n"


def _latex(frame, bold, decimals, name, caption, profile, escape, column_format, longtable) -> str:
    text = latex_text if escape else str
    numeric = [_is_numeric(frame.iloc[:, i]) for i in range(frame.shape[1])]
    index_names = _index_names(frame)
    formats = column_format or "l" * len(index_names) + "".join(
        _siunitx(frame.iloc[:, i], decimals) if number else "l" for i, number in enumerate(numeric)
    )
    plain = [
        [*labels, *(show_number(value, decimals) for value in frame.iloc[i])]
        for i, labels in enumerate(_index_labels(frame))
    ]
    rows = []
    for i, line in enumerate(plain):
        cells = [text(label) for label in line[: len(index_names)]]
        for j, shown in enumerate(line[len(index_names) :]):
            if numeric[j] and not re.fullmatch(r"-?\d+(\.\d+)?", shown):
                shown = f"{{{latex_text(shown)}}}"  # siunitx prints braces as text
            elif not numeric[j]:
                shown = text(minus_signs(shown) if escape else shown)
            if bold.iloc[i, j]:
                shown = rf"\bfseries {shown}" if numeric[j] else rf"\textbf{{{shown}}}"
            cells.append(shown)
        rows.append(" & ".join(cells) + r" \\")
    title = rf"\caption{{{latex_text(caption)}}}\label{{tab:{name}}}"
    start = [
        f"% {name}, profile {profile}. Needs \\usepackage{{booktabs,graphicx,siunitx,longtable}}.",
        r"\begingroup\sisetup{mode=text,detect-weight=true,table-align-text-post=false}",
    ]
    fixed = bool(column_format)  # its columns break lines by themselves
    header = _latex_header(_header_rows(frame), index_names, latex_text if fixed else _stacked)
    names = [*index_names, *_header_rows(frame)[-1]]
    letters = [] if fixed or longtable else map(_letters, names, zip(*plain, strict=True))
    size = _size(list(letters), len(names))
    if longtable:
        top = [size] if size else []
        top += [rf"\begin{{longtable}}{{{formats}}}", title + r" \\", r"\toprule", *header, r"\midrule"]
        top += [r"\endfirsthead", r"\toprule", *header, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"]
        end = [r"\end{longtable}", r"\endgroup"]
    else:
        # A float starts at the normal size again, so the size stands inside it, below the caption.
        top = [r"\begin{table}[htbp]", r"\centering", title, *([size] if size else [])]
        top += [FITTED + "{%"] if size == SMALLEST else []
        top += [rf"\begin{{tabular}}{{{formats}}}", r"\toprule", *header, r"\midrule"]
        end = [r"\bottomrule", r"\end{tabular}" + ("}" if size == SMALLEST else "")]
        end += [r"\end{table}", r"\endgroup"]
    return "\n".join(start + top + rows + end) + "\n"


def _letters(name: str, cells: Iterable[str]) -> int:
    """Width of a column in letters, its head broken into lines."""
    return max(map(len, [*_in_lines(name), *cells]), default=0)


def _size(letters: list[int], columns: int) -> str:
    """Letters and gaps with which so many columns of so many `letters` (where known) fit on an A4 page.

    A letter takes 5.2 points at 11 and 4.4 at 9 points, a column's gap 12 and 8.
    """
    if columns >= 8 or 4.4 * sum(letters) + 8 * columns > TEXT_WIDTH:
        return SMALLEST
    small = columns >= 5 or 5.2 * sum(letters) + 12 * columns > TEXT_WIDTH
    return r"\footnotesize\setlength{\tabcolsep}{4pt}" if small else ""


def _in_lines(head: str) -> list[str]:
    """A column's head in lines of about `HEAD` letters, so that it makes no column wide."""
    return textwrap.wrap(head, HEAD, break_long_words=False, break_on_hyphens=False)


def _stacked(head: str) -> str:
    lines = list(map(latex_text, _in_lines(head)))
    return rf"\shortstack{{{SPLIT.join(lines)}}}" if len(lines) > 1 else "".join(lines)


def _latex_header(levels: list[list[str]], index_names: list[str], head: Callable[[str], str]) -> list[str]:
    """Header lines; equal neighbours of an upper level share one centred cell with a rule below.

    `head` sets a single column's.
    """
    lines = []
    shift = len(index_names)
    for depth, labels in enumerate(levels):
        cells = [latex_text(name) if depth == 0 else "" for name in index_names]
        rules = []
        start = 0
        while start < len(labels):
            stop = start + 1
            while depth < len(levels) - 1 and stop < len(labels) and labels[stop] == labels[start]:
                stop += 1
            if stop - start > 1:
                cells.append(rf"\multicolumn{{{stop - start}}}{{c}}{{{latex_text(labels[start])}}}")
                rules.append(rf"\cmidrule(lr){{{shift + start + 1}-{shift + stop}}}")
            else:
                cells.append(f"{{{head(labels[start])}}}")
            start = stop
        lines.append(" & ".join(cells) + r" \\")
        lines += ["".join(rules)] if rules else []
    return lines


def _is_numeric(column: pd.Series) -> bool:
    return len(column) > 0 and all(
        value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_))
        for value in column
    )


def _siunitx(column: pd.Series, decimals: int) -> str:
    """Column type that aligns at the decimal point: `S[table-format=2.4]`, with a sign where one occurs."""
    finite = [value for value in column if value is not None and math.isfinite(value)]
    whole = max((len(str(int(abs(value)))) for value in finite), default=1)
    sign = "-" if any(value < 0 for value in finite) else ""
    fraction = decimals if any(isinstance(value, float | np.floating) for value in finite) else 0
    return f"S[table-format={sign}{whole}.{fraction}]"


def record_caption(name: str, kind: str, caption: str, paths: RunPaths) -> str:
    """Store the caption of an exported `kind` (table, figure) for the report; shortened runs say so.

    The stage that made it stands beside it where `run_all.py` has put its name and run id into
    FACEDEBLUR_STAGE and FACEDEBLUR_RUN_ID.
    """
    if paths.profile in SHORTENED:
        caption += f" (Shortened run, profile {paths.profile}: not a result of the study.)"
    facts = {
        "name": name,
        "kind": kind,
        "caption": caption,
        "profile": paths.profile,
        "stage": os.environ.get("FACEDEBLUR_STAGE", ""),
        "run_id": os.environ.get("FACEDEBLUR_RUN_ID", ""),
    }
    write_text(paths.captions / f"{name}.json", json.dumps(facts, indent=1))
    return caption
