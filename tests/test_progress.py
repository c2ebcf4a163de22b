"""Progress: readable lines in a log, one rewritten line on a terminal."""

import io

import pytest

from facedeblur_utils import progress
from facedeblur_utils.progress import Progress, duration, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3700, "1 h 01 min"),
        (float("inf"), "unknown time"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_log_gets_whole_lines_and_few(monkeypatch):
    clock = iter(range(0, 1000, 5))  # five seconds a step
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    shown = Progress(10, "Blurring", stream=stream)
    for _ in range(10):
        shown.advance()
    shown.finish("done")
    lines = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue()
    assert 2 <= len(lines) < 10
    assert "30 % (3/10)" in lines[0]
    assert "left" in lines[0]
    assert lines[-1].startswith("Blurring: 100 % (10/10)")
    assert lines[-1].endswith("done")


def test_terminal_rewrites_one_line(monkeypatch):
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    stream = Terminal()
    shown = Progress(3, "Blurring", stream=stream)
    for _ in range(3):
        shown.advance()
    shown.finish()
    assert stream.getvalue().count("\r") == 2
    assert stream.getvalue().count("\n") == 1


def test_track_yields_everything(capsys):
    assert list(track([3, 4, 5], "Reading")) == [3, 4, 5]
    assert "100 % (3/3)" in capsys.readouterr().out


@pytest.mark.parametrize(("step", "pace"), [(0.25, "4.0 models/s"), (20.0, "20.0 s each")])
def test_slow_steps_are_told_by_their_seconds(monkeypatch, step, pace):
    clock = iter([0.0, 2 * step])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    shown = Progress(2, "Scoring", unit="models", stream=stream)
    shown.done = 2
    shown.finish()
    assert f", {pace}, " in stream.getvalue()
