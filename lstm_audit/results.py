"""Results of a run as lines of JSON that another run can go on from.

Comes in: facts. Goes out: plain JSON of every field, and the same facts again. Promise: nothing is
lost on the way (`load_fact(kind, dump_fact(fact))` is the fact), and both are derived from the
types: no field is listed here.

The document is `lstm-audit/results/1`: a first line that says what was asked, then a line an input,
in the order of the inputs. An input is told by its locator without credentials, its size, and its
time (of local files) or its version (of what lies elsewhere).
"""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from .errors import AuditError
from .fact_json import json_number
from .facts import FileAudit, FileError, Json, Stamp
from .inputs import Input, sibling
from .pipeline import Request, Results
from .raw.locators import STDIN, is_remote, label
from .tuples import NamedTuple
from .version import __version__

SCHEMA = "lstm-audit/results/1"

PASSING = frozenset({"io", "changed", "interrupted-patch", "limit"})
"""Kinds of error that another try may not meet: such an input is always asked again."""

NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def dump_fact(fact: Any) -> Any:
    """A fact as plain JSON values, each field that is not at its default."""
    if isinstance(fact, float):
        return json_number(fact)
    if isinstance(fact, tuple):
        if hasattr(fact, "_fields"):
            least: Json = getattr(fact, "_field_defaults", {})
            pairs = zip(fact._fields, fact, strict=True)
            kept = ((k, v) for k, v in pairs if k not in least or least[k] != v)
            return {name: dump_fact(value) for name, value in kept}
        return [dump_fact(item) for item in fact]
    if isinstance(fact, Mapping):
        return {name: dump_fact(item) for name, item in fact.items()}
    return fact


def load_fact(kind: Any, value: Any) -> Any:
    """The fact of a type that was dumped; raises ValueError or TypeError for anything else."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return load_fact(arguments[0], value)
    if origin in (Union, UnionType):
        return _load_one_of([part for part in arguments if part is not NoneType], value)
    if origin is tuple:
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
        return tuple(load_fact(part, item) for part, item in zip(kinds, value, strict=True))
    if origin is not None:  # a mapping
        return {name: load_fact(arguments[1], item) for name, item in value.items()}
    if kind is float and isinstance(value, str):
        return NUMBERS[value]
    if isinstance(kind, type) and issubclass(kind, tuple):
        hints = _hints(kind)
        return kind(**{name: load_fact(hints[name], item) for name, item in value.items()})
    if not isinstance(value, kind) and not (kind is float and isinstance(value, int)):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _load_one_of(kinds: list[Any], value: Any) -> Any:
    if value is None:
        return None
    if len(kinds) == 1:
        return load_fact(kinds[0], value)
    if isinstance(value, str) and value in NUMBERS and float in kinds:
        return NUMBERS[value]
    return value  # a number or a text


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


class ResultLine(NamedTuple):
    """What stands of one input: its locator, its stamp (None: there was none), its results."""

    input: str
    stamp: Stamp | None
    files: tuple[FileAudit, ...] = ()
    errors: tuple[FileError, ...] = ()

    @property
    def results(self) -> Results:
        """As `audit_input` gave them, but for the order of files and errors of one archive."""
        return (*self.files, *self.errors)


def line_of(given: Input, stamp: Stamp | None, results: Results) -> bytes:
    """An input's line, with its end."""
    files = tuple(r for r in results if isinstance(r, FileAudit))
    errors = tuple(r for r in results if isinstance(r, FileError))
    return _encode(dump_fact(ResultLine(label(given.path), stamp, files, errors)))


def _encode(document: Json) -> bytes:
    return (json.dumps(document, allow_nan=False, separators=(",", ":")) + "\n").encode("ascii")


# Not by `wire.json`: the line is one that `line_of` wrote, `readline` bounds it, `load_fact` holds
# it to the types, and a line that is not believed is read anew.
def read_line(raw: bytes) -> ResultLine | None:
    """A line again; None for one that is cut off, or none of ours."""
    if not raw.endswith(b"\n"):
        return None
    try:
        found: ResultLine = load_fact(ResultLine, json.loads(raw))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return found


def head_of(request: Request) -> bytes:
    """The first line: who wrote the results, and a digest of what was asked, which the policy, its
    overrides and conventions, the layers and the version make up.
    """
    policy = request.policy
    asked: list[object] = [request.layers, request.numbers_only, request.units]
    if policy is not None:
        asked += [sorted(policy.settings.items()), policy.overrides, policy.conventions]
        asked += [os.path.basename(policy.folder)] if policy.overrides else []
    digest = sha256(repr(asked).encode()).hexdigest()[:16]
    return _encode({"schema": SCHEMA, "version": __version__, "asked": digest})


def stamp_of(given: Input) -> Stamp | None:
    """How an input is told from a later version of itself; None where that cannot be said."""
    if given.path == STDIN or given.problem:
        return None
    if given.facts is not None:
        return None if given.facts == UNSAID else Stamp(label(given.path), *given.facts)
    return stamp_of_path(given.path)


UNSAID = (-1, "")
"""The facts of an input that was asked for them and did not say them."""


def with_facts(given: Input) -> Input:
    """An input that lies elsewhere with its size and version, for which it is asked; another one as
    it is.
    """
    if given.facts is not None or not is_remote(given.path):
        return given
    stamp = stamp_of(given)
    return given._replace(facts=UNSAID if stamp is None else (stamp.size, stamp.version))


def stamp_of_path(path: str) -> Stamp | None:
    """The stamp of a path or a locator, None where it has none; what lies elsewhere is asked."""
    file = path.partition("!")[0] if "!" in path and not os.path.lexists(path) else path
    try:
        if not is_remote(file):
            found = os.stat(file)
            return Stamp(label(path), found.st_size, str(found.st_mtime_ns))
        from .raw.remote import look_up  # 40 ms, which local files need not pay

        return Stamp(label(path), *look_up(file))
    except (OSError, ValueError, AuditError):
        return None


def stands(line: ResultLine, given: Input) -> bool:
    """Whether the results of a line are still those of the input: its stamp is the same, and so are
    those of the other files that it was read from; and no error of it could have passed.
    """
    if line.stamp is None or not line.stamp.version or line.input != label(given.path):
        return False
    if any(error.kind in PASSING for error in line.errors) or line.stamp != stamp_of(given):
        return False
    if given.stands_for_shards and given.facts is not None:
        return True  # the facts of an index are those of its shards too
    others = {s for file in line.files for s in file.stamps if s.path != line.stamp.path}
    return all(stamp_of_path(_path_beside(given, s)) == s for s in others)


def _path_beside(given: Input, stamp: Stamp) -> str:
    """Where the file of a stamp is asked for: what lies elsewhere by the query of its neighbour,
    which stamps do not keep.
    """
    if not is_remote(stamp.path):
        return stamp.path
    return sibling(given.path, stamp.path.rpartition("/")[2])
