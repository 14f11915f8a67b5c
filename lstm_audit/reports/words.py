"""Words of a report that several formats share: names, numbers, paths, text for other languages.

Comes in: a name from a file, a number. Goes out: text. Promise: nothing that a file says reaches a
terminal or a document unescaped, and a number is never rounded to what it is not.
"""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..facts import FileError, Finding, LstmFacts
from ..lstm.layer import Identity, Lstm
from ..raw.locators import is_remote

# Characters of an escaped name that a report for people shows; the machine formats give all of it.
NAME_LIMIT = 200

PATH_LIMIT = 4096

# What every command says where its inputs held nothing that it reads.
NOTHING_READ = "nothing was read"

# Characters below which a shortened name has no place for its checksum.
ROOM_FOR_SUM = 60


# A locator in a text, up to the sign of the sentence that it stands in: its scheme, user and
# password, its place, its query and fragment. One slash may hold a password too: it is mistyped.
_LOCATOR = (
    r"""([A-Za-z][\w+.-]*:/{1,2})(?:[^\s/?#'"]*@)?([^\s?#'"]*)"""
    r"""(?:[?#][^\s'"]+?(?=[:;,.)]*(?:[\s'"]|$)))?"""
)


def conceal(text: str) -> str:
    """A text that quotes what was typed, without the user, the password and the query of a locator,
    which may be secret.
    """
    if ":/" not in text:
        return text
    import re  # 3 ms that a run without locators need not wait for

    return re.sub(_LOCATOR, r"\1\2", text)


def escape(text: str, limit: int | None = NAME_LIMIT, ascii: bool = False) -> str:
    """A name from a file, harmless on a terminal: controls, bidi marks, surrogates and the like as
    \\x1b or \\u202e.

    What is longer than `limit` characters loses its middle, for an address tells most at its ends;
    a checksum of the whole stands there, so that two names do not become alike. The cost is that of
    what is shown, and of one checksum, however long the name.
    """
    if limit is None or len(text) <= limit:
        shown = _spell(text, ascii)
        if limit is None or len(shown) <= limit:
            return shown
    from zlib import crc32  # half a millisecond that a short name need not wait for

    dots = "..." if ascii else "…"
    sum_of = f"{crc32(text.encode('utf-8', 'surrogatepass')):08x}"
    middle = f"{dots}{sum_of}{dots}" if limit >= ROOM_FOR_SUM else dots
    keep = limit - len(middle)
    head, tail = _spell(text[:limit], ascii), _spell(text[-limit:], ascii)
    return head[: keep // 2] + middle + tail[len(tail) - (keep - keep // 2) :]


def _spell(text: str, ascii: bool) -> str:
    """Every character, with those spelled out that a terminal would obey, or cannot show."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable() and (c.isascii() or not ascii) else _escape_character(c) for c in text
    )


def _escape_character(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def show_module(module: str) -> str:
    """A module's path for people; that of a bare state dict is empty."""
    return module or "(root)"


def show_address(
    lstm: Lstm | LstmFacts, limit: int | None = NAME_LIMIT, ascii: bool = False
) -> str:
    """`MODULE:lK[:reverse]`, escaped."""
    return escape(lstm.identity.written, limit, ascii)


def show_addresses(
    lstms: Sequence[Lstm | LstmFacts], limit: int | None = NAME_LIMIT, ascii: bool = False
) -> list[str]:
    """The addresses of LSTMs of one file, escaped; where two share one, each with its
    `@CONVENTION`.
    """
    known = Counter(one.address for one in {lstm.identity for lstm in lstms})
    return [
        show_address(lstm, limit, ascii)
        + (f"@{escape(lstm.identity.convention, limit, ascii)}" if known[lstm.address] > 1 else "")
        for lstm in lstms
    ]


def show_identity(one: Identity, limit: int | None = None) -> str:
    """How an identity is written, escaped."""
    return escape(one.written, limit)


def show_place(finding: Finding, limit: int | None = NAME_LIMIT, ascii: bool = False) -> str:
    """What a finding is about, as `shown_address` has it, behind its line where it is about source;
    empty where it is the whole file.
    """
    if finding.module is None:
        return show_source_line(finding)
    place = show_module(finding.module) + finding.address[len(finding.module) :]
    line = f"{show_source_line(finding)} " if finding.line is not None else ""
    return line + escape(place, limit, ascii)


def show_source_line(finding: Finding) -> str:
    """`line 12` or `cell 3 line 12`; empty for what is not about source."""
    if finding.line is None:
        return ""
    cell = f"cell {finding.cell} " if finding.cell is not None else ""
    return f"{cell}line {finding.line}"


def describe_convention(lstm: LstmFacts) -> str:
    """What sets an LSTM apart from torch's: convention, run-time offset, activation function. Empty
    for plain torch.
    """
    words = [lstm.convention if lstm.convention != "torch" else ""]
    words.append(f"{lstm.offset:+.4g}" if lstm.offset else "")
    words.append(lstm.activation_function if lstm.activation_function != "sigmoid" else "")
    return " ".join(filter(None, words))


def digits(value: float) -> str:
    """Four significant digits and four decimals at most: 0.7311, 12346, 1.2e+15, ∞; ~0 for what
    only rounds to 0.
    """
    if value != value:
        return "NaN"
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "-∞"
    if abs(value) < 0.00005:
        return "~0" if value else "0"
    if abs(value) >= 999999.5:
        return f"{value:.2g}"
    return f"{value:.0f}" if abs(value) >= 9999.5 else f"{round(value, 4):.4g}"


def fraction(value: float) -> str:
    """An activation in four decimals, that never calls a gate wholly open or closed which is
    not.
    """
    if value != value:
        return "NaN"
    if value in (0.0, 1.0):
        return f"{value:.0f}"
    return "<0.0001" if value < 0.00005 else ">0.9999" if value >= 0.99995 else f"{value:.4f}"


def describe_error(error: FileError) -> str:
    """`truncated at byte 10240: MESSAGE`; a kind that the message names itself is not said twice,
    and the first byte is no place worth a word.
    """
    said = f" {error.kind} " in f" {error.message} "
    place = f"at byte {error.at}" if error.at else ""
    head = " ".join(filter(None, ("" if said else error.kind, place)))
    return f"{head}: {error.message}" if head else error.message


def size(count: int) -> str:
    """Bytes for people: 812 bytes, 2.3 MiB."""
    if count < 1024:
        return say_count(count, "byte")
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:.1f} {'KMGT'[power - 1]}iB"


