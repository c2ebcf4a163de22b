"""The literature tables against the thesis's own text, where it lies beside the checkout (`../shared`)."""

import calendar
import re

import nbformat
import pandas as pd
import pytest

from facedeblur_utils.literature import export, shapes
from facedeblur_utils.literature.bibliography import references
from facedeblur_utils.literature.loader import FOLDER, load
from facedeblur_utils.literature.schema import MEASURES, TABLES
from facedeblur_utils.paths import NOTEBOOKS, ROOT
from facedeblur_utils.reporting import thesis_results

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


def bare(part: str) -> str:
    """Without tags, LaTeX, spaces and the separators that we put between list elements."""
    part = part.replace(r"\times", "×").replace(r"\infty", "∞")
    return re.sub(r"\s+", "", re.sub(r"<[^>]+>|[*$\\;]", " ", part)).lower()


@pytest.mark.parametrize("name", ENDS)
def test_columns_not_called_reworded_are_the_thesis_s_to_the_letter(name):
    # The last row of Table 2.7 runs over the end of a page, with cells of two columns in between.
    whole = bare(re.sub(r"\+0\.77dB in\n\n.*semantic prior.*?PSNR", "+0.77dB in PSNR", printed(name)))
    frame = export.numbered(shapes.printed(name))
    for column in frame.columns.difference(TABLES[name].reworded):
        assert not [cell for cell in frame[column] if bare(cell) not in whole], column
    for column in TABLES[name].reworded:  # nor is any column called so without a reason
        assert [cell for cell in frame[column] if bare(cell) not in whole], column


@pytest.mark.parametrize("name", ["table_4_1", "table_4_2"])
def test_training_tables_are_the_printed_ones(name):
    title = {"table_4_1": "Table 4.1 Autoencoder model", "table_4_2": "Table 4.2 GAN model"}[name]
    begin = text().index("Parameter\tValue", text().index(title + " training details\n"))
    lines = text()[begin:].split("\n\n")[0].splitlines()[1:]
    assert dict(line.split("\t") for line in lines) == thesis_results.TRAINING[name]


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
        printed_arxiv = "" if "arxiv" in row.added else row.arxiv
        assert printed_arxiv in plain and ("arXiv:" in plain) == bool(printed_arxiv), row.number
        if row.number not in (17, 60):  # 'PRISMA Group*, T.' is one author; 60 is garbled, see the errata
            authors = plain[: plain.lower().index(row.title.lower())]
            assert names(authors) == names(row.authors), row.number
            assert ("..." in authors) == ("…" in row.authors), row.number
    assert "doi" not in listed.lower()


NO_NAMES = {"and", *calendar.month_name}


def names(part: str) -> list[str]:
    """The words of a list of authors, sorted: given and family names stand in either order."""
    return sorted(word for word in re.findall(r"[^\W\d_]+", part) if word not in NO_NAMES)


def test_search_counts_stand_in_the_thesis():
    whole = text()
    for row in load("prisma").dropna(subset=["found"]).itertuples():
        assert f"gave {row.found} results" in whole and f"{row.excluded} papers were excluded" in whole


