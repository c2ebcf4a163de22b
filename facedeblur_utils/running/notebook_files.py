"""Reads notebooks without running them: their code, and the parameters that they take."""

import ast
import json
import re
from pathlib import Path

from facedeblur_utils.errors import UsageError
from facedeblur_utils.fingerprints import Code

SET_UP_TAG = "colab"  # the cell that installs things in Colab changes no result


def code_cells(notebook: Path) -> list[dict]:
    """The code cells of a notebook as stored; raises UsageError if the file can't be read."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except FileNotFoundError:
        raise UsageError(f"notebook {notebook} does not exist") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{notebook} can't be read as a notebook") from None
    return [cell for cell in cells if cell.get("cell_type") == "code"]


def source(cell: dict) -> str:
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(text)


def notebook_code(notebook: Path) -> Code:
    """The code cells of a notebook as one piece of code, without its Colab set-up cell."""
    cells = [
        source(cell)
        for cell in code_cells(notebook)
        if SET_UP_TAG not in cell.get("metadata", {}).get("tags", [])
    ]
    text = "\n".join(cells)
    return Code(re.sub(r"^(\s*)([%!].*)$", lambda m: m[1] + repr(m[2]), text, flags=re.MULTILINE))  # magics


def parameter_names(notebook: Path) -> set[str]:
    """Names assigned in the cell tagged `parameters`; raises UsageError if there is not exactly one."""
    cells = code_cells(notebook)
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise UsageError(f"{notebook} needs one code cell tagged 'parameters', it has {len(tagged)}")
    try:
        body = ast.parse(source(tagged[0])).body
    except SyntaxError as error:
        raise UsageError(f"{notebook}: the parameters cell is not valid Python ({error.msg})") from None
    names = set()
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def check_parameters(notebook: Path, parameters: dict) -> None:
    """Raise UsageError for a parameter that the notebook does not take, or that JSON can't carry."""
    unknown = sorted(set(parameters) - parameter_names(notebook))
    if unknown:
        raise UsageError(f"{notebook} has no parameter '{unknown[0]}' in its cell tagged 'parameters'")
    for name, value in parameters.items():
        if json.loads(json.dumps(value, default=str)) != value:  # papermill would pass on a string
            raise UsageError(f"{notebook}: parameter {name}={value!r} is no plain number, text, list or dict")
