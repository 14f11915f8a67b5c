"""`lstm-audit check`: the gate of a build."""

from ..errors import BadPolicy
from ..pipeline import MAX_SECONDS, Request
from ..policy.verdict import verdict
from . import exits
from .options import Given
from .output import emit
from .runs import audit_given, policy_of

EPILOG = """\b
Examples:
  lstm-audit check --forget-bias 1 --tolerance 0.05 model.pt
  lstm-audit check --min-activation 0.7 --fail-on warning checkpoints/
  lstm-audit check --report sarif=out.sarif --report junit=out.xml *.pt
  lstm-audit check --baseline known.json --update-baseline checkpoints/
"""


def run(given: Given) -> int:
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
    policy = policy_of(given)
    request = Request(given.layers, policy, seconds=MAX_SECONDS)
    found = shown = audit_given(given, request)
    if given.baseline is not None:
        from .baseline import accept, only, unaccepted

        if given.update_baseline:
            accept(given.baseline, found, request)
            shown = only(found, ())
        else:
            shown = only(found, unaccepted(given.baseline, found, request, given.quiet))
    emit(shown, given, policy.fail_on, kept=[policy.file, given.baseline])
    outcome = verdict(found, policy, new=shown.findings, allow_skipped=given.allow_skipped)
    return exits.of_check(outcome, exit_zero=given.exit_zero)
