"""The literature as data: schema, references, search counts, exports, figures, names."""

import re
import shutil
import subprocess

import bibtexparser
import browser
import numpy as np
import pandas as pd
import pytest
import skimage.data
from matplotlib import pyplot as plt

from facedeblur_utils import literature
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.literature import browsing, drawing, export, implementations, prisma, reading, shapes
from facedeblur_utils.literature.bibliography import BIB, references
from facedeblur_utils.literature.loader import FOLDER, load
from facedeblur_utils.literature.schema import MEASURES, NONE, TABLES
from facedeblur_utils.metrics import further
from facedeblur_utils.paths import run_paths

PRINTED = [name for name, table in TABLES.items() if table.printed]


@pytest.fixture
def paths(tmp_path):
    return run_paths("study", tmp_path)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def no_lpips(monkeypatch):
    """LPIPS depends on weights that only some machines can reach."""
    monkeypatch.setattr(further, "_lpips_network", lambda: (None, "not in a test"))


# Tables and their schema


def test_the_twelve_tables_are_there():
    assert ["1.1", "1.2", *(f"2.{number}" for number in range(1, 11))] == PRINTED


@pytest.mark.parametrize("name", list(TABLES))
def test_load_gives_the_declared_rows_and_columns(name):
    frame = load(name)
    assert frame.shape == (TABLES[name].rows, len(TABLES[name].columns))
    assert list(frame.columns) == list(TABLES[name].columns)


def test_columns_are_typed():
    frame = load("2.8")
    assert frame.loc[0, "kernel_sizes_px"] == [13, 17, 21, 24, 27]
    assert frame["kernel_min_px"].max() + 1 == 14  # a number, not text
    assert load("2.10")["range_high"].max() == float("inf")
    assert load("2.3")["losses"].sum() == 5
    assert pd.isna(load("2.7").set_index("reference").loc["Gao et al.", "psnr_db"])


def test_unknown_table_is_refused():
    with pytest.raises(UsageError, match=r"unknown literature table '9\.9'; known tables: 1\.1, 1\.2"):
        load("9.9")


