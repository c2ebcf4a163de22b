"""Executed copies: small pictures, nothing of widgets, an index whose commands publish them."""

import base64
import io
import json
import os
import re
import subprocess

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from facedeblur_utils.errors import StudyError
from facedeblur_utils.files import write_text
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.tools import colab, executed_copies


def png(width: int, height: int) -> str:
    """A photograph-like picture, base64: smooth colours with noise."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    noise = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    pixels = np.clip(np.stack([x, y, 255 - x], axis=2) + noise, 0, 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def picture(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def paths(tmp_path):
    paths = RunPaths("smoke", tmp_path / "out")
    data = {
        "image/png": png(1600, 400),
        "text/html": f'<img src="data:image/png;base64,{png(1000, 1000)}">',
        executed_copies.WIDGET: {"model_id": "x"},
        "text/plain": "shown",
    }
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell("set_up()", metadata={"tags": [colab.TAG]}),
        new_code_cell(
            "draw()", outputs=[new_output("display_data", data), new_output("stream", text="said")]
        ),
        new_markdown_cell("![](../figures/study/fig_5_01.png)", metadata={"tags": ["published"]}),
    ]
    book = new_notebook(cells=cells, metadata={"widgets": {"state": "x" * 1000}, "papermill": {"a": 1}})
    write_text(paths.notebooks / "05_cross_eval.ipynb", nbformat.writes(book))
    manifest = Manifest(paths)
    manifest.stages["05_cross_eval"] = {"git": {"commit": "c0ffee", "dirty": False}}
    manifest.save()
    return paths


def test_pictures_are_reduced_and_the_rest_is_kept(paths, tmp_path):
    size = executed_copies.make_copies(paths, tmp_path / "shown")
    files = list((tmp_path / "shown").iterdir())
    assert {file.name for file in files} == {"05_cross_eval.ipynb", "README.md"}
    assert size == sum(file.stat().st_size for file in files) < 0.3e6
    book = nbformat.read(tmp_path / "shown" / "05_cross_eval.ipynb", as_version=4)
    nbformat.validate(book)
    assert [cell.source for cell in book.cells] == ["# Title", "draw()"]
    assert not {"widgets", "papermill"} & set(book.metadata)
    shown, said = book.cells[1].outputs
    assert said.text == "said" and set(shown.data) == {"image/jpeg", "text/html", "text/plain"}
    small, before = picture(shown.data["image/jpeg"]), picture(png(1600, 400))
    assert small.size == (800, 200)
    expected = np.asarray(before.resize((800, 200), Image.Resampling.LANCZOS), float)
    assert np.abs(np.asarray(small, float) - expected).mean() < 8
    (inside,) = re.findall(r"^<img src=\"data:image/jpeg;base64,([^\"]+)\">$", shown.data["text/html"])
    assert picture(inside).size == (800, 800)


def test_few_colours_stay_a_png():
    content = io.BytesIO()
    drawing = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    drawing.paste((255, 0, 0, 255), (50, 50, 100, 100))
    drawing.save(content, "PNG")
    kind, data = executed_copies.small_picture(base64.b64encode(content.getvalue()).decode())
    assert kind == "image/png"
    colours = picture(data).convert("RGB")
    assert colours.getpixel((60, 60)) == (255, 0, 0) and colours.getpixel((10, 10)) == (255, 255, 255)


def test_the_index_s_commands_publish_the_folder_as_a_branch(paths, tmp_path):
    executed_copies.make_copies(paths, tmp_path / "shown")
    text = (tmp_path / "shown" / "README.md").read_text()
    assert "profile `smoke`" in text and "- commit `c0ffee`\n" in text
    assert "- [05_cross_eval](05_cross_eval.ipynb)" in text
    (commands,) = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
    assert colab.project()["address"] in commands
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "web.git")], check=True)
    commands = commands.replace(colab.project()["address"], str(tmp_path / "web.git"))
    who = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | who
    subprocess.run(
        ["bash", "-ec", commands], cwd=tmp_path / "shown", env=environment, check=True, capture_output=True
    )
    listed = subprocess.run(
        ["git", "--git-dir", str(tmp_path / "web.git"), "ls-tree", "--name-only", "executed-smoke"],
        capture_output=True,
        text=True,
    )
    assert listed.stdout.split() == ["05_cross_eval.ipynb", "README.md"]


def test_what_can_t_be_shown_is_refused_in_one_line(paths, tmp_path, monkeypatch, capsys):
    arguments = [str(tmp_path / "shown"), "--profile", "smoke", "--output", str(paths.base)]
    with monkeypatch.context() as patch:
        patch.setattr(executed_copies, "LIMIT", 0.05e6)
        assert executed_copies.main(arguments) == 1
    said = capsys.readouterr().err
    assert re.search(r"take 0\.\d MB even with reduced pictures", said) and said.count("\n") == 1
    assert not list(tmp_path.glob("shown*"))
    assert executed_copies.main(arguments) == 0
    assert "0." in capsys.readouterr().out
    assert executed_copies.main(arguments) == 2
    assert "exists" in capsys.readouterr().err
    book = paths.notebooks / "05_cross_eval.ipynb"
    content = json.loads(book.read_text())
    content["cells"][2]["outputs"] = [{"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]
    for text, reason in ((json.dumps(content), "ended with an error"), ("{", "can't be read")):
        book.write_text(text)
        with pytest.raises(StudyError, match=reason):
            executed_copies.make_copies(paths, tmp_path / "again")
    book.unlink()
    with pytest.raises(StudyError, match="no executed notebooks"):
        executed_copies.make_copies(paths, tmp_path / "again")
