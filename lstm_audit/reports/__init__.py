"""An audit into text: the table of reports, and the words that several of them share.

Comes in: an `Audit` and a `Look`. Goes out: the whole text, ending in a newline unless it is empty.
Promise: the same audit and look give the same text, and nothing that a file says reaches a terminal
unescaped.
"""

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..facts import SEVERITIES, Audit, Finding, Fix, LstmFacts
from ..lstm.layer import Lstm
from ..registry import Registry, module_names

NAME_LIMIT = 200
"""Characters of an escaped name that a report for people shows; the machine formats give all of
it.
"""

PATH_LIMIT = 4096


class Replacement(NamedTuple):
    """What a fix would do to a file: at byte `at` of `path` (None: the finding's own file), `new`
    instead of `old`.
    """

    at: int
    old: bytes
    new: bytes
    path: str | None = None


class Look(NamedTuple):
    """How a report is wanted: what the place that shows it can show, and what a report cannot know
    by itself.

    `width` in columns of a terminal; `color`: it understands SGR sequences; `ascii`: its encoding
    holds nothing else. `quiet` leaves out notes, advice and the names of what was skipped; rows,
    errors, warnings and the summary stay. `fail_on` is the mildest severity that fails a run
    (`never`: none does). Paths are said relative to `root` (empty: the working directory) where a
    report is about a repository. `edits` maps a finding's fingerprint to the bytes that its fix
    would replace; without an entry the fix is only told as a command.
    """

    width: int = 80
    color: bool = False
    quiet: bool = False
    ascii: bool = False
    fail_on: str = "error"
    root: str = ""
    edits: Mapping[str, Sequence[Replacement]] = {}  # a default that nothing writes to


Report = Callable[[Audit, Look], str]


