"""Writes the literature tables: CSV, Markdown, LaTeX that fits an A4 page with `\\cite`."""

import math
import re
from functools import cache
from pathlib import Path

import pandas as pd

from facedeblur_utils.files import write_text
from facedeblur_utils.literature.bibliography import BIB, references
from facedeblur_utils.literature.schema import TABLES
from facedeblur_utils.literature.shapes import printed
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.reporting.tables import latex_text, record_caption

CITATION = re.compile(r" ?\[@([\w-]+)\]")
CODE = re.compile(r"`([^`]+)`")
BREAK, BREAKABLE = r"(\\_|\.)", r"\1\\allowbreak{}"  # where a long name may go on in the next line
# What LaTeX needs beyond `tables.latex_text`: these occur in the literature only.
LATEX_LETTERS = {"✓": r"$\checkmark$", "✗": r"$\times$", "β": r"$\beta$", "∂": r"$\partial$", "⁻⁴": "$^{-4}$"}
LATEX_LETTERS |= {"⁻⁶": "$^{-6}$", "“": "``", "”": "''"}
CHARACTERS = {r"\footnotesize": 88, r"\scriptsize": 102}  # letters that fit into a line of an A4 thesis


def export_literature(paths: RunPaths) -> list[Path]:
    """Write Tables 1.1 to 2.10 and, beside them, `references.bib`; returns the paths."""
    written = [
        path
        for name, table in TABLES.items()
        if table.printed
        for path in export_text_table(printed(name), table.file, table_caption(name), paths)
    ]
    return [*written, write_text(paths.tables / BIB.name, BIB.read_text(encoding="utf-8"))]


def export_text_table(frame: pd.DataFrame, name: str, caption: str, paths: RunPaths) -> list[Path]:
    """Write a table of text (sources as `[@key]`) as `<name>.csv`, `.tex` and `.md`; record the caption."""
    full = record_caption(name, "table", caption, paths)
    plain = numbered(frame)
    return [
        write_text(paths.tables / f"{name}.csv", plain.to_csv(index=False, lineterminator="\n")),
        write_text(paths.tables / f"{name}.tex", latex(frame, name, full)),
        write_text(paths.tables / f"{name}.md", markdown(plain, full)),
    ]


def table_caption(name: str) -> str:
    """Our caption of Table `name`; says what in the table isn't in the thesis's own words."""
    table, ours = TABLES[name], "caption and headers are in our words"
    if table.reworded:
        ours = f"caption, headers and what stands under {_and(table.reworded)} are in our words"
    return f"{table.title} (thesis, Table {name}; {ours})"


def numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the thesis's numbers for the sources: `[@wang2004image]` becomes [84]."""
    return frame.map(lambda cell: CITATION.sub(lambda m: f" [{numbers()[m[1]]}]", str(cell)))


def markdown(frame: pd.DataFrame, caption: str) -> str:
    """A pipe table with the caption below."""
    rows = [list(frame.columns), ["---"] * frame.shape[1], *frame.to_numpy().tolist()]
    lines = ["| " + " | ".join(str(cell).replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + f"\n\n{caption}\n"


def latex(frame: pd.DataFrame, label: str, caption: str) -> str:
    """A `longtable` as wide as the text, over as many pages as it takes; sources as `\\cite{key}`."""
    size = r"\scriptsize" if frame.shape[1] > 5 else r"\footnotesize"
    columns = "\n".join(
        rf">{{\raggedright\arraybackslash}}p{{\dimexpr {share:.3f}\linewidth-2\tabcolsep\relax}}"
        for share in column_shares(frame, CHARACTERS[size])
    )
    head = " & ".join(rf"\textbf{{{_latex_cell(name)}}}" for name in frame.columns) + r" \\"
    rows = [" & ".join(map(_latex_cell, row)) + r" \\" for row in frame.to_numpy().tolist()]
    lines = [
        f"% {label}. Needs \\usepackage{{array,booktabs,longtable,amssymb}} and references.bib.",
        rf"\begingroup{size}\setlength{{\tabcolsep}}{{3pt}}\setlength{{\LTcapwidth}}{{\linewidth}}",
        rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
        rf"\caption{{{_latex_cell(caption)}}}\label{{tab:{label}}} \\",
        *(r"\toprule", head, r"\midrule", r"\endfirsthead", r"\toprule", head, r"\midrule", r"\endhead"),
        *(r"\bottomrule", r"\endfoot"),
        "\n\\addlinespace[2pt]\n".join(rows),
        r"\end{longtable}",
        r"\endgroup",
    ]
    return "\n".join(lines) + "\n"


def column_shares(frame: pd.DataFrame, characters: int) -> list[float]:
    """Share of the line for each column, adding up to 1.

    Long columns get more, by the root of their text, so that short ones don't break every line; none gets
    less than its longest word, where `characters` letters fill the line (the header's are bold and wider).
    """
    cells = frame.map(lambda cell: CITATION.sub("~[000]", str(cell)))  # LaTeX doesn't break a line there
    least, wish = [], []
    for name in frame.columns:
        widths = [1.25 * _longest_word(str(name)), *map(_longest_word, cells[name])]
        least.append((max(widths) + 2) / characters)  # the space between columns is over one letter wide
        wish.append(math.sqrt(len(str(name)) + sum(map(len, cells[name]))))
    if sum(least) >= 1:
        return [low / sum(least) for low in least]
    narrow: set[int] = set()
    while True:  # each round fixes the columns that come out too narrow and divides the rest anew
        left = 1 - sum(least[i] for i in narrow)
        total = sum(w for i, w in enumerate(wish) if i not in narrow)
        shares = [least[i] if i in narrow else w / total * left for i, w in enumerate(wish)]
        found = {i for i, share in enumerate(shares) if share < least[i]}
        if not found:
            return shares
        narrow |= found


def _and(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _longest_word(text: str) -> int:
    """Letters of the longest piece of `text` without a place for a line break (hyphens, and dots in code)."""
    return max(map(len, re.split(r"[\s_-]|\.(?=[a-z])", text)))


def _latex_cell(text) -> str:
    parts = CITATION.split(str(text))
    cells = [_latex_text(part) if i % 2 == 0 else rf"~\cite{{{part}}}" for i, part in enumerate(parts)]
    return "".join(cells)


def _latex_text(text: str) -> str:
    text = re.sub(r"(?<=\d) (?=\d{3}\b)", r"\\,", latex_text(text))  # 10 000 stays in one piece
    for letter, command in LATEX_LETTERS.items():
        text = text.replace(letter, command)
    return CODE.sub(lambda m: rf"\texttt{{{re.sub(BREAK, BREAKABLE, m[1])}}}", text)


@cache
def numbers() -> dict[str, int]:
    """The thesis's number of each reference, by key."""
    frame = references()
    return dict(zip(frame["key"], frame["number"], strict=True))
