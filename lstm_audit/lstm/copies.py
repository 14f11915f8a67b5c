"""Averaged copies of a model: EMA, SWA, a mean teacher.

Comes in: the LSTMs of one file. Goes out: which is the averaged copy of which. Promise: a
copy is known by its name and its shape together, so an encoder and a decoder are none.
"""

from collections.abc import Iterable

from .layer import Identity, Lstm

# Words, apart by underscores, that mark a component of a path as the averaged copy.
AVERAGES = frozenset({"ema", "swa", "shadow", "averaged", "polyak"})

AVERAGE_NAMES = frozenset(
    {"average_model", "avg_model", "model_average", "model_avg", "average", "mean_teacher"}
)

# What DataParallel and torch.compile put around a model; in one copy and not in the other.
WRAPPERS = frozenset({"module", "_orig_mod"})


def find_averages(lstms: Iterable[Lstm]) -> dict[Identity, Identity]:
    """For each averaged copy the one LSTM that it is a copy of: equal layers, and a path that ends
    alike behind the word that says "average".
    """
    copies: list[tuple[Lstm, list[str]]] = []
    others: list[Lstm] = []
    for lstm in lstms:
        tail = _behind_mark(lstm.module)
        if tail is not None:
            copies.append((lstm, tail))
        else:
            others.append(lstm)
    averages: dict[Identity, Identity] = {}
    if not copies:  # nearly all
        return averages
    models: dict[object, list[tuple[Identity, list[str]]]] = {}
    for lstm in others:
        parts = [part for part in _parts(lstm.module) if part not in WRAPPERS]
        models.setdefault(_shape(lstm), []).append((lstm.identity, parts))
    for copy, tail in copies:
        alike = [own for own, parts in models.get(_shape(copy), ()) if _ends_with(parts, tail)]
        if len(alike) == 1:
            averages[copy.identity] = alike[0]
    return averages


def _shape(lstm: Lstm) -> object:
    return lstm.layer, lstm.direction, lstm.hidden_size, lstm.convention


def _ends_with(parts: list[str], tail: list[str]) -> bool:
    return len(parts) >= len(tail) and parts[len(parts) - len(tail) :] == tail


def _behind_mark(module: str) -> list[str] | None:
    """The components behind the one that says "average"; None where none does."""
    parts = _parts(module)
    for place, part in enumerate(parts):
        word = part.lower()
        if word in AVERAGE_NAMES or AVERAGES.intersection(word.split("_")):
            return [part for part in parts[place + 1 :] if part not in WRAPPERS]
    return None


def _parts(module: str) -> list[str]:
    return module.replace("/", ".").replace(":", ".").split(".")
