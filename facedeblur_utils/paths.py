"""Every path of the study; nothing else knows one."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from facedeblur_utils.errors import StudyError

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
PROFILES = ROOT / "profiles"
NOTEBOOKS = ROOT / "notebooks"
EXPECTED = ROOT / "expected"
BELOW_INPUT = ROOT / "benchmarks" / "below_input.csv"  # short experiments, read by the discussion
WEIGHTS = PACKAGE / "weights"


def cache_folder() -> Path:
    """Folder of downloaded assets: `FACEDEBLUR_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("FACEDEBLUR_CACHE") or platformdirs.user_cache_dir("facedeblur"))


@dataclass(frozen=True)
class RunPaths:
    """Where one profile's run keeps what it makes, below `base`."""

    profile: str
    base: Path = ROOT

    @property
    def run(self) -> Path:
        return self.base / "runs" / self.profile

    @property
    def data(self) -> Path:
        return self.run / "data"

    @property
    def checkpoints(self) -> Path:
        return self.run / "checkpoints"

    @property
    def results(self) -> Path:
        return self.run / "results"

    @property
    def scores(self) -> Path:
        return self.results / "scores.csv"

    @property
    def restorer_scores(self) -> Path:
        """The same for notebook 07's restorers."""
        return self.results / "restorer_scores.csv"

    @property
    def captions(self) -> Path:
        """One JSON per exported table or figure: caption and provenance, read by the report."""
        return self.results / "captions"

    @property
    def notebooks(self) -> Path:
        return self.run / "notebooks"

    @property
    def logs(self) -> Path:
        return self.run / "logs"

    @property
    def manifest(self) -> Path:
        return self.run / "manifest.json"

    @property
    def report(self) -> Path:
        return self.run / "report.html"

    @property
    def figures(self) -> Path:
        return self.base / "figures" / self.profile

    def discussion(self, number: str) -> Path:
        """What notebook `number` concludes from its numbers, as Markdown."""
        return self.figures / f"discussion_{number}.md"

    @property
    def tables(self) -> Path:
        return self.figures / "tables"


def run_paths(profile: str, base: str | Path = "") -> RunPaths:
    """Paths of a profile's run below `base`; raises StudyError if not writable.

    The default is the folder named by FACEDEBLUR_OUTPUT (in Colab a Drive folder), else the checkout.
    """
    base = base or os.environ.get("FACEDEBLUR_OUTPUT", "")
    paths = RunPaths(profile, Path(base).expanduser().resolve() if base else ROOT)
    for folder in (paths.run, paths.figures):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".write_test_{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StudyError(
                f"cannot write to output folder {folder} ({error.strerror}); choose another with --output"
            ) from None
    return paths
