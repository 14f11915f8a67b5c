"""Listings that several formats share: findings in their order, what a run amounts to, a
distribution.

Comes in: an `Audit` or its findings. Goes out: lists and short texts. Promise: the most severe
comes first, and what was not judged is counted.
"""

from collections.abc import Iterable, Sequence

from ..facts import SEVERITIES, Audit, Finding
from .words import counted


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
