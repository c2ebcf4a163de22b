"""The graph of stages as declared, and running notebooks: made-up ones that take a second each."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from facedeblur_utils.errors import UsageError
from facedeblur_utils.paths import ROOT, WEIGHTS, RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.running import pipeline, scheduler
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.notebook_files import check_parameters


def write_notebook(path: Path, *cells: str, parameters: str = 'PROFILE = ""\nOUTPUT = ""') -> Path:
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[tagged, *map(nbformat.v4.new_code_cell, cells)])
    nbformat.write(book, path)
    return path


def stage(tmp_path: Path, *cells: str, makes: str = "made.txt", **rest) -> pipeline.Stage:
    notebook = write_notebook(tmp_path / "book.ipynb", *cells)
    output = tmp_path / makes
    parameters = {"PROFILE": "smoke", "OUTPUT": str(output)}
    return pipeline.Stage("book", notebook, parameters, outputs=(output,), **rest)


def run(tmp_path, capsys, *stages):
    paths = RunPaths("test", tmp_path)
    plan = scheduler.Plan(list(stages), list(stages), load_profile("smoke"), paths)
    result = scheduler.run(plan, Manifest(paths), Console())
    return result.exit_code, capsys.readouterr()


WRITE = "from pathlib import Path\nPath(OUTPUT).write_text(PROFILE)"


@pytest.fixture
def chain(tmp_path):
    return pipeline.stages(load_profile("smoke"), RunPaths("smoke", tmp_path), {"PROFILE": "smoke"})


def test_the_study_declares_19_tables_23_figures_and_8_plus_2_runs(chain, tmp_path):
    made = [path for stage in chain for path in stage.made]
    assert len(made) == len(set(made))
    tables = {path.stem for path in made if re.match(r"table_\d", path.stem)}
    figures = {path.stem for path in made if re.match(r"fig_\d", path.stem)}
    assert (len(tables), len(figures)) == (19, 23)
    # GSFB2_25 and GSFB2_50 are two checkpoints of one run: 8 + 3 networks that tables stand for.
    milestones = [path for path in made if re.match(r"[AG]S\w+/epoch_", f"{path.parent.name}/{path.name}")]
    assert len({path.parent for path in milestones}) == 10
    assert len(milestones) == 11


def test_each_stage_comes_after_those_that_make_its_inputs(chain):
    done = {"05_cross_eval"}  # whose scores the literature's notebook shows where they exist
    for each in chain:
        assert {other.name for other in pipeline.upstream(each, chain)} <= done
        done.add(each.name)
    evaluation = next(each for each in chain if each.name == "05_cross_eval")
    makers = {s.name for s in chain if s.name[:2] in ("02", "03", "04")}
    assert {s.name for s in pipeline.upstream(evaluation, chain)} == makers
    modern = next(each for each in chain if each.name == "07_modern_restorer")
    assert WEIGHTS / "restorer.safetensors" in modern.inputs  # it scores the published restorer
    assert {"physics_scores.csv", "table_x_physics.csv"} <= {path.name for path in modern.outputs}
    conventions = next(each for each in chain if each.name == "13_conventions")
    assert {s.name for s in pipeline.upstream(conventions, chain)} == {*makers, "05_cross_eval"}
    assert {path.name for path in conventions.made} == {"table_x_metric_audit.csv", "discussion_13.md"}


def test_selection_by_number_notebook_run_and_range(chain):
    names = lambda **how: [s.name for s in pipeline.select(chain, **how)]  # noqa: E731
    assert names(only=["03"]) == [f"03_train_ae_A{d}" for d in ("SFB1", "SB1SD", "SFB2", "SB2SM")]
    assert names(only=["GSFB2"]) == ["04_train_gan_GSFB2"]
    assert names(first="05_cross_eval", last="06") == ["05_cross_eval", "06_epoch_ablation"]
    assert names(last="02") == ["01_literature_tables", "02_dataset_build"]
    with pytest.raises(UsageError, match="no stage is called 'XX'"):
        names(only=["XX"])
    with pytest.raises(UsageError, match="no stage is left"):
        names(first="05", last="02")


def test_paths_given_relative_to_the_working_folder_hold_in_the_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    import run_all

    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "a.jpg").write_text("x")
    given = ["--profile", "smoke", "--output", "out", "--set", "source=celeba-hq:faces"]
    plan = run_all.make_plan(run_all.arguments(given))
    assert plan.profile.source == f"celeba-hq:{tmp_path / 'faces'}"
    building = next(each for each in plan.chain if each.name == "02_dataset_build")
    assert building.parameters["OUTPUT"] == str(tmp_path / "out")
    assert building.parameters["OVERRIDES"] == {"source": plan.profile.source}
    first = building.settings
    (tmp_path / "faces" / "b.jpg").write_text("y")
    again = run_all.make_plan(run_all.arguments(given)).chain
    assert next(each for each in again if each.name == "02_dataset_build").settings != first


def test_a_run_says_what_it_made_and_passes_lines_on(tmp_path, capsys):
    code, said = run(tmp_path, capsys, stage(tmp_path, 'print("half way there")', WRITE))
    assert code == 0, said.err
    assert (tmp_path / "made.txt").read_text() == "smoke"  # the parameters arrived
    assert "half way there" in said.out
    assert "half way there" in (tmp_path / "runs/test/logs/book.log").read_text()
    assert "book took" in said.out and "GiB" in said.out
    copy = nbformat.read(tmp_path / "runs/test/notebooks/book.ipynb", as_version=4)
    assert copy.cells[-1].execution_count


def test_the_kernel_is_this_interpreter_whatever_kernels_the_machine_has(tmp_path, capsys, monkeypatch):
    other = tmp_path / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text(json.dumps({"argv": ["false"], "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    code, said = run(tmp_path, capsys, stage(tmp_path, "import sys\nprint(sys.executable)", WRITE))
    assert code == 0, said.err
    assert sys.executable in said.out


@pytest.mark.parametrize(
    ("cell", "said_by_us"),
    [
        ("x = 1\n1 / (x - 1)", "ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(0)", r"ended itself with sys.exit(0)"),
        ("pass", "did not make"),
        ("from facedeblur_utils.errors import StudyError\nraise StudyError('no faces: run 02')", "no faces"),
        ("import os\nos._exit(3)", "its kernel died"),
    ],
)
def test_a_failure_is_reported_with_notebook_cell_and_reason(tmp_path, capsys, cell, said_by_us):
    code, said = run(tmp_path, capsys, stage(tmp_path, "print(1)", cell))
    assert code == 1
    assert said_by_us in said.err
    assert str(tmp_path / "book.ipynb") in said.err
    assert "took" not in said.out
    if cell != "pass":
        assert "cell [4]" in said.err  # parameters, injected parameters, print, this one
        assert "Traceback" not in said.err or "ZeroDivision" in said.err
    if "StudyError" in cell:
        assert len(said.err.strip().splitlines()) == 4  # the line, where, the copy, the log


def test_an_output_left_from_an_earlier_run_does_not_count(tmp_path, capsys):
    (tmp_path / "made.txt").write_text("old")
    code, said = run(tmp_path, capsys, stage(tmp_path, "pass"))
    assert code == 1
    assert "as it was before" in said.err


def test_kept_files_may_be_found_finished(tmp_path, capsys):
    (tmp_path / "weights").write_text("old")
    notebook = write_notebook(tmp_path / "book.ipynb", "pass")
    kept = pipeline.Stage("book", notebook, {}, kept=(tmp_path / "weights",))
    assert run(tmp_path, capsys, kept)[0] == 0


def test_wrong_parameters_stop_before_anything_runs(tmp_path, capsys):
    good = stage(tmp_path, WRITE)
    bad = pipeline.Stage("bad", write_notebook(tmp_path / "bad.ipynb"), {"EPOCHS": 1})
    with pytest.raises(UsageError, match=r"bad.ipynb has no parameter 'EPOCHS'"):
        run(tmp_path, capsys, good, bad)
    assert not (tmp_path / "made.txt").exists()
    with pytest.raises(UsageError, match="plain number"):
        check_parameters(good.notebook, {"OUTPUT": tmp_path})
    untagged = tmp_path / "untagged.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("A = 1")]), untagged)
    with pytest.raises(UsageError, match="needs one code cell tagged 'parameters', it has 0"):
        check_parameters(untagged, {"A": 2})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--profile", "nope"], "unknown profile 'nope'"),
        (["--set", "epochs=-1"], "must be at least 1"),
        (["--set", "epoch=3"], "unknown key 'epoch'"),
        (["--set", "epochs"], "key=value"),
        (["--only", "99"], "no stage is called '99'"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(tmp_path, asked, said):
    command = [sys.executable, str(ROOT / "run_all.py"), "--output", str(tmp_path), *asked]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout


def test_a_profile_without_comparisons_of_its_own_promises_none(tmp_path):
    profile = load_profile("study", {"kind_runs": [], "loss_runs": []})
    made = {
        stage.notebook.stem[:2]: stage.made
        for stage in pipeline.stages(profile, RunPaths("study", tmp_path), {})
    }
    for number in ("10", "11", "12"):
        assert [path.name for path in made[number]] == [f"discussion_{number}.md"]
