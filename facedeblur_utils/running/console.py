"""What run_all.py says: for people, briefly, or as JSON lines for other programs."""

import json
import sys
import threading
import time

MODES = ("normal", "quiet", "json")


class Console:
    """Prints messages of the pipeline (`say`), lines of notebooks (`passed`) and failures (`fail`).

    `quiet` drops the notebooks' lines and all but the messages that matter; `json` prints one object a
    line with `event`, `time` (Unix seconds), `text` and the facts given.
    """

    def __init__(self, mode: str = "normal", stream=None, errors=None):
        self.mode = mode
        self.stream = stream or sys.stdout
        self.errors = errors or sys.stderr
        self._lock = threading.Lock()  # stages that run side by side print whole lines

    def say(self, text: str, event: str = "message", minor: bool = False, **facts) -> None:
        """A message; `minor` ones are dropped by `quiet`."""
        if self.mode == "quiet" and minor:
            return
        self._write(self.stream, text, event, facts)

    def passed(self, stage: str, line: str, prefix: bool = False) -> None:
        """One line that a notebook printed."""
        if self.mode != "quiet":
            self._write(self.stream, f"{stage} | {line}" if prefix else line, "line", {"stage": stage})

    def fail(self, text: str, event: str = "error", **facts) -> None:
        self._write(self.stream if self.mode == "json" else self.errors, text, event, facts)

    def _write(self, stream, text: str, event: str, facts: dict) -> None:
        if self.mode == "json":
            text = json.dumps({"event": event, "time": round(time.time(), 3), "text": text, **facts})
        with self._lock:
            print(text, file=stream, flush=True)
