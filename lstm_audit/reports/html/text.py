"""The text of a page: what the rules said of each file, what was not judged, what was not read.

Comes in: a `FileAudit`, or the errors of a run. Goes out: sections. Promise: what is said of many
is said once, and what is left out is counted.
"""

from collections.abc import Iterator, Sequence

from ...facts import FileAudit, FileError
from ..listings import group_findings, tally
from ..remedies import commands_for, shell
from ..words import (
    PATH_LIMIT,
    describe_error,
    markup,
    say_count,
    show_module,
    show_place,
    size,
)
from .page import badge

LISTED = 200  # findings, skips or errors that are written out
NAMED = 12  # names that a finding lists before "and N more"
FILES = 200  # files whose text is written out


def files_html(found: Sequence[FileAudit], folded: bool) -> Iterator[str]:
    """The files that have something to say; `folded`: below their names, to be opened."""
    said = [file for file in found if file.findings or file.skipped or not file.rows]
    for file in said[:FILES]:
        yield from _fold(file) if folded else _whole(file)
    rest = len(said) - FILES
    yield f'<p class="muted">{say_count(rest, "more file")} not shown.</p>' if rest > 0 else ""


def _whole(file: FileAudit) -> Iterator[str]:
    yield f'<section><h2 class="path">{markup(file.path, PATH_LIMIT)}</h2>'
    yield f'<p class="muted">{_facts(file)}</p>'
    yield from _findings(file)
    yield from _list_skipped(file)
    yield "</section>"


def _fold(file: FileAudit) -> Iterator[str]:
    name = f'<span class="path">{markup(file.path, PATH_LIMIT)}</span>'
    if not file.findings and not file.skipped:  # nothing is below it
        yield f'<p class="file muted">{name} {_facts(file)}</p>'
        return
    yield f'<details class="file"><summary>{name} {_facts(file)}</summary>'
    yield from _findings(file)
    yield from _list_skipped(file)
    yield "</details>"


def _facts(file: FileAudit) -> str:
    parts = [
        file.format,
        size(file.bytes),
        say_count(len(file.rows), "LSTM"),
        *tally(file.findings),
    ]
    return " · ".join(map(markup, parts))


def _findings(file: FileAudit) -> Iterator[str]:
    if not file.findings:
        return
    yield '<ul class="findings">'
    groups = group_findings(file.findings)
    for group in groups[:LISTED]:
        places = list(filter(None, map(show_place, group.findings)))
        more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
        named = ", ".join(places[:NAMED]) + more
        place = f' <span class="path">{markup(named, PATH_LIMIT)}</span>' if places else ""
        times = f" ×{len(group.findings)}" if len(group.findings) > 1 else ""
        yield f'<li class="{group.severity}"><p>{badge(group.severity)}<b>{markup(group.code)}</b>{times} {markup(group.name)}{place}</p>'
        yield f"<p>{markup(group.message, PATH_LIMIT)}</p>"
        for words, safe in commands_for(file, group.findings):
            risk = "" if safe else '<p class="muted">Overwrites whatever was learned:</p>'
            yield f'{risk}<pre class="fix">{markup(shell(words))}</pre>'
        yield "</li>"
    yield "</ul>"
    rest = sum(len(group.findings) for group in groups[LISTED:])
    yield f'<p class="muted">{say_count(rest, "more finding")} not shown.</p>' if rest else ""


def _list_skipped(file: FileAudit) -> Iterator[str]:
    if not file.skipped:
        return
    yield f"<details><summary>{len(file.skipped)} not judged</summary><ul>"
    for s in file.skipped[:LISTED]:
        why = markup(s.detail or s.reason, PATH_LIMIT)
        yield f'<li><span class="path">{markup(show_module(s.module), 200)}</span>: {why} ({markup(s.reason)})</li>'
    yield "</ul></details>"


def unreadable(errors: Sequence[FileError]) -> Iterator[str]:
    """Equal errors (a folder of pointers that were not pulled) are said once."""
    if not errors:
        return
    yield f"<section><h2>{say_count(len(errors), 'input')} could not be read</h2>"
    yield '<ul class="findings">'
    paths: dict[str, list[str]] = {}
    for error in errors:
        paths.setdefault(describe_error(error), []).append(error.path)
    for message, alike in list(paths.items())[:LISTED]:
        more = f" and {len(alike) - NAMED} more" if len(alike) > NAMED else ""
        named = markup(", ".join(alike[:NAMED]), PATH_LIMIT) + more
        head = f'{badge("error")}<span class="path">{named}</span>'
        yield f'<li class="error"><p>{head}</p><p>{markup(message, PATH_LIMIT)}</p></li>'
    yield "</ul></section>"
