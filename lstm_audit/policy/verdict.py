"""What a policy makes of the findings.

Comes in: findings, a `Policy`. Goes out: those that stand, at the severity that holds, and whether
one fails the run. Promise: what a policy ignores at a place is not reported there, whichever rule
found it.
"""

from collections.abc import Iterable
from typing import Any

from ..facts import SEVERITIES, Audit, Finding
from .model import (
    FAIL_ON,
    REQUIRE,
    SEVERITY,
    Place,
    Policy,
    Settings,
    covers,
    merged,
    options_at,
    overrides_for,
    reach,
)

NO_LSTM = frozenset({"gru", "rnn", "optimizer-state"})
"""Reasons to skip something that is no LSTM; all others leave an LSTM, or perhaps one, unjudged."""


def settle(findings: Iterable[Finding], policy: Policy) -> tuple[Finding, ...]:
    """The findings without those that are off where they were found, at the severities that the
    policy sets.

    `judge` asks a rule that sees a whole file once; only here is it known which layers its findings
    are about.
    """
    places: dict[str, Place] = {}
    settled = []
    for finding in findings:
        options = places.setdefault(finding.path, options_at(policy, finding.path))
        if options(finding.code, finding.module, finding.address) is not None:
            settled.append(_graded(finding, policy))
    return tuple(settled)


def _graded(finding: Finding, policy: Policy) -> Finding:
    """At the severity that the policy gives the rule at this place."""
    if not any(SEVERITY in table for settings in _all(policy) for table in settings.rules.values()):
        return finding
    fitting = [
        o for o in overrides_for(policy, finding.path) if covers(o, finding.module, finding.address)
    ]
    table: Any = merged(policy.settings, fitting).rules.get(finding.code, {})
    return finding._replace(severity=table[SEVERITY]) if SEVERITY in table else finding


def _all(policy: Policy) -> Iterable[Settings]:
    return (policy.settings, *(o.settings for o in policy.overrides))


def ignored(policy: Policy, path: str, code: str) -> bool:
    """Whether `ignore` names a rule for a whole file; a rule that is merely not selected is not
    ignored.
    """
    whole = [o for o in overrides_for(policy, path) if not o.layers]
    return reach(merged(policy.settings, whole).ignore or (), code) > 0


def lacks_lstm(audit: Audit, policy: Policy, findings: Iterable[Finding]) -> bool:
    """Whether nothing was audited: no checkpoint, or no LSTM where one is required.

    `findings` are those that no baseline knows. An empty run is never a pass for want of a
    `select`ed LA205.
    """
    if not audit.files or any(finding.code == REQUIRE for finding in findings):
        return True
    if (
        audit.rows
        or not policy.require_lstm
        or any(finding.code == REQUIRE for finding in audit.findings)
    ):
        return False
    return not all(ignored(policy, file.path, REQUIRE) for file in audit.files)


def unjudged(audit: Audit) -> int:
    """How many LSTMs, or what may be some, could not be judged; what is surely none does not
    count.
    """
    return sum(skipped.reason not in NO_LSTM for file in audit.files for skipped in file.skipped)


def fails(finding: Finding, policy: Policy) -> bool:
    """Whether a finding is at or above `fail-on`."""
    if policy.fail_on == FAIL_ON[-1]:
        return False
    return SEVERITIES.index(finding.severity) <= SEVERITIES.index(policy.fail_on)
