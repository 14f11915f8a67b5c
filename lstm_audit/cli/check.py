"""`lstm-audit check`: the gate of a build."""

import math
from collections.abc import Sequence

from ..errors import BadPolicy
from ..facts import Audit, Finding
from ..lstm.own import Own
from ..pipeline import MAX_SECONDS, Request
from ..policy.keys import REQUIRE
from ..policy.model import Policy
from ..policy.verdict import Outcome, verdict
from ..reports.listings import tally
from ..reports.words import counted, relative
from . import exits
from .options import GivenOptions
from .output import emit
from .runs import allowed_biases, audit_given, draws_units, read_policy_and_flags

EPILOG = """\b
Examples:
  lstm-audit check --forget-bias 1 --tolerance 0.05 model.pt
  lstm-audit check --min-activation 0.7 --fail-on warning checkpoints/
  lstm-audit check --report sarif=out.sarif --report junit=out.xml *.pt
  lstm-audit check --baseline known.json --update-baseline checkpoints/
"""


def run(given: GivenOptions) -> int:
    """Report as `audit` does, and fail when the policy is broken.

    The policy is the nearest lstm-audit.toml, or [tool.lstm-audit] in a pyproject.toml, at or above
    the working directory; flags override it. Run `lstm-audit config` to see what is in force.

    \b
    Exit codes (3 before 1 before 4):
      0  pass
      1  a finding at or above --fail-on
      2  usage or configuration
      3  an input could not be read, or an LSTM not be judged
      4  no checkpoint, or no LSTM where one is required
    """
    if given.update_baseline and given.baseline is None:
        raise BadPolicy("--update-baseline needs --baseline FILE")
    _refuse_contradiction(given)
    policy = read_policy_and_flags(given)
    request = Request(
        given.layers, policy, units=draws_units(given), seconds=MAX_SECONDS, download=given.download
    )
    found, shown = _look(given, request)
    patches, uncertain = _mend(shown, given, policy.conventions)
    if patches and not given.diff:
        found, shown = _look(given, request)
    if given.baseline is not None and given.update_baseline:
        from .baseline import accept, only  # 5 ms that only a baseline needs

        accept(given.baseline, found, request)
        shown = only(found, ())
    outcome = verdict(found, policy, new=shown.findings, allow_skipped=given.allow_skipped)
    closing = describe_outcome(outcome, policy, shown.findings)
    kept, bounds = [policy.file, given.baseline], allowed_biases(policy)
    emit(shown, given, policy.fail_on, kept, closing, bounds)
    if uncertain:
        return exits.UNREADABLE
    code = exits.of_check(outcome, exit_zero=given.exit_zero)
    would = given.diff and patches and not given.exit_zero
    return exits.FINDINGS if would and code == exits.PASS else code


def _look(given: GivenOptions, request: Request) -> tuple[Audit, Audit]:
    """The audit, and the same with those findings alone that the baseline does not accept."""
    found = audit_given(given, request)
    if given.baseline is None or given.update_baseline:
        return found, found
    from .baseline import only, unaccepted  # 5 ms, as above

    return found, only(found, unaccepted(given.baseline, found, request, given.quiet))


def _mend(shown: Audit, given: GivenOptions, declared: tuple[Own, ...]) -> tuple[int, bool]:
    """Carry out, or show, the fixes that were asked for: as `fixes.mend`."""
    if not (given.fix or given.unsafe_fixes or given.diff):
        return 0, False
    from .fixes import apply_fixes  # all of patching, 20 ms

    aside = given.as_json or given.format_name != "table" or given.output is not None
    return apply_fixes(shown, given.unsafe_fixes, given.diff, aside, declared)


def _refuse_contradiction(given: GivenOptions) -> None:
    """A bias that is asked for together with an activation or a time scale that it cannot give."""
    if given.forget_bias is None:
        return
    slack = TOLERANCE if given.tolerance is None else given.tolerance
    low, high = (_activation(given.forget_bias + way * slack) for way in (-1, 1))
    least = max(given.min_activation or 0.0, _decay(given.min_time_scale))
    most = 1.0 if given.max_activation is None else given.max_activation
    if high < least or low > most:
        asked = f"at least {least:.4g}" if high < least else f"at most {most:.4g}"
        f = _activation(given.forget_bias)
        message = f"a forget bias of {given.forget_bias:g} is an activation of {f:.4g}"
        raise BadPolicy(f"the bounds contradict each other: {message}, and {asked} is asked for")


# Of a bias, unless another is given; as in LA201.
TOLERANCE = 0.05


def _activation(bias: float) -> float:
    return 1 / (1 + math.exp(-min(max(bias, -500.0), 500.0)))


def _decay(time_scale: float | None) -> float:
    """The activation of a time scale, 0 where none is asked for."""
    return math.exp(-1 / time_scale) if time_scale and time_scale > 0 else 0.0


def describe_outcome(outcome: Outcome, policy: Policy, findings: Sequence[Finding]) -> str:
    """The verdict in a line, the policy it was reached under, and what a fix would mend:
    `FAILED: 2 errors at --fail-on error · policy lstm-audit.toml · 2 fixable with --fix`.
    """
    words = [_verdict_words(outcome, policy)]
    words.append(
        f"policy {relative(policy.file) or policy.file}" if policy.file else "no policy file"
    )
    fixes = [finding.fix for finding in findings if finding.fix]
    safe = sum(fix.safe for fix in fixes)
    words += [f"{safe} fixable with --fix"] if safe else []
    words += [f"{len(fixes) - safe} with --unsafe-fixes"] if len(fixes) > safe else []
    return " · ".join(words)


def _verdict_words(outcome: Outcome, policy: Policy) -> str:
    if outcome.unread:
        return f"NOT PASSED: {counted(len(outcome.unread), 'input')} could not be read"
    if outcome.unjudged:
        return f"NOT PASSED: {counted(len(outcome.unjudged), 'LSTM')} could not be judged"
    failed = [finding for finding in outcome.failures if finding.code != REQUIRE]
    if failed:
        return f"FAILED: {', '.join(tally(failed))} at --fail-on {policy.fail_on}"
    if outcome.empty:
        return "NOT PASSED: no LSTM was found"
    return f"passed at --fail-on {policy.fail_on}"
