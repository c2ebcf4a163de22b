"""Is this still the same? One way to tell what a kept thing was made from, and to say what differs now.

A fingerprint is a nested dict of plain values. Datasets keep one (their recipe), trained networks (their
identity) and stages (in the manifest); `differences` compares any two. Code is compared as a syntax tree, so
that comments, docstrings and type hints don't count, and without importing it.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

from facedeblur_utils.paths import PACKAGE

NAME = PACKAGE.name
LONGEST_SHOWN = 60  # characters of a value
CHANGED = ("code", "inputs", "modules", "notebook")  # parts whose values are hashes
KINDS = {  # part of a fingerprint -> what its entries are called
    "code": "the code of",
    "inputs": "input",
    "modules": "module",
    "notebook": "the notebook's code",
    "parameters": "",
    "versions": "version of",
}
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
    """A piece of code: its `digest`, the package's `modules` and other `imports`, its top-level `parts`."""

    def __init__(self, text: str, package: str = "", whole_package: bool = False):
        self.imports: set[str] = set()
        self.bound: dict[str, str] = {}  # local name -> what was imported under it
        self.parts: dict[str, list[ast.stmt]] = {}  # name of a function, class or constant -> its statements
        try:
            tree = _plain(ast.parse(text))
        except SyntaxError:  # fails when it runs; compared as text
            self.digest, self.modules = sha256(text.encode()), set()
            return
        # A package's own file comes along with each of its modules; what its functions import does not.
        for node in tree.body if whole_package else ast.walk(tree):
            self._note_import(node, package)
        self.modules = {name for name in self.imports if module_file(name)}
        for statement in tree.body:
            for name in _names(statement):
                self.parts.setdefault(name, []).append(statement)
        self.digest = sha256(ast.dump(tree).encode())

    def _note_import(self, node: ast.AST, package: str) -> None:
        if isinstance(node, ast.Import):
            self.imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            self.imports |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
            self.bound |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}


class _Plain(ast.NodeTransformer):
    """Takes out what can't change a result: docstrings and type hints of functions."""

    def _function(self, node):
        self.generic_visit(node)
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return _without_docstring(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_ClassDef(self, node):
        self.generic_visit(node)
        return _without_docstring(node)


def _plain(tree: ast.Module) -> ast.Module:
    return _without_docstring(_Plain().visit(tree))


def _without_docstring(node):
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    return node


def _names(statement: ast.stmt) -> list[str]:
    """What a statement at a module's top defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return []


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


def closure(names: Iterable[str]) -> dict[str, Code]:
    """The package modules among `names` and all that they import in turn."""
    return _closure(frozenset(names))


@functools.cache
def _closure(names: frozenset[str]) -> dict[str, Code]:
    found: dict[str, Code] = {}
    waiting = [NAME, *names]
    while waiting:
        name = waiting.pop()
        if name in found or not module_file(name):
            continue
        found[name] = module_code(name)
        parents = [name.rpartition(".")[0]]  # importing a.b runs a/__init__.py as well
        waiting += [*found[name].modules, *parents]
    return dict(sorted(found.items()))


def forget() -> None:
    """Read the package's files anew: they have changed since this process began."""
    for known in (module_file, module_code, _closure):
        known.cache_clear()


def definitions(roots: Iterable[str], without: Iterable[str] = ()) -> dict[str, str]:
    """Digests of the functions, classes and constants `roots` ("module:name") and of all that they use.

    By bare name, so that moving a definition to another module changes nothing. `without` names modules and
    definitions ("module:name") to leave out, as what only prints or writes. A name that a string or
    `getattr` hides isn't seen: make it a root. Raises KeyError for a root that isn't defined.
    """
    found: dict[str, set[str]] = {}
    seen, waiting = set(), [tuple(root.split(":")) for root in roots]
    for module, name in waiting:
        if name not in module_code(module).parts:
            raise KeyError(f"{module} defines no {name}")
    while waiting:
        module, name = place = waiting.pop()
        if place in seen or module in without or f"{module}:{name}" in without:
            continue
        seen.add(place)
        statements = module_code(module).parts.get(name, [])
        if statements:  # two of one name count both
            found.setdefault(name, set()).add("".join(map(ast.dump, statements)))
        for statement in statements:
            waiting += _used(statement, module_code(module), module)
    return {name: sha256("".join(sorted(texts)).encode())[:16] for name, texts in sorted(found.items())}


def _used(statement: ast.stmt, code: Code, module: str) -> Iterator[tuple[str, str]]:
    """(module, name) of everything in the package that a statement refers to."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and node.id in code.parts:
            yield module, node.id
        elif isinstance(node, ast.Name) and node.id in code.bound:
            origin = code.bound[node.id]
            if not module_file(origin):  # a function, class or constant of a module
                source, _, name = origin.rpartition(".")
                if module_file(source):
                    yield source, name
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            origin = code.bound.get(node.value.id, "")
            if module_file(origin):
                yield origin, node.attr


def literal(place: str):
    """The value of a constant "module:name" that is written as a literal, without importing its module."""
    module, name = place.split(":")
    return ast.literal_eval(module_code(module).parts[name][-1].value)


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


def differences(old: dict, new: dict) -> list[str]:
    """What differs between two fingerprints, in words; empty where nothing does."""
    before, now = _flat(_as_stored(old)), _flat(_as_stored(new))
    return [
        _in_words(key, before.get(key), now.get(key))
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def _in_words(key: str, before, now) -> str:
    part, _, name = key.partition(".")
    label = key
    if part in KINDS:
        label = f"{KINDS[part]} {name.removeprefix(NAME + '.')}".strip()
    if before is None or now is None:
        value = now if before is None else before
        shown = "" if part in CHANGED else f" ({_short(value)})"
        return f"{label} is {'new' if before is None else 'gone'}{shown}"
    if part in CHANGED:
        return f"{label} {'changed' if now else 'is gone'}"
    return f"{label} was {_short(before)} and is now {_short(now)}"


def _as_stored(value: dict) -> dict:
    """Through JSON, as on disk, so that tuples equal lists."""
    return json.loads(json.dumps(value))


def _flat(values: dict) -> dict:
    """`{"datasets": {"SFB1": x}}` -> `{"datasets.SFB1": x}`."""
    flat = {}
    for key, value in values.items():
        nested = _flat(value).items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{key}.{inner}".rstrip("."): item for inner, item in nested}
    return flat


def _short(value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_SHOWN else text[:12] + "…"


def digest(value) -> str:
    """SHA-256 of anything that JSON can hold, the same for equal values."""
    return sha256(json.dumps(value, sort_keys=True, default=list).encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
