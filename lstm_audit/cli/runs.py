"""What `audit` and `check` share: the policy that was asked for, and the audit itself.

Comes in: what was given on the command line. Goes out: a `Policy`, an `Audit`. Promise: nothing
here needs click, whose import takes longer than an audit.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from ..errors import BadPolicy
from ..facts import Audit
from ..fleet import audit_inputs
from ..inputs import Input, Inputs
from ..pipeline import Request
from ..reports import stream_of
from ..reports.words import escape
from .forms import GivenOptions
from .options import flags_of
from .output import OPEN, ProgressLine, report_names, tell, tell_warnings

if TYPE_CHECKING:
    from ..policy.model import Policy


WHOLE = 1000
"""Inputs up to which a report holds every row; above, those of `SHORTENED` do not."""

SHORTENED = frozenset({"table", "html", "sarif"})


def list_inputs(given: GivenOptions) -> tuple[bool, Iterable[Input]]:
    """The inputs, and whether they are to be reported one by one: where each report can be written
    so, or holds no rows anyway, or where there are too many rows for it.
    """
    inputs, names = Inputs(given.paths, given.exclude), report_names(given)
    if given.resume or given.statistics:
        return True, inputs
    if not all(name in SHORTENED or stream_of(name) for name in names):
        return False, list(inputs)
    if not SHORTENED.intersection(names):
        return True, inputs
    first = list(islice(inputs, WHOLE + 1))
    return (True, inputs) if len(first) > WHOLE else (False, first)


def audit_given(given: GivenOptions, request: Request, inputs: Iterable[Input]) -> Audit:
    """The audit of the inputs, with progress on a terminal."""
    progress = ProgressLine(given.quiet)
    executor = None
    if given.dask is not None:
        from .executors import executor_of  # 10 ms, with concurrent.futures

        executor = executor_of(given)
    found = audit_inputs(list(inputs), request, given.jobs, progress, executor)
    progress.end()
    tell_warnings(found.files)
    policy = request.policy
    if request.layers or (policy is not None and policy.has_patterns):
        from ..policy.unmatched import refuse_unmatched  # 0.5 ms that only patterns need

        refuse_unmatched([found], request.layers, policy)
    for path in found.ignored_paths if given.show_ignored else ():
        tell(f"ignored: {escape(path, limit=None)}")
    return found


def read_policy_and_flags(given: GivenOptions) -> "Policy":
    """The file's policy under the flags that were given; raises `BadPolicy`."""
    from ..policy.load import load_policy  # 1 ms, which `audit` spares

    if given.config is not None and given.no_config:
        raise BadPolicy("--config and --no-config exclude each other")
    policy = load_policy(given.config, use_config=not given.no_config)
    flags = flags_of(given)
    if "select" in flags or "ignore" in flags:
        from ..catalogue import as_codes  # the rules, which a policy of numbers never needs

        for key in flags.keys() & {"select", "ignore"}:
            flags[key] = as_codes(flags[key])
    if not flags:
        return policy
    from ..policy.flags import with_flags  # 1 ms that only bounds need

    return with_flags(policy, **flags)


def draws_units(given: GivenOptions) -> bool:
    """Whether a report was asked for that shows every unit."""
    names = {given.format_name, *(name for name, _ in given.reports)}
    return "html" in names


def find_allowed_biases(policy: "Policy | None") -> tuple[float, float]:
    """The least and the most forget bias that the policy's bounds come to, for a sigmoid."""
    low, high = OPEN
    for key, to_bias in TO_BIAS.items():
        demand = policy.settings.get(f"forget.{key}") if policy else None
        if demand is None or isinstance(demand, str):
            continue
        least, most = demand.min, demand.max
        if demand.target is not None:
            slack = 0.05 if demand.tolerance is None else demand.tolerance
            least, most = demand.target - slack, demand.target + slack
        low = low if least is None else max(low, to_bias(least))
        high = high if most is None else min(high, to_bias(most))
    return low, high


def _bias_of_activation(f: float) -> float:
    return OPEN[0] if f <= 0 else OPEN[1] if f >= 1 else math.log(f / (1 - f))


def _bias_of_time_scale(steps: float) -> float:
    return OPEN[0] if steps <= 1e-3 else _bias_of_activation(math.exp(-1 / steps))


# From a bound of the policy to the bias that it means.
TO_BIAS: Mapping[str, Callable[[float], float]] = {
    "bias": float,
    "activation": _bias_of_activation,
    "time-scale": _bias_of_time_scale,
}
