"""The gate from Python: a verdict over files or a live model, and an assertion for training
scripts.

Comes in: anything that `audit` takes, and a policy. Goes out: `Checked`, or an `AssertionError`
that says what was measured, what was expected and what to do. Promise: the same verdict as
`lstm-audit check`.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .facts import Audit, Finding
from .fleet import Target, audit
from .policy.flags import with_flags
from .policy.load import load_policy
from .policy.model import Policy
from .policy.read import read_policy
from .policy.verdict import NO_LSTM, fails, lacks_lstm, unjudged

PolicyLike = Policy | Mapping[str, Any] | str | os.PathLike[str] | None

OPEN = {"min": float("-inf"), "max": float("inf")}


@dataclass(frozen=True, slots=True)
class Checked:
    """A verdict: the audit it is about, the policy it was held against, and the findings that fail
    it.

    `incomplete` says in a sentence why the verdict could not be reached: an unreadable input, an
    LSTM that could not be judged, or none at all.
    """

    audit: Audit
    policy: Policy
    failures: tuple[Finding, ...]
    incomplete: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing failed and nothing was left unjudged."""
        return not self.failures and not self.incomplete


def check(
    target: Target,
    policy: PolicyLike = None,
    *,
    layers: Iterable[str] = (),
    jobs: int = 1,
    **flags: Any,
) -> Checked:
    """Audit `target` and hold it against a policy.

    `policy` is a `Policy`, a mapping with the keys of the TOML, the path of a TOML file, or None
    for the defaults. `flags` override it, named as the options of the command: forget_bias,
    tolerance, min_activation, max_activation, min_time_scale, select, ignore, fail_on,
    require_lstm. Raises `BadPolicy`.
    """
    chosen = with_flags(policy_of(policy), **flags)
    result = audit(target, layers=layers, policy=chosen, jobs=jobs)
    failures = tuple(finding for finding in result.findings if fails(finding, chosen))
    return Checked(result, chosen, failures, _incomplete(result, chosen))


def policy_of(given: PolicyLike) -> Policy:
    """A policy from whatever a caller may hold."""
    if given is None:
        return Policy()
    if isinstance(given, Policy):
        return given
    if isinstance(given, Mapping):
        return read_policy(dict(given), "policy")
    return load_policy(os.fspath(given))


def _incomplete(result: Audit, policy: Policy) -> str:
    if result.errors:
        return f"{result.errors[0].path}: {result.errors[0].message}"
    if count := unjudged(result):
        skips = (skip for file in result.files for skip in file.skipped)
        first = next(skip for skip in skips if skip.reason not in NO_LSTM)
        return f"{count} could not be judged, {first.module or '(root)'} for one: {first.detail}"
    return "no LSTM was found" if lacks_lstm(result, policy, ()) else ""


def assert_forget_gate(
    target: Target,
    *,
    activation: Sequence[float] | None = None,
    bias: float | Sequence[float] | None = None,
    tolerance: float = 1e-6,
    time_scale: Sequence[float] | None = None,
    init: str | None = None,
    stat: str = "mean",
    layers: Iterable[str] = (),
) -> None:
    """Assert what every LSTM's forget gate starts at; for training scripts and tests.

    `activation` and `time_scale` are (least, most); `bias` is a value, held to `tolerance`, or
    (least, most); an infinity leaves that end open. `init` is a preset. `stat` is the statistic
    over units that is bounded: mean, std, min, max, p05, p50, p95, or "each". Raises
    AssertionError, `BadPolicy` for bounds that make no sense, `UnknownFormat` for what cannot be
    audited.
    """
    forget: dict[str, Any] = {}
    for key, bounds in (("activation", activation), ("time-scale", time_scale)):
        if bounds is not None:
            forget[key] = _between(stat, bounds)
    if isinstance(bias, Sequence):
        forget["bias"] = _between(stat, bias)
    elif bias is not None:
        forget["bias"] = {"stat": stat, "target": float(bias), "tolerance": tolerance}
    if init is not None:
        forget["init"] = init
    result = check(target, {"select": ["LA2", "LA3"], "forget": forget}, layers=layers)
    if not result.passed:
        lines = [
            f"{finding.code} {finding.address or '(root)'}: {finding.message}"
            for finding in result.failures
        ]
        raise AssertionError("\n".join([*lines, *filter(None, [result.incomplete])]))


def _between(stat: str, bounds: Sequence[float]) -> dict[str, Any]:
    """Bounds as a policy has them, where an end that is open is not named."""
    low, high = map(float, bounds)
    ends = {"min": low, "max": high}
    return {"stat": stat} | {end: value for end, value in ends.items() if value != OPEN[end]}
