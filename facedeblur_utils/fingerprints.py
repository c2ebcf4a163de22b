"""Fingerprints of stages: the code, parameters, inputs and versions that a stage's outputs depend on.

Comments, docstrings and Markdown cells don't count: code is compared as a syntax tree. Nothing here imports
the modules it looks at, so a check takes a fraction of a second.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from facedeblur_utils.paths import PACKAGE
from facedeblur_utils.profiles import Profile
from facedeblur_utils.running.notebook_files import code_cells, source

NAME = PACKAGE.name
SET_UP_TAG = "colab"  # the cell that installs things in Colab changes no result
NOT_RESULTS = ("PROFILE", "OVERRIDES", "OUTPUT")  # given by their resolved values, or only say where
ONLY_SHOWN = {"description", "jobs"}  # keys of the profile that change no result
WHOLE_PROFILE = {"as_dict", "asdict", "vars"}  # code that names these may read every key
DISTRIBUTIONS = {  # import name -> distribution, of those that can change a result
    "accelerate": "accelerate",
    "cv2": "opencv-contrib-python",
    "matplotlib": "matplotlib",
    "mediapipe": "mediapipe",
    "numpy": "numpy",
    "pandas": "pandas",
    "PIL": "pillow",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "torch": "torch",
    "torchmetrics": "torchmetrics",
    "torchvision": "torchvision",
}


class Code:
    """What a piece of code is (`digest`) and what it names: package modules, other imports, attributes."""

    def __init__(self, text: str, package: str = "", whole_package: bool = False):
        try:
            tree = ast.parse(text)
        except SyntaxError:  # fails when it runs; compared as text
            self.digest, self.modules, self.imports, self.names = sha256(text.encode()), set(), set(), set()
            return
        self.modules, self.imports, self.names = set(), set(), set()
        # A package's own file comes along with each of its modules; what its functions import does not.
        for node in tree.body if whole_package else ast.walk(tree):
            self._note(node, package)
        self.digest = sha256(ast.dump(_without_docstrings(tree)).encode())

    def _note(self, node: ast.AST, package: str) -> None:
        if isinstance(node, ast.Attribute):
            self.names.add(node.attr)
        elif isinstance(node, ast.Name):
            self.names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.names.add(node.value)  # getattr(profile, "epochs")
        elif isinstance(node, ast.Import):
            self.imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            self.imports |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        self.modules = {name for name in self.imports if module_file(name)}


def _without_docstrings(tree: ast.Module) -> ast.Module:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


@functools.cache
def module_file(name: str) -> Path | None:
    """The file of a module of this package, `None` for anything else."""
    if name.partition(".")[0] != NAME:
        return None
    path = PACKAGE.parent.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def module_code(name: str) -> Code:
    file = module_file(name)
    whole = file.name == "__init__.py"
    package = name if whole else name.rpartition(".")[0]
    return Code(file.read_text(encoding="utf-8"), package, whole)


def closure(names: Iterable[str], stop: Iterable[str] = ()) -> dict[str, Code]:
    """The package modules among `names` and all that they import in turn, without those in `stop`."""
    found: dict[str, Code] = {}
    waiting = [NAME, *names]
    while waiting:
        name = waiting.pop()
        if name in found or name in stop or not module_file(name):
            continue
        found[name] = module_code(name)
        parents = [name.rpartition(".")[0]]  # importing a.b runs a/__init__.py as well
        waiting += [*found[name].modules, *parents]
    return dict(sorted(found.items()))


def notebook_code(notebook: Path) -> Code:
    """The code cells of a notebook as one piece of code, without its Colab set-up cell."""
    cells = [
        source(cell)
        for cell in code_cells(notebook)
        if SET_UP_TAG not in cell.get("metadata", {}).get("tags", [])
    ]
    text = "\n".join(cells)
    return Code(re.sub(r"^(\s*)([%!].*)$", lambda m: m[1] + repr(m[2]), text, flags=re.MULTILINE))  # magics


def versions(codes: Iterable[Code]) -> dict[str, str]:
    """Versions of Python and of the libraries that the code imports and that can change a result."""
    tops = {name.partition(".")[0] for code in codes for name in code.imports}
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for top in sorted(tops & set(DISTRIBUTIONS)):
        try:
            found[DISTRIBUTIONS[top]] = importlib.metadata.version(DISTRIBUTIONS[top])
        except importlib.metadata.PackageNotFoundError:
            found[DISTRIBUTIONS[top]] = "not installed"
    return found


def settings(profile: Profile, codes: dict[str, Code], ignored: Iterable[str] = ()) -> dict:
    """The profile's values that the code can read: those whose key it names, or all of them."""
    keys = {item.name for item in fields(Profile)}
    readers = [code for name, code in codes.items() if name != f"{NAME}.profiles"]
    if not any(code.names & WHOLE_PROFILE for code in readers):
        keys &= {name for code in readers for name in code.names}
    return {key: getattr(profile, key) for key in sorted(keys - ONLY_SHOWN - set(ignored))}


def digest(value) -> str:
    """SHA-256 of anything that JSON can hold, the same for equal values."""
    return sha256(json.dumps(value, sort_keys=True, default=list).encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
