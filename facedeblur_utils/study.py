"""Opens the study for a notebook: profile, paths and a line about versions; shows the code that it runs."""

import importlib.metadata
import inspect
import platform
from collections.abc import Callable
from dataclasses import dataclass

import torch

from facedeblur_utils.machine import available_cpus
from facedeblur_utils.paths import RunPaths, run_paths
from facedeblur_utils.profiles import Profile, load_profile

SHOWN_VERSIONS = (
    "torch",
    "torchvision",
    "mediapipe",
    "opencv-contrib-python",
    "numpy",
    "pandas",
    "scikit-image",
)


@dataclass(frozen=True)
class Study:
    """What every notebook starts from."""

    profile: Profile
    paths: RunPaths


def open_study(profile: str, overrides: dict | None = None, output: str = "") -> Study:
    """Load `profile` with `overrides`, set torch's threads, and print what runs and where it goes."""
    loaded = load_profile(profile, overrides)
    torch.set_num_threads(loaded.threads or min(torch.get_num_threads(), available_cpus()))
    paths = run_paths(loaded.name, output)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN_VERSIONS)
    print(f"Profile {loaded.name}: {loaded.description}")
    if loaded.shortened:
        print("Shortened run: it shows that everything works; its numbers are not results of the study.")
    print(f"Outputs: {paths.run} and {paths.figures}")
    print(f"Python {platform.python_version()}, {versions}")
    return Study(loaded, paths)


def show_source(*functions: Callable) -> None:
    """Display the source of `functions`, each under the name of its module: what is read is what runs."""
    from IPython.display import Markdown, display

    for function in functions:
        text = inspect.getsource(function).rstrip()
        display(Markdown(f"`{function.__module__}`\n\n```python\n{text}\n```"))
