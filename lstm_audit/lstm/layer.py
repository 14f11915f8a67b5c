"""The layer types: one recurrence, its gates, and the terms that add up to each gate's bias.

Comes in: nothing. Goes out: `Identity`, which tells recurrences apart; `Lstm`, one recurrence with
its handles on the stored numbers, valid while the file is open; and `Lookalike`.
Promise: whatever framework the names came from, `gates["f"]` are the stored numbers whose sum, plus
`offset`, enters the forget gate.
"""

from collections.abc import Mapping
from typing import Annotated

from ..raw.span import Span
from ..raw.tensor import Block, Tensor
from ..tuples import NamedTuple

# Input, forget, cell candidate, output: the order of torch.nn.LSTM, and of every report.
GATES = ("i", "f", "g", "o")


# How reports and patterns write the module of a bare state dict, which is empty.
ROOT = "(root)"


Layer = Annotated[int, ("minimum", 0)]
Direction = Annotated[str, ("enum", ("forward", "reverse"))]


class Identity(NamedTuple):
    """What tells one LSTM of a file from every other: two conventions may read one module.

    Things are looked up by this value, never by the address, which is only how it is written.
    """

    module: str
    layer: Layer
    direction: Direction
    convention: str

    @property
    def address(self) -> str:
        """`MODULE:lK` or `MODULE:lK:reverse`."""
        return f"{self.module}:l{self.layer}" + (":reverse" if self.direction == "reverse" else "")

    @property
    def written(self) -> str:
        """As reports write it and patterns take it: `(root):l0` in a bare state dict."""
        return self.address if self.module else ROOT + self.address

    @property
    def full_address(self) -> str:
        """`ADDRESS@CONVENTION`: unlike the address it is the same for no other LSTM of the file."""
        return f"{self.address}@{self.convention}"

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that a pattern may match: the module, the address, the full address, and the
        last two as reports write them.
        """
        plain = (self.module or ROOT, self.address, self.full_address)
        return plain if self.module else (*plain, self.written, ROOT + self.full_address)


class Term(NamedTuple):
    """One stored summand of a gate's bias, `hidden_size` elements.

    `half` is `ih`, `hh`, or `b` where the convention keeps a single bias. The value is `block *
    mask * exp(log_scale)`; pruning gives the mask, icefall's ScaledLSTM the scale. `copies` are
    further stored places that hold the same numbers under another name (Paddle saves every bias
    twice).
    """

    half: str
    name: str
    block: Block
    mask: Block | None = None
    log_scale: Tensor | None = None
    copies: tuple[Block, ...] = ()


class Lstm(NamedTuple):
    """One recurrence: a module, a layer (from 0), a direction (forward or reverse).

    `gates` maps i, f, g, o to their terms (none for bias=False); `offset` is what the framework
    adds to the forget gate at run time; `activation_function` is that gate's: sigmoid or
    hard_sigmoid, see `activations`. `notes` are sentences that a reader of the numbers must know (a
    missing half counted as 0). `aliases` are the names of other tensors with the same storage,
    `tied` the identities of the LSTMs that these names alone would make. `coupled` names a gate
    that is 1 minus another: "f" (f = 1 - i) or "i" (i = 1 - f); it has no terms, and its effective
    bias is minus the other's.
    """

    module: str
    layer: int
    direction: str
    convention: str
    hidden_size: int
    dtype: str
    gates: Mapping[str, tuple[Term, ...]]
    bias_tensors: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    offset: float = 0.0
    activation_function: str = "sigmoid"
    notes: tuple[str, ...] = ()
    tied: tuple[Identity, ...] = ()
    coupled: str = ""

    @property
    def identity(self) -> Identity:
        """The value by which this LSTM is known."""
        return Identity(*self[:4])

    @property
    def address(self) -> str:
        """How the identity is written: `MODULE:lK` or `MODULE:lK:reverse`."""
        return self.identity.address

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that a pattern may match, names of tied modules included."""
        return tuple(name for one in (self.identity, *self.tied) for name in one.names)

    @property
    def two_halves(self) -> bool:
        """Whether the convention keeps a bias_ih and a bias_hh, so that their difference means
        something.
        """
        return {term.half for term in self.gates["f"]} == {"ih", "hh"}


def halves_overlap(lstm: Lstm) -> bool:
    """Whether the two halves of the forget bias share bytes, so that neither can be written
    alone.
    """
    terms = lstm.gates["f"]
    ih = [term.block for term in terms if term.half == "ih"]
    hh = [term.block for term in terms if term.half == "hh"]
    return any(_share(a, b) for a in ih for b in hh)


def _share(a: Block, b: Block) -> bool:
    """Whether two blocks have a byte in common. Their tensors are asked first: to cut a span out
    takes longer.
    """
    first, second = a.tensor.span, b.tensor.span
    if first.source.placed and second.source.placed:
        return _overlap(first, second) and _overlap(a.span, b.span)
    # Pieces of one block never overlap: if two of both do, so do two neighbours.
    pieces = sorted(
        [*a.span.pieces, *b.span.pieces], key=lambda piece: (id(piece.source), piece.start)
    )
    return any(map(_overlap, pieces, pieces[1:]))


def _overlap(a: Span, b: Span) -> bool:
    return a.source is b.source and a.start < b.start + b.size and b.start < a.start + a.size


class Lookalike(NamedTuple):
    """A GRU or RNN (`kind` gru or rnn) whose biases can be read; `biases` maps their names to the
    tensors.
    """

    module: str
    layer: int
    direction: str
    kind: str
    hidden_size: int
    biases: Mapping[str, Tensor]
