"""Source text into a syntax tree.

Comes in: bytes or text. Goes out: a module's tree. Promise: what is no Python 3 is said with its
line and column, and a text beyond all sizes is not parsed.
"""

import ast
import warnings

from ..errors import MalformedFile

# Bytes of a source that is parsed.
LARGEST_SOURCE = 4 << 20


def refuse_binary(data: bytes | str) -> None:
    """Raise `MalformedFile` for bytes that no source holds, as those of a checkpoint."""
    if b"\0" in data if isinstance(data, bytes) else "\0" in data:
        reason = "no text at all; checkpoints are read by `lstm-audit audit`"
        raise MalformedFile(f"line 1, column 1: {reason}")


def parse_source(data: bytes | str) -> ast.Module:
    """The syntax tree; raises `MalformedFile` with the line where it is no Python."""
    if len(data) > LARGEST_SOURCE:
        message = f"{len(data)} bytes of source; at most {LARGEST_SOURCE} are read"
        raise MalformedFile(message, kind="limit")
    refuse_binary(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes and comparisons, which are not ours
            return ast.parse(data)
    except SyntaxError as error:
        line, column = error.lineno or 1, max(error.offset or 1, 1)
        message = f"line {line}, column {column}: no Python 3 source: {error.msg}"
        raise MalformedFile(message) from None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or "it is nested too deeply"
        raise MalformedFile(f"line 1, column 1: no Python 3 source: {reason}") from None
