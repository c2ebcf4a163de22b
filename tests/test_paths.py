"""Paths: outputs go below the chosen base, and a base that can't be written to is one clear line."""

import pytest

from facedeblur_utils.errors import StudyError
from facedeblur_utils.paths import cache_folder, run_paths


def test_everything_lies_below_the_base(tmp_path):
    paths = run_paths("smoke", tmp_path)
    assert paths.scores == tmp_path / "runs/smoke/results/scores.csv"
    assert paths.tables == tmp_path / "figures/smoke/tables"
    assert list(paths.run.iterdir()) == []  # the write probe leaves nothing behind


def test_base_that_cannot_be_written_to_is_one_line(tmp_path):
    blocked = tmp_path / "a_file"
    blocked.write_text("not a folder")
    with pytest.raises(StudyError) as caught:
        run_paths("smoke", blocked)
    assert str(blocked) in str(caught.value)
    assert "--output" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cache_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEDEBLUR_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
