"""The gate from Python: a verdict over files or a live model, and an assertion for training
scripts.

Comes in: anything that `audit` takes, and a policy. Goes out: `Checked`, or an `AssertionError`
that says what was measured, what was expected and what to do. Promise: the same verdict as
`lstm-audit check`.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import BadPolicy
from .facts import Audit, Finding
from .fleet import AuditTarget, audit
from .policy.flags import with_flags
from .policy.load import PolicyLike, make_policy
from .policy.model import Policy
from .policy.verdict import Outcome, verdict
from .step import probe as measure_cells

OPEN = {"min": float("-inf"), "max": float("inf")}


@dataclass(frozen=True, slots=True)
class Checked:
    """A verdict: the audit it is about, the policy it was held against, and what it comes to.

    It is true exactly when it passed.
    """

    audit: Audit
    policy: Policy
    outcome: Outcome

    @property
    def passed(self) -> bool:
        """Whether nothing failed and nothing was left unjudged."""
        return self.outcome.passed

    def __bool__(self) -> bool:
        return self.passed

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings at or above `fail-on`, and that no LSTM was found where one is required."""
        return self.outcome.failures

    @property
    def incomplete(self) -> str:
        """Why no verdict could be reached, in a sentence: an unreadable input, an LSTM that could
        not be judged, or none at all. Empty where there is a verdict.
        """
        return self.outcome.incomplete


def check(
    target: AuditTarget,
    policy: PolicyLike = None,
    *,
    layers: str | Iterable[str] = (),
    jobs: int = 1,
    exclude: str | Iterable[str] = (),
    allow_skipped: bool = False,
    **flags: Any,
) -> Checked:
    """Audit `target` and hold it against a policy; the result is true when it passed.

    `policy` is a `Policy`, a mapping with the keys of the TOML, the path of a TOML file, or None
    for the defaults. `flags` override it, named as the options of the command: forget_bias,
    tolerance, min_activation, max_activation, min_time_scale, select, ignore, fail_on,
    require_lstm. Raises `BadPolicy`.
    """
    chosen = with_flags(make_policy(policy), **flags)
    result = audit(target, layers=layers, policy=chosen, jobs=jobs, exclude=exclude)
    return Checked(result, chosen, verdict(result, chosen, allow_skipped=allow_skipped))


def lint(
    target: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    policy: PolicyLike = None,
    *,
    jobs: int = 1,
    markdown: bool = False,
) -> Audit:
    """What the code that initialises an LSTM makes of its forget gate, without running it.

    `target` is a source, a notebook, a folder or a glob, a list of these, or the text of a source
    (recognised by its line ends). `policy` is as in `check`. Findings have a line and a column.
    Raises `BadPolicy` for a path that does not exist, `MalformedFile` for a text that is no Python.
    """
    from .source.runs import LintRequest, lint_bytes, lint_paths  # 117 ms, which a check spares

    chosen = make_policy(policy).having("require-lstm", False)
    if isinstance(target, str) and "\n" in target:
        result = lint_bytes(target.encode("utf-8", "surrogatepass"), "<source>", "python", chosen)
        return Audit(tuple(file for file in (result.file,) if file is not None))
    paths = [target] if isinstance(target, str | os.PathLike) else target
    request = LintRequest(chosen, markdown=markdown, jobs=jobs)
    return lint_paths([os.fspath(path) for path in paths], request).audit


def _assert_probed(target: Any, activation: Sequence[float] | None) -> None:
    """What the cells of a live model do, held against the weights and the bounds."""
    low, high = activation if activation is not None else (float("-inf"), float("inf"))
    lines = []
    for one in measure_cells(target):
        where = one.module or "(root)"
        if one.activation is None:
            lines.append(f"{where}: could not be probed: {one.problem}")
        elif not one.agrees:
            lines.append(f"{where}: measured {one.activation:.4f}, by its weights {one.static:.4f}")
        elif not low <= one.activation <= high:
            lines.append(f"{where}: measured {one.activation:.4f}, not within {low:g} to {high:g}")
    if lines:
        raise AssertionError("\n".join(lines))


def assert_forget_gate(
    target: AuditTarget,
    *,
    activation: Sequence[float] | None = None,
    bias: float | Sequence[float] | None = None,
    tolerance: float = 1e-6,
    time_scale: Sequence[float] | None = None,
    init: str | None = None,
    stat: str = "mean",
    layers: str | Iterable[str] = (),
    probe: bool = False,
) -> None:
    """Assert what every LSTM's forget gate starts at; for training scripts and tests.

    `activation` and `time_scale` are (least, most); `bias` is a value, held to `tolerance`, or
    (least, most); an infinity leaves that end open. `init` is a preset. `stat` is the statistic
    over units that is bounded: mean, std, min, max, p05, p50, p95, or "each". With `probe` the
    cells of a live model take one step: what they measure must agree with the weights and, where
    these cannot be judged, keep to `activation` by itself. Raises
    AssertionError, `BadPolicy` for bounds that make no sense or none at all, `UnknownFormat` for
    what cannot be audited.
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
    if not forget:
        raise BadPolicy("nothing is asserted: give activation, bias, time_scale or init")
    if probe:
        _assert_probed(target, activation)
    allow = probe and activation is not None
    policy: dict[str, Any] = {"select": ["LA2", "LA3"], "forget": forget}
    if allow:
        policy["require-lstm"] = False
    result = check(target, policy, layers=layers, allow_skipped=allow)
    if not result.passed:
        lines = [
            f"{finding.code} {finding.address or '(root)'}: {finding.message}"
            for finding in result.failures
        ]
        raise AssertionError("\n".join([*lines, *filter(None, [result.incomplete])]))


def _between(stat: str, bounds: Sequence[float]) -> dict[str, Any]:
    """Bounds as a policy has them, where an end that is open is not named."""
    try:
        low, high = () if isinstance(bounds, str) else map(float, bounds)
    except (TypeError, ValueError):
        raise BadPolicy(
            f"two numbers are expected, the least and the most, not {bounds!r}"
        ) from None
    ends = {"min": low, "max": high}
    return {"stat": stat} | {end: value for end, value in ends.items() if value != OPEN[end]}
