"""`lstm-audit diff A B`: two checkpoints, gate by gate."""

from ..compare import Comparison, Pair, compare
from ..errors import BadPolicy
from ..facts import Audit
from ..fleet import audit_paths
from ..pipeline import Request
from ..policy.unmatched import refuse_unmatched
from ..reports.words import counted, digits, escape, fraction, shown_address, shown_module
from . import exits
from .options import Given
from .output import say, tell

EPILOG = """\b
Examples:
  lstm-audit diff epoch_1.pt epoch_9.pt
  lstm-audit diff --fail-on-change model.pt exported.safetensors
"""


def run(given: Given) -> int:
    """Compare two checkpoints, gate by gate.

    Shows what moved in forget bias, activation and time scale, and whether another gate did. LSTMs
    are matched by module, layer and direction.

    \b
    Exit codes:
      0  compared
      1  something differs, under --fail-on-change
      2  usage
      3  a checkpoint could not be read; or, under --fail-on-change, an LSTM
         not be judged
      4  neither side has an LSTM
    """
    request = Request(given.layers, numbers_only=True)
    sides = audit_paths([given.a], request), audit_paths([given.b], request)
    for side in sides:
        _refuse_unclear(side)
    if any(side.errors for side in sides):
        return exits.UNREADABLE
    refuse_unmatched(sides, given.layers)
    comparison = compare(*sides)
    if given.as_json:
        from json import dumps

        say(dumps(comparison.to_dict(), indent=2))
    else:
        say(_text(comparison))
    return _code(comparison, given.fail_on_change)


def _refuse_unclear(side: Audit) -> None:
    for error in side.errors:
        place = "" if error.at is None else f" at byte {error.at}"
        tell(f"{error.path}: {error.kind}{place}: {error.message}")
    if len(side.files) > 1:
        path = escape(side.files[0].path)
        raise BadPolicy(f"diff compares two checkpoints; {path} is one of {len(side.files)}")


def _code(comparison: Comparison, fail_on_change: bool) -> int:
    if fail_on_change and comparison.unjudged:
        return exits.UNREADABLE
    if not (comparison.pairs or any(comparison.only)):
        return exits.NOTHING
    return exits.FINDINGS if fail_on_change and comparison.changed else exits.PASS


def _text(comparison: Comparison) -> str:
    """A table of the pairs, the unpaired below it, and a last line that says it all."""
    from tabulate import tabulate

    headers = ["LSTM", "forget bias", "activation", "median τ", "i, g, o moved"]
    rows = [_row(pair) for pair in comparison.pairs]
    lines = [tabulate(rows, headers=headers, disable_numparse=True)] if rows else []
    for side, only, skipped in zip("AB", comparison.only, comparison.skipped, strict=True):
        lines += [f"only in {side}: {shown_address(row.lstm)}" for row in only]
        lines += [
            f"not judged in {side}: {escape(shown_module(s.module))}: {escape(s.detail)}"
            for s in skipped
        ]
    moved = sum(pair.changed for pair in comparison.pairs)
    lines.append(f"\n{counted(len(comparison.pairs), 'LSTM')} compared, {moved} changed")
    return "\n".join(lines).lstrip("\n")


def _row(pair: Pair) -> list[str]:
    a, b = pair.a.measures, pair.b.measures
    others = " ".join(digits(pair.moved[gate]) for gate in "igo")
    return [
        shown_address(pair.a.lstm, 40),
        _arrow(digits(a.gates["f"].mean), digits(b.gates["f"].mean)),
        _arrow(fraction(a.activation.mean), fraction(b.activation.mean)),
        _arrow(digits(a.time_scale.p50), digits(b.time_scale.p50)),
        others,
    ]


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
