"""The gate from Python: a verdict over files or a live model, and an assertion for training
scripts.

Comes in: anything that `audit` takes, and a policy. Goes out: `Checked`, or an `AssertionError`
that says what was measured, what was expected and what to do. Promise: the same verdict as
`lstm-audit check`.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsFloat, TypedDict, Unpack

from .errors import BadPolicy
from .facts import Audit, FileError, Finding
from .fleet import AuditTarget, audit
from .pipeline import Request
from .policy.flags import with_flags
from .policy.globs import patterns_of
from .policy.load import PolicyLike, make_policy
from .policy.model import Policy
from .policy.verdict import Outcome, verdict
from .result import Result
from .signatures import write_signature
from .step import probe as measure_cells

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from .accepting import Hold
    from .patching.api import Patched


# `bool(checked)` is whether it passed. An object that is always true would let `assert
# check(model)` pass for every model, which is what people write.
@dataclass(frozen=True, slots=True, repr=False)
class Checked(Result, view="checked"):
    """A verdict: the audit it is about, the policy it was held against, and what it comes to.

    It is true exactly when it passed. Of a baseline, `accepted` are the findings that it hides,
    and `stale` the keys that it holds for nothing. `patched` is what the fixes changed, or under
    `dry_run` would (None: none were asked for); `refused` are those that could not be carried out.
    """

    audit: Audit
    policy: Policy
    outcome: Outcome
    accepted: tuple[Finding, ...] = ()
    stale: tuple[str, ...] = ()
    patched: "Patched | None" = None
    refused: tuple[FileError, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed and nothing was left unjudged."""
        return self.outcome.passed

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        said = f"{self.outcome.state}, {len(self.failures)} failures, {len(self.audit)} LSTMs"
        return f"<Checked: {said}>"

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


class ForgetBounds(TypedDict, total=False):
    """What can be demanded of a forget gate, by the same names everywhere; None is not given.

    `forget_bias` is the effective bias, give or take `tolerance`; the rest are its bounds, those of
    the activation and of the time scale in steps; `init` is a preset; `stat` is the statistic over
    units that is bounded: mean, std, min, max, p05, p50, p95, or "each". `activation`, `bias` and
    `time_scale` are a short form: (least, most), an infinity leaving that end open; or one `bias`.
    """

    forget_bias: float | None
    tolerance: float | None
    min_bias: float | None
    max_bias: float | None
    min_activation: float | None
    max_activation: float | None
    min_time_scale: float | None
    max_time_scale: float | None
    init: str | None
    stat: str | None
    activation: Sequence[float] | None
    bias: float | Sequence[float] | None
    time_scale: Sequence[float] | None


class Flags(ForgetBounds, total=False):
    """The options of `lstm-audit check`, as keywords."""

    select: str | Iterable[str] | None
    ignore: str | Iterable[str] | None
    fail_on: str | None
    require_lstm: bool | None
    verify: bool | None


# The order matters with fixes and a baseline together: accepted findings are hidden before anything
# is mended, so that a fix is not applied to what was accepted; then the files are looked at again,
# and the verdict is about what is on disk now.
def check(
    target: AuditTarget,
    policy: PolicyLike = None,
    *,
    layers: str | Iterable[str] = (),
    jobs: int = 1,
    exclude: str | Iterable[str] = (),
    allow_skipped: bool = False,
    units: bool = False,
    executor: "Executor | None" = None,
    download: bool = False,
    baseline: str | os.PathLike[str] | None = None,
    update_baseline: bool = False,
    fix: bool = False,
    unsafe_fixes: bool = False,
    dry_run: bool = False,
    **flags: Unpack[Flags],
) -> Checked:
    """Audit `target` and hold it against a policy; the result is true when it passed.

    `policy` is a `Policy`, a mapping with the keys of the TOML, the path of a TOML file, or None
    for the defaults. Flags override it, named as the options of the command: `forget_bias`, give or
    take `tolerance`, `min_bias`, `max_bias`, `min_activation`, `max_activation`, `min_time_scale`,
    `max_time_scale`, `init`, the `stat` of these bounds, `select`, `ignore`, `fail_on`,
    `require_lstm`, `verify`; and the short forms of `assert_forget_gate`: `activation` and
    `time_scale` as (least, most), `bias` as a value or (least, most). `layers`, `jobs`, `exclude`,
    `units`, `executor` and `download` are as in `audit`.

    `baseline` is a file of accepted findings; with `update_baseline` those of this run are written
    into it. `fix` patches the files where nothing learned is lost, each with its undo record, and
    looks again; `unsafe_fixes` does the others too; under `dry_run` nothing is written, and
    `Checked.patched` says what would be. A model is patched by `lstm_audit.patch`.

    Raises `BadPolicy`, what `audit` raises, and `Unreadable` where the disk would not confirm a
    patch.
    """
    chosen = with_flags(make_policy(policy), **_as_flags({**flags}))
    fixes = fix or unsafe_fixes
    _refuse_senseless(baseline, update_baseline, fixes, dry_run)

    def look() -> Audit:
        return audit(
            target,
            layers=layers,
            policy=chosen,
            units=units,
            jobs=jobs,
            executor=executor,
            exclude=exclude,
            download=download,
        )

    found, patched, refused = look(), None, tuple[FileError, ...]()
    held: Hold = show_all
    if baseline is not None:
        from .accepting import hold_against  # 5 ms that only a baseline needs

        request = Request(patterns_of(layers), chosen)
        held = hold_against(os.fspath(baseline), request, update_baseline)
    if fixes:
        from .fixing import mend_files  # all of patching, 20 ms, which a check spares

        shown = held(found, False)[0]
        patched, refused = mend_files(target, shown, unsafe_fixes, dry_run, chosen.conventions)
        found = look() if patched.changed else found
    shown, accepted, stale = held(found, True)
    outcome = verdict(found, chosen, new=shown.findings, allow_skipped=allow_skipped)
    return Checked(shown, chosen, outcome, accepted, stale, patched, refused)


