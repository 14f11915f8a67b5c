"""What a live LSTM's gates do on data: their activations at every step, recomputed.

Comes in: a `torch.nn.Module` and what one would call it with. Goes out: an `Activity`: for every
layer and direction the gates i, f, g, o of every step, and the memory that the forget gate gives
each unit. Promise: the numbers are those of the layer's own equations (see `recompute`): i, f, o =
sigmoid(a), g = tanh(a).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import Skipped, UnknownFormat
from .fact_json import json_number
from .facts import Json
from .lstm.layer import Direction, Identity
from .lstm.measure import time_scale as time_scale_of_bias
from .recompute import Calls, Steps, record_calls, steps_of_call
from .result import Result, quote_for_repr

if TYPE_CHECKING:
    import torch  # the caller's own, where a model of it was given

# Beyond these a gate passes no gradient to speak of; as in LA302.
SATURATED, SHUT = 0.9999, 0.0001


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GateActivity:
    """The gates of one layer and direction on the data.

    `i`, `f`, `g`, `o`: tensors of at least float32, detached, with the layout of the layer's
    output and the hidden size last: (time, batch, units), (batch, time, units) under batch_first,
    (time, units) without a batch, (batch, units) of a cell that was called once. A packed batch is
    padded, with NaN where a sequence has ended. Of a layer that was called several times the calls
    follow one another in time.

    Unit by unit, over all steps of all sequences: `activation` is the mean of f, `time_scale` the
    effective memory in steps, -1 / mean(ln f): what is remembered falls to 1/e in so many steps
    of this data. `rest` and `rest_time_scale` are the same at x = 0, h = 0, which is what `audit`
    measures. `saturated` and `shut` are the shares of all f above 0.9999 and below 0.0001.
    """

    module: str
    layer: int
    direction: Direction
    i: "torch.Tensor"
    f: "torch.Tensor"
    g: "torch.Tensor"
    o: "torch.Tensor"
    steps: int
    activation: tuple[float, ...]
    time_scale: tuple[float, ...]
    rest: tuple[float, ...]
    rest_time_scale: tuple[float, ...]
    saturated: float
    shut: float

    @property
    def identity(self) -> Identity:
        """Its identity, as in an audit."""
        return Identity(self.module, self.layer, self.direction, "torch")

    @property
    def address(self) -> str:
        """How it is written: `MODULE:lK[:reverse]`."""
        return self.identity.address

    @property
    def hidden_size(self) -> int:
        """The number of units."""
        return len(self.activation)

    def __repr__(self) -> str:
        mean = sum(self.activation) / max(len(self.activation), 1)
        said = f"{self.steps} steps of {self.hidden_size} units, f {mean:.4g}"
        return f"<GateActivity {quote_for_repr(self.address)}: {said}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Activity(Result, view="activity"):
    """The gates of a model on some data: a sequence of `GateActivity`, in the order of the layers.

    `activity[0]` and `activity["encoder.lstm:l0"]` give one. `skipped` is what looks like an LSTM
    and could not be recomputed, with the reason.
    """

    layers: tuple[GateActivity, ...]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[GateActivity]:
        return iter(self.layers)

    def __getitem__(self, which: int | str) -> GateActivity:
        if isinstance(which, int):
            return self.layers[which]
        found = [one for one in self.layers if which in one.identity.names]
        if len(found) != 1:
            known = ", ".join(one.address for one in self.layers[:8])
            raise KeyError(f"{which!r} means {len(found)} layers; there are {known}")
        return found[0]

    def __repr__(self) -> str:
        return f"<Activity: {len(self.layers)} layers, {len(self.skipped)} skipped>"

    def to_dict(self) -> Json:
        """`lstm-audit/activity/1`, as plain JSON values: numbers of units, not of steps."""
        return {
            "schema": "lstm-audit/activity/1",
            "layers": [_as_json(one) for one in self.layers],
            "skipped": [one._asdict() for one in self.skipped],
        }


def _as_json(one: GateActivity) -> Json:
    units = {name: getattr(one, name) for name in UNIT_NUMBERS}
    return {
        "module": one.module,
        "layer": one.layer,
        "direction": one.direction,
        "steps": one.steps,
        "saturated": json_number(one.saturated),
        "shut": json_number(one.shut),
        **{name: list(map(json_number, values)) for name, values in units.items()},
    }


UNIT_NUMBERS = ("activation", "time_scale", "rest", "rest_time_scale")


def gates(module: "torch.nn.Module", /, *inputs: Any, **keywords: Any) -> Activity:
    """What the gates of an LSTM do on data, and the memory that the forget gate gives each unit.

    Call it with what one would call the module with: `gates(lstm, x)`, `gates(lstm, x, (h, c))`,
    `gates(cell, x, (h, c))`, `gates(model, tokens, lengths=n)`. Of an `nn.LSTM` every layer and
    direction is given: batched or not, batch_first, packed, projected (proj_size), bidirectional,
    with and without biases. A whole model is run once, and every `nn.LSTM` and `nn.LSTMCell` in it
    that is called is given; this executes the model's own forward. All is done in eval mode
    (without dropout) and without gradients.

    Raises `UnknownFormat` for what is no module, holds no LSTM that was called, or is an LSTM with
    a forward of its own; `BadPolicy` for an input that does not fit the layer.
    """
    calls, skipped = record_calls(module, inputs, keywords)
    layers = measure_calls(calls)
    if not layers:
        why = "; ".join(f"{s.module or '(root)'}: {s.detail}" for s in skipped)
        raise UnknownFormat(f"no LSTM was called{': ' + why if why else ''}", kind="unsupported")
    return Activity(layers, tuple(skipped))


def measure_calls(calls: Sequence[Calls]) -> tuple[GateActivity, ...]:
    """The gates of recorded calls, layer by layer."""
    return tuple(one for part in calls for one in _of_part(part))


def _of_part(calls: Calls) -> Iterator[GateActivity]:
    """The layers and directions of a module that was called one or more times."""
    import torch  # the caller's own, where a model of it was given

    first = next(calls.part.parameters())
    with torch.no_grad(), torch.autocast(first.device.type, enabled=False):
        made = [steps_of_call(calls.part, call, torch) for call in calls.made]
        for same in zip(*made, strict=True):
            yield _join_calls(calls.path, same, torch)


# ---- what it amounts to


def _join_calls(path: str, calls: Sequence[Steps], torch: Any) -> GateActivity:
    """The calls of one layer and direction as one, with its numbers unit by unit."""
    first = calls[0]
    before, there = _in_time(calls, torch)
    a = dict(zip("ifgo", before.chunk(4, -1), strict=True))
    f = a["f"][there].double()  # (steps, units)
    rates = torch.nn.functional.softplus(-f)  # -ln sigmoid(a), exact where f rounds to 1
    active = torch.sigmoid(f)
    gates = {gate: _function(gate, torch)(value) for gate, value in a.items()}
    shown = {gate: value.masked_fill(~there[..., None], torch.nan) for gate, value in gates.items()}
    bias = first.bias.tolist()
    return GateActivity(
        module=path,
        layer=first.layer,
        direction=first.direction,
        steps=len(f),
        activation=tuple(active.mean(0).tolist()),
        time_scale=tuple((1.0 / rates.mean(0)).tolist()),
        rest=tuple(torch.sigmoid(first.bias).tolist()),
        rest_time_scale=tuple(map(time_scale_of_bias, bias)),
        saturated=float((active > SATURATED).double().mean()),
        shut=float((active < SHUT).double().mean()),
        **shown,
    )


def _function(gate: str, torch: Any) -> Any:
    return torch.tanh if gate == "g" else torch.sigmoid


def _in_time(calls: Sequence[Steps], torch: Any) -> tuple[Any, Any]:
    """All calls behind one another: along time where their shapes allow it, else as mere steps."""
    if len(calls) == 1:
        return calls[0].before, calls[0].there
    time = calls[0].time
    befores, theres = [c.before for c in calls], [c.there for c in calls]
    if time is None and len({b.shape for b in befores}) == 1:  # a cell, called step by step
        return torch.stack(befores), torch.stack(theres)
    alike = {(*b.shape[:time], *b.shape[time + 1 :]) for b in befores} if time is not None else ()
    if len(alike) == 1:
        return torch.cat(befores, time), torch.cat(theres, time)
    flat = [b.reshape(-1, b.shape[-1]) for b in befores]
    return torch.cat(flat), torch.cat([there.reshape(-1) for there in theres])
