"""Files into Python text whose lines can be told.

Comes in: a file's bytes and its name. Goes out: a `Text`: what the parser gets, and the map back to
the file's own lines. Promise: a cell or block that is no Python is left out by itself, and a line
of the parsed text is always a line of the file, or of a notebook's cell.
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import MalformedFile

FENCE = re.compile(r"^ {0,3}(```+|~~~+)\s*(?:python|py|pycon|python3)\b[^\n]*$", re.IGNORECASE)
MAGIC = ("%", "!", "?")
NOQA = re.compile(r"#\s*noqa(?::\s*(?P<codes>[A-Z]+[0-9]*(?:[,\s]+[A-Z]+[0-9]*)*))?", re.IGNORECASE)

# Formats by suffix; Markdown only where it is asked for.
SUFFIXES = {".py": "python", ".pyi": "python", ".pyw": "python", ".ipynb": "notebook"}

MARKDOWN = (".md", ".markdown", ".qmd", ".rmd")


class Text(NamedTuple):
    """Python text. `cells` are the first lines of a notebook's cells with their numbers."""

    format: str
    data: bytes | str
    lines: tuple[str, ...]
    cells: tuple[tuple[int, int], ...] = ()

    def locate(self, line: int) -> tuple[int | None, int]:
        """The notebook's cell and the line in it; without cells the line itself."""
        found = None
        for start, number in self.cells:
            if start > line:
                break
            found = number, line - start + 1
        return found or (None, line)

    def suppresses(self, line: int, code: str) -> bool:
        """Whether the line says `# noqa`, for this code or for all."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        match = NOQA.search(text) if "noqa" in text.lower() else None
        if match is None:
            return False
        codes = match["codes"]
        return codes is None or any(code.startswith(c.upper()) for c in re.split(r"[,\s]+", codes))


def read_python(data: bytes, format_name: str) -> Text:
    """The Python text of a file; raises `MalformedFile` for a notebook that is none."""
    if format_name == "notebook":
        return _read_notebook(data)
    if format_name == "markdown":
        return _read_markdown(data)
    return Text("python", data, tuple(decode_source(data).splitlines()))


def decode_source(data: bytes) -> str:
    """Source bytes as text, by their own declaration; what does not fit is replaced."""
    return data.decode(encoding_of(data), "replace")


def encoding_of(data: bytes) -> str:
    """The encoding that the source declares (PEP 263), utf-8 where that is not to be understood."""
    try:
        return tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    except (SyntaxError, LookupError):
        return "utf-8"


# Not by `wire.json`: outputs, which are not looked at, hold NaN and infinities (Python's own parser
# and nbformat take them) and millions of numbers, for which the strict reader refuses a file. The
# size is bounded by whoever reads the file, depth by the parser.
def _read_notebook(data: bytes) -> Text:
    try:
        cells = json.loads(data)["cells"]
    except (ValueError, KeyError, TypeError, RecursionError):
        message = "no notebook: JSON with a list of cells was expected (nbformat 4)"
        raise MalformedFile(message, 0) from None
    lines: list[str] = []
    starts = []
    for number, cell in enumerate(cells if isinstance(cells, list) else (), 1):
        code = _code_of(cell)
        if code:
            starts.append((len(lines) + 1, number))
            lines += code
    return Text("notebook", "\n".join(lines), tuple(lines), tuple(starts))


def _code_of(cell: Any) -> list[str]:
    """A code cell's lines, magics blanked; nothing for a cell that is no Python."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return []
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str) or not source.strip():
        return []
    return _plain_python(source.split("\n"))


def _plain_python(lines: Sequence[str]) -> list[str]:
    """The lines without IPython's own; blank lines where the rest is no Python."""
    first = next((line.lstrip() for line in lines if line.strip()), "")
    if first.startswith("%%") and not re.match(r"%%(time|timeit|capture|prun)\b", first):
        return []
    plain = ["" if line.lstrip().startswith(MAGIC) else line for line in lines]
    return plain if _parses("\n".join(plain)) else []


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _read_markdown(data: bytes) -> Text:
    """The Python blocks at their own lines, everything else blank."""
    lines = data.decode("utf-8", "replace").splitlines()
    kept = [""] * len(lines)
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        at += 1
        if opening is None:
            continue
        end = next(
            (n for n in range(at, len(lines)) if lines[n].strip().startswith(opening[1])),
            len(lines),
        )
        block = _plain_python(lines[at:end])
        kept[at : at + len(block)] = block
        at = end + 1
    return Text("markdown", "\n".join(kept), tuple(lines))
