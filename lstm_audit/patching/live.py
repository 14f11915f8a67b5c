"""A live model patched: the same plan, written through torch or Keras.

Comes in: a `torch.nn.Module` or a model of Keras, and a `Target`. Goes out: the `GatePlan`s that
were carried out. Promise: every Parameter and Variable stays the object that it was (an optimizer
that holds it still does), and nothing but the planned elements changes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import NotPatchable
from ..formats import Checkpoint
from ..formats.keras.live import is_keras, read_model, variables_of, write_part
from ..formats.live import read_module
from ..lstm.find import find_lstms
from ..lstm.layer import GATES
from ..lstm.measure import read_values
from ..lstm.own import Own
from ..raw.tensor import Block
from ..targets import Target
from .choose import choose
from .overlap import lay_out, refuse_contradictions, refuse_sharing
from .plan import (
    BiasPlace,
    GatePlan,
    Write,
    changes_of,
    changes_of_write,
    plan_gates,
    round_values,
)


class Live(NamedTuple):
    """A model as one framework has it: its tensors, what forbids a write, and how one is done."""

    checkpoint: Checkpoint
    tensors: Mapping[str, Any]
    refuse: "Callable[[tuple[GatePlan, ...], Mapping[str, Any]], None]"
    write: "Callable[[Any, Write], None]"


def patch_module(
    model: Any,
    target: Target,
    layers: tuple[str, ...] = (),
    place: BiasPlace = "ih",
    declared: tuple[Own, ...] = (),
    dry_run: bool = False,
) -> tuple[tuple[GatePlan, ...], bool]:
    """Patch the LSTMs of a model in place; the plans, and whether a number had to be
    written. Under `dry_run` nothing is written.

    Raises `NotPatchable` before anything is written.
    """
    if is_keras(model):
        live = Live(read_model(model), variables_of(model), _refuse_nothing, _assign)
    else:
        live = Live(read_module(model), _tensors(model), _refuse_inference, _write)
    checkpoint, tensors = live.checkpoint, live.tensors
    found = find_lstms(checkpoint, declared)
    chosen = choose(found, layers)
    plans = tuple(
        gate for lstm in chosen for gate in plan_gates(lstm, read_values(lstm), target, place)
    )
    changes = list(changes_of(plans))
    refuse_contradictions(changes)
    layouts = lay_out(checkpoint.tensors)
    refuse_sharing(checkpoint.tensors, layouts, found.lstms, chosen, changes)
    missing = sorted(
        {w.term.name for plan in plans for w in plan.writes if w.term.name not in tensors}
    )
    if missing:
        raise NotPatchable(
            f"{missing[0]} is no parameter of the model: a quantised module keeps its bias packed"
        )
    live.refuse(plans, tensors)
    writes = [write for plan in plans for write in plan.writes if _differs(write)]
    if dry_run:
        return plans, bool(writes)
    for write in writes:
        live.write(tensors[write.term.name], write)
    _verify(plans)
    return plans, bool(writes)


def _differs(write: Write) -> bool:
    """Whether it would change a byte; else even the parameter's version counter is left alone."""
    return any(change.span.read() != change.new for change in changes_of_write(write, ""))


def _tensors(model: Any) -> dict[str, Any]:
    """Parameters and buffers by the names under which `read_module` found them; aliases
    included.
    """
    from torch.nn import Module  # the caller's own: a live module is being patched

    named = (
        Module.named_parameters(model, "", True, False),
        Module.named_buffers(model, "", True, False),
    )
    return {name: tensor for pairs in named for name, tensor in pairs}


def _refuse_inference(plans: tuple[GatePlan, ...], tensors: Mapping[str, Any]) -> None:
    """A tensor made under inference_mode may not be written to outside of it (torch raises in the
    middle).
    """
    for plan in plans:
        for write in plan.writes:
            if tensors[write.term.name].is_inference():
                raise NotPatchable(
                    f"{write.term.name} was made under torch.inference_mode and cannot be written "
                    "to"
                )


def _refuse_nothing(plans: tuple[GatePlan, ...], tensors: Mapping[str, Any]) -> None:
    """A variable of Keras can be assigned to wherever it is."""


def _assign(variable: Any, write: Write) -> None:
    """Into a variable of Keras, whose biases are vectors."""
    block = write.term.block
    write_part(variable, block.start, block.stop, round_values(write))


def _write(tensor: Any, write: Write) -> None:
    """Copy the values into their elements: as the plan rounded them, for torch rounds twice on the
    way to float16.
    """
    import torch  # the caller's own, as above

    with torch.no_grad():
        values = torch.tensor(round_values(write), dtype=torch.float64).to(tensor.dtype)
        elements(tensor, write.term.block).copy_(values)


def elements(tensor: Any, block: Block) -> Any:
    """The view of a torch tensor, one axis long, that a block names."""
    where = [0] * tensor.dim()
    flat = tensor[tuple(slice(None) if axis == block.axis else k for axis, k in enumerate(where))]
    return flat[block.start : block.stop : block.step]


def _verify(plans: tuple[GatePlan, ...]) -> None:
    """Read the model again: every planned gate has what was planned."""
    for plan in plans:
        found = read_values(plan.lstm).effective[GATES.index(plan.gate)]
        if any(a != b and a == a for a, b in zip(plan.after, found, strict=True)):
            raise NotPatchable(f"{plan.lstm.address}: the model does not read back as planned")
