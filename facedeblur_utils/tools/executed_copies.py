"""Makes a folder of a run's executed notebooks that can be read on the web, with small pictures.

python -m facedeblur_utils.tools.executed_copies FOLDER --profile study
"""

import argparse
import base64
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

from PIL import Image

from facedeblur_utils.errors import StudyError, UsageError
from facedeblur_utils.files import disk_error, write_text
from facedeblur_utils.paths import RunPaths, run_paths
from facedeblur_utils.profiles import load_profile
from facedeblur_utils.running.manifest import Manifest
from facedeblur_utils.running.notebook_files import SET_UP_TAG
from facedeblur_utils.tools import colab

LONGEST_SIDE = 800  # pixels
COLOURS, QUALITY = 256, 82  # of a picture as PNG and as JPEG; the smaller file is kept
LIMIT = 15e6  # bytes of the whole folder
LEFT_OUT = {SET_UP_TAG, "published"}  # tags: the run shows its own pictures in place of the published ones
WIDGET = "application/vnd.jupyter.widget-view+json"
EMBEDDED = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")  # pictures inside HTML


def make_copies(paths: RunPaths, folder: Path) -> int:
    """Write the executed notebooks of a run and an index into `folder`; returns their size in bytes.

    The folder appears when it is complete. Raises UsageError where it is there already, StudyError where
    the run has no executed notebooks or they would take more than `LIMIT`.
    """
    target = Path(folder).expanduser().resolve()
    if target.exists():
        raise UsageError(f"{target} exists; name another folder, or delete it")
    found = sorted(paths.notebooks.glob("*.ipynb"))
    if not found:
        how = f"run `python run_all.py --profile {paths.profile}` first"
        raise StudyError(f"no executed notebooks in {paths.notebooks}; {how}")
    files = {path.name: _text(reduced(read(path))) for path in found}
    files["README.md"] = index(paths, list(files))
    size = sum(len(text.encode()) for text in files.values())
    if size > LIMIT:
        raise StudyError(
            f"the executed notebooks of {paths.run} take {size / 1e6:.1f} MB even with reduced pictures, "
            f"more than {LIMIT / 1e6:.0f} MB; copy those that you want to show by hand"
        )
    work = target.with_name(target.name + ".partial")
    try:
        shutil.rmtree(work, ignore_errors=True)
        for name, text in files.items():
            write_text(work / name, text)
        os.replace(work, target)
    except OSError as error:
        raise disk_error(error, target) from None
    return size


def read(path: Path) -> dict:
    """An executed notebook; raises StudyError where it can't be read, or ended with an error."""
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
        outputs = [output for cell in book["cells"] for output in cell.get("outputs", [])]
    except (OSError, ValueError, KeyError, TypeError):
        raise StudyError(f"{path} can't be read as a notebook; run its stage again") from None
    if any(output["output_type"] == "error" for output in outputs):
        raise StudyError(f"{path} ended with an error; run its stage again")
    return book


def reduced(book: dict) -> dict:
    """The notebook with small pictures, without the state of widgets and what holds on one machine alone."""
    book["metadata"] = {k: v for k, v in book["metadata"].items() if k not in ("widgets", "papermill")}
    book["cells"] = [c for c in book["cells"] if not LEFT_OUT & set(c["metadata"].get("tags", []))]
    for cell in book["cells"]:
        cell["metadata"].pop("papermill", None)
        for output in cell.get("outputs", []):
            if "data" in output:
                output["data"] = _reduced_data(output["data"])
    return book


def _reduced_data(data: dict) -> dict:
    small = {}
    for kind, value in data.items():
        if kind == "image/png":
            kind, value = small_picture("".join(value))
        elif kind == "text/html":
            value = EMBEDDED.sub(lambda m: "data:{};base64,{}".format(*small_picture(m[1])), "".join(value))
        if kind != WIDGET:
            small[kind] = value
    return small


def small_picture(png: str) -> tuple[str, str]:
    """(media type, base64) of a base64 PNG at most `LONGEST_SIDE` wide and high: few colours, or JPEG."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as opened:
        picture = Image.alpha_composite(Image.new("RGBA", opened.size, "white"), opened.convert("RGBA"))
    picture = picture.convert("RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    files = {
        "image/png": _encoded(picture.quantize(COLOURS), "PNG", optimize=True),
        "image/jpeg": _encoded(picture, "JPEG", quality=QUALITY, optimize=True),
    }
    kind = min(files, key=lambda name: len(files[name]))
    return kind, base64.b64encode(files[kind]).decode()


def _encoded(picture: Image.Image, form: str, **how) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **how)
    return content.getvalue()


def _text(book: dict) -> str:
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def index(paths: RunPaths, names: list[str]) -> str:
    """The folder's README: what it is, what it was made from, and how to publish it as a branch."""
    states = [record["git"] for record in Manifest(paths).stages.values() if record.get("git")]
    commits = sorted({f"`{g['commit']}`{', with changes' * g['dirty']}" for g in states})
    made_from = "\n".join(f"- commit {commit}" for commit in commits) or "- files outside a git checkout"
    branch = f"executed-{paths.profile}"
    shown = "\n".join(f"- [{name.removesuffix('.ipynb')}]({name})" for name in names)
    return f"""# Executed notebooks, profile `{paths.profile}`

The notebooks of the study as one run left them, to be read without installing anything. Pictures are
reduced to {LONGEST_SIDE} pixels; the full ones are in `figures/{paths.profile}/`. A notebook that trains is
here once for each network.

{shown}

Made with `python run_all.py --profile {paths.profile}` from

{made_from}

## To publish this folder

As a branch of its own, which shares no file with the code. In this folder:

```
git init --initial-branch {branch}
git add .
git commit --message "Executed notebooks of profile {paths.profile}"
git push --force {colab.project()["address"]} {branch}
```

The faces in the pictures are CelebA's, for non-commercial research, as in the published figures.
"""


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0, or the exit code of a StudyError after its one line."""
    parser = argparse.ArgumentParser(
        prog="python -m facedeblur_utils.tools.executed_copies", description=__doc__
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--profile", default="study")
    parser.add_argument("--output", default="", help="folder that holds runs/ (default: the checkout)")
    options = parser.parse_args(arguments)
    try:
        paths = run_paths(load_profile(options.profile).name, options.output)
        size = make_copies(paths, options.folder)
    except StudyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{options.folder}: {size / 1e6:.1f} MB; its README.md says how to publish it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
