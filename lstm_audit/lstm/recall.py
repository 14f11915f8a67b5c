"""The LSTMs of a checkpoint whose header is that of an earlier one.

Comes in: what `find` gave for the earlier file, or a checkpoint with the same header. Goes out:
`Before`, which holds no file; or the same LSTMs over the bytes of the file at hand. Promise: each
tensor that the walk over the names located is located again, in the same order, and where one is
not what it was there is no answer, so that the walk says what is wrong.

The checkpoints of a run have the same names, shapes and classes, so that all that follows from
these is the same too: matching, deciding and cutting anew would be a fifth of an audit of numbers.
"""

from collections.abc import Mapping

from ..errors import MalformedFile
from ..formats import Checkpoint
from ..raw.span import span_of
from ..raw.tensor import Block, Tensor
from ..raw.tensors import Tensors
from ..tuples import NamedTuple
from .find import Found
from .layer import Lstm, Term

# What stands for the bytes of a file that is closed.
NOWHERE = span_of(b"")


class Before(NamedTuple):
    """What was found, over tensors without bytes, and the names of those that were located."""

    found: Found
    located: tuple[str, ...]


def remember(found: Found, checkpoint: Checkpoint) -> Before | None:
    """What may be kept of a file; None where more than whole biases would have to be told."""
    tensors = checkpoint.tensors
    if not isinstance(tensors, Tensors) or found.lookalikes:
        return None
    located = tensors.located
    if not all(_is_whole(term, located) for lstm in found.lstms for term in _terms(lstm)):
        return None
    hollow = {name: tensor._replace(span=NOWHERE) for name, tensor in located.items()}
    return Before(_lay(found, hollow), tuple(located))


def recall(before: Before, checkpoint: Checkpoint) -> Found | None:
    """The same LSTMs over this checkpoint's tensors; None where one cannot be located."""
    tensors = checkpoint.tensors
    if isinstance(tensors, Tensors) and tensors.announce:
        tensors.announce(before.located)
    try:
        located = {name: tensors[name] for name in before.located}
    except MalformedFile:
        return None
    return _lay(before.found, located)


def _terms(lstm: Lstm) -> list[Term]:
    return [term for terms in lstm.gates.values() for term in terms]


def _is_whole(term: Term, located: Mapping[str, Tensor]) -> bool:
    """Whether a term is a part of a tensor of the file, and of nothing else."""
    alone = term.mask is None and term.log_scale is None and not term.copies
    return alone and term.block.tensor is located.get(term.name)


def _lay(found: Found, tensors: Mapping[str, Tensor]) -> Found:
    """The same LSTMs over the tensors that have these names."""
    lstms = []
    for lstm in found.lstms:
        gates = {
            gate: tuple([_lay_term(term, tensors) for term in terms])
            for gate, terms in lstm.gates.items()
        }
        lstms.append(lstm._replace(gates=gates))
    return found._replace(lstms=tuple(lstms))


# 32 a file of four LSTMs: made by their classes' own names they would take 3 % of an audit.
def _lay_term(term: Term, tensors: Mapping[str, Tensor]) -> Term:
    """The same part of the tensor that has the term's name."""
    half, name, block, *others = term
    whole = tuple.__new__(Block, (tensors[name], *block[1:]))
    return tuple.__new__(Term, (half, name, whole, *others))
