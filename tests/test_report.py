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
from facedeblur_utils.running.report import label, markdown_table, markdown_text, write_report

RUN = "05_cross_eval-0123456789"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A report with two tables, two figures and one recorded run."""
    monkeypatch.setenv("FACEDEBLUR_RUN_ID", RUN)
    paths, profile = RunPaths("smoke", tmp_path), load_profile("smoke")
    frame = pd.DataFrame({"model": ["A & <B>", "C"], "PSNR": [21.5, 23.25]})
    bold = pd.DataFrame({"model": [False, False], "PSNR": [False, True]})
    export_table(frame, "table_5_4", "All models <on> all data", paths, bold=bold)
    export_table(frame, "table_x_gain", "Gain", paths)
    for name in ("fig_5_10", "fig_5_02"):
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
    discussion.write("05", ["**Better.** Yes & no."], paths)
    return write_report(chain, profile, paths, manifest)


def test_it_repeats_what_the_notebooks_conclude(page):
    text = re.search(r'<section id="discussion">.*?</section>', page.read_text(), re.DOTALL)[0]
    assert text.index("<p><strong>Better.</strong> Yes &amp; no.</p>") < text.index(
        "<strong>Longer.</strong>"
    )


def test_it_says_what_training_cost_in_all(page):
    row = re.search(r"<tr><td>ASFB1</td>.*?</tr>", page.read_text())[0]
    assert re.findall(r">([\d.]+)<", row) == ["2", "3.0", "30.0", "1.5"]


def test_markdown_of_the_conclusions():
    assert markdown_text("a *b* `c`\n\n- **d**\n- e") == (
        "<p>a <em>b</em> <code>c</code></p>\n<ul><li><strong>d</strong></li><li>e</li></ul>"
    )


def test_labels_and_order(page):
    assert label("fig_5_03") == "Figure 5.3"
    assert label("table_2_10") == "Table 2.10"
    assert label("fig_x_curves_ASFB1") == "Figure: curves ASFB1"
    text = page.read_text()
    assert text.index('id="table_5_4"') < text.index('id="fig_5_02"') < text.index('id="fig_5_10"')
    assert text.index('id="fig_5_10"') < text.index('id="table_x_gain"')


def test_it_says_what_is_missing_shortened_and_replaced(page):
    box = re.search(r'id="notes".*?</div>', page.read_text(), re.DOTALL)[0]
    assert "shortened run" in box and "random weights" in box
    assert "fig_5_01" in box and "fig_5_02" not in box


def test_each_exhibit_leads_to_its_run(page):
    text = page.read_text()
    exhibits = re.findall(r"<figure id=.*?</figure>", text, re.DOTALL)
    assert len(exhibits) == 4
    assert all(f'href="#run-05_cross_eval">{RUN}</a>' in exhibit for exhibit in exhibits)
    assert 'id="run-05_cross_eval"' in text and "1 min 01 s" in text and "a.npy: 00ff" in text


def test_it_is_written_again_only_when_something_changed(page, tmp_path):
    paths, profile = RunPaths("smoke", tmp_path), load_profile("smoke")
    chain, manifest = pipeline.stages(profile, paths, {}), Manifest(paths)
    manifest.describe(profile)
    first = page.stat().st_mtime_ns
    assert write_report(chain, profile, paths, manifest).stat().st_mtime_ns == first
    (paths.tables / "table_x_gain.md").write_text("| a |\n| --- |\n| new |")
    assert "new</td>" in write_report(chain, profile, paths, manifest).read_text()


def test_text_is_escaped_and_nothing_is_loaded_from_elsewhere(page):
    text = page.read_text()
    assert "A &amp; &lt;B&gt;" in text and "All models &lt;on&gt; all data" in text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    assert all(source.startswith("data:image/webp;base64,") for source in re.findall(r'src="([^"]*)"', text))


def test_markdown_tables_keep_bold_alignment_and_escaped_bars():
    html = markdown_table("| a | b |\n| --- | ---: |\n| x\\|y | **1.5** |\n\nCaption")
    assert '<td>x|y</td><td class="right"><strong>1.5</strong></td>' in html
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
