"""Every path of the study; nothing else knows one."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from facedeblur_utils.errors import StudyError, UsageError

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
PROFILES = ROOT / "profiles"
NOTEBOOKS = ROOT / "notebooks"
EXPECTED = ROOT / "expected"
BELOW_INPUT = ROOT / "benchmarks" / "below_input.csv"  # short experiments, read by the discussion
WEIGHTS = PACKAGE / "weights"
RESTORER = WEIGHTS / "restorer.safetensors"  # the published one


PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
PLAIN_WORDS = "1 to 64 letters, digits, '_', '-' and '.', the first a letter or digit"
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)  # devices on Windows


def is_plain(name: str) -> bool:
    """True for a name that can't lead out of the folder it is used in: no `..`, no `/`, nothing hidden."""
    return bool(PLAIN_NAME.fullmatch(name)) and not RESERVED.fullmatch(name) and name[-1] != "."


def seeds_folder(profile_name: str) -> Path:
    """Folder of the scores and training facts of single training seeds, of all machines."""
    return EXPECTED / "seeds" / profile_name


def cache_folder() -> Path:
    """Folder of downloaded assets: `FACEDEBLUR_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("FACEDEBLUR_CACHE") or platformdirs.user_cache_dir("facedeblur"))


@dataclass(frozen=True)
class RunFolder:
    """Files of one training run, in `path`: resumable states, weights, configuration, history, pictures."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def state(self) -> Path:
        """The last epoch's whole state."""
        return self.path / "state.pt"

    @property
    def previous_state(self) -> Path:
        return self.path / "state_previous.pt"

    def milestone_state(self, epoch: int) -> Path:
        """The whole state of an epoch from which another run goes on."""
        return self.path / f"state_{epoch:04d}.pt"

    def weights(self, epoch: int | str) -> Path:
        """Weights alone, fp32, of an epoch by number, or of the "last" or "best"."""
        name = f"epoch_{epoch:04d}" if isinstance(epoch, int) else epoch
        return self.path / f"{name}.safetensors"

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def strips(self) -> Path:
        return self.path / "strips"

    def strip(self, name: int | str) -> Path:
        """Picture of the validation faces after an epoch, or "blurred" or "sharp"."""
        return self.strips / (f"epoch_{name:04d}.png" if isinstance(name, int) else f"{name}.png")


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
    def dataset_facts(self) -> Path:
        """What the datasets were made from; its presence says that they are there."""
        return self.data / "dataset.json"

    @property
    def checkpoints(self) -> Path:
        return self.run / "checkpoints"

    def training(self, run_name: str, seed: int = 1) -> RunFolder:
        """What a training run keeps; further training seeds (from 2) have folders of their own."""
        return RunFolder(self.checkpoints / (run_name if seed == 1 else f"{run_name}.seed{seed}"))

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
    def recognition_scores(self) -> Path:
        """How well the restored faces are recognised, by model and test set, in notebook 07."""
        return self.results / "recognition_scores.csv"

    @property
    def physics_scores(self) -> Path:
        """The same for deblurring by physics, in notebook 07."""
        return self.results / "physics_scores.csv"

    @property
    def kind_scores(self) -> Path:
        """The same for restorers trained on each kind of blur, in notebook 10."""
        return self.results / "kind_scores.csv"

    @property
    def loss_scores(self) -> Path:
        """What networks trained on each loss reach, by seed, in notebook 11."""
        return self.results / "loss_scores.csv"

    @property
    def architecture_scores(self) -> Path:
        """PSNR and SSIM of the surveyed networks, in notebook 12."""
        return self.results / "architecture_scores.csv"

    @property
    def remade_scores(self) -> Path:
        """PSNR in the face of the eight models on test sets made anew, in notebook 05."""
        return self.results / "remade_scores.csv"

    def physics_pictures(self, dataset: str) -> Path:
        """What the blind method made of a test set, and from what."""
        return self.results / "physics" / f"{dataset}.npz"

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
    """Paths of a profile's run below `base`; raises StudyError if not writable, UsageError for a bad name.

    The default is the folder named by FACEDEBLUR_OUTPUT (in Colab a Drive folder), else the checkout.
    """
    if not is_plain(profile):
        raise UsageError(f"a profile's name must be {PLAIN_WORDS}, got '{profile[:80]}'")
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
