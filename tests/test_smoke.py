"""The smoke profile end to end through run_all.py, as a user runs it, into a folder of its own."""

import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from browser import PROGRAM, Browser
from PIL import Image
from test_report import look_at

from facedeblur_utils.fingerprints import file_sha256
from facedeblur_utils.paths import NOTEBOOKS, ROOT, RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.reporting.provenance import conditions
from facedeblur_utils.running import pipeline
from facedeblur_utils.running.verify import expected_file

LIMIT = 1500  # seconds, several times what a slow machine needs
SCORE_TABLES = ("table_5_1", "table_5_2", "table_5_4", "table_5_5")


def run_all(base, *more: str) -> subprocess.CompletedProcess:
    """run_all.py on the smoke profile, called from anywhere; what hangs shows how far it came."""
    command = [sys.executable, str(ROOT / "run_all.py"), "--profile", "smoke", "--output", str(base), *more]
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=base, timeout=LIMIT)
    except subprocess.TimeoutExpired as stuck:
        said = (stuck.stdout or b"").decode()[-3000:] + (stuck.stderr or b"").decode()[-1000:]
        pytest.fail(f"run_all.py was still running after {LIMIT} s, and had said:\n{said}")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """(paths, chain, what was printed) of one run."""
    base = tmp_path_factory.mktemp("smoke")
    done = run_all(base)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    paths = RunPaths("smoke", base)
    return paths, pipeline.stages(load_profile("smoke"), paths, {}), done.stdout


def test_everything_declared_is_made(smoke):
    paths, chain, said = smoke
    made = {path for stage in chain for path in stage.made}
    assert not [path for path in made if not path.stat().st_size]
    assert len({p.stem for p in made if re.match(r"table_\d", p.name)}) == 19
    assert len({p.stem for p in made if re.match(r"fig_\d.*png", p.name)}) == 23
    assert len(list(paths.checkpoints.glob("*/epoch_*.safetensors"))) >= 11
    assert len(list(paths.notebooks.glob("*.ipynb"))) == len(chain)
    assert f"{len(chain)} stages ran, 0 were up to date" in said


def test_the_second_run_executes_nothing(smoke):
    done = run_all(smoke[0].base, "--json")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout
    finished = next(facts for facts in said if facts["event"] == "finished")
    assert finished["ran"] == [] and len(finished["fresh"]) == len(smoke[1])


def test_the_results_are_the_recorded_ones(smoke):
    recorded = json.loads(expected_file(load_profile("smoke")).read_text())["conditions"]
    if recorded != (now := conditions(smoke[0])):
        pytest.skip(f"recorded with other weights: {recorded}, here {now}")
    done = run_all(smoke[0].base, "--verify")
    assert done.returncode == 0, done.stderr
    assert "The results agree" in done.stdout


def test_one_job_makes_the_same_bytes_as_two(smoke, tmp_path):
    """Data, a network of each kind, one that goes on from another, and the scores; the other networks are
    those of the first run."""
    runs = ("ASFB1", "GSFB2", "GSFB2_100")
    for only in (("02", *runs), ("05",)):
        done = run_all(tmp_path, "--jobs", "1", *(word for name in only for word in ("--only", name)))
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        for folder in smoke[0].checkpoints.iterdir():
            if not (copy := RunPaths("smoke", tmp_path).checkpoints / folder.name).exists():
                shutil.copytree(folder, copy)
    first, second = hashes(smoke[0].base, runs), hashes(tmp_path, runs)
    assert len(second) > 100 and sum("last.safetensors" in name for name in second) == len(runs)
    assert sum("table_5" in name for name in second) >= 12
    assert [name for name in second if first.get(name) != second[name]] == []


def hashes(base, runs) -> dict[str, str]:
    """Scores, exported files but those that tell times, the datasets and the weights of `runs`, by name."""
    paths = RunPaths("smoke", base)
    files = [paths.scores, *paths.figures.rglob("*.*"), *paths.data.glob("*.npy")]
    files += [file for name in runs for file in paths.training(name).path.glob("*.safetensors")]
    files = [file for file in files if not file.stem.startswith("table_x_trainings")]
    return {str(path.relative_to(base)): file_sha256(path) for path in files}


@pytest.mark.skipif(not PROGRAM, reason="no Chromium here; CI installs it")
def test_its_report_shows_without_fault(smoke):
    with Browser() as browser:
        browser.open(smoke[0].report)
        look_at(browser)
        assert browser.run("document.images.length") >= 23
        assert browser.run("document.querySelectorAll('figure table').length") >= 19


def test_nothing_is_left_half_written(smoke):
    assert not [path for path in smoke[0].base.rglob("*") if "partial" in path.name]


def test_figures_are_pictures_and_not_blank(smoke):
    for path in smoke[0].figures.glob("fig_*.png"):
        with Image.open(path) as picture:
            low, high = picture.convert("L").getextrema()
            assert min(picture.size) > 150 and high - low > 100, path
    for path in smoke[0].figures.glob("fig_*.pdf"):
        assert path.read_bytes().startswith(b"%PDF"), path


@pytest.mark.parametrize("name", SCORE_TABLES)
def test_score_tables_have_no_empty_or_constant_column(smoke, name):
    frame = pd.read_csv(smoke[0].tables / f"{name}.csv")
    numbers = frame.select_dtypes("number")
    assert len(frame) > 1 and numbers.shape[1] >= 2
    assert not frame.isna().any().any()
    assert not [column for column in numbers if numbers[column].nunique() == 1]


def test_every_stage_notebook_is_stored_without_outputs():
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert '"output_type"' not in path.read_text(encoding="utf-8"), path
