"""What a live cell's forget gate really does: one step, measured.

Comes in: a `torch.nn.Module`. Goes out: a `Probe` for every recurrence in it: the activation that
was measured unit by unit, beside the static one. Promise: the module's own forward is executed, and
nothing else of it: in eval mode, without gradients, without hooks; parameters, buffers, attributes
and random state are afterwards what they were. What could not be called is said.

The step is taken at x = 0, h = 0, from c = 1 and from c = 0. The memory that is left of the
difference is the forget gate, whatever the names, norms, offsets and classes say:
c' = f c + i g, so c'(1) - c'(0) = f.
"""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from .call import ANYTHING, measure_cell, tensors_of
from .errors import UnknownFormat
from .formats.live import read_module
from .keep import keep
from .lstm.find import find_lstms
from .lstm.kind import read_claimed_kind, read_worded_kind
from .lstm.layer import Direction, Lstm
from .lstm.measure import ACTIVATIONS, read_values
from .result import quote_for_repr

# Static and measured means differ by rounding alone below this, in float16 too.
AGREE = 1e-4


class Probe(NamedTuple):
    """One recurrence, measured.

    `forget` is the measured activation of each unit, empty where the module could not be called,
    which `problem` then says; `static` is the mean that the weights alone give, None where no row
    reads them.
    """

    module: str
    layer: int
    direction: Direction
    forget: tuple[float, ...]
    static: float | None = None
    problem: str = ""

    def __repr__(self) -> str:
        said = self.problem or f"activation {self.activation:.4g}"
        place = quote_for_repr(f"{self.module}:l{self.layer}:{self.direction}")
        return f"<Probe {place}: {said}>"

    @property
    def activation(self) -> float | None:
        """The mean over units."""
        return sum(self.forget) / len(self.forget) if self.forget else None

    @property
    def error(self) -> float | None:
        """How far the static number is off."""
        measured = self.activation
        return None if measured is None or self.static is None else self.static - measured

    @property
    def agrees(self) -> bool:
        """Whether the two numbers are one; true where there is only one."""
        return self.error is None or abs(self.error) <= AGREE


# Classes and names only choose which modules are called; what is measured owes nothing to them. So
# this is the check on everything else in the package: a row that misreads a framework's gate order
# is off here, whatever its tests say.
def probe(model: Any) -> tuple[Probe, ...]:
    """Measure every recurrence of a model. This executes the forward of its cells.

    `nn.LSTM` (each layer and direction), `nn.LSTMCell`, and every module whose class or weights say
    LSTM and whose forward takes (x, (h, c)), (x, h, c) or (x, state); scripted ones too. Raises
    `UnknownFormat` for what is no module.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        raise UnknownFormat(f"a {type(model).__name__} is no torch.nn.Module", kind="unsupported")
    checkpoint = read_module(model)
    found = find_lstms(checkpoint)
    known = {lstm.module for lstm in found.lstms} | {skip.module for skip in found.skipped}
    static = {(one.module, one.layer, one.direction): _static(one) for one in found.lstms}
    probes: list[Probe] = []
    for path, part in list(model.named_modules()):
        claim = checkpoint.claims.get(path)
        said = "" if claim is None else read_claimed_kind(claim) or read_worded_kind(claim)
        if said == "lstm" or (path in known and said != "gru"):
            with keep(part, torch) as kept:
                probes += _measure(path, kept, torch)
    return tuple(
        one._replace(static=static.get((one.module, one.layer, one.direction)))
        for one in _outermost(probes)
    )


def _static(lstm: Lstm) -> float:
    forget = read_values(lstm).forget
    function = ACTIVATIONS[lstm.activation_function]
    return sum(map(function, forget)) / len(forget)


def _outermost(probes: list[Probe]) -> Iterator[Probe]:
    """A wrapper that could not be called says nothing where a cell inside of it was."""
    measured = [one.module for one in probes if one.forget]
    for one in probes:
        within = f"{one.module}." if one.module else ""
        if one.forget or not any(path.startswith(within) for path in measured):
            yield one


def _measure(path: str, part: Any, torch: Any) -> Iterator[Probe]:
    if isinstance(part, torch.nn.LSTM) or _is_scripted_stack(part, torch):
        yield from _measure_stack(path, part, torch)
        return
    forget, problem = measure_cell(part, torch)
    yield Probe(path, 0, "forward", forget, problem=problem)


def _is_scripted_stack(part: Any, torch: Any) -> bool:
    """Whether a script was made of an `nn.LSTM`, which keeps its sizes as constants."""
    scripted = isinstance(part, torch.jit.ScriptModule) and part.original_name == "LSTM"
    return scripted and all(hasattr(part, name) for name in ("num_layers", "proj_size", "bias"))


def _measure_stack(path: str, part: Any, torch: Any) -> Iterator[Probe]:
    """Each layer and direction of an `nn.LSTM`. Above the first layer the input is what the layer
    below puts out, so there torch's own step is taken over the layer's parameters.
    """
    scripted = isinstance(part, torch.jit.ScriptModule)
    own = not scripted and type(part).forward is not torch.nn.LSTM.forward
    ways: tuple[Direction, ...] = ("forward", "reverse") if part.bidirectional else ("forward",)
    for layer in range(part.num_layers):
        for number, way in enumerate(ways):
            try:
                if layer == 0:
                    one, zero = (_first_layer(part, number, len(ways), v) for v in (1.0, 0.0))
                elif own:
                    problem = "its class has a forward of its own, for the first layer only"
                    yield Probe(path, layer, way, (), problem=problem)
                    continue
                else:
                    one, zero = (_layer(part, layer, way, v, torch) for v in (1.0, 0.0))
            except ANYTHING as error:
                problem = f"its forward raised {type(error).__name__}"
                yield Probe(path, layer, way, (), problem=problem)
                continue
            yield Probe(path, layer, way, tuple((one - zero).double().reshape(-1).tolist()))


def _first_layer(part: Any, number: int, ways: int, memory: float) -> Any:
    reference = next(part.parameters())
    shape = (1, 1, part.input_size)
    h = reference.new_zeros(part.num_layers * ways, 1, part.proj_size or part.hidden_size)
    c = reference.new_zeros(part.num_layers * ways, 1, part.hidden_size)
    c[:ways] = memory
    # a script has two forwards, of the two overloads: for a tensor, and for a packed sequence
    forward = getattr(part, "forward__0", None) or part.forward
    found = list(tensors_of(forward(reference.new_zeros(shape), (h, c))))
    return found[-1][number]


def _layer(part: Any, layer: int, way: str, memory: float, torch: Any) -> Any:
    suffix = f"_l{layer}" + ("_reverse" if way == "reverse" else "")
    halves = ("ih", "hh")
    weights = [getattr(part, f"weight_{half}{suffix}") for half in halves]
    biases = [getattr(part, f"bias_{half}{suffix}") for half in halves] if part.bias else [None] * 2
    x = weights[0].new_zeros(1, weights[0].shape[1])
    h = weights[0].new_zeros(1, weights[1].shape[1])
    c = weights[0].new_full((1, part.hidden_size), memory)
    projected = [getattr(part, f"weight_hr{suffix}")] if part.proj_size else []
    flat = [*weights, *(b for b in biases if b is not None), *projected]
    state = (h[None], c[None])
    return torch.lstm(x[None], state, flat, part.bias, 1, 0.0, False, False, False)[2]