def scores(table: str, end: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Rows of Table 5.4 or 5.5: model, test set, (PSNR, SSIM)."""
    rows = [line.split("\t") for line in section(table, end).splitlines() if "\t" in line][2:]
    sets = ("SFB1", "SB1SD", "SFB2", "SB2SM")
    pairs = [(row[0], list(zip(map(float, row[1::2]), map(float, row[2::2]), strict=True))) for row in rows]
    return {model: dict(zip(sets, values, strict=True)) for model, values in pairs}


def row_5_4() -> dict:
    return scores("Table 5.4 Results", "Bellow we can")


def row_5_5() -> dict:
    return scores("Table 5.5 Further testing of GSFB2 model\n\nModels", "Figure 5.13 Comparison")


def erratum(number: int) -> str:
    row = load("errata").set_index("number").loc[number]
    return f"{row['where']}: {row['finding']}"


def cited() -> list[int]:
    """Numbers of references in the order of their first citation in the text and its tables."""
    body = text()[text().index("1. Introduction\n\nFacial") : text().index("- [1] Dutta")]
    found = [
        int(n)
        for group in re.findall(r"\[(\d+(?:, ?\d+)*)\]", body)
        for n in group.split(",")
        if group != "0,100"  # the range of BRISQUE
    ]
    return list(dict.fromkeys(n for n in found if 1 <= n <= 118))


def test_errata_about_numbers_hold():
    own = row_5_4()
    for metric, expected in enumerate(
        (["ASFB1", "ASB1SD", "GSB1SD", "GSFB2"], ["ASFB1", "ASB1SD", "ASFB2", "GSB1SD"])
    ):
        best = {model: max(values, key=lambda s, v=values: v[s][metric]) for model, values in own.items()}
        best["GSFB2"] = best["GSFB2"] if metric == 0 else "SFB2"  # a tie of 0.8860 with SFB1
        assert [model for model, dataset in best.items() if dataset != model[1:]] == expected
        other_kind = [m for m, d in best.items() if d.startswith("SFB") != m[1:].startswith("SFB")]
        assert other_kind == (["ASFB1"], ["ASFB1", "ASFB2"])[metric]
        assert ", ".join(expected) in erratum(27)
    assert own["GSFB2"]["SFB1"][1] == own["GSFB2"]["SFB2"][1]
    assert all(abs(values["SFB1"][0] - values["SFB2"][0]) < 0.1 for values in own.values())
    assert own["ASFB1"]["SFB1"][0] == 26.223 and "Autoencoder\t26.2243" in text()
    assert set(range(1, 119)) - set(cited()) == {113, 114, 115}


def test_errata_about_gans_and_segmented_data_hold():
    own = row_5_4()
    for dataset, (psnr, ssim) in own["GSB1SD"].items():
        assert psnr > own["GSFB1"][dataset][0] and ssim > own["GSFB1"][dataset][1]
    assert "GSB1SD has a higher PSNR and SSIM than GSFB1 on all four" in erratum(39)
    more = [
        d
        for d in own["ASFB1"]
        if own[f"G{d}"][d][1] > own[f"A{d}"][d][1] and own[f"G{d}"][d][0] < own[f"A{d}"][d][0]
    ]
    assert len(more) == 3 and "three of four GANs" in erratum(41)
    further = row_5_5()
    assert further["GSFB2_50"] == own["GSFB2"]
    lower = further["GSFB2_100"]["SFB2"][0] - further["GSFB2_20"]["SFB2"][0]
    assert round(lower, 2) == 0.84 and "0.84 dB lower" in erratum(40)


def test_errata_about_betas_and_test_sets_hold():
    rows = by_source("2.8")
    assert r"\partial 1 = 0.99$" in rows["xiao2023facial"] and "beta1 = 0.5" in rows["shi2024face"]
    betas = load("2.8").set_index("key")["beta1"].dropna()
    assert betas.drop(["xiao2023facial", "shi2024face"]).unique().tolist() == [0.9]
    assert "0.5 in [36]" in erratum(10)
    unclear = load("2.7").query("psnr_db.notna() and measured_on == ''")
    unclear = unclear[unclear["datasets"].str.len() > 1]
    assert unclear["key"].to_list() == ["zhang2024blind", "yang2023blind"]
    assert "Two articles ([32], [33])" in erratum(14)


SAYS = {  # erratum: what the thesis's text has for it
    15: ["Combines NR-Metrics (NIQE, MA) and perceptual FID"],
    42: ["Good correlation with human perception, robust to noise", "when human perception is key\tHigh"],
    43: ["less suitable for deep learning", r"g\_loss\_ssim|g_loss_ssim"],
    44: [r"GMSD \[97\]\t\$\[0, \\infty\)|GMSD \[97\]\t\[0,∞\)", r"BRISQUE \[94\]\t\[0,100\]"],
    45: ["do not require any additional inputs", "they use ground truth images"],
    46: [r"similar to residual layers in ResNet \[68\]"],
    47: [r"Optical Flow Loss \[79\]\tMeasures the consistency of motion between frames"],
    48: [r"Landmark Loss \[82\]\tPreserves the spatial alignment"],
    49: [r"Perceptual Loss \[74\]\tCompares features extracted from a pre-trained CNN \(VGGFace\)"],
    50: ["between the same models trained on different datasets", "because they more realistically simulate"],
    51: [r"Minae et al\. \[101\]", "Minaee, S\\."],
    52: ["Some newer articles offer", r"Bahat, Y\., Efrat, N\., & Irani, M\. \(2017\)"],
    56: ["Maximum epoch\t50"],
    60: ["59 pages", r"Table Index.*69", r"Literature\s+60"],
}


@pytest.mark.parametrize("number", SAYS)
def test_errata_quote_what_is_there(number):
    assert erratum(number)
    for pattern in SAYS[number]:
        pattern = pattern if re.search(r"\\|\.\*|\|", pattern) else re.escape(pattern)
        assert re.search(pattern, text()), pattern


def test_errata_about_silence_hold():
    body = text()[
        text().index("4. Experiment Setup\n\nThe") : text().index("5. Results and Discussion\n\nEach")
    ]
    for word in ("noise", "flip", "mirror", "augment", "filters", "channels wide", "1 - SSIM", "best epoch"):
        assert word not in body, word
    assert all(
        "isn't stated" in erratum(n) or "aren't stated" in erratum(n) for n in (53, 54, 55, 56, 61, 62, 63)
    )
    for measure in ("MSSSIM", "BIQA", "LPIPS", "NME", "CDV", "CPBDM", "MDM", "WEW", "AFLD", "AFICS"):
        assert measure in text() and measure in erratum(57)
        assert f"{measure} (" not in text() and f"({measure})" not in text()
    for name in ("Levin", "RealBlur", "VGG19", "MPRNet", "MTCNN"):
        assert name in erratum(58) and not re.search(rf"{name}[^.\t\n]{{0,20}}\[\d+\]", text()), name


def test_erratum_about_the_order_of_references_holds():
    order = cited()
    assert order[:30] == [*range(1, 30), 117] and order[30] == 30
    assert order.index(46) < order.index(44) and order.index(105) < order.index(65)
    families = [name.split(",")[0] for name in references()["authors"]]
    assert families != sorted(families)


def test_counts_that_the_text_leaves_out_are_not_said_to_be_nowhere():
    row = load("errata").set_index("number").loc[8]
    assert "the text doesn't say" in row["finding"] and "text alone" in row["handling"]


def test_readme_and_errata_name_our_own_choices():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    own = load("errata").query("handling.str.startswith('Our choice')")
    assert own["number"].to_list() == [61, 62, 63]
    for in_readme, in_errata in (
        ("mirrored at random", "mirrored"),
        ("400 on [0, 1]", "400"),
        ("averaged", "averaged"),
    ):
        assert in_readme in readme and own["handling"].str.contains(in_errata).any()
    assert "pictures show" not in readme and "pictures were not at hand" in readme


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
