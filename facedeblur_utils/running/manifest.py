"""The manifest of a run: what made each output, from what, when, on which machine. One JSON file.

It is the pipeline's memory as well: a stage is fresh when what its record says still holds.
"""

import contextlib
import datetime
import json
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock, Timeout

from facedeblur_utils import fingerprints
from facedeblur_utils.errors import StudyError
from facedeblur_utils.files import write_text
from facedeblur_utils.machine import machine
from facedeblur_utils.paths import ROOT, RunPaths
from facedeblur_utils.profiles import Profile
from facedeblur_utils.reporting.provenance import data_made_with, trained_with, training_cost
from facedeblur_utils.running.pipeline import Stage, current_name

LARGE = 2**22  # bytes; larger files are read again only when size or time of change differ


class Manifest:
    """`stages` holds one record per stage that has run."""

    def __init__(self, paths: RunPaths):
        self.paths = paths
        self.facts: dict = {"stages": {}, "large_files": {}}
        try:
            self.facts |= json.loads(paths.manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            raise StudyError(f"{paths.manifest} can't be read; delete it to run all stages again") from None
        self.facts["stages"] = {current_name(name): record for name, record in self.stages.items()}

    @property
    def stages(self) -> dict[str, dict]:
        return self.facts["stages"]

    def save(self) -> None:
        write_text(self.paths.manifest, json.dumps(self.facts, indent=1, sort_keys=True) + "\n")

    def describe(self, profile: Profile) -> None:
        """Note what holds for the whole run: profile, code and machine as they are now."""
        self.facts |= {"profile": profile.as_dict(), "git": git_state(), "machine": machine()}

    def complete(self) -> None:
        """Note what shows after a run: the data's source, precision and weights that were really used."""
        self.facts |= {
            "data": data_made_with(self.paths),
            "trained": trained_with(self.paths),
            "training_cost": training_cost(self.paths),
        }
        self.save()

    def publish(self, file: Path) -> None:
        """Write what readers can use, without what only the next run on this machine needs."""
        facts = {key: value for key, value in self.facts.items() if key != "large_files"}
        write_text(file, json.dumps(facts, indent=1, sort_keys=True) + "\n")

    def label(self, path: Path) -> str:
        """A file's name in the manifest, which doesn't change when the whole folder is moved."""
        for base in (self.paths.base, ROOT):
            if path.is_relative_to(base):
                return path.relative_to(base).as_posix()
        return str(path)

    def hash(self, path: Path) -> str:
        """SHA-256 of a file, "" if it is missing; for large unchanged files as remembered."""
        try:
            facts = path.stat()
        except OSError:
            return ""
        if facts.st_size < LARGE:
            return fingerprints.file_sha256(path)
        seen = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
        label = self.label(path)
        known = self.facts["large_files"].get(label)
        if known is None or known[:3] != seen:
            known = [*seen, fingerprints.file_sha256(path)]
            self.facts["large_files"][label] = known
        return known[3]

    def hashes(self, files) -> dict[str, str]:
        return {self.label(path): self.hash(path) for path in sorted(files)}

    def exports(self, run_id: str) -> list[Path]:
        """All files of the tables and figures that the run `run_id` has made, also undeclared ones."""
        files = []
        for caption in self.paths.captions.glob("*.json"):
            facts = json.loads(caption.read_text(encoding="utf-8"))
            if facts.get("run_id") == run_id:
                folder = self.paths.tables if facts["kind"] == "table" else self.paths.figures
                files += [caption, *folder.glob(f"{facts['name']}.*")]
        return files

    def record(self, stage: Stage, run_id: str, fingerprint: dict, begin: float, outcome) -> None:
        """Remember a stage that has succeeded: its fingerprint, the hashes of all it made, its cost."""
        stamp = datetime.datetime.fromtimestamp(begin, datetime.UTC)
        made = set(stage.made) | set(self.exports(run_id))
        self.stages[stage.name] = {
            "run_id": run_id,
            "notebook": self.label(stage.notebook),
            "fingerprint": fingerprint,
            "outputs": self.hashes(made),
            "started": stamp.isoformat(timespec="seconds"),
            "ended": (stamp + datetime.timedelta(seconds=outcome.seconds)).isoformat(timespec="seconds"),
            "seconds": round(outcome.seconds, 1),
            "peak_bytes": outcome.peak_bytes,
            "executed": self.label(outcome.copy),
            "git": git_state(),
            "machine": machine(),
        }
        self.save()


@contextlib.contextmanager
def only_one(paths: RunPaths):
    """Keeps a second run_all.py out of the same run's folder; raises StudyError if one works there."""
    lock = FileLock(paths.run / "run_all.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StudyError(f"another run_all.py works in {paths.run}; wait for it or choose --output") from None
    try:
        yield
    finally:
        lock.release()


def git_state() -> dict:
    """Commit and whether files differ from it, but for what runs make; empty outside a git checkout."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return {}

    def ask(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()

    made = [f":(exclude){folder}" for folder in ("figures", "expected")]
    changed = ask("status", "--porcelain", "--", ".", *made)
    return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(changed)}
