"""Which configuration file holds, and what is in it.

Comes in: a folder to start from, or a file's name. Goes out: a `Policy`. Promise: the nearest file
decides alone, the search never leaves the repository, and a file that is there but cannot be obeyed
is an error, never passed over.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import BadPolicy, MissingFile
from .model import Policy

PolicyLike = Policy | Mapping[str, Any] | str | os.PathLike[str] | None

OWN = "lstm-audit.toml"
PYPROJECT = "pyproject.toml"
TABLE = "lstm-audit"
# A configuration file is text that a person wrote.
MAX_CONFIG = 1 << 20


def load_policy(
    config: str | None = None, *, use_config: bool = True, start: str | None = None
) -> Policy:
    """The policy in force: of `config`, else of the nearest file above `start` (the working
    directory), else defaults.

    Raises `BadPolicy`.
    """
    if config is not None:
        return _load(config)
    if start is None:
        try:
            start = os.getcwd()
        except FileNotFoundError:  # it was deleted: then no configuration is near
            return Policy()
    path = find_config(start) if use_config else None
    return Policy() if path is None else _load(path)


def make_policy(given: PolicyLike) -> Policy:
    """A policy from whatever a caller may hold."""
    if given is None:
        return Policy()
    if isinstance(given, Policy):
        return given
    if isinstance(given, Mapping):
        from .toml import read_policy  # 1 ms that only a policy needs

        return read_policy(dict(given), "policy")
    return load_policy(os.fspath(given))


def find_config(start: str) -> str | None:
    """The nearest `lstm-audit.toml`, or `pyproject.toml` with a `[tool.lstm-audit]`, in a folder or
    above it.

    `lstm-audit.toml` wins in one folder. A folder that holds `.git` is the last one that is
    searched.
    """
    for folder in _upwards(os.path.abspath(start)):
        own, shared = os.path.join(folder, OWN), os.path.join(folder, PYPROJECT)
        if os.path.isfile(own):
            return own
        if os.path.isfile(shared) and _concerns(shared):
            return shared
    return None


def _upwards(folder: str) -> Iterator[str]:
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder or os.path.lexists(os.path.join(folder, ".git")):
            return
        folder = above


def _concerns(path: str) -> bool:
    """Whether a pyproject.toml has our table; what never names us is not even parsed, so it may be
    broken.
    """
    data = _read(path)
    if TABLE.encode() not in data and TABLE.replace("-", "_").encode() not in data:
        return False
    return _tool_table(_parse(path, data), path) is not None


def _load(path: str) -> Policy:
    from .toml import read_policy  # 1 ms that only a policy needs

    document = _parse(path, _read(path))
    folder, name = os.path.split(os.path.abspath(path))
    shown = show_path(path)
    if name == PYPROJECT or set(document) == {"tool"}:
        table = _tool_table(document, path)
        if table is None:
            raise BadPolicy(f"{shown}: has no table [tool.{TABLE}]")
        return read_policy(table, shown, folder, f"tool.{TABLE}")
    return read_policy(document, shown, folder)


def _tool_table(document: dict[str, Any], path: str) -> object | None:
    """`[tool.lstm-audit]`; its other spelling would be read by nobody, so it is an error."""
    tool = document.get("tool")
    if not isinstance(tool, dict):
        return None
    if (other := TABLE.replace("-", "_")) in tool:
        raise BadPolicy(
            f"{show_path(path)}: tool.{other}: no such key; did you mean 'tool.{TABLE}'?"
        )
    table: object | None = tool.get(TABLE)
    return table


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_CONFIG + 1)
    except OSError as error:
        shown = show_path(path)
        if isinstance(error, FileNotFoundError):
            from ..missing import explain_missing  # 0.8 ms that only a mistake needs

            raise MissingFile(f"{shown}: {explain_missing(path)}") from None
        raise BadPolicy(f"{shown}: cannot read the configuration: {error.strerror}") from None
    if len(data) > MAX_CONFIG:
        raise BadPolicy(f"{show_path(path)}: over {MAX_CONFIG} bytes is no configuration file")
    return data


def _parse(path: str, data: bytes) -> dict[str, Any]:
    import tomllib  # 12 ms that only a policy file needs

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise BadPolicy(f"{show_path(path)}: nested too deeply") from None
    except (
        ValueError
    ) as error:  # TOMLDecodeError, UnicodeDecodeError, and an integer of over 4300 digits
        raise BadPolicy(f"{show_path(path)}: not valid TOML: {error}") from None


def show_path(path: str) -> str:
    """The path as messages name it: from the working directory, where it lies below that."""
    try:
        short = os.path.relpath(path)
    except ValueError:  # another drive
        return path
    return path if short.startswith("..") else short