BROKEN = {
    "cell": ("2.2", lambda text: text.replace(",2016,", ",late,"), "line 6, column 'year': 'late' is not a"),
    "key": ("2.6", lambda text: text.replace("yu2022blurry", "yu2022sharp"), "line 6, column 'key': 'yu2022"),
    "choice": (
        "2.9",
        lambda text: text.replace(",Low,,Low,", ",Tiny,,Low,"),
        "'Tiny' is none of Low, Medium",
    ),
    "empty": ("2.1", lambda text: text.replace(",Title", ","), "line 3, column 'item': empty"),
    "row": ("2.1", lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "3 rows instead of 4"),
    "column": ("2.1", lambda text: text.replace("number,item", "number,thing"), "column 'item' is missing"),
    "order": (
        "2.1",
        lambda text: text.replace("number,item", "item,number"),
        "column 'item' is unknown, rep",
    ),
    "width": (
        "2.1",
        lambda text: text.replace("2,Title", "2,Title,extra"),
        "line 3 has 3 cells instead of 2",
    ),
    "yes": (
        "2.3",
        lambda text: text.replace(",no,", ",never,", 1),
        "line 6, column 'problem': 'never' is not",
    ),
    "list": ("2.5", lambda text: text.replace("RQ6 | RQ7", "RQ6 | "), "stray space or empty element"),
    "parallel": (
        "2.8",
        lambda text: text.replace("8 | 12", "8 | 12 | 3"),
        "line 5: columns datasets and ker",
    ),
    "quote": ("2.1", lambda text: text.replace("2,Title", '2,"Title'), "it can't be read"),
    "nothing": ("2.1", lambda text: "", "it is empty"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_gives_one_clear_line(case, tmp_path):
    name, spoil, expected = BROKEN[case]
    file = f"{TABLES[name].file}.csv"
    original = (FOLDER / file).read_text(encoding="utf-8")
    assert spoil(original) != original
    (tmp_path / file).write_text(spoil(original), encoding="utf-8")
    with pytest.raises(StudyError) as error:
        load(name, folder=tmp_path)
    assert expected in str(error.value) and file in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_or_binary_file_gives_one_clear_line(tmp_path):
    with pytest.raises(StudyError, match="table_2_01.csv: it is missing"):
        load("2.1", folder=tmp_path)
    (tmp_path / "table_2_01.csv").write_bytes(b"number,item\n1,\xff\xfe\n")
    with pytest.raises(StudyError, match="table_2_01.csv: it can't be read"):
        load("2.1", folder=tmp_path)


@pytest.mark.parametrize(
    ("column", "text"),
    [(c, "creation") for c in ("images", "sharp_images", "kernels", "kernel_sizes_px", "kernel_max_px")]
    + [(c, "creation") for c in ("noise_sigma", "noise_max_percent", "image_size_px", "angle_deg")]
    + [("patch_size_px", "creation")]
    + [(c, "training") for c in ("momentum", "weight_decay", "beta1", "beta2", "batch_size", "hours")],
)
def test_numbers_of_table_2_8_stand_in_its_own_sentences(column, text):
    for row in load("2.8").to_dict("records"):
        values = row[column] if isinstance(row[column], list) else [row[column]]
        words = re.findall(r"\d+(?:\.\d+)?", re.sub(r"(?<=\d)[ ,](?=\d{3})", "", row[text]))
        if "eight sizes from 13×13 to 27×27 in steps of 2" in row[text]:
            words += [str(size) for size in range(13, 28, 2)]
        for value in values:
            assert pd.isna(value) or float(value) in map(float, words), (row["reference"], value)


# Cells that were wrong once: table, key, column, what the thesis has
CORRECTED = {
    "images of [30] are sharp": ("2.8", "xiao2023facial", "sharp_images", [20000]),
    "no blurred ones counted for [30]": ("2.8", "xiao2023facial", "images", []),
    "images of [34] are sharp": ("2.8", "yu2022blurry", "sharp_images", [10000]),
    "no blurred ones counted for [34]": ("2.8", "yu2022blurry", "images", []),
    "160 px of [36] is a patch": ("2.8", "shi2024face", "patch_size_px", 160),
    "no image size for [36]": ("2.8", "shi2024face", "image_size_px", pd.NA),
    "[31] says None": ("2.8", "gao2023blind", "losses", [NONE]),
    "[33] says None": ("2.8", "yang2023blind", "losses", [NONE]),
    "[30] was measured on FFHQ": ("2.7", "xiao2023facial", "measured_on", "FFHQ"),
    "words before [30]": ("2.7", "xiao2023facial", "heading", "On proposed method"),
    "words before [32]": ("2.7", "zhang2024blind", "heading", "STUNet for Face Deblurring:"),
    "digits of [32]": ("2.7", "zhang2024blind", "printed_measures", ["PSNR: 27.3912", "SSIM: 0.8080"]),
    "signs of [39]": ("2.7", "wang2024take", "printed_measures", ["+0.77dB in PSNR", "+0.98dB in MPRNet"]),
}


@pytest.mark.parametrize("case", CORRECTED)
def test_corrected_cells(case):
    table, key, column, expected = CORRECTED[case]
    value = load(table).set_index("key").loc[key, column]
    assert value is expected if expected is pd.NA else value == expected


PRINTED_MEASURES = {
    "Xiao and Pan [@xiao2023facial]": "On proposed method PSNR: 27.52; SSIM: 0.901",
    "Zhang et al. [@zhang2024blind]": "STUNet for Face Deblurring: PSNR: 27.3912; SSIM: 0.8080",
    "Wang et al. [@wang2024take]": "Improvements in measurements: +0.77dB in PSNR; +0.98dB in MPRNet",
    "Ahalya et al. [@ahalya2024deep]": "No numerical results mentioned",
}


@pytest.mark.parametrize("reference", PRINTED_MEASURES)
def test_measures_are_printed_as_the_thesis_prints_them(reference):
    cells = shapes.printed("2.7").set_index("Reference")["Reported measures"]
    assert cells[reference] == PRINTED_MEASURES[reference]


def test_printed_measures_are_the_numbers_of_their_row():
    for row in load("2.7").to_dict("records"):
        numbers = [float(re.search(r"[-+]?\d+(\.\d+)?", text)[0]) for text in row["printed_measures"]]
        assert numbers == [row[column] for column in MEASURES if not pd.isna(row[column])], row["reference"]


def test_captions_say_what_is_reworded():
    for name in PRINTED:
        caption = export.table_caption(name)
        assert f"Table {name}" in caption and "in our words" in caption
        assert all(column in caption for column in TABLES[name].reworded)
        assert set(TABLES[name].reworded) <= set(shapes.printed(name).columns)
    assert "Model and Improvements are in our words" in export.table_caption("2.7")


def test_silence_and_none_are_two_things(tmp_path):
    file = f"{TABLES['2.8'].file}.csv"
    text = (FOLDER / file).read_text(encoding="utf-8")
    (tmp_path / file).write_text(text.replace(",None,MATLAB 2016b", ",,MATLAB 2016b"), encoding="utf-8")
    with pytest.raises(StudyError, match="column 'losses': empty"):
        load("2.8", folder=tmp_path)


def test_search_finds_upper_and_lower_case():
    found = literature.search("POISSON")
    assert set(found["table"]) == {"1.1", "2.8"}
    assert literature.search("no such words").empty


# References


def test_a_bibtex_library_reads_118_entries_as_we_do():
    library = bibtexparser.parse_file(str(BIB))
    assert len(library.entries) == 118 and not library.failed_blocks
    ours = references().set_index("key")
    assert [entry.key for entry in library.entries] == list(ours.index)
    for entry in library.entries:
        fields = {field.key: field.value.replace(r"{\dots}", "…") for field in entry.fields}
        fields = {key: re.sub(r"[{}]|\\(?=&)", "", value) for key, value in fields.items()}
        row = ours.loc[entry.key]
        assert fields["title"] == row["title"] and int(fields["year"]) == row["year"]
        assert fields["author"].replace(" and ", "; ") == row["authors"]
        assert fields["annotation"].startswith(f"[{row['number']}] in the thesis") and "note" not in fields
        assert fields.get("doi", "") == row["doi"] and fields.get("eprint", "") == row["arxiv"]
        assert entry.entry_type == row["type"]


LAST_AUTHORS = {
    23: "Zafeiriou, S.",
    51: "Liu, W.",
    52: "Zha, H.",
    67: "Yang, M. H.",
    77: "Bengio, Y.",
    79: "Shi, Q.",
    102: "Grundmann, M.",
    113: "Guo, B.",
    118: "Chintala, S.",
}


@pytest.mark.parametrize("number", LAST_AUTHORS)
def test_the_last_author_after_the_dots_is_kept(number):
    authors = references().set_index("number").loc[number, "authors"].split("; ")
    assert authors[-2:] == ["…", LAST_AUTHORS[number]] and len(authors) == 8


def test_only_those_nine_are_shortened():
    shortened = references().query("authors.str.contains('…') or authors.str.contains('others')")
    assert shortened["number"].to_list() == list(LAST_AUTHORS)


def test_added_identifiers_are_marked_and_well_formed():
    frame = references()
    for row in frame.itertuples():
        assert not row.doi or re.fullmatch(r"10\.\d{4,5}/\S+", row.doi)
        assert not row.arxiv or re.fullmatch(r"\d{4}\.\d{4,5}", row.arxiv)
        assert set(row.added.split(", ")) - {""} <= {name for name in ("doi", "arxiv") if getattr(row, name)}
        assert bool(row.link) == bool(row.doi or row.arxiv)
    assert (frame["doi"] == "").sum() == 118 - frame["added"].str.contains("doi").sum()  # it prints none
    assert set(frame.set_index("number").loc[[55, 80], "arxiv"]) == {"2101.04061"}  # one work, one number


LATEX = (
    r"\documentclass[a4paper]{article}\usepackage[T1]{fontenc}%s\begin{document}\nocite{*}%s\end{document}"
)
STYLES = {
    "plain": ("bibtex", "", r"\bibliographystyle{plain}\bibliography{references}"),
    "biblatex": (
        "biber",
        r"\usepackage[english]{babel}\usepackage{csquotes}\usepackage[maxbibnames=99]{biblatex}"
        r"\addbibresource{references.bib}",
        r"\printbibliography",
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_all_references_pass_without_a_warning(style, tmp_path):
    program, preamble, body = STYLES[style]
    needed = ("pdflatex", program, "kpsewhich", "pdftotext")
    if not all(map(shutil.which, needed)):
        pytest.skip(f"no {' or '.join(needed)} here")
    if style == "biblatex" and subprocess.run(["kpsewhich", "biblatex.sty"], capture_output=True).returncode:
        pytest.skip("no biblatex here")
    shutil.copy(BIB, tmp_path)
    (tmp_path / "main.tex").write_text(LATEX % (preamble, body))

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    compile_it = ("pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main")
    assert run(*compile_it)[0] == 0
    options = ["--validate-datamodel"] if program == "biber" else []
    code, said = run(program, *options, "main")
    assert code == 0 and not re.search("warn|error", said, re.IGNORECASE), said
    run(*compile_it)
    code, said = run(*compile_it)
    assert code == 0 and "Warning" not in said, said[-2000:]
    printed = " ".join(run("pdftotext", "main.pdf", "-")[1].split())
    assert "[118]" in printed and "in the thesis" not in printed and "same work" not in printed
    joined = printed.replace("- ", "").replace(" ", "")
    for row in references().itertuples():
        if not row.added and row.arxiv:
            assert joined.count(f"arXiv:{row.arxiv}") == 1, row.key
    assert "Zafeiriou" in joined and "...,andY.Bengio" in joined.replace("…", "...")


def test_works_listed_twice_are_linked_both_ways():
    frame = references().set_index("key")
    titles = frame["title"].str.lower()
    twice = set(titles[titles.duplicated(keep=False)].index)
    linked = frame[frame["same_as"] != ""]["same_as"]
    assert set(linked.index) == twice and len(twice) == 6
    for key, other in linked.items():
        assert frame.loc[other, "same_as"] == key and titles[other] == titles[key]


def test_a_broken_bibliography_is_refused(tmp_path):
    broken = tmp_path / "references.bib"
    broken.write_text(BIB.read_text(encoding="utf-8").replace("  year = {2012},\n", "", 1), encoding="utf-8")
    with pytest.raises(StudyError, match="entry 'dutta2012impact' lacks year"):
        references(broken)
    broken.write_text(BIB.read_text(encoding="utf-8").replace("@article{su2022survey", "@article{", 1))
    with pytest.raises(StudyError, match="must hold 118 entries"):
        references(broken)


# Search counts


def test_search_counts_add_up():
    totals = prisma.totals().set_index("review")
    assert totals.loc["articles"].to_list() == [104, 66, 38, 0, 28, 10]
    assert totals.loc["surveys"].to_list() == [85, 79, 6, 3, 0, 9]


def test_wrong_counts_are_refused(monkeypatch):
    rows = load("prisma")
    rows.loc[1, "read"] = 14  # Web of Science: 21 found, 8 excluded, 13 read
    monkeypatch.setattr(prisma, "load", lambda name: rows)
    with pytest.raises(StudyError, match="found - excluded is not read for articles, Web of Science"):
        prisma.flow("articles")


# Exports


@pytest.mark.parametrize("name", PRINTED)
def test_printed_tables_have_the_thesis_shape(name):
    assert shapes.printed(name).shape == TABLES[name].printed


def test_export_writes_all_formats_with_citations(paths):
    written = export.export_literature(paths)
    assert len(written) == 12 * 3 + 1 and all(path.is_file() for path in written)
    keys = set(references()["key"])
    for name in PRINTED:
        file = paths.tables / TABLES[name].file
        back = pd.read_csv(file.with_suffix(".csv"), dtype=str, keep_default_na=False)
        assert back.shape == TABLES[name].printed
        assert len(file.with_suffix(".md").read_text(encoding="utf-8").splitlines()) == len(back) + 4
        text = file.with_suffix(".tex").read_text(encoding="utf-8")
        cited = re.findall(r"\\cite\{([^}]+)\}", text)
        printed_sources = (
            re.findall(r"\[\d+\]", " ".join(back.to_numpy().ravel())) if name != "2.10" else cited
        )
        assert set(cited) <= keys and len(cited) == len(printed_sources)
        assert text.count("{") == text.count("}") and "@" not in re.sub(r"@\d|@\{\}", "", text)
        assert not [letter for letter in text if ord(letter) > 255]  # pdflatex knows Latin letters


def test_sources_become_the_numbers_of_the_thesis():
    frame = pd.DataFrame({"a": ["SSIM [@wang2004image] / x", "no source"]})
    assert export.numbered(frame)["a"].to_list() == ["SSIM [84] / x", "no source"]
    assert r"SSIM~\cite{wang2004image} / x" in export.latex(frame, "t", "caption")


def test_latex_prints_special_characters_and_code():
    text = export.latex(pd.DataFrame({"a": ["5 % of A_b", "`x.y_z`", "10 000 ✓ β"]}), "t", "c")
    assert r"5 \% of A\_b" in text and r"10\,000 $\checkmark$ $\beta$" in text
    assert r"\texttt{x.\allowbreak{}y\_\allowbreak{}z}" in text


@pytest.mark.parametrize("name", PRINTED)
def test_column_shares_fill_the_line(name):
    shares = export.column_shares(shapes.printed(name), 82)
    assert sum(shares) == pytest.approx(1) and min(shares) > 0.03


def test_columns_keep_their_longest_word():
    frame = pd.DataFrame({"a": ["x" * 30], "b": ["many short words " * 40]})
    narrow, wide = export.column_shares(frame, 100)
    assert narrow == pytest.approx(0.32) and wide == pytest.approx(0.68)
    assert export.column_shares(pd.DataFrame({"a": ["x" * 80], "b": ["y" * 80]}), 100) == [0.5, 0.5]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_the_widest_table_compiles(paths):
    export.export_literature(paths)
    body = (
        r"\documentclass[a4paper]{article}\usepackage[T1]{fontenc}\usepackage[margin=2.5cm]{geometry}"
        r"\usepackage{array,booktabs,longtable,amssymb}\begin{document}"
        r"\input{table_2_08}\input{table_2_10}\end{document}"
    )
    (paths.tables / "main.tex").write_text(body)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"]
    done = subprocess.run(command, cwd=paths.tables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-800:]
    wide = re.findall(r"Overfull \\hbox \((\d+)", done.stdout)
    assert not [points for points in wide if int(points) >= 3]


def test_filterable_html_holds_every_row_escaped_and_linked():
    frame = pd.DataFrame({"a": ["<b>", "[@wang2004image]", "[0, 1] and [999]"]})
    page = browsing.filterable(frame, "table 2.7", "what [85] says")
    assert page.count("<tr") == 5 and "&lt;b&gt;" in page and "<b>" not in page
    assert '<a href="#ref-84">[84]</a>' in page and '<a href="#ref-85">[85]</a>' in page
    assert "[0, 1] and [999]</td>" in page and 'id="table_2_7"' in page


def test_titles_lead_to_the_work_or_to_the_references():
    page = browsing.printed_table("2.2")
    assert (
        '<a href="https://doi.org/10.1007/s41095-023-0336-6">A survey on facial image deblurring</a>' in page
    )
    assert '<a href="https://arxiv.org/abs/2211.02831">A Survey of Deep Face Restoration' in page
    assert '<a href="#ref-25">A Survey on Image Deblurring</a>' in page  # no address is known
    listed = browsing.reference_table()
    assert listed.count('<tr id="ref-') == 118 and 'href="#ref-25"' not in listed


def test_the_page_needs_nothing_else(paths):
    page = browsing.write_page(paths).read_text(encoding="utf-8")
    assert len(page) < 200_000 and "<img" not in page  # no figure has been drawn
    assert not re.findall(r'(?:src|href)="(?!#|https://(?:doi\.org|arxiv\.org)/)[^"]*"', page)
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(re.findall(r' id="([^"]+)"', page)) and len(targets) > 60
    assert all(f'id="table_{name.replace(".", "_")}"' in page for name in PRINTED)
    paths.figures.mkdir(parents=True, exist_ok=True)
    (paths.figures / "fig_2_01.png").write_bytes(b"")
    assert '<img src="fig_2_01.png"' in browsing.write_page(paths).read_text(encoding="utf-8")


@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here")
def test_tables_sort_filter_and_link_in_a_browser(paths):
    page = browsing.write_page(paths)
    rows = "[...document.querySelectorAll('#table_2_2 tbody tr:not([hidden])')]"
    numbers, years = (f"{rows}.map(row => row.cells[{i}].textContent).join(' ')" for i in (0, 2))
    head = "document.querySelectorAll('#table_2_2 th button')"
    with browser.Browser() as chromium:
        chromium.open(page)
        assert chromium.run(numbers) == "1 2 3 4 5 6 7 8 9"
        chromium.run(f"{head}[2].click()")
        assert chromium.run(years) == "2016 2021 2022 2022 2022 2022 2023 2023 2024"
        chromium.run(f"{head}[2].click()")
        assert chromium.run(years).startswith("2024 2023")
        chromium.run(f"{head}[2].click()")
        assert chromium.run(numbers) == "1 2 3 4 5 6 7 8 9"
        field = "document.querySelectorAll('#table_2_2 input')"
        chromium.run(f"{field}[1].value = 'WANG'; {field}[1].dispatchEvent(new Event('input'))")
        assert chromium.run(numbers) == "1 2 3" and "3 of 9" in chromium.run(
            "document.querySelector('#table_2_2 caption').textContent"
        )
        chromium.run(f"{field}[2].value = '2022'; {field}[2].dispatchEvent(new Event('input'))")
        assert chromium.run(numbers) == "3"
        # The link still leads to its reference when a filter there hides it.
        field = "document.querySelectorAll('#references input')[1]"
        chromium.run(f"{field}.value = 'nobody'; {field}.dispatchEvent(new Event('input'))")
        chromium.run(f"{rows}[0].querySelector('a').click()")
        assert chromium.run("document.querySelector(':target').cells[1].textContent").endswith(
            "Zafeiriou, S."
        )
        assert chromium.run("document.querySelector(':target').offsetHeight") > 0
        widest = "[...document.querySelectorAll('#references tbody tr')].map(row => row.cells[0].textContent)"
        chromium.run("document.querySelector('#references th button').click()")
        chromium.run("document.querySelector('#references th button').click()")
        assert chromium.run(widest)[:2] == ["118", "117"]  # as numbers, not as text
        assert not chromium.problems


@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here")
def test_numbers_sort_as_numbers(tmp_path):
    cells = ["2", "10 000", "-16.35", "0.77", "-2", "0.0417"]
    (tmp_path / "page.html").write_text(browsing.filterable(pd.DataFrame({"a": cells}), "numbers"))
    with browser.Browser() as chromium:
        chromium.open(tmp_path / "page.html")
        chromium.run("document.querySelector('#numbers th button').click()")
        shown = chromium.run(
            "[...document.querySelectorAll('#numbers tbody td')].map(cell => cell.textContent)"
        )
    assert shown == ["-16.35", "-2", "0.0417", "0.77", "2", "10 000"]


# Figures


@pytest.mark.parametrize("draw", [drawing.structure_figure, drawing.prisma_figure])
def test_text_stays_inside_its_box(draw):
    fig, _ = draw()
    fig.canvas.draw()
    for ax in fig.axes:
        boxes = [patch.get_window_extent() for patch in ax.patches]
        texts = [text for text in ax.texts if text.get_text()]
        assert len(boxes) == len(texts)
        for text, box in zip(texts, boxes, strict=True):
            extent = text.get_window_extent()
            assert box.x0 <= extent.x0 and extent.x1 <= box.x1, text.get_text()
            assert box.y0 <= extent.y0 and extent.y1 <= box.y1, text.get_text()


def test_prisma_figure_has_the_parts_of_prisma_2020():
    fig, data = drawing.prisma_figure()
    for ax in fig.axes:
        texts = [text.get_text() for text in ax.texts]
        for part in ("Identification", "Screening", "Included"):
            assert part in texts
        shown = " ".join(" ".join(texts).split())
        for part in (
            *("Records identified", "Duplicates removed", "Records screened", "Records excluded"),
            *("Reports sought", "Reports not retrieved", "Reports assessed", "Reports excluded"),
            *("Records from other sources", "included in the review"),
        ):
            assert part in shown
    articles, surveys = (
        data[data["review"] == name].set_index(["column", "box"]) for name in data["review"].unique()
    )
    assert articles.loc[("databases", "Records identified in databases"), "n"] == "104"
    assert articles.loc[("left out", "Records excluded"), "below"] == (
        "IEEE Xplore: 14; Web of Science: 8; Scopus: 40; ScienceDirect: 4"
    )
    silent = articles[articles["n"] == prisma.SILENT].index.get_level_values("box").to_list()
    assert silent == [
        *("Duplicates removed before screening", "Reports not retrieved", "Reports assessed for eligibility"),
        *("Reports excluded", "Records from other sources"),
    ]
    assert articles.loc[("databases", "Articles included in the review"), "n"] == "10"
    silent = surveys[surveys["n"] == prisma.SILENT].index.get_level_values("box").to_list()
    assert silent == ["Duplicates removed before screening", "Reports not retrieved"]
    assert surveys.loc[("other sources", "Records from other sources"), "n"] == "3"
    assert surveys.loc[("databases", "Surveys included in the review"), "n"] == "9"


def test_usage_counts_articles():
    counts = reading.usage().set_index(["what", "name"])["articles"]
    assert counts["measure", "PSNR"] == 8 and counts["measure", "SSIM"] == 7  # [39] gives a gain in PSNR
    assert counts["loss", "none"] == 2 and "gain" not in " ".join(counts["measure"].index)
    assert counts["optimiser", "Adam"] == 5 and counts["dataset", "EDFace-Celeb"] == 1
    assert counts["dataset"].max() == 2
    with pytest.raises(StudyError, match="loss 'magic' of Table 2.8 belongs to no family"):
        reading.family("magic")


def test_names_in_figures_are_unambiguous(paths):
    labels = [text.get_text() for text in drawing.topics_figure()[0].axes[0].get_yticklabels()]
    assert len(set(labels)) == 9 and "Wang et al. [21], 2023" in labels and "Wang et al. [23], 2022" in labels
    labels = [text.get_text() for text in reading.kernel_figure()[0].axes[0].get_yticklabels()]
    assert labels == ["Xiao and Pan [30]", "Yu and Xie [34]", "Shi et al. [36]", "Han et al. [38]"]
    scores = reading.scores_figure(paths)[1]
    assert scores["source"].is_unique and set(scores["source"].str[-4:]) <= {f"[{n}]" for n in range(30, 40)}
    assert scores.loc[0, ["source", "on"]].to_list() == ["Xiao and Pan [30]", "FFHQ"]
    both = pd.concat([load("2.2"), load("2.6")])
    assert both["reference"].duplicated().any() and not shapes.names(both).duplicated().any()


def test_only_one_article_gives_kernels_beside_a_size_in_pixels():
    """What the notebook says of them: 8 to 18 % of the width."""
    rows = load("2.8").set_index("key")
    sizes = rows["image_size_px"].fillna(rows["patch_size_px"])
    both = rows[sizes.notna() & rows["kernel_min_px"].notna()]
    assert both.index.to_list() == ["shi2024face"]
    shares = both[["kernel_min_px", "kernel_max_px"]].iloc[0] / 160
    assert [round(100 * share) for share in shares] == [8, 18]


def test_scores_figure_adds_the_study_where_it_has_run(paths):
    _, before = reading.scores_figure(paths)
    assert len(before) == 7 and set(before["role"]) == {"article"}
    rows = [
        (model, "SFB1", image, region, metric, value + image)
        for model in ("input", "ASFB1", "GSFB2_25")
        for image in (0, 1)
        for region in ("whole", "face")
        for metric, value in (("psnr", 20.0 if region == "whole" else 90.0), ("ssim", 0.1))
    ]
    paths.results.mkdir(parents=True)
    columns = ["model", "dataset", "image_id", "region", "metric", "value"]
    pd.DataFrame(rows, columns=columns).to_csv(paths.scores, index=False)
    _, after = reading.scores_figure(paths)
    own = after[after["source"] == "This study"]
    assert own["role"].to_list() == ["blurred input", "model"] and own["PSNR"].to_list() == [20.5, 20.5]


def test_other_figures_draw():
    assert len(reading.kernel_figure()[1]) == 4
    assert len(reading.usage_figure()[0].axes) == 4
    assert len(drawing.topics_figure()[1]) == 9


# Tables 2.9 and 2.10 made executable


def test_every_loss_and_metric_has_a_name_or_is_absent():
    for table, column in (("2.9", "loss"), ("2.10", "metric")):
        names = implementations.named(table)
        assert names["item"].to_list() == load(table)[column].to_list()
        assert names["number"].to_list() == load(table)["number"].to_list()
    assert implementations.ABSENT not in set(names["object"])
    assert implementations.ABSENT not in set(implementations.named("2.9")["object"])
    printed = load("2.7").set_index("number").to_dict("index")
    for _, row in implementations.named("2.7").iterrows():
        assert row["item"] in " ".join(map(str, printed[row["number"]].values()))


def test_the_inception_score_is_of_one_set():
    names = implementations.named("2.10").set_index("item")["object"]
    assert names["IS"] == "`piq.inception_score`"  # piq.IS is a distance between two sets


def test_a_name_that_does_not_exist_is_refused():
    with pytest.raises(StudyError, match="facedeblur_utils.metrics.psnr_ssim has no miracle"):
        implementations.resolve("facedeblur_utils.metrics.psnr_ssim.miracle")
    with pytest.raises(StudyError, match="no module nowhere"):
        implementations.resolve("nowhere.at.all")


def test_metrics_of_equal_images_have_their_limits(no_lpips):
    face = np.random.default_rng(0).integers(0, 256, (176, 176, 3), np.uint8)
    found = implementations.scores(face, face, implementations.FurtherMetrics(176))
    assert np.isnan(found.pop("LPIPS"))
    assert found.pop("BRISQUE") > 50 and found.pop("NIQE") > 5 and found.pop("PI") > 3  # noise isn't natural
    limits = {"MSE": 0, "RMSE": 0, "PSNR": float("inf"), "SSIM": 1, "MS-SSIM": 1, "VIF": 1, "GMSD": 0}
    assert found == pytest.approx(limits, abs=1e-4)
    shifted = implementations.scores(face // 2 + 20, face // 2, implementations.FurtherMetrics(176))
    assert shifted["RMSE"] == pytest.approx(20 / 255) and shifted["MSE"] == pytest.approx((20 / 255) ** 2)


def test_growing_blur_confirms_table_2_10(no_lpips):
    face = np.ascontiguousarray(skimage.data.astronaut()[10:188, 130:308])
    scores = implementations.scores_by_blur(face)
    verdicts = implementations.directions(scores).set_index("metric")
    assert verdicts["agrees"].drop("BRISQUE").all() and len(verdicts) == 10
    brisque = scores.loc["BRISQUE"]
    assert brisque[2] < brisque[4] < brisque[8]  # then it levels off
    swapped = implementations.directions(scores.iloc[:, ::-1].set_axis(scores.columns, axis=1))
    assert not swapped["agrees"].any()
    flat = implementations.directions(scores * 0)
    assert set(flat["higher means, measured"]) == {"unclear"}
    assert len(implementations.directions_figure(face, scores).axes) == 7 + 10


def test_measures_of_table_2_7_are_named():
    assert set(MEASURES) < set(load("2.7").columns)
