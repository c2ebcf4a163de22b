"""The report of a run: its contents as text, and in a real browser where there is one."""

import json
import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from browser import PROGRAM, Browser

from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.reporting import discussion
from facedeblur_utils.reporting.figures import save_figure
from facedeblur_utils.reporting.provenance import stand_ins
from facedeblur_utils.reporting.tables import export_table
from facedeblur_utils.running import pipeline
from facedeblur_utils.running.execution import Outcome
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.report import label, markdown, markdown_table, write_report

RUN = "05_cross_eval-0123456789"
REMARK = "Shortened run (profile smoke): not a result of the study."
SETS = ("SFB1", "SB1SD", "SFB2", "SB2SM")


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A report with two tables, three figures and one recorded run."""
    monkeypatch.setenv("FACEDEBLUR_RUN_ID", RUN)
    paths, profile = RunPaths("smoke", tmp_path), load_profile("smoke")
    psnr = [22.5, 21.5, 23.25, *[22.0] * 6]
    frame = pd.DataFrame({"model": ["Blurred input", "A & <B>", "C", *[f"GSB{i}SD" for i in range(6)]]})
    for name in SETS:
        frame[[f"{name} PSNR", f"{name} SSIM"]] = list(zip(psnr, [0.5] * 9, strict=True))
    export_table(frame, "table_5_4", "All models <on> all data", paths, bold=frame == 23.25)
    export_table(frame, "table_x_gain", "Gain", paths)
    for name in ("fig_5_10", "fig_5_02", "fig_x_restorer_SFB2"):
        fig, axis = plt.subplots()
        axis.plot([1, 2, 3])
        save_figure(fig, name, f"The curve of {name}", paths)
        plt.close(fig)
    chain = pipeline.stages(profile, paths, {})
    manifest = Manifest(paths)
    manifest.describe(profile)
    evaluation = next(stage for stage in chain if stage.name == "05_cross_eval")
    found = {
        "inputs": {"a.npy": "00ff"},
        "parameters": {"seed": 1},
        "versions": {},
        "notebook": "",
        "modules": {},
    }
    copy = paths.notebooks / "05_cross_eval.ipynb"
    manifest.record(evaluation, RUN, found, 1e9, Outcome("05_cross_eval", 61, 2**30, copy, paths.logs / "x"))
    paths.checkpoints.joinpath("ASFB1").mkdir(parents=True)
    (paths.checkpoints / "ASFB1" / "config.json").write_text(json.dumps({"vgg": "random"}))
    history = "epoch,seconds,images_per_s,memory_mb\n1,60,10,900\n2,120,40,1500\n"
    (paths.checkpoints / "ASFB1" / "history.csv").write_text(history)
    discussion.write("06", ["**Longer.** No."], paths)
    discussion.write("05", ["**Better?** Yes & no, by 0.5 dB (Eq. 5). Further on.", "- not one"], paths)
    return write_report(chain, profile, paths, manifest)


def part(page, pattern: str) -> str:
    return re.search(pattern, page.read_text(), re.DOTALL)[0]


def test_it_starts_with_what_people_came_for(page):
    """Title, remark, Table 5.4 with gains, restored faces, sentences; only then the notes and the rest."""
    text = page.read_text()
    marks = ("<h1>", REMARK, "Table 5.4 in short", 'id="fig_x_restorer_SFB2"', 'id="answers"', 'id="notes"')
    marks += ("<nav", 'id="discussion"', 'id="tables"', 'id="figures"', 'id="more"', 'id="runs"', "<footer>")
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert text.count('id="fig_x_restorer_SFB2"') == 1 and 'href="#fig_x_restorer_SFB2"' in text


def test_its_first_table_shows_gains_over_the_blurred_input(page):
    first = part(page, '<div class="first">.*?</table>')
    rows = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in re.findall("<tr>.*?</tr>", first, re.DOTALL)]
    assert rows[0] == ["PSNR", *SETS]
    assert rows[1] == ["Blurred", "input", *["22.50"] * 4]
    assert rows[2] == ["A", "&amp;", "&lt;B&gt;", *["21.50", "−1.00"] * 4]
    assert rows[3] == ["C", *["23.25", "+0.75"] * 4]
    assert first.count('class="up"') == 4


def test_its_sentences_are_those_with_which_the_paragraphs_begin(page):
    said = part(page, '<div id="answers">.*?</div>')
    assert "not one" not in said
    assert re.findall("<p>(.*?)</p>", said) == [
        "<strong>Better?</strong> Yes &amp; no, by 0.5 dB (Eq. 5).",
        "<strong>Longer.</strong> No.",
    ]


def test_without_restorers_it_opens_with_the_thesiss_figure(page, tmp_path):
    captions = RunPaths("smoke", tmp_path).captions
    (captions / "fig_x_restorer_SFB2.json").rename(captions / "fig_5_01.json")
    (tmp_path / "figures/smoke/fig_x_restorer_SFB2.png").rename(tmp_path / "figures/smoke/fig_5_01.png")
    assert 'id="fig_5_01"' in part(again(tmp_path), '<div class="first">.*?</div>')


def test_it_is_written_before_anything_is_there(tmp_path):
    text = again(tmp_path).read_text()
    assert "table_5_4" in text and "Nothing yet" in text and text.count("not run yet") > 10
    assert "in short" not in text and "<img" not in text


def test_the_remark_of_a_shortened_run_is_read_once(page):
    assert len(re.findall("shortened run", page.read_text(), re.IGNORECASE)) == 1


def again(base):
    """The report of what lies below `base` now."""
    paths, profile = RunPaths("smoke", base), load_profile("smoke")
    manifest = Manifest(paths)
    manifest.describe(profile)
    return write_report(pipeline.stages(profile, paths, {}), profile, paths, manifest)


def test_it_repeats_what_the_notebooks_conclude(page):
    text = part(page, '<section id="discussion">.*?</section>')
    better = "<p><strong>Better?</strong> Yes &amp; no, by 0.5 dB (Eq. 5). Further on.</p>"
    assert text.index(better) < text.index("<strong>Longer.</strong>")


def test_it_says_what_training_cost_in_all(page):
    row = part(page, "<tr><td>ASFB1</td>.*?</tr>")
    assert re.findall(r">([\d.]+)<", row) == ["2", "3.0", "30.0", "1.5"]


def test_markdown_of_the_conclusions():
    html = markdown("a *b* `c`\n\n- **d**\n- e")
    assert "<p>a <em>b</em> <code>c</code></p>" in html
    assert "<ul><li><strong>d</strong></li><li>e</li></ul>" in html.replace("\n", "")


@pytest.mark.parametrize(
    "text", ["<script>x</script>", "a <b>x</b>", "![x](http://a.b/c)", "[x](http://a.b)"]
)
def test_markdown_neither_passes_html_on_nor_loads_anything(text):
    for html in (markdown(text), markdown_table(f"| a |\n| --- |\n| {text} |")):
        assert not re.search("<(script|b|img|a)[ >]", html) and "x" in html


def test_labels_and_order(page):
    assert label("fig_5_03") == "Figure 5.3"
    assert label("table_2_10") == "Table 2.10"
    assert label("fig_x_curves_ASFB1") == "Figure: curves ASFB1"
    text = page.read_text()
    assert text.index('id="table_5_4"') < text.index('id="fig_5_02"') < text.index('id="fig_5_10"')
    assert text.index('id="fig_5_10"') < text.index('id="table_x_gain"')


def test_it_says_what_is_missing_shortened_and_replaced(page):
    box = part(page, 'id="notes".*?</div>')
    assert REMARK in page.read_text() and "random weights" in box
    assert "fig_5_01" in box and "fig_5_02" not in box


def test_each_exhibit_leads_to_its_run(page):
    text = page.read_text()
    exhibits = re.findall(r"<figure id=.*?</figure>", text, re.DOTALL)
    assert len(exhibits) == 5
    assert all(f'href="#run-05_cross_eval">{RUN}</a>' in exhibit for exhibit in exhibits)
    assert 'id="run-05_cross_eval"' in text and "1 min 01 s" in text and "a.npy: 00ff" in text


def test_it_is_written_again_only_when_something_changed(page, tmp_path):
    first = page.stat().st_mtime_ns
    assert again(tmp_path).stat().st_mtime_ns == first
    (RunPaths("smoke", tmp_path).tables / "table_x_gain.md").write_text("| a |\n| --- |\n| new |")
    assert "new</td>" in again(tmp_path).read_text()


def test_text_is_escaped_and_nothing_is_loaded_from_elsewhere(page):
    text = page.read_text()
    assert "A &amp; &lt;B&gt;" in text and "All models &lt;on&gt; all data" in text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    assert all(source.startswith("data:image/webp;base64,") for source in re.findall(r'src="([^"]*)"', text))


def test_markdown_tables_keep_bold_alignment_and_escaped_bars():
    html = markdown_table("| a | b |\n| --- | ---: |\n| x\\|y | **1.5** |\n\nCaption")
    assert "<td>x|y</td>" in html and '<td style="text-align:right"><strong>1.5</strong></td>' in html
    assert "Caption" not in html
    assert markdown_table("no table") == ""


needs_browser = pytest.mark.skipif(not PROGRAM, reason="no Chromium here; CI installs it")


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_it_shows_without_fault_on_a_desk_and_on_a_phone(page, width, dark):
    with Browser(width, 844, dark) as browser:
        browser.open(page)
        look_at(browser)
        light = browser.run("getComputedStyle(document.body).backgroundColor")
        assert light == ("rgb(15, 19, 24)" if dark else "rgb(255, 255, 255)")


@needs_browser
@pytest.mark.parametrize(("width", "height", "last"), [(1200, 800, "#answers"), (400, 850, ".first img")])
def test_its_first_screen_holds_the_table_and_the_faces(page, width, height, last):
    with Browser(width, height) as browser:
        browser.open(page)
        shown = f"[...document.querySelectorAll('.first table, .first img, {last}')]"
        boxes = browser.run(f"{shown}.map(e => e.getBoundingClientRect().toJSON())")
    assert len(boxes) >= 2
    assert all(box["top"] >= 0 and box["bottom"] <= height for box in boxes)
    assert all(box["left"] >= 0 and box["right"] <= width and box["width"] > 300 for box in boxes)


def look_at(browser: Browser) -> None:
    """No broken picture, no console error, no sideways scrolling, and every link of the contents leads on."""
    loaded = "Promise.all([...document.images].map(i => {i.loading = 'eager'; return i.decode()}))"
    browser.run(f"{loaded}.then(() => 1)")
    assert browser.run("document.images.length") >= 1
    assert browser.run("[...document.images].every(i => i.naturalWidth > 100)")
    assert browser.run("document.documentElement.scrollWidth <= window.innerWidth")
    dead = (
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).length"
    )
    assert browser.run(dead) == 0
    last = "document.querySelector('nav p:last-child a')"
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    browser.run(f"{last}.click()")
    assert browser.run("location.hash") == "#runs"
    assert browser.run("window.scrollY") > 0
    assert browser.problems == []


@needs_browser
def test_it_prints(page, tmp_path):
    with Browser() as browser:
        browser.open(page)
        browser.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_captions_name_what_stood_in_for_official_weights(tmp_path):
    paths = RunPaths("study", tmp_path)
    assert stand_ins(paths) == ""
    paths.data.mkdir(parents=True)
    (paths.data / "dataset.json").write_text('{"head_segmenter": "own DeepLabV3"}')
    for name, weights in (("ASFB1", "left out"), ("GSFB1", None)):
        paths.checkpoints.joinpath(name).mkdir(parents=True)
        (paths.checkpoints / name / "config.json").write_text(json.dumps({"vgg": weights}))
    found = " For weights out of reach: VGG19 in the autoencoders' loss: left out; heads: own DeepLabV3."
    assert stand_ins(paths) == found
    for name in ("ASFB1", "GSFB1"):
        (paths.checkpoints / name / "config.json").write_text(json.dumps({"vgg": "ImageNet"}))
    (paths.data / "dataset.json").write_text('{"head_segmenter": "DeepLabV3 with COCO weights"}')
    assert stand_ins(paths) == ""
