"""The package's rooms: imports go downwards only and in no circle, and no room is crowded."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from facedeblur_utils.paths import PACKAGE

# From the bottom up; each may import from those before it. Metrics lie below training, whose losses use them.
ROOMS = (
    "", "blur", "models", "data", "metrics", "physics", "training", "evaluation", "reporting", "literature",
    "photo", "running", "tools",
)  # fmt: skip
DOORS = {"facedeblur_utils", "facedeblur_utils.deblur"}  # on top for users, looking down on all rooms


def modules(package: Path) -> dict[str, Path]:
    found = {}
    for file in package.rglob("*.py"):
        parts = [package.name, *file.relative_to(package).with_suffix("").parts]
        found[".".join(parts).removesuffix(".__init__")] = file
    return found


def imports(file: Path, known: dict[str, Path]) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    # Of a module and its package only the module counts: packages' own files import nothing.
    found = names & set(known)
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def graph(package: Path) -> dict[str, set[str]]:
    known = modules(package)
    return {name: imports(file, known) - {name} for name, file in known.items()}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def upwards(package: Path) -> list[str]:
    return [
        f"{name} imports {other}"
        for name, others in graph(package).items()
        if name not in DOORS
        for other in others
        if ROOMS.index(room(other)) > ROOMS.index(room(name))
    ]


def longest_chain(package: Path) -> list[str]:
    """Raises AssertionError for a cycle."""
    edges, memo = graph(package), {}

    def chain(name: str, above: tuple[str, ...]) -> list[str]:
        assert name not in above, f"cycle: {' -> '.join([*above, name])}"
        if name not in memo:
            below = [chain(other, (*above, name)) for other in sorted(edges[name])]
            memo[name] = [name, *max(below, key=len, default=[])]
        return memo[name]

    return max((chain(name, ()) for name in edges), key=len)


def test_imports_go_downwards_only():
    assert upwards(PACKAGE) == []


def test_there_is_no_cycle_and_the_longest_chain_is_known():
    assert len(longest_chain(PACKAGE)) <= 14


def test_rooms_stay_small():
    top = [file for file in PACKAGE.glob("*.py") if file.name != "__init__.py"]
    assert len(top) <= 10
    for name in ROOMS[1:]:
        assert len([file for file in (PACKAGE / name).glob("*.py") if file.name[:2] != "__"]) <= 16


def test_a_wrong_import_is_found(tmp_path):
    package = tmp_path / PACKAGE.name
    for name, text in {
        "__init__": "",
        "blur/__init__": "",
        "blur/kernels": "from facedeblur_utils.data import faces",
        "data/__init__": "",
        "data/faces": "def late():\n    from facedeblur_utils.blur import kernels",
    }.items():
        (package / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(text)
    assert upwards(package) == ["facedeblur_utils.blur.kernels imports facedeblur_utils.data.faces"]
    with pytest.raises(AssertionError, match="cycle"):
        longest_chain(package)


def test_every_room_is_installed():
    listed = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = [f"{PACKAGE.name}.{file.parent.name}" for file in PACKAGE.glob("*/__init__.py")]
    assert sorted(listed) == sorted([PACKAGE.name, *rooms])


def test_notebooks_load_nothing_slow_that_few_of_them_need():
    """torchvision.ops alone brings torch._dynamo, two seconds in each of a dozen stages."""
    used = ("training.loops", "evaluation.scores", "evaluation.recognition_scores", "photo.deblur")
    code = "".join(f"import facedeblur_utils.{name}\n" for name in used)
    code += "import sys; print(*{'torch._dynamo', 'torchvision', 'piq', 'torchmetrics'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
