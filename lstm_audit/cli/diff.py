"""`lstm-audit diff A B`: two checkpoints, gate by gate."""

import sys
from collections.abc import Iterator, Sequence

from ..compare import Comparison, LstmPair, compare
from ..errors import BadPolicy
from ..facts import Audit
from ..fleet import audit_paths
from ..pipeline import Request
from ..policy.unmatched import refuse_unmatched
from ..reports.terminal import GAP, shorten
from ..reports.words import (
    describe_error,
    digits,
    dumps,
    escape,
    fraction,
    say_count,
    show_address,
    show_addresses,
    show_module,
)
from . import exits
from .forms import GivenOptions
from .output import look_of, print_lines, say_table, tell, tell_warnings, write_text
from .report_files import refuse_overwriting

EPILOG = """\b
Examples:
  lstm-audit diff epoch_1.pt epoch_9.pt
  lstm-audit diff -f html -o diff.html before.pt after.pt
  lstm-audit diff --fail-on-change model.pt exported.safetensors
  lstm-audit diff --match lstm_1=encoder.rnn model.h5 model.pt
"""


def run(given: GivenOptions) -> int:
    """Compare two checkpoints, gate by gate.

    Shows what moved in forget bias, activation and time scale, and whether another gate did. LSTMs
    are matched by module, layer and direction, else by their numbers, or as --match says. Of
    weights that were converted it says whether the gates are in another order, whether the 1
    that some frameworks add at run time was lost or added twice, whether a bias went into both
    halves, and whether two directions or layers were swapped.

    \b
    Exit codes:
      0  compared
      1  something differs, under --fail-on-change
      2  usage
      3  a checkpoint could not be read; or, under --fail-on-change, an LSTM
         not be judged
      4  neither side has an LSTM
    """
    request = Request(given.layers, numbers_only=True, units=True, download=given.download)
    sides = audit_paths([given.a], request), audit_paths([given.b], request)
    for side in sides:
        _refuse_unclear(side)
        tell_warnings(side.files)
    if any(side.errors for side in sides):
        return exits.UNREADABLE
    refuse_unmatched(sides, given.layers)
    comparison = compare(*sides, given.match)
    _emit(comparison, sides, given)
    return _code(comparison, given.fail_on_change)


def _emit(comparison: Comparison, sides: tuple[Audit, Audit], given: GivenOptions) -> None:
    """The comparison in the format that was asked for, on stdout or in a file."""
    name = "json" if given.as_json else given.diff_format
    if name == "table":
        if given.output:
            raise BadPolicy("--output takes --format json or html; the table is for a terminal")
        _say(comparison)
        return
    outputs = [given.output] if given.output else []
    for side in sides:
        refuse_overwriting(side, [given.a, given.b], outputs)
    if name == "json":
        write_text(dumps(comparison.to_dict(), indent=2) + "\n", given.output)
        return
    from .before_after import page_of_diff  # 5 ms that only a page needs

    write_text(page_of_diff(comparison), given.output)


def _refuse_unclear(side: Audit) -> None:
    for error in side.errors:
        tell(f"{error.path}: {describe_error(error)}")
    if len(side.files) > 1:
        path = escape(side.files[0].path)
        raise BadPolicy(f"diff compares two checkpoints; {path} is one of {len(side.files)}")


# Something that could not be judged may have changed: under --fail-on-change that is no pass, but
# it is no change either, so it has the code of an unreadable input.
def _code(comparison: Comparison, fail_on_change: bool) -> int:
    if fail_on_change and comparison.unjudged:
        return exits.UNREADABLE
    if fail_on_change and comparison.changed:
        return exits.FINDINGS
    sides = [any(comparison.pairs) or any(only) for only in comparison.only]
    return exits.PASS if all(sides) else exits.NOTHING


def _say(comparison: Comparison) -> None:
    """A table of the pairs, the unpaired below it, and a last line that says it all."""
    if comparison.pairs:
        _say_pairs(comparison.pairs)
    for line in describe_rest(comparison):
        print_lines(line)


# An LSTM without a partner is as much a result as a pair: renamed and lost look the same until
# somebody says --match. So both sides are listed, and the last line counts only what was compared.
def describe_rest(comparison: Comparison) -> Iterator[str]:
    """What stands below the table: the unpaired, what a conversion did, and what it comes to."""
    for side, only, skipped in zip("AB", comparison.only, comparison.skipped, strict=True):
        for row in only:
            yield f"only in {side}: {show_address(row.lstm)}"
        for skip in skipped:
            where, why = escape(show_module(skip.module)), escape(skip.detail, None)
            yield f"not judged in {side}: {where}: {why}"
        if not (comparison.pairs or only or skipped):
            yield f"no LSTM in {side}"
    if not comparison.pairs:
        yield "\nnothing compared: no LSTM is in both"
        return
    yield from describe_relations(comparison.pairs)
    moved = sum(pair.changed for pair in comparison.pairs)
    yield f"\n{say_count(len(comparison.pairs), 'LSTM')} compared, {moved} changed"


def describe_relations(pairs: Sequence[LstmPair]) -> list[str]:
    """What became of the numbers, each thing once with the LSTMs of which it holds."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.relation is not None and (
            pair.changed or pair.a.lstm.address != pair.b.lstm.address
        ):
            names = [show_address(pair.a.lstm), show_address(pair.b.lstm)]
            where = names[0] if names[0] == names[1] else " = ".join(names)
            found.setdefault(pair.relation.text, []).append(where)
    return [f"\n{', '.join(where)}: {text}" for text, where in found.items()]


HEADS = ("LSTM", "forget bias", "activation", "median τ", "i, g, o by")
NARROWEST = 12


def _say_pairs(pairs: Sequence[LstmPair]) -> None:
    """One line a pair; the names get what the numbers leave of the terminal."""
    numbers = [show_pair(pair) for pair in pairs]
    names = show_addresses([pair.a.lstm for pair in pairs], None)
    taken = sum(max(map(len, column)) + GAP for column in zip(HEADS[1:], *numbers, strict=True))
    room = max(look_of(sys.stdout, "never", quiet=False).width - taken, NARROWEST)
    names = shorten(names, room, "…")
    say_table([[name, *row] for name, row in zip(names, numbers, strict=True)], HEADS)


def show_pair(pair: LstmPair) -> list[str]:
    """Before and after of the forget gate, and how far the other gates moved at most."""
    a, b = pair.a.measures, pair.b.measures
    others = max((abs(pair.moved[gate]) for gate in "igo"), key=lambda move: (move != move, move))
    return [
        _arrow(digits(a.gates["f"].mean), digits(b.gates["f"].mean)),
        _arrow(fraction(a.activation.mean), fraction(b.activation.mean)),
        _arrow(digits(a.time_scale.p50), digits(b.time_scale.p50)),
        digits(others),
    ]


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
