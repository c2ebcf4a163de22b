"""The literature tables against the thesis's own text, where it lies beside the checkout (`../shared`)."""

import re

import nbformat
import pandas as pd
import pytest

from facedeblur_utils.literature.bibliography import references
from facedeblur_utils.literature.loader import FOLDER, load
from facedeblur_utils.literature.schema import MEASURES, TABLES
from facedeblur_utils.paths import NOTEBOOKS, ROOT

THESIS = ROOT.parent / "shared" / "thesis" / "thesis.txt"
pytestmark = pytest.mark.skipif(not THESIS.is_file(), reason="the thesis's text is not here")

RUN = 9  # words in a row that no sentence of ours shares with the thesis: "more than eight"


def text() -> str:
    return THESIS.read_text(encoding="utf-8")


def squeezed(part: str) -> str:
    """Without what the conversion added: tags, emphasis, broken lines."""
    return " ".join(re.sub(r"<[^>]+>|\*", " ", part).split())


def section(start: str, end: str) -> str:
    whole = text()
    begin = whole.index(start)
    return whole[begin : whole.index(end, begin)]


ENDS = {
    "1.1": "Another new problem",
    "1.2": "1.5. Methodology",
    "2.1": "Basic characteristics of each",
    "2.2": "Table 2.3 shows",
    "2.3": "These literature reviews give",
    "2.4": "Publications were retrieved",
    "2.5": "The extracted data is",
    "2.6": "Table 2.7 Table of",
    "2.7": "Table 2.8 Table of",
    "2.8": "By conducting the literature",
    "2.9": "2.9. Evaluation Metrics",
    "2.10": "3. Dataset Creation",
}


def printed(name: str) -> str:
    """The table as text, without its caption line."""
    starts = [m.start() for m in re.finditer(rf"^Table {re.escape(name)} [A-Z]", text(), re.MULTILINE)]
    begin = text().index("\n", starts[0])
    return text()[begin : text().index(ENDS[name], begin)]


@pytest.mark.parametrize("name", ENDS)
def test_declared_size_is_the_printed_size(name):
    lines = [line for line in printed(name).splitlines() if "\t" in line]
    columns = max(len(line.split("\t")) for line in lines)
    starts = {
        "1.1": r"^Causes|^\t",
        "1.2": r"^RQ\d:",
        "2.3": r"\[\d+\]\t",
        "2.4": r"^EC\d",
        "2.7": r"^[^\t]+\[\d+\]\t",
        "2.8": r"^[^\t]+\[\d+\]\t",
        "2.9": r"^[A-Z][^\t]*Loss[^\t]*\t(?!Description)",
        "2.10": r"^(?!Metric)[A-Z][^\t]*\t",
    }.get(name, r"^\d+\t")
    rows = [
        line for line in lines if re.search(starts, line) and not line.startswith(("Surveys", "\tDetailed"))
    ]
    assert (len(rows), columns) == TABLES[name].printed


@pytest.mark.parametrize("name", ["2.2", "2.6"])
def test_titles_references_and_years_are_exact(name):
    numbers = references().set_index("key")["number"]
    table = squeezed(printed(name))
    for row in load(name).itertuples():
        cell = f"{row.number} {row.reference} [{numbers[row.key]}] {row.year}. {row.title}"
        assert cell in table


def by_source(name: str) -> dict[str, str]:
    """Printed text of each row of Tables 2.7 and 2.8, by key, without spaces or commas in numbers."""
    keys = references().set_index("number")["key"]
    parts = re.split(r"^[A-Z][^\t\n]*\[(\d+)\]\t", printed(name), flags=re.MULTILINE)
    rows = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {keys[int(n)]: re.sub(r"(?<=\d)[ ,](?=\d{3}\b)", "", row) for n, row in rows.items()}


def test_measures_are_exact():
    rows = by_source("2.7")
    for row in load("2.7").to_dict("records"):
        found = [float(x) for x in re.findall(r"-?\d+\.\d+", rows[row["key"]])]
        ours = [row[column] for column in MEASURES if not pd.isna(row[column])]
        assert sorted(found) == sorted(ours), row["reference"]


def test_numbers_and_names_of_table_2_8_stand_in_the_printed_row():
    rows = by_source("2.8")
    for row in load("2.8").to_dict("records"):
        body = rows[row["key"]]
        numbers = {float(x) for x in re.findall(r"\d+(?:\.\d+)?", body)}
        numbers |= {float(f"{a}e-{b}") for a, b in re.findall(r"(\d) ?(?:×|\\times) ?10\^\{-(\d)\}", body)}
        numbers |= {0.0} if "to zero" in body else set()
        for column, kind in TABLES["2.8"].columns.items():
            values = row[column] if isinstance(row[column], list) else [row[column]]
            if kind.kind in ("whole", "number") and column != "number":
                assert {float(v) for v in values if not pd.isna(v)} <= numbers, (row["reference"], column)
            if column in ("optimizers", "software", "noise") and row[column]:
                assert all(value in body for value in values)


