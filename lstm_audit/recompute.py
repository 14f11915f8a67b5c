"""The gates of an LSTM on data, before their activation functions, from the layer's own outputs.

Comes in: a `torch.nn.Module` and what one would call it with. Goes out: the calls of its LSTMs, and
for each call of a layer and direction the `Steps`. Promise: weights, buffers, modes and random
state are afterwards what they were.

Strategy: an `nn.LSTM` shows no gate, but the gates of a step need only x and the h of the step
before, and that is what the layer puts out. So each layer and direction is run once, by torch's own
kernel, and all steps' gates follow in two matrix products:

    a = W_ih x[t] + b_ih + W_hh h[t-1] + b_hh

(torch.nn.LSTM's documentation; rows of a in the order i, f, g, o). A reverse direction is a forward
one over the sequence turned round, each sequence of a packed batch by itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from .errors import BadPolicy, Skipped, UnknownFormat
from .lstm.layer import Direction

OWN_FORWARD = "its forward is not torch's, so its gates are not known to be those of its weights"


class LayerCall(NamedTuple):
    """One call of a layer: its input, and the state that it began with, if one was given."""

    x: Any
    state: Any = None


class Calls(NamedTuple):
    """The calls of one layer, in their order."""

    path: str
    part: Any
    made: list[LayerCall]


# The model is run once, as its owner would, and only listened to: a hook before each LSTM keeps
# what it is called with. The gates are then computed again from weights and inputs, since torch's
# kernels never give them away.
def record_calls(
    module: Any, inputs: Sequence[Any], keywords: dict[str, Any]
) -> tuple[list[Calls], list[Skipped]]:
    """Run a module, and note what its LSTMs are called with. One that is an LSTM itself need not
    even be run.
    """
    import torch  # the caller's own, where a model of it was given

    if not isinstance(module, torch.nn.Module):
        raise UnknownFormat(f"a {type(module).__name__} is no torch.nn.Module", kind="unsupported")
    if isinstance(module, (torch.nn.LSTM, torch.nn.LSTMCell)) and not _is_own(module):
        return [Calls("", module, [read_call(inputs, keywords)])], []
    parts, skipped = lstms_of(module)
    hooks = [
        part.register_forward_pre_hook(note(made), with_kwargs=True) for _, part, made in parts
    ]
    try:
        with leave_undisturbed(module, torch):
            module(*inputs, **keywords)
    finally:
        for hook in hooks:
            hook.remove()
    return [part for part in parts if part.made], skipped


def lstms_of(module: Any) -> tuple[list[Calls], list[Skipped]]:
    """The LSTMs of a model whose gates can be recomputed, and those whose cannot."""
    import torch  # the caller's own, where a model of it was given

    parts, skipped = [], []
    for path, part in module.named_modules():
        if not isinstance(part, (torch.nn.LSTM, torch.nn.LSTMCell)):
            continue
        if _is_own(part):
            skipped.append(Skipped(path, "extra-terms", OWN_FORWARD))
        else:
            parts.append(Calls(path, part, []))
    return parts, skipped


def _is_own(part: Any) -> bool:
    """Whether an LSTM computes something else than torch's."""
    import torch  # the caller's own, where a model of it was given

    kind = torch.nn.LSTM if isinstance(part, torch.nn.LSTM) else torch.nn.LSTMCell
    return type(part).forward is not kind.forward or "forward" in vars(part)


