"""The shape of a recurrent weight, weighed: what kind of cell is it, and how large?

Comes in: shapes and claims. Goes out: a `Verdict`. Promise: divisibility of a bias decides nothing;
`nn.GRU` and `nn.RNN` use the very names of `nn.LSTM`, and only the recurrent weight's two sizes
tell them apart.
"""

from typing import NamedTuple

from .conventions import Convention


class Verdict(NamedTuple):
    """`kind` is lstm, gru, rnn or unclear; `hidden_size` holds for lstm; `detail` is the evidence
    in words.
    """

    kind: str
    hidden_size: int = 0
    detail: str = ""


def weigh_shape(
    convention: Convention,
    shape: tuple[int, ...],
    separate: bool,
    projected: bool,
    input_rows: int | None,
) -> Verdict:
    """What a recurrent weight of `shape` belongs to.

    `separate`: each gate has a weight of its own. `projected`: a projection weight stands beside
    it. `input_rows`: the size of the input weight's gate axis, where there is one.
    """
    if convention.kernel_first and len(shape) <= 5:
        shape = shape[-2:]
    wanted = (3, 4, 5) if convention.convolution else (2,)
    if len(shape) not in wanted or 0 in shape:
        return Verdict("unclear", detail=f"a recurrent weight of shape {shape}")
    if separate:
        return _separate(convention, shape)
    if convention.convolution:
        return _convolution(shape)
    return _fused(convention, shape, projected, input_rows)


def _separate(convention: Convention, shape: tuple[int, ...]) -> Verdict:
    """One weight a gate: (H, H), or (H, P) under a projection."""
    return Verdict("lstm", shape[convention.gate_axis])


def _convolution(shape: tuple[int, ...]) -> Verdict:
    """(4H, in + H, kernel...): the input channels that are left must be positive."""
    rows, columns = shape[0], shape[1]
    if rows % 4 or columns <= rows // 4:
        return Verdict("unclear", detail=f"a convolution of shape {shape} is not (4H, in + H, ...)")
    return Verdict("lstm", rows // 4)


def _fused(
    convention: Convention, shape: tuple[int, ...], projected: bool, input_rows: int | None
) -> Verdict:
    """R rows over C columns: 4C LSTM, 3C GRU, C RNN, more than 4C an LSTM whose output is projected
    to C < H.
    """
    rows, columns = shape[convention.gate_axis], shape[1 - convention.gate_axis]
    said = f"a recurrent weight of {rows} x {columns}"
    if projected and rows % 4 == 0:
        return Verdict("lstm", rows // 4)
    if rows == 3 * columns:
        return Verdict("gru", detail=f"{said}: three gates")
    if rows == columns:
        return Verdict("rnn", detail=f"{said}: no gates")
    if rows % columns == 0 and rows // columns in convention.blocks:
        return Verdict("lstm", columns)
    if rows > 4 * columns and rows % 4 == 0 and input_rows == rows:
        return Verdict(
            "unclear",
            detail=f"{said} would be an LSTM with a projection, but the projection is missing",
        )
    return Verdict("unclear", detail=f"{said} fits no LSTM, GRU or RNN")
