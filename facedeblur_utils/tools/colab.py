"""Google Colab: badges and set-up cells of the notebooks, and the installation that those cells start.

`python -m facedeblur_utils.tools.colab` writes badge and set-up cell into every notebook, from the address in
pyproject.toml; `%run colab.py install DRIVE`, in the set-up cell, adds what Colab lacks and makes the kernel
ready; `check` lets pip resolve that for Colab's versions of Python. Standard library only: nothing else is
there when it runs.
"""

import argparse
import importlib.metadata
import json
import os
import re
import site
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints-colab.txt"
BADGE, SET_UP = "colab-badge", "colab-setup"  # ids of the two cells
DRIVE_MOUNT = Path("/content/drive")
TAG = "colab"  # marks the set-up cell, which changes no result
# Colab's own versions of these fit its GPU and each other: they are never touched.
HELD = ("numpy", "torch", "torchvision", "pandas", "scipy", "scikit-image", "matplotlib", "pillow")
COLAB = ("numpy==2.1.3", "torch==2.11.0", "pandas==2.2.3", "scikit-image==0.25.2")  # there in August 2026
PYTHONS = ("3.12", "3.13")
NOT_NEEDED = ("jupyterlab", "ipywidgets")  # Colab is the notebook server

SET_UP_SOURCE = """\
# Google Colab only; elsewhere this cell does nothing. It fetches the project and installs what Colab lacks.
import os

if "COLAB_RELEASE_TAG" in os.environ:
    DRIVE = ""  # a folder in your Google Drive, for example "facedeblur": results outlive the session
    if not os.path.isdir("/content/{name}"):
        !git -C /content clone --quiet --depth 1 --branch {tag} {address}
    %run /content/{name}/facedeblur_utils/tools/colab.py install "$DRIVE"
"""


def project() -> dict:
    """`name`, `tag` and `address` of the repository, from pyproject.toml alone."""
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = facts["urls"]["Repository"]
    return {"address": address, "name": address.rstrip("/").rsplit("/", 1)[-1], "tag": f"v{facts['version']}"}


def badge_source(notebook: Path, facts: dict) -> str:
    """Markdown of the badge that opens `notebook` in Colab at its own version."""
    place = re.sub(r"^https://github\.com/", "", facts["address"])
    link = f"https://colab.research.google.com/github/{place}/blob/{facts['tag']}/notebooks/{notebook.name}"
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"


def with_colab_cells(notebook: Path, facts: dict) -> dict:
    """The notebook's content with its badge first and its set-up cell before the parameters."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    cells = [cell for cell in content["cells"] if cell.get("id") not in (BADGE, SET_UP)]
    text = badge_source(notebook, facts)
    badge = {"cell_type": "markdown", "id": BADGE, "metadata": {}, "source": _lines(text)}
    set_up = {
        "cell_type": "code",
        "execution_count": None,
        "id": SET_UP,
        "metadata": {"tags": [TAG]},
        "outputs": [],
        "source": _lines(SET_UP_SOURCE.format(**facts).rstrip("\n")),
    }
    first_code = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code")
    content["cells"] = [*cells[:1], badge, *cells[1:first_code], set_up, *cells[first_code:]]
    return content


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def write_notebooks(folder: Path) -> list[str]:
    """Write badge and set-up cell into every notebook of `folder`; returns the names of those changed."""
    facts, changed = project(), []
    for notebook in sorted(folder.glob("*.ipynb")):
        text = json.dumps(with_colab_cells(notebook, facts), indent=1, ensure_ascii=False) + "\n"
        if text != notebook.read_text(encoding="utf-8"):
            partial = notebook.with_name(notebook.name + ".partial")
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, notebook)
            changed.append(notebook.name)
    return changed


def wanted() -> list[str]:
    """What the project needs and Colab may lack: its dependencies without those held or not needed."""
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [need for need in facts["dependencies"] if _name(need) not in HELD + NOT_NEEDED]


def held() -> list[str]:
    """The installed versions that pip must leave as they are, as constraints."""
    found = []
    for name in HELD:
        try:
            found.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _name(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower()


def install() -> int:
    """Install what is missing, with the held versions as constraints, then the package itself."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "held.txt"
        constraints.write_text("\n".join(held()), encoding="utf-8")
        command = [*pip, "--constraint", str(constraints), "--constraint", str(CONSTRAINTS), *wanted()]
        code = subprocess.run(command).returncode
    return code or subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)]).returncode


def settle(drive: str = "") -> None:
    """Make this kernel ready: it sees what was installed, works in `notebooks/`, and writes to Drive.

    `drive` is a folder in Google Drive for all outputs; empty: they stay in the session.
    """
    site.main()
    os.chdir(ROOT / "notebooks")
    if drive:
        from google.colab import drive as google_drive

        google_drive.mount(str(DRIVE_MOUNT))
        os.environ["FACEDEBLUR_OUTPUT"] = str(DRIVE_MOUNT / "MyDrive" / drive)


def check() -> int:
    """Let pip resolve, without installing, what it would add in Colab; prints the versions it chose."""
    for python in PYTHONS:
        with tempfile.TemporaryDirectory() as folder:
            constraints, report = Path(folder) / "held.txt", Path(folder) / "report.json"
            constraints.write_text("\n".join(COLAB), encoding="utf-8")
            command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"]
            command += ["--python-version", python, "--only-binary=:all:", "--target", folder]
            command += ["--constraint", str(constraints), "--constraint", str(CONSTRAINTS)]
            code = subprocess.run([*command, "--report", str(report), *wanted()]).returncode
            if code:
                return code
            chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
            names = sorted(f"{item['metadata']['name']} {item['metadata']['version']}" for item in chosen)
            print(f"Python {python}: {len(names)} packages: {', '.join(names)}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code is pip's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", nargs="?", choices=("install", "check"))
    parser.add_argument("drive", nargs="?", default="", help="with install: folder in Google Drive")
    chosen = parser.parse_args(arguments)
    if chosen.command == "check":
        return check()
    if chosen.command == "install":
        code = install()
        settle(chosen.drive)
        return code
    print("changed:", ", ".join(write_notebooks(ROOT / "notebooks")) or "nothing")
    return 0


if __name__ == "__main__" and (failed := main()):
    sys.exit(failed)
