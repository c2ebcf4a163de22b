"""Benchmarks run for minutes and not here, but what they use must be there."""

import runpy

import pytest

from facedeblur_utils.paths import ROOT


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda file: file.name)
def test_a_benchmark_finds_what_it_imports(file):
    assert callable(runpy.run_path(str(file), run_name="imported")["main"])
