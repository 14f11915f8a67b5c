"""Which LSTMs of a checkpoint are meant.

Comes in: what was found in it, and `--layers` patterns. Goes out: the LSTMs to patch. Promise: a
pattern that matches nothing is an error that names what is there, never a patch of nothing.
"""

from collections.abc import Iterable, Sequence

from ..errors import BadPolicy, NotPatchable
from ..lstm.find import Found
from ..lstm.layer import ROOT, Lstm
from ..pipeline import selected
from ..spelling import nearest_few


def choose(found: Found, layers: Sequence[str]) -> list[Lstm]:
    """The LSTMs that a pattern matches, or all. Raises `NotPatchable` where there is no LSTM, with
    what there is instead, and `BadPolicy` for a pattern that matches none.
    """
    if not found.lstms:
        reasons = "; ".join(
            f"{s.module or '(root)'}: {s.detail} ({s.reason})" for s in dict.fromkeys(found.skipped)
        )
        raise NotPatchable(f"no LSTM found{': ' + reasons if reasons else ''}", kind="no-lstm")
    refuse_unmatched_layers(layers, matching(found, layers), [lstm.address for lstm in found.lstms])
    return [lstm for lstm in found.lstms if selected(lstm, tuple(layers))]


def matching(found: Found, layers: Sequence[str]) -> frozenset[str]:
    """The patterns that match an LSTM."""
    return frozenset(p for p in layers if any(selected(lstm, (p,)) for lstm in found.lstms))


def refuse_unmatched_layers(
    layers: Sequence[str], matched: Iterable[str], addresses: Sequence[str]
) -> None:
    """Raise `BadPolicy` for the first pattern that matched nothing."""
    known = frozenset(matched)
    for pattern in layers:
        if pattern not in known:
            raise BadPolicy(f"no LSTM matches --layers {pattern}; {_there(pattern, addresses)}")


def _there(pattern: str, addresses: Sequence[str]) -> str:
    """The nearest addresses first, and not more of them than one can read."""
    near = nearest_few(pattern, addresses, 3, 0.5)
    names = [_show(name) for name in dict.fromkeys([*near, *addresses])]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"there are {', '.join(names[:10])}{more}"


def _show(address: str) -> str:
    return ROOT + address if address.startswith(":") else address
