"""The layer types: one recurrence, its gates, and the terms that add up to each gate's bias.

Comes in: nothing. Goes out: `Lstm`, facts about one module x layer x direction, and `Lookalike`.
Promise: whatever framework the names came from, `gates["f"]` are the stored numbers whose sum, plus
`offset`, enters the forget gate.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ..raw.tensor import Block, Tensor

GATES = ("i", "f", "g", "o")
"""Input, forget, cell candidate, output: the order of torch.nn.LSTM, and of every report."""


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
    hard_sigmoid. `notes` are sentences that a reader of the numbers must know (a missing half
    counted as 0).
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

    @property
    def address(self) -> str:
        """`MODULE:lK` or `MODULE:lK:reverse`, as `--layers` patterns see it."""
        return f"{self.module}:l{self.layer}" + (":reverse" if self.direction == "reverse" else "")

    @property
    def two_halves(self) -> bool:
        """Whether the convention keeps a bias_ih and a bias_hh, so that their difference means
        something.
        """
        return {term.half for term in self.gates["f"]} == {"ih", "hh"}


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