def test_names_in_other_tables_are_exact():
    for name, column in (("1.1", "cause"), ("1.1", "task"), ("2.9", "loss")):
        table = squeezed(printed(name))
        assert all(cell in table for cell in load(name)[column])


def test_metric_ranges_and_directions_are_exact():
    lines = [line.split("\t") for line in printed("2.10").splitlines() if "\t" in line][1:]
    for number, row in enumerate(lines, 1):
        ours = load("2.10")[load("2.10")["number"] == number]
        ranges = [float(x) for x in re.findall(r"-?\d+", row[1].replace("infty", ""))]
        finite = ours[["range_low", "range_high"]].to_numpy().ravel()
        assert list(dict.fromkeys(ranges)) == list(dict.fromkeys(x for x in finite if x != float("inf")))
        assert {row[2]} == set(ours["higher_means"]) and {row[6]} == set(ours["noise_sensitivity"])
        assert {row[7] == "Yes"} == set(ours["pretrained"])


def test_checks_and_crosses_are_exact():
    lines = [line.split("\t") for line in printed("2.3").splitlines() if "✓" in line]
    ours = load("2.3").iloc[:, 3:].to_numpy()
    assert [[cell == "✓" for cell in line[1:]] for line in lines] == ours.tolist()


def test_references_stand_in_the_thesis_in_this_order():
    listed = section("\nLiterature\n\n- [1]", "Figure Index\n\nFigure 1.1")
    entries = re.split(r"- \[\d+\] ", listed)[1:]
    assert len(entries) == 118
    for row, entry in zip(references().itertuples(), entries, strict=True):
        plain = squeezed(entry.replace("\n- ", "\n"))
        assert row.title.lower() in plain.lower() and str(row.year) in plain, row.number
        assert row.arxiv in plain and ("arXiv:" in plain) == bool(row.arxiv), row.number
        if row.number != 60:  # garbled in the thesis, see the errata
            assert all(name.split(",")[0] in plain for name in row.authors.split("; ")[:2] if name[0] != "P")
    assert "doi" not in listed.lower()


def test_search_counts_stand_in_the_thesis():
    whole = text()
    for row in load("prisma").dropna(subset=["found"]).itertuples():
        assert f"gave {row.found} results" in whole and f"{row.excluded} papers were excluded" in whole


def test_errata_about_numbers_hold():
    rows = [
        line.split("\t")
        for line in section("Table 5.4 Results", "Bellow we can").splitlines()
        if "\t" in line
    ]
    own = {
        row[0]: dict(zip(("SFB1", "SB1SD", "SFB2", "SB2SM"), map(float, row[1::2]), strict=True))
        for row in rows[2:]
    }
    elsewhere = [name for name, scores in own.items() if max(scores, key=scores.get) != name[1:]]
    assert elsewhere == ["ASFB1", "ASB1SD", "GSB1SD", "GSFB2"]
    assert all(abs(scores["SFB1"] - scores["SFB2"]) < 0.1 for scores in own.values())
    assert own["ASFB1"]["SFB1"] == 26.223 and "Autoencoder\t26.2243" in text()
    cited = {
        n
        for group in re.findall(r"\[(\d+(?:, ?\d+)*)\]", text()[: text().index("- [1] Dutta")])
        for n in group.split(",")
    }
    assert {n for n in range(1, 119)} - {int(n) for n in cited} == {113, 114, 115}


def words(part: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", part.lower())


def runs(part: str) -> set[tuple[str, ...]]:
    found = words(part)
    return {tuple(found[i : i + RUN]) for i in range(len(found) - RUN + 1)}


def our_sentences() -> dict[str, str]:
    """Everything that we wrote about the thesis; columns of titles and of product names are left out."""
    ours = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    for name in TABLES:
        frame = load(name)
        for column in frame.columns.drop(["title", "loss", "environment", "hardware"], errors="ignore"):
            for i, cell in enumerate(frame[column]):
                parts = cell if isinstance(cell, list) else [cell]
                ours |= {f"{name} {column} {i} {j}": str(part) for j, part in enumerate(parts)}
    for path in NOTEBOOKS.glob("*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            ours[f"{path.name} {cell.id}"] = cell.source
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        if path.is_file():
            ours[path.name] = path.read_text(encoding="utf-8")
    return ours


def test_no_sentence_of_the_thesis_is_copied():
    theirs = runs(squeezed(text()))
    assert runs(text()[5000:6000]) & theirs  # the comparison itself finds what is there
    shared = {
        where: [" ".join(run) for run in runs(ours) & theirs] for where, ours in our_sentences().items()
    }
    assert not {where: found for where, found in shared.items() if found}
