"""`lstm-audit diff A B`: two checkpoints, gate by gate."""

import sys

import click

from ..audit import Request, audit_paths
from ..comparison import Comparison, Pair, compare
from ..finding import Audit
from ..reports import digits, escape, fraction, shown_address
from . import exits


@click.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("-l", "--layers", multiple=True, metavar="PATTERN", help="Only LSTMs that match the glob; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="The comparison as JSON.")
@click.option("--fail-on-change", is_flag=True, help="Exit 1 when anything differs.")
def command(a: str, b: str, layers: tuple[str, ...], as_json: bool, fail_on_change: bool) -> None:
    """Compare two checkpoints: what moved, in bias, activation and time scale.

    LSTMs are matched by module, layer and direction.

    \b
    Exit codes:
      0  compared                             3  a checkpoint could not be read
      1  something differs (--fail-on-change) 4  neither side has an LSTM
      2  usage
    """
    request = Request(layers, numbers_only=True)
    sides = audit_paths([a], request), audit_paths([b], request)
    for side in sides:
        _refuse_unclear(side)
    comparison = compare(*sides)
    if as_json:
        from json import dumps

        click.echo(dumps(comparison.to_dict(), indent=2))
    else:
        click.echo(_text(comparison))
    sys.exit(_code(sides, comparison, fail_on_change))


def _refuse_unclear(side: Audit) -> None:
    for error in side.errors:
        click.echo(f"{escape(error.path)}: {error.message}", err=True)
    if len(side.files) > 1:
        raise click.UsageError(f"diff compares two checkpoints; {side.files[0].path} is one of {len(side.files)}")


def _code(sides: tuple[Audit, Audit], comparison: Comparison, fail_on_change: bool) -> int:
    if any(side.errors for side in sides):
        return exits.UNREADABLE
    if not any(side.rows for side in sides):
        return exits.NOTHING
    return exits.FINDINGS if fail_on_change and comparison.changed else exits.PASS


def _text(comparison: Comparison) -> str:
    """A table of the pairs, the unpaired below it, and a last line that says it all."""
    from tabulate import tabulate

    headers = ["LSTM", "forget bias", "activation", "median τ", "i, g, o moved"]
    rows = [_row(pair) for pair in comparison.pairs]
    lines = [tabulate(rows, headers=headers, disable_numparse=True)] if rows else []
    lines += [f"only in A: {escape(address)}" for address in comparison.only_a]
    lines += [f"only in B: {escape(address)}" for address in comparison.only_b]
    moved = sum(pair.changed for pair in comparison.pairs)
    lines.append(f"\n{len(comparison.pairs)} LSTMs compared, {moved} differ")
    return "\n".join(lines)


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
