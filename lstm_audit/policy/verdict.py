"""The one verdict over a run: the command line, Python, the pytest plugin and the hooks ask here.

Comes in: an `Audit` and the `Policy` it was made under. Goes out: an `Outcome`. Promise: whoever
asks gets the same answer, and what could not be read or judged is never a pass.
"""

from collections.abc import Iterable, Iterator, Sequence

from ..errors import Skipped
from ..facts import SEVERITIES, Audit, FileAudit, FileError, Finding
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
        unjudged=() if allow_skipped else tuple(find_unjudged(audit)),
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


def find_unjudged(audit: Audit) -> Iterator[Skipped]:
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


class Score(NamedTuple):
    """A verdict in numbers: how many findings fail the run, by severity (the lack of an LSTM not
    counted), what could not be read or judged, and what fixes would mend, safely or not.
    """

    failed: tuple[int, ...]
    unread: int
    unjudged: int
    empty: bool
    safe: int
    unsafe: int


def score_of(outcome: Outcome, findings: Iterable[Finding]) -> Score:
    """The numbers of a verdict over `findings`."""
    failed = [finding for finding in outcome.failures if finding.code != REQUIRE]
    fixes = [finding.fix for finding in findings if finding.fix]
    safe = sum(fix.safe for fix in fixes)
    return Score(
        tuple(sum(f.severity == severity for f in failed) for severity in SEVERITIES),
        len(outcome.unread),
        len(outcome.unjudged),
        outcome.empty,
        safe,
        len(fixes) - safe,
    )


class Running:
    """The verdict over a run whose results are not kept: `add` what came of each input; `outcome`
    has the first of each kind, `score` all in numbers.
    """

    def __init__(self, policy: Policy, allow_skipped: bool) -> None:
        self._policy, self._allow = policy, allow_skipped
        self._scores = [0] * (len(SEVERITIES) + 4)
        self._first = Outcome()
        self._some = self._enough = self._lacks = False

    def add(
        self,
        results: Iterable[FileAudit | FileError],
        new: Sequence[Finding] | None = None,
    ) -> None:
        """Everything that came of one input; `new` as in `verdict`."""
        files = tuple(r for r in results if isinstance(r, FileAudit))
        errors = tuple(r for r in results if isinstance(r, FileError))
        audit = Audit(files, errors)
        findings = audit.findings if new is None else new
        found = verdict(audit, self._policy, new=findings, allow_skipped=self._allow)
        self._some |= bool(files)
        self._lacks |= any(finding.code == REQUIRE for finding in findings)
        self._enough |= bool(files) and not _lacks_lstm(audit, self._policy, findings)
        failed, *rest = score_of(found, findings)
        numbers = [*failed, rest[0], rest[1], rest[3], rest[4]]
        self._scores = [a + b for a, b in zip(self._scores, numbers, strict=True)]
        first = self._first
        self._first = Outcome(
            first.failures or found.failures[:1] if not _fails(first) else first.failures,
            first.unread or found.unread[:1],
            first.unjudged or found.unjudged[:1],
        )
        if not _fails(self._first) and _fails(found):
            self._first = self._first._replace(failures=found.failures)

    @property
    def outcome(self) -> Outcome:
        """The verdict, with the first of what led to it."""
        return self._first._replace(empty=self._is_empty)

    @property
    def _is_empty(self) -> bool:
        """As `_lacks_lstm` of the whole run: one file with an LSTM is enough, unless one lacks it
        that must have it.
        """
        return not self._some or self._lacks or not self._enough

    @property
    def score(self) -> Score:
        """The verdict in numbers."""
        *failed, unread, unjudged, safe, unsafe = self._scores
        return Score(tuple(failed), unread, unjudged, self._is_empty, safe, unsafe)


def _fails(outcome: Outcome) -> bool:
    return any(finding.code != REQUIRE for finding in outcome.failures)
