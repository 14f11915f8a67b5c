"""`lstm-audit check`: the gate of a build."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import BadPolicy
from ..facts import Audit, Finding
from ..inputs import Input
from ..lstm.own import Own
from ..pipeline import MAX_SECONDS, Request
from ..policy.model import Policy
from ..policy.verdict import Outcome, Running, Score, score_of, verdict
from ..reports.listings import tally_words
from ..reports.words import relative, say_count
from . import exits
from .forms import GivenOptions
from .options import FIXES, VERDICT
from .output import emit
from .runs import audit_given, draws_units, find_allowed_biases, list_inputs, read_policy_and_flags

if TYPE_CHECKING:
    from ..accepting import Accepting, Holding

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
    one_by_one, inputs = list_inputs(given)
    if one_by_one and not _needs_all(given):
        return _check_one_by_one(given, request, policy, inputs)
    inputs = list(inputs)
    found, shown = _look(given, request, inputs)
    patches, uncertain = _mend(shown, given, policy.conventions)
    if patches and not given.diff:
        found, shown = _look(given, request, inputs)
    if given.baseline is not None and given.update_baseline:
        from ..accepting import accept, only  # 5 ms that only a baseline needs

        accept(given.baseline, found, request)
        shown = only(found, ())
    outcome = verdict(found, policy, new=shown.findings, allow_skipped=given.allow_skipped)
    closing = describe_outcome(outcome, policy, shown.findings)
    kept, bounds = [policy.file, given.baseline], find_allowed_biases(policy)
    emit(shown, given, policy.fail_on, kept, closing, bounds)
    if uncertain:
        return exits.UNREADABLE
    code = exits.of_check(outcome, exit_zero=given.exit_zero)
    would = given.diff and patches and not given.exit_zero
    return exits.FINDINGS if would and code == exits.PASS else code


def _needs_all(given: GivenOptions) -> bool:
    """Whether the findings of all files are looked at together; then none can be forgotten."""
    whole = [row for row in (*VERDICT[:2], *FIXES) if getattr(given, row.name)]
    if whole and given.resume:
        raise BadPolicy(f"--resume and {whole[0].spellings[-1]} exclude each other")
    return any(row in FIXES for row in whole)


def _check_one_by_one(
    given: GivenOptions, request: Request, policy: Policy, inputs: Iterable[Input]
) -> int:
    from .streamed import run_streaming  # 3 ms that a check of few files need not pay

    running = Running(policy, given.allow_skipped)
    holding = _open_baseline(given, request)

    def close() -> str:
        if holding is not None:
            from .baseline import tell_held  # the same

            holding.finish()
            tell_held(holding.known, holding.stale, holding.elsewhere, given.quiet)
        return describe_score(running.score, policy)

    kept = [policy.file, given.baseline]
    run_streaming(given, request, inputs, kept, policy.fail_on, running, close, holding)
    return exits.of_check(running.outcome, exit_zero=given.exit_zero)


def _open_baseline(given: GivenOptions, request: Request) -> "Accepting | Holding | None":
    """What holds a run against the baseline, or accepts it into one; None where none is given."""
    if given.baseline is None:
        return None
    from ..accepting import Accepting, Holding  # 5 ms that only a baseline needs

    return (Accepting if given.update_baseline else Holding)(given.baseline, request)


def _look(given: GivenOptions, request: Request, inputs: Sequence[Input]) -> tuple[Audit, Audit]:
    """The audit, and the same with those findings alone that the baseline does not accept."""
    found = audit_given(given, request, inputs)
    if given.baseline is None or given.update_baseline:
        return found, found
    from ..accepting import only  # 5 ms, as above
    from .baseline import find_unaccepted  # the same

    return found, only(found, find_unaccepted(given.baseline, found, request, given.quiet))


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
    return describe_score(score_of(outcome, findings), policy)


def describe_score(score: Score, policy: Policy) -> str:
    """The last line of a check whose verdict is known in numbers: outcome, policy, fixes."""
    words = [_verdict_words(score, policy)]
    words.append(
        f"policy {relative(policy.file) or policy.file}" if policy.file else "no policy file"
    )
    words += [f"{score.safe} fixable with --fix"] if score.safe else []
    words += [f"{score.unsafe} with --unsafe-fixes"] if score.unsafe else []
    return " · ".join(words)


def _verdict_words(score: Score, policy: Policy) -> str:
    missing = [f"{say_count(score.unread, 'input')} could not be read"] if score.unread else []
    if score.unjudged:
        missing.append(f"{say_count(score.unjudged, 'LSTM')} could not be judged")
    failed = f"{', '.join(tally_words(score.failed))} at --fail-on {policy.fail_on}"
    if missing:  # before the failures, as in the exit code
        return f"NOT PASSED: {', '.join([*missing, *([failed] if any(score.failed) else [])])}"
    if any(score.failed):
        return f"FAILED: {failed}"
    if score.empty:
        return "NOT PASSED: no LSTM was found"
    return f"passed at --fail-on {policy.fail_on}"
