"""Badges and set-up cells agree with pyproject.toml, do nothing outside Colab, and hold its versions."""

import ast
import json
import os
import re
import site
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from facedeblur_utils.paths import NOTEBOOKS, ROOT
from facedeblur_utils.running import notebook_files
from facedeblur_utils.tools import colab

BOOKS = sorted(NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize("notebook", BOOKS, ids=lambda path: path.stem)
def test_notebooks_are_in_step_with_the_projects_address(notebook):
    stored = json.loads(notebook.read_text(encoding="utf-8"))
    wanted = colab.with_colab_cells(notebook, colab.project())
    assert stored == wanted, "run `python -m facedeblur_utils.tools.colab`"
    nbformat.validate(nbformat.read(notebook, as_version=4))


def test_address_and_version_come_from_one_place(tmp_path, monkeypatch):
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (
        (ROOT / "pyproject.toml").read_text().replace(facts["urls"]["Repository"], "https://github.com/me/it")
    )
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(colab, "ROOT", tmp_path)
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("x = 1")]
    )
    nbformat.write(book, tmp_path / "a.ipynb")
    assert colab.write_notebooks(tmp_path) == ["a.ipynb"]
    assert colab.write_notebooks(tmp_path) == []
    cells = json.loads((tmp_path / "a.ipynb").read_text())["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "markdown", "code", "code"]
    badge, set_up = "".join(cells[1]["source"]), "".join(cells[2]["source"])
    version = facts["version"]
    assert f"colab.research.google.com/github/me/it/blob/v{version}/notebooks/a.ipynb" in badge
    assert f"--branch v{version} https://github.com/me/it\n" in set_up
    assert "%run /content/it/facedeblur_utils/tools/colab.py" in set_up
    assert "OWNER" not in badge + set_up


def test_the_set_up_cell_does_nothing_elsewhere(monkeypatch):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    source = colab.SET_UP_SOURCE.format(**colab.project())
    plain = re.sub(r"^(\s*)[!%].*$", r"\1raise AssertionError", source, flags=re.MULTILINE)
    assert plain.count("raise AssertionError") == 2
    before = {}
    exec(compile(ast.parse(plain), "cell", "exec"), before)
    assert set(before) == {"os", "__builtins__"}


def test_the_set_up_cell_is_short():
    assert len(colab.SET_UP_SOURCE.splitlines()) <= 8


@pytest.mark.parametrize("drive", ["", "my faces"])
def test_in_colab_the_cell_installs_and_makes_the_kernel_ready(drive, tmp_path, monkeypatch):
    """In a shell of IPython; pip and Google Drive are made up."""
    facts = colab.project()
    (tmp_path / facts["name"]).symlink_to(ROOT)
    commands, mounted = [], []
    monkeypatch.setattr(
        subprocess, "run", lambda command: commands.append(command) or SimpleNamespace(returncode=0)
    )
    monkeypatch.setattr(site, "main", lambda: commands.append("site"))
    google = SimpleNamespace(drive=SimpleNamespace(mount=mounted.append))
    monkeypatch.setitem(sys.modules, "google.colab", google)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "x")
    monkeypatch.setenv("FACEDEBLUR_OUTPUT", "here")
    monkeypatch.chdir(tmp_path)
    source = colab.SET_UP_SOURCE.format(**facts).replace("/content", str(tmp_path))
    shell = InteractiveShell(history_manager=None)
    shell.run_cell(source.replace('DRIVE = ""', f'DRIVE = "{drive}"')).raise_error()
    *pips, last = commands
    assert last == "site" and len(pips) == 2 and all(pip[1:4] == ["-m", "pip", "install"] for pip in pips)
    assert pips[0][5:8:2] == ["--constraint", "--constraint"] and str(ROOT) in pips[1]
    assert Path.cwd() == ROOT / "notebooks"
    assert mounted == (["/content/drive"] if drive else [])
    assert os.environ["FACEDEBLUR_OUTPUT"] == (f"/content/drive/MyDrive/{drive}" if drive else "here")


def test_the_set_up_cell_is_no_part_of_a_fingerprint(tmp_path):
    book = BOOKS[0]
    with_cells = notebook_files.notebook_code(book).digest
    content = json.loads(book.read_text())
    content["cells"] = [cell for cell in content["cells"] if cell["id"] not in (colab.BADGE, colab.SET_UP)]
    (tmp_path / "bare.ipynb").write_text(json.dumps(content))
    assert notebook_files.notebook_code(tmp_path / "bare.ipynb").digest == with_cells


def test_numpy_and_torch_are_held_and_never_asked_for():
    held = [line.partition("==")[0] for line in colab.held()]
    assert {"numpy", "torch", "torchvision", "pandas"} <= set(held)
    asked = {re.match(r"[\w.-]+", need)[0] for need in colab.wanted()}
    assert not asked & set(colab.HELD) and "mediapipe" in asked and "papermill" in asked
    named = {
        line.partition("==")[0] for line in colab.CONSTRAINTS.read_text().splitlines() if line[:1] != "#"
    }
    assert not named & set(colab.HELD)
