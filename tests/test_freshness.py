"""What runs again after which edit, on a small made-up package and study, with made-up work."""

import hashlib
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from facedeblur_utils import fingerprints
from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import RunPaths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.running import freshness, scheduler, summary
from facedeblur_utils.running.console import Console
from facedeblur_utils.running.execution import Outcome
from facedeblur_utils.running.manifest import Manifest, only_one
from facedeblur_utils.running.pipeline import Stage

MODULES = {
    "__init__": '"""The package."""',
    "kernels": '"""Kernels."""\ndef line(length):\n    """A line."""\n    return [1 / length] * length',
    "datasets": "from facedeblur_utils import kernels\ndef build(p):\n    return p.blur_length, p.image_size",
    "training": "import torch\nfrom facedeblur_utils import losses\ndef train(p):\n    return p.gan_rate",
    "losses": "WEIGHT = 0.01",
    "figures": "import matplotlib\nWIDTH = 3.2",
}
BOOKS = {
    "02_data": "from facedeblur_utils import datasets",
    "04_train": "from facedeblur_utils import figures, training",
    "05_show": "from facedeblur_utils import figures",
}


class Study:
    """A study of three stages in `folder`; `run` returns the names of the stages that ran."""

    def __init__(self, folder: Path):
        self.folder, self.paths = folder, RunPaths("smoke", folder)
        self.profile, self.trained = load_profile("smoke"), 0
        for name, text in MODULES.items():
            self.module(name).parent.mkdir(exist_ok=True)
            self.module(name).write_text(text)
        for name, text in BOOKS.items():
            self.write_book(name, text)
        base = {"parameters": {"PROFILE": "smoke"}}
        data, weights = self.paths.data / "faces.npy", self.paths.checkpoints / "G" / "last.safetensors"
        scores, figure = self.paths.scores, self.paths.figures / "fig_5_01.png"
        self.chain = [
            Stage("02_data", self.book("02_data"), kept=(data,), keys={"blur_length"}, renew=(data,), **base),
            Stage(
                "04_train",
                self.book("04_train"),
                **base,
                inputs=(data,),
                kept=(weights,),
                keys={"gan_rate"},
                renew=(weights.parent,),
            ),
            Stage("05_show", self.book("05_show"), inputs=(weights,), outputs=(scores, figure), **base),
        ]

    def module(self, name: str) -> Path:
        return self.folder / "facedeblur_utils" / f"{name}.py"

    def book(self, name: str) -> Path:
        return self.folder / f"{name}.ipynb"

    def write_book(self, name: str, code: str, prose: str = "Some words.") -> None:
        cells = [nbformat.v4.new_markdown_cell(prose), nbformat.v4.new_code_cell(code)]
        tagged = nbformat.v4.new_code_cell('PROFILE = "smoke"', metadata={"tags": ["parameters"]})
        nbformat.write(nbformat.v4.new_notebook(cells=[tagged, *cells]), self.book(name))

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.module(name).read_text()
        assert old in text
        self.module(name).write_text(text.replace(old, new))

    def work(self, stage: Stage, run_id: str) -> Future:
        """In place of the notebook: outputs that depend on the inputs, and training that can go on."""
        done = Future()
        for path in stage.made:
            if path in stage.kept and path.exists():
                continue
            self.trained += path.suffix == ".safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = stage.name + "".join(other.read_text() for other in stage.inputs)
            if stage.name == "02_data":
                content += str(self.profile.blur_length)
            path.write_text(content)
        done.set_result(Outcome(stage.name, 1.0, 2**20, self.folder / "copy.ipynb", self.folder / "log"))
        return done

    def plan(self, **how) -> scheduler.Plan:
        fingerprints.forget()
        return scheduler.Plan(self.chain, self.chain, self.profile, self.paths, **how)

    def run(self, **how) -> list[str]:
        result = scheduler.run(self.plan(**how), Manifest(self.paths), Console("quiet"), self.work)
        assert result.exit_code == 0
        return [outcome.stage for outcome in result.outcomes]

    def states(self) -> dict[str, tuple[str, list[str]]]:
        found = summary.states(self.plan(), Manifest(self.paths))
        return {name: (word, reasons) for name, word, reasons in found}


ALL = list(BOOKS)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "PACKAGE", tmp_path / "facedeblur_utils")
    made = Study(tmp_path)
    assert made.run() == ALL
    assert made.run() == []
    yield made
    fingerprints.forget()


def test_first_everything_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "PACKAGE", tmp_path / "facedeblur_utils")
    assert {word for word, _ in Study(tmp_path).states().values()} == {"missing"}


