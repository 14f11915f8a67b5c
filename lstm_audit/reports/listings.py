"""Listings that several formats share: findings in their order, what a run amounts to, a
distribution.

Comes in: an `Audit` or its findings. Goes out: lists and short texts. Promise: the most severe
comes first, and what was not judged is counted.
"""

import math
import re
from collections.abc import Iterable, Sequence

from ..facts import SEVERITIES, SOURCE_FORMATS, Audit, Finding
from ..lstm.layer import Identity
from ..tuples import NamedTuple
from .words import NOTHING_READ, say_count


def summarise_run(audit: Audit) -> list[str]:
    """The parts of the one line that closes a report: files, LSTMs, findings, and whatever was not
    judged.
    """
    lstms, files = len(audit.rows), len(audit.files)
    if is_lint(audit):
        parts = [
            say_count(files, "source")
            if files
            else f"no LSTM in {say_count(audit.sources, 'source')}"
        ]
    elif lstms:
        parts = [say_count(files, "file"), say_count(lstms, "LSTM")]
    else:
        parts = [f"no LSTM found in {say_count(files, 'file')}" if files else NOTHING_READ]
    parts += tally(audit.findings)
    skipped = sum(len(file.skipped) for file in audit.files)
    parts += [f"{skipped} skipped"] if skipped else []
    parts += [f"{len(audit.errors)} unreadable"] if audit.errors else []
    others = audit.ignored if files or not audit.sources else 0
    parts += [f"{say_count(others, 'other file')} ignored"] if others else []
    return parts


def is_lint(audit: Audit) -> bool:
    """Whether it is source that was looked at, and no checkpoint."""
    known = all(file.format in SOURCE_FORMATS for file in audit.files)
    return known and bool(audit.files or audit.sources)


def tally(findings: Sequence[Finding]) -> list[str]:
    """`2 errors`, `1 warning`, `3 info`: what there is, most severe first."""
    return tally_words([sum(f.severity == severity for f in findings) for severity in SEVERITIES])


def tally_words(numbers: Sequence[int]) -> list[str]:
    """Counts by severity in words, most severe first: `1 error`, `2 warnings`."""
    pairs = zip(SEVERITIES, numbers, strict=True)
    return [
        f"{n} info" if severity == "info" else say_count(n, severity) for severity, n in pairs if n
    ]


def rank(findings: Iterable[Finding]) -> list[Finding]:
    """Most severe first, then by code; equals stay in the order of the report."""
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.code))


class FindingGroup(NamedTuple):
    """What one rule says in one file, of however many LSTMs: one message, with the ranges of its
    numbers.
    """

    code: str
    name: str
    severity: str
    message: str
    findings: tuple[Finding, ...]


def group_findings(findings: Iterable[Finding], each: bool = False) -> list[FindingGroup]:
    """The findings of one file by rule and severity, most severe first; `each`: by message too, so
    that every number is said.
    """
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in rank(findings):
        line = str((finding.cell, finding.line))  # what stands in source is said for each line
        key = (finding.severity, finding.code, line, *([finding.message] if each else []))
        groups.setdefault(key, []).append(finding)
    return [
        FindingGroup(
            g[0].code, g[0].name, g[0].severity, join_messages([f.message for f in g]), tuple(g)
        )
        for g in groups.values()
    ]


# A number of a message; digits in a name (bias_ih_l0, layers.0.lstm) are none.
NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w]|\.\d)"


def join_messages(messages: Sequence[str]) -> str:
    """One message for several that differ in their numbers: each number becomes its range.

    Where they differ in words too, the most frequent wording speaks, and the others are counted.
    """
    if len(set(messages)) == 1:
        return messages[0]
    wordings: dict[tuple[str, ...], list[str]] = {}
    for message in messages:
        wordings.setdefault(tuple(re.split(NUMBER, message)), []).append(message)
    words, alike = max(wordings.items(), key=lambda item: len(item[1]))
    numbers = zip(*(re.findall(NUMBER, message) for message in alike), strict=True)
    ranges = [*map(_range, numbers), ""]
    text = "".join(word + extent for word, extent in zip(words, ranges, strict=True))
    rest = len(messages) - len(alike)
    return f"{text} ({rest} more in other words; --verbose has them)" if rest else text


def _range(numbers: Sequence[str]) -> str:
    """`0.48 to 0.52`, in the digits that were written."""
    least, most = min(numbers, key=float), max(numbers, key=float)
    return least if float(least) == float(most) else f"{least} to {most}"


def worst_of(findings: Iterable[Finding]) -> dict[Identity, str]:
    """The severest word on each LSTM; ranked backwards, so that it is written last."""
    return {f.identity: f.severity for f in reversed(rank(findings)) if f.identity}


# ---- many files


def extent_of(values: Sequence[float]) -> tuple[float, float]:
    """The least and the most of the numbers among some values; NaN twice where there is none."""
    numbers = [value for value in values if value == value] or [math.nan]
    return min(numbers), max(numbers)


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
