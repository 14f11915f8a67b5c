"""`junit`: XML for a CI server's list of tests.

Comes in: an `Audit`, and through the `Look` the mildest severity that fails a run. Goes out: a test
suite a file, a test case an LSTM, so that what passed is seen too. Promise: well-formed XML 1.0
whatever the names are, and a case fails exactly where a finding fails the run.

A finding on one LSTM belongs to its case: in `failure` from `fail_on` up, else told in
`system-out`. Every suite has one more case, `(file)`, for what is about a module or the file as a
whole; an input that could not be read is a suite of that case alone, with an `error`. What was
skipped is a case with `skipped`. Times are 0: a report is the same in every run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..fact_json import json_number
from ..facts import SEVERITIES, Audit, FileAudit, FileError, Finding, Row
from ..lstm.layer import Identity
from . import Look, report
from .listings import rank
from .remedies import commands, remedy
from .words import PATH_LIMIT, markup, show_addresses, show_module, show_place

FILE = "(file)"
RESULTS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


@dataclass(frozen=True, slots=True)
class JunitCase:
    """One <testcase>: its name, escaped; how it ended (empty: it passed); and the elements inside,
    a line each.
    """

    name: str
    result: str
    lines: tuple[str, ...]


@report("junit")
def junit(audit: Audit, look: Look) -> str:
    """The dialect that Jenkins, GitLab and pytest share; a case's properties are written as pytest
    does.
    """
    suites = [(markup(file.path), list(_cases(file, look))) for file in audit.files]
    suites += [(markup(error.path), [_unreadable(error)]) for error in audit.errors]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    lines.append(
        f'<testsuites name="lstm-audit"{_counts([case for _, cases in suites for case in cases])}>'
    )
    for path, cases in suites:
        lines.append(f'  <testsuite name="{path}"{_counts(cases)}>')
        lines += [line for case in cases for line in _testcase(path, case)]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _counts(cases: Sequence[JunitCase]) -> str:
    numbers = {
        name: sum(case.result == result for case in cases) for name, result in RESULTS.items()
    }
    return (
        "".join(f' {name}="{n}"' for name, n in {"tests": len(cases), **numbers}.items())
        + ' time="0"'
    )


def _testcase(path: str, case: JunitCase) -> Iterator[str]:
    head = f'    <testcase classname="{path}" name="{case.name}" time="0"'
    if not case.lines:
        yield f"{head}/>"
        return
    yield f"{head}>"
    yield from (f"      {line}" for line in case.lines)
    yield "    </testcase>"


def _cases(file: FileAudit, look: Look) -> Iterator[JunitCase]:
    found: dict[Identity | None, list[Finding]] = {}
    for finding in rank(file.findings):
        found.setdefault(finding.identity, []).append(finding)
    names = show_addresses([row.lstm for row in file.rows], PATH_LIMIT)
    for row, shown in zip(file.rows, names, strict=True):
        name, own = markup(shown), found.pop(row.lstm.identity, [])
        yield _case(name, _properties(row), own, look)
    yield _case(FILE, (), rank(finding for rest in found.values() for finding in rest), look)
    for skipped in file.skipped:
        message = markup(skipped.detail or skipped.reason)
        reason = f'<skipped type="{markup(skipped.reason)}" message="{message}"/>'
        yield JunitCase(markup(show_module(skipped.module), PATH_LIMIT), "skipped", (reason,))


def _case(
    name: str, properties: tuple[str, ...], found: Sequence[Finding], look: Look
) -> JunitCase:
    """One `failure` at most, as most readers expect, with all that failed in its text."""
    failing = SEVERITIES[: SEVERITIES.index(look.fail_on) + 1] if look.fail_on in SEVERITIES else ()
    failed = [finding for finding in found if finding.severity in failing]
    lines = list(properties)
    if failed:
        code, message = markup(failed[0].code), markup(failed[0].message)
        lines.append(f'<failure type="{code}" message="{message}">{_told(failed)}</failure>')
    others = [finding for finding in found if finding not in failed]
    lines += [f"<system-out>{_told(others)}</system-out>"] if others else []
    return JunitCase(name, "failure" if failed else "", tuple(lines))


def _told(findings: Sequence[Finding]) -> str:
    """A line a finding, and a line for the command that mends it."""
    lines = []
    for f in findings:
        place = show_place(f, PATH_LIMIT)
        lines.append(f"{f.severity} {f.code} {f.name}{f' {place}' if place else ''}: {f.message}")
        lines += map(remedy, commands(f.path, [f.fix]))
    return "\n".join(map(markup, lines))


def _properties(row: Row) -> tuple[str, ...]:
    """Mean activation and median time scale of the forget gate, every digit."""
    values = {"f_mean": row.measures.activation.mean, "tau_p50": row.measures.time_scale.p50}
    parts = [
        f'<property name="{name}" value="{json_number(value)}"/>' for name, value in values.items()
    ]
    return (f"<properties>{''.join(parts)}</properties>",)


def _unreadable(error: FileError) -> JunitCase:
    message = error.message if error.at is None else f"{error.message} (at byte {error.at})"
    return JunitCase(
        FILE, "error", (f'<error type="{markup(error.kind)}" message="{markup(message)}"/>',)
    )
