"""What a container's share of the processors is."""

import os

import pytest

from facedeblur_utils import machine


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", 16), ("200000 100000", 2), ("50000 100000", 1), ("400000", 4), ("-1", 16), ("", 16)],
)
def test_a_quota_limits_the_processors(tmp_path, monkeypatch, quota, cpus):
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    monkeypatch.setattr(machine, "CPU_QUOTAS", (tmp_path / "missing", file))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert machine.available_cpus() == cpus
