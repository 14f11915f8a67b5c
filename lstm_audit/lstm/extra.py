"""What else stands in an LSTM's module: does it enter the gate?

Comes in: the LSTMs that the rows gave, and the names that no row explains. Goes out: the LSTMs,
with the terms that are known for certain, and `Skipped` for those whose number would be wrong.
Promise: a norm, or a vector of H, 3H or 4H, that nothing explains takes the row away: a number
without it would be a confident mistake, and a patch would do something else than it says.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from ..errors import Skipped
from ..formats import Checkpoint, shape_of
from ..raw.tensor import Block, Tensor, whole_block
from ..tuples import NamedTuple
from .conventions import (
    BATCH_STATISTICS,
    FORGET_OFFSET,
    HARMLESS,
    LONE_BIAS,
    NORM_BIASES,
    NORM_WEIGHTS,
)
from .kind import read_claimed_kind
from .layer import GATES, Lookalike, Lstm, Term
from .match import paths

# The convention of an LSTM whose only biases are those of its norms.
NORMED = "layernorm-lstm"

HINT = (
    "lstm_audit.probe(module) measures it, `lstm-audit explain convention` says how to declare it"
)


# Strategy. Only what stands in the LSTM's own module, or one level below it, can enter its gates;
# what is there and unexplained is weighed by its shape. H could be a peephole or a bias of one
# gate, 3H peepholes, 4H a bias of all of them; a norm rescales everything. Names that are known to
# enter no gate at x = 0, h = 0, c = 0 (peepholes multiply c; dropout masks; statistics) are in the
# table HARMLESS. If what is left can be added for certain it becomes a term, else the row goes.
class Extra(NamedTuple):
    """A tensor, or a norm, that may enter the gate.

    `what` is norm, vector, number, matrix or linear; `names` are its tensors; `adds` is the name of
    the summand that it is where the gate is at rest, if it can be one.
    """

    what: str
    names: tuple[str, ...]
    adds: str = ""


def weigh_extras(
    lstms: Sequence[Lstm], left: Sequence[str], checkpoint: Checkpoint
) -> tuple[list[Lstm], list[Skipped]]:
    """The LSTMs that stand, with their extra terms, and those that must not be judged.

    `left` are the names that no row took.
    """
    beside = _beside({lstm.module for lstm in lstms}, left)
    kept: list[Lstm] = []
    skipped: list[Skipped] = []
    for lstm in lstms:
        extras = list(_extras(lstm, beside.get(lstm.module, ()), checkpoint))
        explained = _explain(lstm, extras, checkpoint.tensors)
        problem = _own_forward(lstm, checkpoint) if explained is not None else _say(lstm, extras)
        if problem is None and explained is not None:
            kept.append(explained)
        elif problem is not None:
            skipped.append(problem)
    return kept, skipped


def doubt_lookalikes(
    skipped: Sequence[Skipped],
    lookalikes: Sequence[Lookalike],
    left: Sequence[str],
    checkpoint: Checkpoint,
) -> list[Skipped]:
    """An RNN or GRU beside whose weights others of 3H or 4H rows stand is something else: in a
    multiplicative LSTM (Krause 2016) `weight_hh` is H by H, and `weight_mh` makes the gates.
    """
    beside = _beside({cell.module for cell in lookalikes}, left)
    doubted = {
        cell.module: extras
        for cell in lookalikes
        if (names := beside.get(cell.module))
        and (extras := [e for e in _extras(cell, names, checkpoint) if e.what == "matrix"])
    }
    return [
        _unlike(entry, doubted[entry.module]) if entry.module in doubted else entry
        for entry in skipped
    ]


def _unlike(entry: Skipped, extras: Sequence[Extra]) -> Skipped:
    names = ", ".join(name for extra in extras for name in extra.names)
    detail = f"{entry.detail}, but {names} beside it is none of its parts: what it is, is not known"
    return Skipped(entry.module, "unknown-convention", detail)


def _beside(modules: set[str], left: Iterable[str]) -> dict[str, list[str]]:
    """Of the unexplained names those that stand in a module itself, or one level below it; a
    number in a list (`norms.0`) is no level.
    """
    found: dict[str, list[str]] = {}
    prefixes = tuple(modules)  # one call tells most names off, before their paths are cut
    for name in left if modules else ():
        if not name.startswith(prefixes):
            continue
        around = list(islice(paths(name), 1, 4))
        levels = 3 if re.search(r"(?:^|[./:|])\d+$", around[0]) else 2
        for module in around[:levels]:
            if module in modules:
                found.setdefault(module, []).append(name)
    return found


def _extras(
    lstm: Lstm | Lookalike, names: Sequence[str], checkpoint: Checkpoint
) -> Iterator[Extra]:
    """What of the names may enter the gates."""
    children: dict[str, dict[str, str]] = {}
    at = len(lstm.module) + 1 if lstm.module else 0
    for name in names:
        inner = name[at:]
        child = next(islice(paths(inner), 1, None))
        leaf = inner[len(child) + 1 :] if child else inner
        children.setdefault(child, {})[leaf] = name
    for leaf, name in children.pop("", {}).items():
        yield from _of_parameter(lstm, leaf, name, checkpoint)
    for child, leaves in children.items():
        yield from _of_child(lstm, child, leaves, checkpoint)


def _of_parameter(
    lstm: Lstm | Lookalike, leaf: str, name: str, checkpoint: Checkpoint
) -> Iterator[Extra]:
    """A parameter or buffer of the module itself."""
    shape = tuple(size for size in shape_of(checkpoint.tensors, name) if size != 1)
    hidden = lstm.hidden_size
    if not shape and re.search(FORGET_OFFSET, leaf):
        yield Extra("number", (name,))
    if _harmless(leaf, "vector") or not shape or not _is_float(checkpoint.tensors, name):
        return
    if len(shape) == 1 and shape[0] in (hidden, 3 * hidden, 4 * hidden):
        yield Extra("vector", (name,), name if leaf == LONE_BIAS and shape[0] > hidden else "")
    if len(shape) == 2 and shape[0] in (3 * hidden, 4 * hidden):
        yield Extra("matrix", (name,))
    elif shape in ((3, hidden), (4, hidden)):
        yield Extra("vector", (name,))


def _of_child(
    lstm: Lstm | Lookalike, child: str, leaves: Mapping[str, str], checkpoint: Checkpoint
) -> Iterator[Extra]:
    """A module inside of the LSTM's: a norm of any size, or a linear layer into four gates."""
    weight = next((leaves[key] for key in NORM_WEIGHTS if key in leaves), "")
    bias = next((leaves[key] for key in NORM_BIASES if key in leaves), "")
    if _harmless(child, "norm") or child.startswith("_flat") or not (weight or bias):
        return
    hidden, four = lstm.hidden_size, (4 * lstm.hidden_size,)
    names = tuple(filter(None, (weight, bias)))
    sizes = {key: shape_of(checkpoint.tensors, key) for key in names}
    if weight and len(sizes[weight]) == 1 and (not bias or sizes[bias] == sizes[weight]):
        plain = bias and sizes[bias] == four and not BATCH_STATISTICS & leaves.keys()
        yield Extra("norm", names, bias if plain else "")
    elif (
        bias
        and sizes[bias] in (four, (8 * hidden,))
        and (not weight or sizes[weight][0] == sizes[bias][0])
    ):
        yield Extra("linear", names)  # of 8H: a scale and a shift (FiLM, Perez 2018)
    elif not bias and len(sizes[weight]) == 2 and sizes[weight][0] == 4 * hidden:
        yield Extra("linear", names)  # of something else that enters the gates, or scales them


