"""Exit codes, and which one wins when several hold.

Comes in: an `Audit`, or the `Outcome` of a check. Goes out: a number. Promise: an unreadable input
(3) is never hidden by a finding (1), nor a finding by an empty run (4).
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..facts import Audit, Totals
from .output import tell

if TYPE_CHECKING:
    from ..policy.verdict import Outcome

PASS = 0
FINDINGS = 1
USAGE = 2
UNREADABLE = 3
NOTHING = 4

INTERRUPTED = 130
# As a shell calls a process that SIGINT or SIGPIPE ended: 128 and the signal's number.
PIPE_CLOSED = 141

MEANING = {
    PASS: "pass",
    FINDINGS: "findings at or above --fail-on; or a patch would change something (--check, --diff)",
    USAGE: "usage or configuration",
    UNREADABLE: "an input could not be read or judged",
    NOTHING: "nothing audited: no checkpoint among the inputs, or no LSTM where one is required",
}


@contextmanager
def end_from_outside() -> Iterator[None]:
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


def of_totals(totals: Totals) -> int:
    """The code of an audit of which only the totals are known."""
    if totals.unreadable:
        return UNREADABLE
    return PASS if totals.files else NOTHING


def of_check(outcome: "Outcome", *, exit_zero: bool = False) -> int:
    """The code of `check`; `exit_zero` turns 1 into 0 and nothing else."""
    code = {"passed": PASS, "failed": FINDINGS, "unread": UNREADABLE, "empty": NOTHING}
    return PASS if exit_zero and outcome.state == "failed" else code[outcome.state]