def note(made: list[LayerCall]) -> Any:
    """A hook that keeps what a layer is called with."""

    def hook(part: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        made.append(read_call(inputs, keywords))

    return hook


def read_call(inputs: Sequence[Any], keywords: dict[str, Any]) -> LayerCall:
    """The arguments of `nn.LSTM` and `nn.LSTMCell`: (input, hx=None)."""
    named = dict(zip(("input", "hx"), inputs, strict=False)) | keywords
    if len(inputs) > 2 or "input" not in named or named.keys() - {"input", "hx"}:
        raise BadPolicy("an LSTM is called with (input, hx=None)")
    return LayerCall(named["input"], named.get("hx"))


@contextmanager
def leave_undisturbed(module: Any, torch: Any) -> Iterator[None]:
    """Eval mode, no gradients; modes and random state are put back."""
    modes = [(part, part.training) for part in module.modules()]
    random = torch.get_rng_state()
    try:
        for part, _ in modes:
            part.training = False
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        torch.set_rng_state(random)


# ---- one layer


class Steps(NamedTuple):
    """What one call of one layer and direction gives: the four gates before their activation
    functions, in the layout of the layer's output; which of the steps there are; where time is in
    it (None: a cell); and the forget gate's own bias.
    """

    layer: int
    direction: Direction
    before: Any
    there: Any
    time: int | None
    bias: Any


def steps_of_call(part: Any, call: LayerCall, torch: Any) -> list[Steps]:
    """What one call of an `nn.LSTM` or `nn.LSTMCell` gives, layer by layer."""
    if isinstance(part, torch.nn.LSTMCell):
        return [_of_cell(part, call, torch)]
    return list(_of_stack(part, call, torch))


def _of_cell(part: Any, call: LayerCall, torch: Any) -> Steps:
    """One step: (batch, units), or (units,)."""
    x = call.x
    _refuse_misfit(x, part.input_size, (1, 2), "(batch, {0}) or ({0},)")
    weights = _weights(part, "")
    h = call.state[0] if call.state is not None else x.new_zeros(*x.shape[:-1], part.hidden_size)
    before = _before(x, h, weights, torch)
    there = torch.ones(before.shape[:-1], dtype=torch.bool, device=before.device)
    return Steps(0, "forward", before, there, None, _forget_bias(part, weights))


def _of_stack(part: Any, call: LayerCall, torch: Any) -> Iterator[Steps]:
    """Layer by layer, each over what the one below puts out."""
    x, lengths, batched = _pad(part, call.x, torch)
    layout = _layout(part, batched, lengths, x, torch)
    ways: tuple[Direction, ...] = ("forward", "reverse") if part.bidirectional else ("forward",)
    x = x.to(_weights(part, "_l0").ih.dtype)  # under autocast, what comes in may be narrower
    states = _states(part, call.state, x, len(ways), batched)
    for layer in range(part.num_layers):
        outputs = []
        for k, way in enumerate(ways):
            turn = _turn(lengths, x, torch) if way == "reverse" else None
            weights = _weights(part, f"_l{layer}" + ("_reverse" if turn is not None else ""))
            h, c = (state[layer * len(ways) + k] for state in states)
            before, output = _run(part, weights, _turn_parts(x, turn), h, c, torch)
            outputs.append(_turn_parts(output, turn))
            before = layout.show(_turn_parts(before, turn))
            bias = _forget_bias(part, weights)
            yield Steps(layer, way, before, layout.there, layout.time, bias)
        x = torch.cat(outputs, -1)


def _run(part: Any, weights: "LayerWeights", x: Any, h: Any, c: Any, torch: Any) -> tuple[Any, Any]:
    """One layer in one direction over (time, batch, features): its gates before their functions,
    and its output.
    """
    flat = [weight for weight in weights if weight is not None]
    state = (h[None].contiguous(), c[None].contiguous())
    output = torch.lstm(x, state, flat, part.bias, 1, 0.0, False, False, False)[0]
    earlier = torch.cat([h[None], output[:-1]])
    return _before(x, earlier, weights, torch), output


class LayerWeights(NamedTuple):
    """The parameters of one layer and direction, in the order in which torch's kernel takes
    them.
    """

    ih: Any
    hh: Any
    bias_ih: Any
    bias_hh: Any
    projection: Any = None


def _weights(part: Any, suffix: str) -> LayerWeights:
    def found(name: str) -> Any:
        return getattr(part, name + suffix, None)

    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    return LayerWeights(*map(found, names))


def _before(x: Any, h: Any, weights: LayerWeights, torch: Any) -> Any:
    """The gates before their functions, in float32 at least: a half of a half is soon 0."""
    kind = torch.promote_types(weights.ih.dtype, torch.float32)
    linear = torch.nn.functional.linear
    pairs = ((x, weights.ih, weights.bias_ih), (h, weights.hh, weights.bias_hh))
    sides = [
        linear(value.to(kind), weight.to(kind), None if bias is None else bias.to(kind))
        for value, weight, bias in pairs
    ]
    return sides[0] + sides[1]


def _forget_bias(part: Any, weights: LayerWeights) -> Any:
    """The forget gate's effective bias, unit by unit."""
    size = part.hidden_size
    if weights.bias_ih is None:
        return weights.ih.new_zeros(size).double()
    both = weights.bias_ih.double() + weights.bias_hh.double()
    return both[size : 2 * size]


# ---- inputs in every form that torch takes


class BatchLayout(NamedTuple):
    """How (time, batch, units) is shown: batch first, without a batch, without what lies behind
    the end of a sequence. `there` is the mask of the steps that there are, `time` their axis.
    """

    batch_first: bool
    batched: bool
    there: Any
    time: int

    def show(self, value: Any) -> Any:
        """A tensor in the layout of the layer's output."""
        if not self.batched:
            return value.squeeze(1)
        return value.transpose(0, 1) if self.batch_first else value


def _layout(part: Any, batched: bool, lengths: Any, x: Any, torch: Any) -> BatchLayout:
    there = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if lengths is not None:
        there = torch.arange(x.shape[0], device=x.device)[:, None] < lengths[None]
    plain = BatchLayout(part.batch_first, batched, None, int(part.batch_first and batched))
    return plain._replace(there=plain.show(there))


def _pad(part: Any, x: Any, torch: Any) -> tuple[Any, Any, bool]:
    """The input as (time, batch, features), the lengths of a packed one, and whether it has a
    batch.
    """
    rnn = torch.nn.utils.rnn
    if isinstance(x, rnn.PackedSequence):
        _refuse_misfit(x.data, part.input_size, (2,), "packed of {0} features")
        padded, lengths = rnn.pad_packed_sequence(x)
        return padded, lengths.to(padded.device), True
    both = "(batch, time, {0})" if part.batch_first else "(time, batch, {0})"
    _refuse_misfit(x, part.input_size, (2, 3), f"{both} or (time, {{0}})")
    if x.dim() == 2:
        return x[:, None], None, False
    return (x.transpose(0, 1) if part.batch_first else x), None, True


def _refuse_misfit(x: Any, size: int, dims: tuple[int, ...], wanted: str) -> None:
    shape = getattr(x, "shape", None)
    if shape is None or len(shape) not in dims or shape[-1] != size or 0 in shape:
        found = f"a {type(x).__name__}" if shape is None else f"shape {tuple(shape)}"
        raise BadPolicy(f"the input has {found}; {wanted.format(size)} was expected")


def _states(part: Any, state: Any, x: Any, ways: int, batched: bool) -> tuple[Any, Any]:
    """h and c at the start, (layers × directions, batch, size) each; zeros where none are given."""
    rows, batch = part.num_layers * ways, x.shape[1]
    sizes = (part.proj_size or part.hidden_size, part.hidden_size)
    if state is None:
        h, c = (x.new_zeros(rows, batch, size) for size in sizes)
        return h, c
    given = [(one if batched else one[:, None]).to(x.dtype) for one in state]
    for one, size in zip(given, sizes, strict=True):
        if tuple(one.shape) != (rows, batch, size):
            raise BadPolicy(
                f"the state has shape {tuple(one.shape)}; {(rows, batch, size)} was expected"
            )
    return given[0], given[1]


def _turn(lengths: Any, x: Any, torch: Any) -> Any:
    """For each step and sequence, the step that stands there when the sequence is turned round."""
    steps = torch.arange(x.shape[0], device=x.device)[:, None]
    ends = steps.new_full((1, x.shape[1]), x.shape[0]) if lengths is None else lengths[None]
    return torch.where(steps < ends, ends - 1 - steps, steps)


def _turn_parts(x: Any, turn: Any) -> Any:
    return x if turn is None else x.gather(0, turn[..., None].expand_as(x))