def show_all(found: Audit, last: bool) -> tuple[Audit, tuple[Finding, ...], tuple[str, ...]]:
    """Without a baseline nothing is accepted."""
    return found, (), ()


def _refuse_senseless(baseline: object, update_baseline: bool, fixes: bool, dry_run: bool) -> None:
    """Raise `BadPolicy` for keywords that mean nothing together."""
    if update_baseline and baseline is None:
        raise BadPolicy("update_baseline needs baseline, the file that is written")
    if dry_run and not fixes:
        raise BadPolicy("dry_run is for fix and unsafe_fixes: give one of them")


# The flags of which the short forms are made.
PAIRS = {
    "activation": ("min_activation", "max_activation"),
    "bias": ("min_bias", "max_bias"),
    "time_scale": ("min_time_scale", "max_time_scale"),
}


def _as_flags(given: dict[str, Any]) -> dict[str, Any]:
    """The keywords with their short forms written out; raises `BadPolicy` for one said twice."""
    flags = {name: value for name, value in given.items() if value is not None}
    for name, ends in PAIRS.items():
        if name not in flags:
            continue
        value = flags.pop(name)
        if name == "bias" and isinstance(value, SupportsFloat):
            long = {"forget_bias": _read_bias(value)}
        else:
            long = _between(name, ends, value)
        if twice := sorted({*long} & {*flags}):
            raise BadPolicy(f"{name} and {twice[0]} say the same: give one of them")
        flags |= long
    return flags


def _read_bias(value: SupportsFloat) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:  # a tensor or an array of several numbers
        raise BadPolicy(f"bias: a number, or two, are expected, not {value!r}: {error}") from None


def _between(name: str, ends: tuple[str, str], bounds: Any) -> dict[str, float]:
    """(least, most) as two flags, where an end that is open is not named."""
    try:
        low, high = map(float, () if isinstance(bounds, str | bytes) else bounds)
    except (TypeError, ValueError):
        message = f"{name}: two numbers are expected, the least and the most, not {bounds!r}"
        raise BadPolicy(f"{message}; {ends[0]} or {ends[1]} is one of them") from None
    if low > high:
        raise BadPolicy(f"{name}: the least, {low:g}, is above the most, {high:g}")
    pairs = zip(ends, (low, high), (float("-inf"), float("inf")), strict=True)
    return {end: value for end, value, open_end in pairs if value != open_end}


def _assert_probed(target: Any, low: float, high: float) -> None:
    """What the cells of a live model do, held against the weights and the bounds."""
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


# What an assertion of a bias allows for rounding.
EXACT = 1e-6


def assert_forget_gate(
    target: AuditTarget,
    *,
    layers: str | Iterable[str] = (),
    probe: bool = False,
    **bounds: Unpack[ForgetBounds],
) -> None:
    """Assert what every LSTM's forget gate starts at; for training scripts and tests.

    `activation` and `time_scale` are (least, most); `bias` is a value, held to `tolerance` (1e-6
    unless given), or (least, most); an infinity leaves that end open. The bounds of `check` are
    known by their names too: `forget_bias`, `min_activation` and the like. `init` is a preset.
    `stat` is the statistic over units that is bounded: mean (unless given), std, min, max, p05,
    p50, p95, or "each". With `probe` the cells of a live model take one step: what they measure
    must agree with the weights and, where these cannot be judged, keep to the bounds of the
    activation by itself. Raises AssertionError, `BadPolicy` for bounds that make no sense or none
    at all, `UnknownFormat` for what cannot be audited.
    """
    flags = _as_flags({**bounds})
    if not flags.keys() - {"stat", "tolerance"}:
        raise BadPolicy("nothing is asserted: give activation, bias, time_scale or init")
    if "forget_bias" in flags:
        flags.setdefault("tolerance", EXACT)
    low = flags.get("min_activation", float("-inf"))
    high = flags.get("max_activation", float("inf"))
    bounded = low > float("-inf") or high < float("inf")
    if probe:
        _assert_probed(target, low, high)
    policy: dict[str, Any] = {"select": ["LA2", "LA3"]}
    if probe and bounded:
        policy["require-lstm"] = False
    result = check(target, policy, layers=layers, allow_skipped=probe and bounded, **flags)
    if not result.passed:
        from .reports.words import escape  # 2 ms that only a failure pays

        lines = [
            f"{finding.code} {finding.address or '(root)'}: {finding.message}"
            for finding in result.failures
        ]
        said = [*lines, *filter(None, [result.incomplete])]
        raise AssertionError("\n".join(escape(line, None) for line in said))


# What inspect.signature, and so help() and TAB, show.
check.__signature__ = write_signature(check, Flags.__annotations__)  # type: ignore[attr-defined]  # read by inspect.signature
assert_forget_gate.__signature__ = write_signature(  # type: ignore[attr-defined]  # read by inspect.signature
    assert_forget_gate, ForgetBounds.__annotations__
)
