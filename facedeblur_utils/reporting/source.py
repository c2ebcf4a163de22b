"""Shows functions of the package in a notebook as they stand in its source: what is read is what runs."""

import inspect
from collections.abc import Callable

from IPython.display import Markdown, display


def show_source(*functions: Callable) -> None:
    """Display the source of `functions`, each under the name of its module."""
    for function in functions:
        text = inspect.getsource(function).rstrip()
        display(Markdown(f"`{function.__module__}`\n\n```python\n{text}\n```"))
