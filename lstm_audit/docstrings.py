"""Docstrings that survive `python -OO`.

Comes in: a function. Goes out: its docstring, cleaned as `inspect.cleandoc` does. Promise: the
manuals of commands and rules are their docstrings, and no way of starting Python loses them.
"""

import ast
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any


def read_docstring(function: Callable[..., Any]) -> str:
    """The docstring; read from the module's source where Python dropped it (-OO,
    PYTHONOPTIMIZE=2).
    """
    text = function.__doc__
    if text is None:
        text = _from_source(function.__module__, function.__qualname__)
    return inspect.cleandoc(text or "")


def _from_source(module: str, name: str) -> str | None:

    spec = import_module(module).__spec__
    get_source = getattr(spec and spec.loader, "get_source", None)
    source = get_source(module) if get_source else None
    for node in ast.parse(source or "").body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node, clean=False)
    return None
