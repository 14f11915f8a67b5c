"""One step of a cell of somebody's, called in whatever way it takes.

Comes in: a live module. Goes out: its forget gate's activation for each unit, or why there is none.
Promise: among the ways to call it that do not fail, one is right only if the memory it gives back
is linear in the memory it was given, as c' = f c + i g is; what is put out, o tanh(c'), is not.
"""

from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Any

# What a forward of somebody's raises when it is called in a way that it is not made for.
ANYTHING = (
    TypeError, ValueError, RuntimeError, AttributeError, LookupError, AssertionError,
    ArithmeticError, NotImplementedError,
)  # fmt: skip

INPUTS = (
    "input_size", "input_dim", "in_features", "in_dim", "n_in", "in_channels", "input_channels",
    "embed_size", "embedding_dim", "d_in", "nin", "ninp", "input_sz", "input_units",
)  # fmt: skip
HIDDEN = (
    "hidden_size", "hidden_dim", "out_features", "hid_dim", "n_hidden", "hidden_channels", "units",
    "num_units", "mem_dim", "d_hid", "nhid", "hidden_sz", "hidden_units", "out_channels", "d_model",
)  # fmt: skip
# Pairs of sizes that are tried where the module does not say its own; a call that fails at once
# takes 0.1 ms.
MAX_SIZES = 64
# Rows and columns of a picture, for a cell that convolves.
PICTURE = 4
# Relative rounding of three steps in float16.
LINEAR = 2e-3

SIGNATURES: tuple[Callable[[Any, Any, Any, Any], Any], ...] = (
    lambda part, x, h, c: part.forward(x, (h, c)),
    lambda part, x, h, c: part.forward(x, h, c),
    lambda part, x, h, c: part.forward(x, [h, c]),
    lambda part, x, h, c: part.forward(x, (c, h)),
    lambda part, x, h, c: part.forward(x, c, h),
)


# A cell does not say which of its two states is the memory, nor which of what it returns is: all
# ways are tried with c of 0, 1 and 2, and the first whose answer is linear in c stands. A peephole
# bends the line; then the usual way, (h, c) in and c last, is taken at its word.
def measure_cell(part: Any, torch: Any) -> tuple[tuple[float, ...], str]:
    """The activation of each unit; where the module cannot be called, nothing and the reason."""
    reference = next((p for p in part.parameters()), torch.zeros(()))
    sizes = list(islice(_sizes(part), MAX_SIZES))
    if not sizes:
        return (), "its input and hidden sizes are not known"
    for said, call in product(sizes, SIGNATURES[:3]):
        bent = _forget(call, part, said, reference)
        if bent is None:
            continue
        if bent[1]:
            return bent[0], ""
        others = (_forget(other, part, said, reference) for other in SIGNATURES[3:])
        return next((other[0] for other in others if other and other[1]), bent[0]), ""
    return (), "its forward takes no (x, (h, c)) or (x, h, c)"


def _forget(
    call: Any, part: Any, sizes: tuple[tuple[int, ...], tuple[int, ...]], reference: Any
) -> tuple[tuple[float, ...], bool] | None:
    """What is left of a memory of 1, and whether of one of 2 it is twice that."""
    inputs, hidden = sizes
    found = []
    try:
        for memory in (0.0, 1.0, 2.0):
            x, h = reference.new_zeros(inputs), reference.new_zeros(hidden)
            given = call(part, x, h, reference.new_full(hidden, memory))
            found.append([t.detach().double() for t in tensors_of(given) if t.numel() == h.numel()])
    except ANYTHING:
        return None
    steps = [(one - zero, two - one) for zero, one, two in zip(*found, strict=False)]
    straight = [a for a, b in steps if bool(a.any()) and _is_close(a, b)]
    if len(steps) < 2 and not straight:
        return None
    # in (output, (h, c)) and (h, c) the memory is the last
    return tuple((straight or [steps[-1][0]])[-1].reshape(-1).tolist()), bool(straight)


def _is_close(a: Any, b: Any) -> bool:
    return bool(((a - b).abs() <= LINEAR * a.abs().clamp(min=1e-6)).all())


def tensors_of(value: Any) -> Iterator[Any]:
    """The tensors of what a forward returns, in their order."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for item in value:
            yield from tensors_of(item)
    elif hasattr(value, "numel"):
        yield value


def _sizes(part: Any) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Shapes of x and h: what the module says, or those that its weights leave room for."""
    shapes = [tuple(p.shape) for p in part.parameters() if p.dim() > 1]
    axes = max((len(shape) - 2 for shape in shapes if 3 <= len(shape) <= 5), default=0)
    convolves = any(hasattr(inner, "kernel_size") for inner in part.modules())
    picture = (PICTURE,) * axes if convolves else ()
    tried = set()
    for inputs, hidden in (*_said(part), *_guess(shapes)):
        if (inputs, hidden) not in tried and inputs > 0 and hidden > 1:
            tried.add((inputs, hidden))
            yield (1, inputs, *picture), (1, hidden, *picture)


def _said(part: Any) -> Iterator[tuple[int, int]]:
    """The sizes by the attributes that authors keep them in."""
    inputs, hidden = (
        [n for name in names if isinstance(n := getattr(part, name, None), int)]
        for names in (INPUTS, HIDDEN)
    )
    yield from product(inputs[:2], hidden[:2])


# H divides a weight's axis by the gates in it, and is an axis of a recurrent weight; in is an axis
# of another, or what a joint weight has beside H. Most likely first.
def _guess(shapes: list[tuple[int, ...]]) -> Iterator[tuple[int, int]]:
    """Sizes that the shapes of the weights suggest."""
    sides = [(s[0], s[1]) for s in shapes if len(s) != 3] + [s[-2:] for s in shapes if len(s) == 3]
    sides += [(b, a) for a, b in sides]
    for rows, columns in sides:
        for gates in (4, 5, 3, 1):
            hidden = rows // gates
            if rows % gates or columns < hidden:
                continue
            if columns > hidden:
                yield columns - hidden, hidden
            for other, inner in sides:
                if other == rows and inner != hidden:
                    yield inner, hidden
            if columns == hidden:
                yield hidden, hidden
