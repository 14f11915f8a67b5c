"""Two checkpoints side by side, as people look at them.

Comes in: a `Comparison`. Goes out: the reports of `lstm-audit diff`; a data frame with a line a
pair.
"""

from collections.abc import Callable, Mapping

from ..cli.before_after import page_of_diff
from ..cli.diff import HEADS, describe_rest, show_pair
from ..compare import Comparison
from ..lstm.layer import GATES
from ..reports import Look
from ..reports.html.notebook import fragment
from ..reports.words import dumps, show_addresses
from . import Columns, View
from .tables import text_table


def table(comparison: Comparison, look: Look) -> str:
    """A line a pair, then what has no partner and what it comes to."""
    names = show_addresses([pair.a.lstm for pair in comparison], None)
    rows = [[name, *show_pair(pair)] for name, pair in zip(names, comparison, strict=True)]
    lines = [text_table(HEADS, rows, look.width)] if rows else []
    return "\n".join([*lines, *describe_rest(comparison)]) + "\n"


def json(comparison: Comparison, look: Look) -> str:
    """`lstm-audit/diff/1`."""
    return dumps(comparison.to_dict(), indent=2) + "\n"


def html(comparison: Comparison, look: Look) -> str:
    """The page of before and after."""
    return page_of_diff(comparison)


def picture(comparison: Comparison) -> str:
    """The page without its frame."""
    return fragment(page_of_diff(comparison))


def list_pairs(comparison: Comparison) -> Columns:
    """A line a pair: where, whether it changed, and the means of both sides."""
    both = comparison.pairs
    moved = {f"moved_{gate}": [pair.moved[gate] for pair in both] for gate in GATES}
    return {
        "address": [pair.a.lstm.address for pair in both],
        "other": [pair.b.lstm.address for pair in both],
        "changed": [pair.changed for pair in both],
        "bias_a": [pair.a.measures.gates["f"].mean for pair in both],
        "bias_b": [pair.b.measures.gates["f"].mean for pair in both],
        "activation_a": [pair.a.measures.activation.mean for pair in both],
        "activation_b": [pair.b.measures.activation.mean for pair in both],
        "time_scale_a": [pair.a.measures.time_scale.p50 for pair in both],
        "time_scale_b": [pair.b.measures.time_scale.p50 for pair in both],
        **moved,
    }


FRAMES: Mapping[str, Callable[[Comparison], Columns]] = {"pairs": list_pairs}

VIEW = View({"table": table, "json": json, "html": html}, (table,), picture, FRAMES)