EDITS = {
    "a markdown cell": (lambda s: s.write_book("05_show", BOOKS["05_show"], "Other words."), []),
    "a comment in a module": (lambda s: s.edit("losses", "0.01", "0.01  # the thesis's"), []),
    "a docstring": (lambda s: s.edit("kernels", "A line.", "A straight line."), []),
    "a notebook's code": (lambda s: s.write_book("05_show", BOOKS["05_show"] + "\n1"), ["05_show"]),
    "a kernel function": (lambda s: s.edit("kernels", "1 / length", "2 / length"), ["02_data"]),
    "a figure style": (lambda s: s.edit("figures", "3.2", "3.4"), ["04_train", "05_show"]),
    "a loss": (lambda s: s.edit("losses", "0.01", "0.02"), ["04_train"]),
    "a deleted figure": (lambda s: s.paths.figures.joinpath("fig_5_01.png").unlink(), ["05_show"]),
    "a corrupted table": (lambda s: s.paths.scores.write_text("x"), ["05_show"]),
    "corrupted weights": (lambda s: s.chain[1].kept[0].write_text("x"), ["04_train"]),
    "a key that no stage declares": (lambda s: setattr(s, "profile", replace(s.profile, gan_width=99)), []),
    "a training rate": (lambda s: setattr(s, "profile", replace(s.profile, gan_rate=0.1)), ["04_train"]),
    "the time of a file": (lambda s: s.chain[0].kept[0].touch(), []),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_runs_what_it_concerns_and_nothing_else(study, what):
    edit, expected = EDITS[what]
    edit(study)
    assert [name for name, (word, _) in study.states().items() if word in ("stale", "missing")] == expected
    assert study.run() == expected
    assert study.run() == []


def test_changed_bytes_travel_down_the_graph_and_equal_ones_do_not(study):
    study.profile = replace(study.profile, blur_length=(0.1, 0.2))
    study.chain[0].kept[0].unlink()  # a builder that makes its data anew
    states = study.states()
    assert states["02_data"][0] == "stale"
    assert any("blur_length" in reason for reason in states["02_data"][1])
    assert states["05_show"][0] == "waits"
    study.chain[1].kept[0].unlink()  # weights of other data are set aside
    assert study.run() == ALL


def test_edited_code_leaves_kept_files_to_those_who_know_them(study):
    """Whether weights are still good is for the run's identity to say (test_identity), not for the stage."""
    study.edit("losses", "0.01", "0.02")
    assert study.run() == ["04_train"]
    assert study.trained == 1


def test_an_interrupted_training_is_gone_on_with(study):
    manifest = Manifest(study.paths)
    del manifest.stages["04_train"]  # as when the process died before its end
    manifest.save()
    assert study.run() == ["04_train"]
    assert study.trained == 1


def test_another_version_of_a_library_concerns_those_that_import_it(study, monkeypatch):
    real = fingerprints.importlib.metadata.version
    monkeypatch.setattr(
        fingerprints.importlib.metadata, "version", lambda name: "99.9" if name == "torch" else real(name)
    )
    states = study.states()
    assert [name for name, (word, _) in states.items() if word == "stale"] == ["04_train"]
    assert 'and is now "99.9"' in states["04_train"][1][0]


def test_force_runs_everything(study):
    assert study.run(force=True) == ALL


def test_a_missing_input_names_its_maker(study):
    study.chain[0].kept[0].unlink()
    with pytest.raises(StudyError, match=r"05_show needs .*last.safetensors, made by 04_train"):
        study.chain[1].kept[0].unlink()
        freshness.check_inputs(study.chain[2], study.chain)


def test_run_ids_are_equal_for_equal_runs_and_recorded(study):
    first = {name: record["run_id"] for name, record in Manifest(study.paths).stages.items()}
    study.run(force=True)
    assert first == {name: record["run_id"] for name, record in Manifest(study.paths).stages.items()}
    study.edit("losses", "0.01", "0.02")
    study.run()
    assert Manifest(study.paths).stages["04_train"]["run_id"] != first["04_train"]


def test_outputs_are_recorded_with_their_hashes(study):
    record = Manifest(study.paths).stages["05_show"]
    expected = hashlib.sha256(study.paths.scores.read_bytes()).hexdigest()
    assert record["outputs"]["runs/smoke/results/scores.csv"] == expected
    assert set(record) >= {"seconds", "peak_bytes", "started", "ended", "git", "machine", "executed"}


def test_a_broken_manifest_and_a_second_run_are_one_line_each(study):
    with only_one(study.paths), pytest.raises(StudyError, match="another run_all.py"), only_one(study.paths):
        pass
    study.paths.manifest.write_text("{")
    with pytest.raises(StudyError, match="delete it"):
        Manifest(study.paths)


def test_the_package_itself_is_read_without_importing_it():
    code = fingerprints.closure(["facedeblur_utils.running.scheduler"])
    assert {"facedeblur_utils", "facedeblur_utils.errors", "facedeblur_utils.running.execution"} <= set(code)
