"""The literature as data: schema, references, search counts, exports, figures, names."""

import re
import shutil
import subprocess

import bibtexparser
import numpy as np
import pandas as pd
import pytest
import skimage.data
from matplotlib import pyplot as plt

from facedeblur_utils import literature
from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.literature import drawing, export, implementations, prisma, reading, shapes
from facedeblur_utils.literature.bibliography import BIB, references
from facedeblur_utils.literature.loader import FOLDER, load
from facedeblur_utils.literature.schema import MEASURES, TABLES
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
        fields = {field.key: re.sub(r"[{}]|\\(?=&)", "", field.value) for field in entry.fields}
        row = ours.loc[entry.key]
        assert fields["title"] == row["title"] and int(fields["year"]) == row["year"]
        assert fields["author"].replace(" and ", "; ") == row["authors"]
        assert fields["note"].startswith(f"[{row['number']}] in the thesis")
        assert entry.entry_type == row["type"]


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


def test_filterable_html_holds_every_row_escaped():
    frame = pd.DataFrame({"a": ["<b>", "[@wang2004image]"]})
    page = export.filterable(frame, "table 2.7")
    assert page.count("<tr") == 3 and "&lt;b&gt;" in page and "[84]" in page
    assert 'id="table_2_7"' in page and "oninput" in page


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


def test_prisma_figure_says_what_is_not_reported():
    fig, _ = drawing.prisma_figure()
    articles, surveys = ("\n".join(text.get_text() for text in ax.texts) for ax in fig.axes)
    for count in ("31", "21", "45", "7", "104", "66", "14 + 8 + 40 + 4", "38", "10"):
        assert count in articles
    assert "not reported" in articles and "not reported" not in surveys
    for count in ("20", "13", "52", "85", "79", "17 + 12 + 50", "n = 9", "n = 3"):
        assert count in surveys


def test_usage_counts_articles():
    counts = reading.usage().set_index(["what", "name"])["articles"]
    assert counts["measure", "PSNR"] == counts["measure", "SSIM"] == 7
    assert counts["optimiser", "Adam"] == 5 and counts["dataset", "EDFace-Celeb"] == 1
    assert counts["dataset"].max() == 2
    with pytest.raises(StudyError, match="loss 'magic' of Table 2.8 belongs to no family"):
        reading.family("magic")


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
    assert (names["object"] == implementations.ABSENT).sum() == 2


def test_a_name_that_does_not_exist_is_refused():
    with pytest.raises(StudyError, match="facedeblur_utils.metrics.psnr_ssim has no miracle"):
        implementations.resolve("facedeblur_utils.metrics.psnr_ssim.miracle")
    with pytest.raises(StudyError, match="no module nowhere"):
        implementations.resolve("nowhere.at.all")


def test_metrics_of_equal_images_have_their_limits(no_lpips):
    face = np.random.default_rng(0).integers(0, 256, (176, 176, 3), np.uint8)
    found = implementations.scores(face, face, implementations.FurtherMetrics(176))
    assert np.isnan(found.pop("LPIPS"))
    limits = {"MSE": 0, "RMSE": 0, "PSNR": float("inf"), "SSIM": 1, "MS-SSIM": 1, "VIF": 1, "GMSD": 0}
    assert found == pytest.approx(limits, abs=1e-4)


def test_growing_blur_confirms_table_2_10(no_lpips):
    face = np.ascontiguousarray(skimage.data.astronaut()[10:188, 130:308])
    scores = implementations.scores_by_blur(face)
    verdicts = implementations.directions(scores).set_index("metric")
    assert verdicts["agrees"].all() and len(verdicts) == 7
    swapped = implementations.directions(scores.iloc[:, ::-1].set_axis(scores.columns, axis=1))
    assert not swapped["agrees"].any()
    flat = implementations.directions(scores * 0)
    assert set(flat["higher means, measured"]) == {"unclear"}
    assert len(implementations.directions_figure(face, scores).axes) == 7 + 8


def test_measures_of_table_2_7_are_named():
    assert set(MEASURES) < set(load("2.7").columns)
