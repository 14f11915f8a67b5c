"""Exit codes, and which one wins when several hold.

Comes in: an `Audit`. Goes out: a number. Promise: an unreadable input (3) is never hidden by a
finding (1), nor a finding by an empty run (4).
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..facts import Audit, Finding
from .output import tell

if TYPE_CHECKING:
    from ..policy.model import Policy

PASS = 0
FINDINGS = 1
USAGE = 2
UNREADABLE = 3
NOTHING = 4

INTERRUPTED = 130
PIPE_CLOSED = 141
"""As a shell calls a process that SIGINT or SIGPIPE ended: 128 and the signal's number."""

MEANING = {
    PASS: "pass",
    FINDINGS: "findings at or above --fail-on; or a patch would change something (--check, --diff)",
    USAGE: "usage or configuration",
    UNREADABLE: "an input could not be read or judged",
    NOTHING: "nothing audited: no checkpoint among the inputs, or no LSTM where one is required",
}


@contextmanager
def ended_from_outside() -> Iterator[None]:
    """Ctrl-C, and a reader of stdout that has seen enough, end the program with their codes."""
    try:
        yield
    except KeyboardInterrupt:
        tell("\nInterrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        abandon_stdout()
        sys.exit(PIPE_CLOSED)


def abandon_stdout() -> None:
    """What is still buffered for a stdout that takes no more would fail once more when the
    interpreter ends.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def of_audit(audit: Audit) -> int:
    """The code of `audit`, which reports and never fails for a finding."""
    if audit.errors:
        return UNREADABLE
    return PASS if audit.files else NOTHING


def of_check(
    audit: Audit,
    policy: "Policy",
    new: Sequence[Finding] | None = None,
    *,
    allow_skipped: bool = False,
    exit_zero: bool = False,
) -> int:
    """The code of `check`: 3 before 1 before 4.

    `new` are the findings that no baseline knows (all of them, without one). A missing LSTM (LA205)
    is 4 and never 1, whatever `fail-on` says; `exit_zero` turns 1 into 0 and nothing else.
    """
    from ..policy.model import REQUIRE
    from ..policy.verdict import fails, lacks_lstm, unjudged

    findings = audit.findings if new is None else new
    if audit.errors or (unjudged(audit) and not allow_skipped):
        return UNREADABLE
    if any(fails(finding, policy) for finding in findings if finding.code != REQUIRE):
        return PASS if exit_zero else FINDINGS
    return NOTHING if lacks_lstm(audit, policy, findings) else PASS