def say_count(n: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def utf8(text: str) -> bytes:
    """A path's or name's bytes: those that were no UTF-8 (PEP 383) come back, and a lone surrogate
    is no obstacle.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def relative(path: str, root: str = "") -> str | None:
    """A path as a repository at `root` (empty: the working directory) knows it, with /; None
    outside of it, as whatever lies elsewhere is.
    """
    if is_remote(path):
        return None
    try:
        base = os.path.abspath(root)
    except FileNotFoundError:  # the working directory was deleted: nothing lies in it
        return None
    way = os.path.relpath(os.path.abspath(path), base).replace(os.sep, "/")
    return None if way == ".." or way.startswith("../") else way


# ---- text for other languages


def markup(text: str, limit: int | None = None) -> str:
    """Text for XML and HTML, attributes too: escaped as for a terminal, so no character is left
    that XML forbids.
    """
    return escape(text, limit).translate(MARKUP)


MARKUP = {ord(c): f"&#{ord(c)};" for c in "&<>\"'"}


def dumps(value: Any, indent: int | None = None) -> str:
    """Strict JSON in ASCII, keys as they come.

    RFC 8259 section 8.2: parsers differ on a lone surrogate, so those are written as the six
    characters \\udXXX.
    """
    import json  # 2 ms that only json needs

    text = json.dumps(value, indent=indent, allow_nan=False)
    if "\\ud" in text:
        text = json.dumps(_pair(value), indent=indent, allow_nan=False)
    return text


def _pair(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list):
        return [_pair(item) for item in value]
    return {_pair(k): _pair(v) for k, v in value.items()} if isinstance(value, dict) else value
