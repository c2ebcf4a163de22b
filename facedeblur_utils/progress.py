"""Progress with an estimate that reads well in a terminal, a notebook and a log file."""

import sys
import time
from collections.abc import Iterable, Iterator

LOG_SECONDS = 15.0  # between lines where there is no terminal
TERMINAL_SECONDS = 0.2


class Progress:
    """Counts `total` steps; `advance` prints label, share, rate and time left, at most every few seconds.

    On a terminal one line is rewritten; anywhere else whole lines are printed, so that logs stay readable.
    """

    def __init__(self, total: int, label: str, unit: str = "images", stream=None):
        self.total, self.label, self.unit = total, label, unit
        self.stream = stream or sys.stdout
        self.terminal = bool(getattr(self.stream, "isatty", lambda: False)())
        self.done = 0
        self.start = self.shown = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        now = time.monotonic()
        wait = TERMINAL_SECONDS if self.terminal else LOG_SECONDS
        if now - self.shown >= wait and self.done < self.total:
            self.shown = now
            self._write(note, end="\r" if self.terminal else "\n")

    def finish(self, note: str = "") -> None:
        self._write(note, end="\n")

    def _write(self, note: str, end: str) -> None:
        seconds = max(time.monotonic() - self.start, 1e-9)
        rate = self.done / seconds
        left = (self.total - self.done) / rate if rate else float("inf")
        when = f"{duration(left)} left" if self.done < self.total else f"took {duration(seconds)}"
        share = 100 * self.done / max(self.total, 1)
        pace = f"{1 / rate:.1f} s each" if 0 < rate < 1 else f"{rate:.1f} {self.unit}/s"
        line = f"{self.label}: {share:3.0f} % ({self.done}/{self.total}), {pace}, {when}"
        line += f", {note}" if note else ""
        print(line.ljust(100) if self.terminal else line, end=end, file=self.stream, flush=True)


def track(items: Iterable, label: str, total: int | None = None, unit: str = "images") -> Iterator:
    """Yield `items` while showing progress."""
    total = len(items) if total is None else total
    progress = Progress(total, label, unit)
    for item in items:
        yield item
        progress.advance()
    progress.finish()


def duration(seconds: float) -> str:
    """`75` -> `1 min 15 s`."""
    if seconds == float("inf"):
        return "unknown time"
    seconds = round(seconds)
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds % 60:02d} s" if minutes else f"{seconds} s"
