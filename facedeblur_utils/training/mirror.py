"""Copies a run's checkpoints to a second folder, such as a mounted Drive, while training goes on.

The copy is made by a thread of its own, verified by hash, and tried again after the next epoch where it
fails: a Drive that is slow or gone never stops the training.
"""

import hashlib
import os
import shutil
import threading
import time
from pathlib import Path

TRIES = 3
PAUSE_SECONDS = 1.0  # between tries
FINAL_SECONDS = 120.0  # waited for the last copy when training ends


class Mirror:
    """Keeps `target` a copy of the folder `source`; with an empty `target` it does nothing."""

    def __init__(self, source: Path, target: Path | None):
        self.source, self.target = source, target
        self.thread: threading.Thread | None = None
        self.wanted = threading.Event()
        self.copied: dict[str, tuple] = {}
        self.failed = ""

    def bring_back(self) -> int:
        """Fill an empty `source` from `target` (a new Colab machine); returns the number of files."""
        if not self.target or not self.target.is_dir() or (self.source / "state.pt").exists():
            return 0
        files = [path for path in sorted(self.target.rglob("*")) if path.is_file() and _whole(path)]
        for path in files:
            _copy(path, self.source / path.relative_to(self.target))
        return len(files)

    def update(self) -> None:
        """Have everything new copied soon; returns at once. A copy in progress is followed by another."""
        if not self.target:
            return
        self.wanted.set()
        if not (self.thread and self.thread.is_alive()):
            self.thread = threading.Thread(target=self._work, daemon=True)
            self.thread.start()

    def finish(self) -> None:
        """Wait for the last copy, but not for ever."""
        if self.thread:
            self.thread.join(FINAL_SECONDS)
            if self.thread.is_alive():
                print(
                    f"copy to {self.target} is not done after {FINAL_SECONDS:.0f} s; leaving it", flush=True
                )

    def _work(self) -> None:
        while self.wanted.is_set():
            self.wanted.clear()
            for attempt in range(TRIES):
                try:
                    self._copy_new()
                    if self.failed:
                        print(f"copy to {self.target} works again", flush=True)
                    self.failed = ""
                    break
                except OSError as error:
                    reason = error.strerror or str(error)
                if attempt + 1 < TRIES:
                    time.sleep(PAUSE_SECONDS)
            else:
                if not self.failed:
                    print(
                        f"cannot copy checkpoints to {self.target} ({reason}); training goes on, "
                        f"{self.source} has them, the next epoch tries again",
                        flush=True,
                    )
                self.failed = reason

    def _copy_new(self) -> None:
        # A folder made anew where a mount has gone would look like success.
        root = self.target.parent.parent
        if not root.is_dir():
            raise OSError(f"{root} is gone")
        # State last: whatever lies there when the machine dies, its weights are at least as new.
        files = sorted(filter(_whole, self.source.rglob("*")), key=lambda path: (path.suffix == ".pt", path))
        for path in files:
            name, facts = str(path.relative_to(self.source)), path.stat()
            mark = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
            if self.copied.get(name) != mark or not (self.target / name).exists():
                _copy(path, self.target / name)
                self.copied[name] = mark


def _whole(path: Path) -> bool:
    return path.is_file() and path.suffix != ".partial"


def _copy(path: Path, target: Path) -> None:
    """Copy beside, compare the hashes of what was read and what lies there, rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    read = hashlib.sha256()
    try:
        # One open file throughout: training may put a newer one in its place meanwhile.
        with path.open("rb") as source, partial.open("wb") as copy:
            while block := source.read(1 << 20):
                read.update(block)
                copy.write(block)
            copy.flush()
            os.fsync(copy.fileno())
        with partial.open("rb") as copy:
            if hashlib.file_digest(copy, "sha256").digest() != read.digest():
                raise OSError(f"{partial} differs from what was written")
        shutil.move(partial, target)
    finally:
        partial.unlink(missing_ok=True)
