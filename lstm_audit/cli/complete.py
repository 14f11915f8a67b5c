"""What a shell offers after the Tab key.

Comes in: the words typed so far, as click parsed them. Goes out: completions. Promise: never a
message and never a traceback; where nothing can be offered, nothing is.
"""

from collections.abc import Iterable, Iterator
from os.path import isfile
from typing import TYPE_CHECKING

import click

from ..errors import AuditError
from ..policy.keys import FAIL_ON
from ..reports import REPORTS
from ..rules import RULES

if TYPE_CHECKING:  # a module that only a Tab key needs
    from click.shell_completion import CompletionItem  # 0.7 ms that only a Tab key needs

# Files that are opened for their LSTMs' names: a Tab key must answer at once.
MOST_FILES = 4


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Whatever the shell itself offers for a file."""
    from click.shell_completion import CompletionItem  # 0.7 ms that only a Tab key needs

    return [CompletionItem(incomplete, type="file")]


def reports(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """`FORMAT=`; the file behind it is the shell's."""

    return _starting(incomplete, ((f"{name}=", None) for name in sorted(REPORTS)))


def severities(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """What --fail-on takes."""

    return _starting(incomplete, ((name, None) for name in FAIL_ON))


def rules(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Codes, or names where one was begun."""

    catalogue = sorted(RULES.values(), key=lambda rule: rule.code)
    named = [(rule.name, rule.code) for rule in catalogue] if incomplete[:1].islower() else []
    return _starting(incomplete, [(rule.code, rule.name) for rule in catalogue]) or _starting(
        incomplete, named
    )


def selectors(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Families and codes, behind the last comma."""

    before, comma, word = incomplete.rpartition(",")
    catalogue = sorted(RULES.values(), key=lambda rule: rule.code)
    families = {rule.code[:3]: f"every rule {rule.code[:3]}.." for rule in catalogue}
    offered = _starting(word, [*families.items(), *((rule.code, rule.name) for rule in catalogue)])
    for item in offered:
        item.value = before + comma + item.value
    return offered


def presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """The named initialisations; one that takes arguments ends in a colon."""
    from ..lstm.presets import PRESETS  # 8 ms that only --preset needs

    return _starting(
        incomplete, ((p.name + ":" * bool(p.parameters), p.formula) for p in PRESETS.values())
    )


def layers(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Addresses and modules of the LSTMs in the files that stand on the line, as globs that match
    just those.
    """
    given = [ctx.params.get(name) for name in ("paths", "a", "b")]
    paths = [
        path for value in given for path in ((value,) if isinstance(value, str) else value or ())
    ]
    paths += (
        ctx.args
    )  # all of them, where click's parser gave up at an option that still lacks its value
    found = dict.fromkeys(name for path in paths[:MOST_FILES] for name in _addresses(path))
    return _starting(incomplete, ((name, None) for name in found))


def _addresses(path: str) -> Iterator[str]:
    from glob import escape  # 0.5 ms that only layers' names need

    from ..pipeline import Request, audit_file  # 8 ms that only layers' names need

    if not isfile(path):
        return
    try:
        rows = audit_file(path, Request(numbers_only=True)).rows
    except (AuditError, OSError):
        return
    for row in rows:
        for name in (row.lstm.module or "(root)", row.lstm.address):
            if name.isprintable():
                yield escape(name)


def _starting(incomplete: str, offered: Iterable[tuple[str, str | None]]) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem  # 0.7 ms that only a Tab key needs

    return [
        CompletionItem(value, help=text)
        for value, text in offered
        if value.lower().startswith(incomplete.lower())
    ]
