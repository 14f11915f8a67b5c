"""`lstm-audit audit`: report, and never fail for what is found."""

from ..errors import BadPolicy
from ..pipeline import MAX_SECONDS, Request
from . import exits
from .forms import GivenOptions
from .output import emit
from .runs import audit_given, draws_units, find_allowed_biases, list_inputs, read_policy_and_flags

EPILOG = """\b
Examples:
  lstm-audit audit model.pt
  lstm-audit audit -f json runs/ | jq .summary
  lstm-audit audit --layers 'encoder.*' --report html=gates.html model.pt
"""


def run(given: GivenOptions) -> int:
    """Report what every LSTM's forget gate starts at.

    PATH is a checkpoint (torch in any envelope, safetensors, an index of shards), a folder, or a
    glob. Content decides what a file is, not its suffix; nothing in it is executed. The nearest
    policy says which findings are shown.

    \b
    Exit codes:
      0  reported            3  an input could not be read
      2  usage               4  no checkpoint among the inputs
    """
    request = _request(given)
    policy = request.policy
    one_by_one, inputs = list_inputs(given)
    if one_by_one:
        from .streamed import run_streaming  # 3 ms that a run of few files need not pay

        totals = run_streaming(given, request, inputs, [policy and policy.file])
        return exits.of_totals(totals)
    found = audit_given(given, request, inputs)
    emit(found, given, kept=[policy and policy.file], bounds=find_allowed_biases(policy))
    return exits.of_audit(found)


def _request(given: GivenOptions) -> Request:
    """The policy in force says what is shown, as in `check`, but nothing asks for an LSTM."""
    if not given.no_init:
        policy = read_policy_and_flags(given).having("require-lstm", False)
        return Request(
            given.layers,
            policy,
            units=draws_units(given),
            seconds=MAX_SECONDS,
            download=given.download,
        )
    if given.verify or given.config:
        raise BadPolicy("--verify and --config are about rules, and --no-init leaves the rules out")
    return Request(
        given.layers,
        numbers_only=True,
        units=draws_units(given),
        seconds=MAX_SECONDS,
        download=given.download,
    )
