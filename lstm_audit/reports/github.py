"""`github`: workflow commands that make annotations of what was found.

Comes in: an `Audit`. Goes out: a line an annotation, `::error title=...,file=...::message`; nothing
where nothing was found. Promise: ten lines at most (GitHub shows no more of a step), most severe
first, the last one saying how many more; and no name can end a line, a property or a command.
"""

from collections.abc import Iterator, Sequence

from ..facts import SEVERITIES, Audit, FileAudit, FileError, Finding
from . import Look, report
from .listings import group_findings
from .remedies import commands_for, remedy
from .words import escape, relative, say_count, show_place

SHOWN = 10
NAMED = 3
LEVELS = {"error": "error", "warning": "warning", "info": "notice"}

Said = tuple[str, str]  # severity, line


@report("github")
def github(audit: Audit, look: Look) -> str:
    """Unreadable inputs and findings; one annotation for all LSTMs of a file that a rule names."""
    said = [*_unreadable(audit.errors, look), *_findings(audit.files, look)]
    said.sort(key=lambda one: SEVERITIES.index(one[0]))
    lines = [line for _, line in said]
    if len(lines) > SHOWN:
        rest = said[SHOWN - 1 :]
        text = f"{len(rest)} more: {', '.join(_tally(rest))}. The other reports have them all."
        lines[SHOWN - 1 :] = [f"::{LEVELS[rest[0][0]]} title=lstm-audit::{text}"]
    return "".join(f"{line}\n" for line in lines)


def _tally(said: Sequence[Said]) -> Iterator[str]:
    for severity in SEVERITIES:
        n = sum(one == severity for one, _ in said)
        if n:
            yield f"{n} info" if severity == "info" else say_count(n, severity)


def _unreadable(errors: Sequence[FileError], look: Look) -> Iterator[Said]:
    for error in errors:
        place = "" if error.at is None else f"at byte {error.at}: "
        yield (
            "error",
            _line(
                "error", f"lstm-audit ({error.kind})", error.path, [f"{place}{error.message}"], look
            ),
        )


def _findings(files: Sequence[FileAudit], look: Look) -> Iterator[Said]:
    """One annotation for what a rule says in a file, with the range of its numbers."""
    found = [(group, audited) for audited in files for group in group_findings(audited.findings)]
    for group, audited in sorted(found, key=lambda one: one[0].code):
        path = group.findings[0].path
        names = list(filter(None, map(show_place, group.findings)))
        more = len(names) - NAMED
        where = ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
        texts = [f"{where}: {group.message}" if where else group.message]
        file = relative(path, look.root) or path
        texts += map(remedy, commands_for(audited, group.findings, file))
        title = f"lstm-audit ({group.code})"
        yield group.severity, _line(group.severity, title, path, texts, look, group.findings[0])


def _line(
    severity: str,
    title: str,
    path: str,
    texts: Sequence[str],
    look: Look,
    finding: Finding | None = None,
) -> str:
    """The toolkit's escapes (actions/toolkit, command.ts): % and line ends in data, also : and , in
    properties.
    """
    file = relative(path, look.root) or path
    message = "%0A".join(_data(escape(text, limit=None)) for text in texts)
    at = "" if finding is None else _position(finding)
    return f"::{LEVELS[severity]} title={_property(title)},file={_property(file)}{at}::{message}"


def _position(finding: Finding) -> str:
    """The line of source; a notebook's is of a cell, which GitHub does not know."""
    if finding.line is None or finding.cell is not None:
        return ""
    return f",line={finding.line},col={finding.column or 1}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(escape(text, limit=None)).replace(":", "%3A").replace(",", "%2C")