def _is_float(tensors: Mapping[str, Tensor], name: str) -> bool:
    """Counters and masks are no terms."""
    return tensors[name].dtype.encode is not None


def _harmless(text: str, what: str) -> bool:
    """Whether a name says that it enters no gate at x=0, h=0, c=0."""
    return any(entry.what == what and re.search(entry.name, text) for entry in HARMLESS)


# A norm of a vector of zeros is its beta, whatever gamma is: with x = 0 and h = 0 and no bias
# inside, the normed sum is 0 before the affine part. That holds only where the LSTM has no bias of
# its own before the norm, which is why the first test is for gates without terms.
def _explain(lstm: Lstm, extras: Sequence[Extra], tensors: Mapping[str, Tensor]) -> Lstm | None:
    """The LSTM with what is certain; None where it is not.

    Without biases of its own, all 4H norms give their betas, whatever they stand over, for a norm
    of zeros is its beta; and a single `bias` is the bias.
    """
    if not extras:
        return lstm
    certain = all(extra.adds for extra in extras) and len({extra.what for extra in extras}) == 1
    if lstm.gates["f"] or not certain or (extras[0].what == "vector" and len(extras) > 1):
        return None
    names = tuple(extra.adds for extra in extras)
    if any(tensors[name].dtype.encode is None for name in names):
        return None
    return lstm._replace(
        convention=NORMED if extras[0].what == "norm" else lstm.convention,
        gates=_gates([tensors[name] for name in names], names, lstm.hidden_size),
        bias_tensors=names,
        dtype="+".join(sorted({tensors[name].dtype.name for name in names})),
        notes=tuple(note for note in lstm.notes if not note.startswith("no bias")),
    )


def _gates(
    terms: Sequence[Tensor], names: Sequence[str], hidden: int
) -> dict[str, tuple[Term, ...]]:
    """Vectors of 4H in the order of the weights, i f g o."""
    blocks = [whole_block(tensor) for tensor in terms]
    return {
        gate: tuple(
            Term("b", name, Block(block.tensor, block.axis, k * hidden, (k + 1) * hidden))
            for name, block in zip(names, blocks, strict=True)
        )
        for k, gate in enumerate(GATES)
    }


def _say(lstm: Lstm, extras: Sequence[Extra]) -> Skipped:
    names = [name for extra in extras for name in extra.names]
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    detail = (
        f"{shown} stand in the same module, and no known convention says whether they enter the "
        f"gate; {HINT}"
    )
    return Skipped(lstm.module, "extra-terms", detail)


def _own_forward(lstm: Lstm, checkpoint: Checkpoint) -> Skipped | None:
    """A live subclass of torch's whose step is its author's own."""
    claim = checkpoint.claims.get(lstm.module)
    if claim is None or not claim.facts.get("own_forward") or not read_claimed_kind(claim):
        return None
    detail = (
        f"its class {claim.class_name} computes the step by a forward of its own, which may add "
        f"to the gate; {HINT}"
    )
    return Skipped(lstm.module, "extra-terms", detail)