class Reports(Registry[Report]):
    """The formats: each is the function that a module of this package registers under the module's
    own name.

    So the names are known, and one format can be fetched, without importing the others: start-up
    time is a feature.
    """

    def __getitem__(self, name: str) -> Report:
        if name not in self._entries and name in iter(self):
            importlib.import_module(f"{__name__}.{name}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(module_names(__path__))

    def values(self) -> list[Report]:
        """Every format, in the order of the names."""
        return [self[name] for name in self]


REPORTS = Reports(__name__)


def report(name: str) -> Callable[[Report], Report]:
    """The decorator by which a module of this package registers its format, under the module's own
    name.
    """
    return REPORTS.named(name)


def escape(text: str, limit: int | None = NAME_LIMIT, ascii: bool = False) -> str:
    """A name from a file, harmless on a terminal: controls, bidi marks, surrogates and the like as
    \\x1b or \\u202e.

    What is longer than `limit` characters loses its middle, for an address tells most at its ends.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(
            c if c.isprintable() and (c.isascii() or not ascii) else _escaped(c) for c in text
        )
    if limit is None or len(text) <= limit:
        return text
    dots = "..." if ascii else "…"
    keep = limit - len(dots)
    return text[: keep // 2] + dots + text[len(text) - (keep - keep // 2) :]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def shown_module(module: str) -> str:
    """A module's path for people; that of a bare state dict is empty."""
    return module or "(root)"


def shown_address(
    lstm: Lstm | LstmFacts, limit: int | None = NAME_LIMIT, ascii: bool = False
) -> str:
    """`MODULE:lK[:reverse]`, escaped."""
    return escape(shown_module(lstm.module) + lstm.address[len(lstm.module) :], limit, ascii)


def shown_place(finding: Finding, limit: int | None = NAME_LIMIT, ascii: bool = False) -> str:
    """What a finding is about, as `shown_address` has it; empty where that is the whole file."""
    if finding.module is None:
        return ""
    return escape(
        shown_module(finding.module) + finding.address[len(finding.module) :], limit, ascii
    )


def peculiar(lstm: LstmFacts) -> str:
    """What sets an LSTM apart from torch's: convention, run-time offset, activation function. Empty
    for plain torch.
    """
    words = [lstm.convention if lstm.convention != "torch" else ""]
    words.append(f"{lstm.offset:+.4g}" if lstm.offset else "")
    words.append(lstm.activation_function if lstm.activation_function != "sigmoid" else "")
    return " ".join(filter(None, words))


def sparkline(
    histogram: Sequence[int], empty: str = "·", levels: str = "▁▂▃▄▅▆▇█", cells: int = 8
) -> str:
    """A character for each of `cells` runs of bins, relative to the fullest; one unit is never
    drawn as none.
    """
    step = len(histogram) // cells
    merged = [sum(histogram[k : k + step]) for k in range(0, len(histogram), step)]
    top = max(merged)
    return "".join(levels[-(-len(levels) * n // top) - 1] if n else empty for n in merged)


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


def size(count: int) -> str:
    """Bytes for people: 812 bytes, 2.3 MiB."""
    if count < 1024:
        return counted(count, "byte")
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:.1f} {'KMGT'[power - 1]}iB"


def counted(n: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def summary(audit: Audit) -> list[str]:
    """The parts of the one line that closes a report: files, LSTMs, findings, and whatever was not
    judged.
    """
    lstms, files = len(audit.rows), len(audit.files)
    if lstms:
        parts = [counted(files, "file"), counted(lstms, "LSTM")]
    else:
        parts = [
            f"no LSTM found in {counted(files, 'file')}" if files else "no checkpoint was read"
        ]
    parts += tally(audit.findings)
    skipped = sum(len(file.skipped) for file in audit.files)
    parts += [f"{skipped} skipped"] if skipped else []
    parts += [f"{len(audit.errors)} unreadable"] if audit.errors else []
    parts += [f"{counted(audit.ignored, 'other file')} ignored"] if audit.ignored else []
    return parts


# ---- findings


def tally(findings: Sequence[Finding]) -> list[str]:
    """`2 errors`, `1 warning`, `3 info`: what there is, most severe first."""
    numbers = [(severity, sum(f.severity == severity for f in findings)) for severity in SEVERITIES]
    return [
        f"{n} info" if severity == "info" else counted(n, severity) for severity, n in numbers if n
    ]


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Most severe first, then by code; equals stay in the order of the report."""
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.code))


def alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings that say the same of several LSTMs together, most severe first."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in ranked(findings):
        groups.setdefault((finding.severity, finding.code, finding.message), []).append(finding)
    return list(groups.values())


class Command(NamedTuple):
    """The words of a `lstm-audit patch`; `safe`: nothing that was learned is lost by it."""

    words: list[str]
    safe: bool


def commands(path: str, fixes: Iterable[Fix | None]) -> Iterator[Command]:
    """What mends a file: one command for all fixes that differ in nothing but their `--layers`,
    safe ones first.
    """
    layers: dict[tuple[bool, bool, tuple[str, ...]], list[str]] = {}
    for fix in sorted(filter(None, fixes), key=lambda fix: not fix.safe):
        words = fix.arguments
        picked = [k for k in range(1, len(words)) if words[k - 1] == "--layers"]
        rest = tuple(
            word for k, word in enumerate(words) if k not in picked and k + 1 not in picked
        )
        mine = layers.setdefault((fix.safe, bool(picked), rest), [])
        mine += [words[k] for k in picked if words[k] not in mine]
    file = f"./{path}" if path.startswith("-") else path
    for (safe, _, rest), names in layers.items():
        chosen = [word for name in names for word in ("--layers", name)]
        yield Command(["lstm-audit", "patch", file, *rest, *chosen], safe)


def quoted(word: str, ascii: bool = False) -> str:
    """A word as a shell takes it; one that a terminal must not see is written in ANSI-C quoting,
    $'\\x1b'.
    """
    from shlex import quote

    if word.isprintable() and (word.isascii() or not ascii):
        return quote(word)
    plain = "".join(
        c if c.isprintable() and (c.isascii() or not ascii) and c not in "'\\" else _bytewise(c)
        for c in word
    )
    return f"$'{plain}'"


def _bytewise(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in utf8(character))


def shell(words: Iterable[str], ascii: bool = False) -> str:
    """A command in one line."""
    return " ".join(quoted(word, ascii) for word in words)


def remedy(command: Command) -> str:
    """`Fix: lstm-audit patch ...`, with a warning where there is reason for one."""
    return (
        f"{'Fix' if command.safe else 'Fix (overwrites whatever was learned)'}: "
        f"{shell(command.words)}"
    )


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
    outside of it.
    """
    try:
        base = os.path.abspath(root)
    except FileNotFoundError:  # the working directory was deleted: nothing lies in it
        return None
    way = os.path.relpath(os.path.abspath(path), base).replace(os.sep, "/")
    return None if way == ".." or way.startswith("../") else way


# ---- bytes of other languages


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
    import json

    text = json.dumps(value, indent=indent, allow_nan=False)
    if "\\ud" in text:
        text = json.dumps(_paired(value), indent=indent, allow_nan=False)
    return text


def _paired(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list):
        return [_paired(item) for item in value]
    return {_paired(k): _paired(v) for k, v in value.items()} if isinstance(value, dict) else value
