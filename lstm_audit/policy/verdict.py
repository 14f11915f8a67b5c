"""The one verdict over a run: the command line, Python, the pytest plugin and the hooks ask here.

Comes in: an `Audit` and the `Policy` it was made under. Goes out: an `Outcome`. Promise: whoever
asks gets the same answer, and what could not be read or judged is never a pass.
"""

from collections.abc import Iterator, Sequence

from ..errors import Skipped
from ..facts import SEVERITIES, Audit, FileError, Finding
from ..tuples import NamedTuple
from .keys import FAIL_ON, REQUIRE
from .model import Policy
from .table import of_whole_file, reach

# Reasons to skip something that is no LSTM; all others leave an LSTM, or perhaps one, unjudged.
NO_LSTM = frozenset({"gru", "rnn", "optimizer-state"})

PASSED, FAILED, UNREAD, EMPTY = "passed", "failed", "unread", "empty"


# One verdict for the command, Python, the plugin and the hook: they differ in how they show it, and
# not in what it is. Precedence is fixed here: a run that did not see everything is `unread` before
# anything else is said, since "no findings" of it would be a false pass.
class Outcome(NamedTuple):
    """What a run comes to.

    `failures` are the findings at or above `fail-on`, and every LA205, whatever `fail-on` says.
    `unread` and `unjudged` are the inputs that could not be read and what may be an LSTM and could
    not be judged. `empty`: nothing was audited, or no LSTM where one is required.
    """

    failures: tuple[Finding, ...] = ()
    unread: tuple[FileError, ...] = ()
    unjudged: tuple[Skipped, ...] = ()
    empty: bool = False

    def __repr__(self) -> str:
        return f"<Outcome: {self.state}, {len(self.failures)} failures>"

    @property
    def state(self) -> str:
        """`unread` before `failed` before `empty` before `passed`."""
        if self.unread or self.unjudged:
            return UNREAD
        if any(finding.code != REQUIRE for finding in self.failures):
            return FAILED
        return EMPTY if self.empty else PASSED

    @property
    def passed(self) -> bool:
        """Whether nothing failed and nothing was left unjudged."""
        return self.state == PASSED

    @property
    def incomplete(self) -> str:
        """Why there is no verdict, in a sentence; empty where there is one."""
        if self.unread:
            return f"{self.unread[0].path}: {self.unread[0].message}"
        if self.unjudged:
            first = self.unjudged[0]
            where = first.module or "(root)"
            return f"{len(self.unjudged)} could not be judged, {where} for one: {first.detail}"
        return "no LSTM was found" if self.empty and not self.failures else ""


def verdict(
    audit: Audit,
    policy: Policy,
    *,
    new: Sequence[Finding] | None = None,
    allow_skipped: bool = False,
) -> Outcome:
    """Hold a run against its policy; `new` are the findings that no baseline knows (None: all)."""
    findings = audit.findings if new is None else new
    return Outcome(
        failures=tuple(f for f in findings if f.code == REQUIRE or fails(f, policy)),
        unread=audit.errors,
        unjudged=() if allow_skipped else tuple(unjudged(audit)),
        empty=_lacks_lstm(audit, policy, findings),
    )


def _lacks_lstm(audit: Audit, policy: Policy, findings: Sequence[Finding]) -> bool:
    """Whether nothing was audited: no checkpoint, or no LSTM where one is required.

    `findings` are those that no baseline knows. An empty run is never a pass for want of a
    `select`ed LA205.
    """
    if not audit.files or any(finding.code == REQUIRE for finding in findings):
        return True
    accepted = any(finding.code == REQUIRE for finding in audit.findings)
    if audit.rows or accepted or not policy.require_lstm:
        return False
    return not all(_ignores(policy, file.path, REQUIRE) for file in audit.files)


def _ignores(policy: Policy, path: str, code: str) -> bool:
    """Whether `ignore` names a rule for a whole file; a rule that is merely not selected is not
    ignored.
    """
    return reach(of_whole_file(policy, path)["ignore"], code) > 0


def unjudged(audit: Audit) -> Iterator[Skipped]:
    """The LSTMs, or what may be some, that could not be judged; what is surely none does not
    count.
    """
    for file in audit.files:
        yield from (skip for skip in file.skipped if skip.reason not in NO_LSTM)


def fails(finding: Finding, policy: Policy) -> bool:
    """Whether a finding is at or above `fail-on`."""
    if policy.fail_on == FAIL_ON[-1]:
        return False
    return SEVERITIES.index(finding.severity) <= SEVERITIES.index(policy.fail_on)
