"""What a pickle's calls may do to tensors that they do not make.

Comes in: an `Envelope`. Goes out: a way to tell whether a tensor's numbers may be changed by a call
that is none of its own. Promise: a function whose effect is not known may change whatever it is
given, also where its result is thrown away; of what it was given nothing is told.

`torch.nn.init.zeros_(bias)`, `operator.setitem(state, "bias_ih_l0", other)`, or the state of a
device copy, which is the tensor itself where there is nothing to copy: after them a loader has
other numbers than the calls that rebuilt the tensors say.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import Skipped
from ...raw.budget import Budget
from ...tuples import NamedTuple
from ...wire.pickle import Call, Persistent
from .legacy import Envelope
from .tensor_calls import (
    DEVICE_COPIES,
    SUBCLASS,
    is_array,
    is_tensor,
    name_call,
    state_is_harmless,
)

# Functions of the standard library that only make something of their arguments, unless one of those
# is a call: `list(map(operator.setitem, ...))` runs whatever is in it.
_MAKERS = {
    *((module, name) for module in ("builtins", "__builtin__") for name in (
        "list", "tuple", "set", "frozenset", "dict", "int", "float", "complex", "bool", "str",
        "bytes", "bytearray", "slice", "range", "object", "getattr", "long", "unicode",
    )),
    *(("collections", name) for name in (
        "OrderedDict", "defaultdict", "Counter", "deque", "ChainMap",
    )),
    *((module, "_reconstructor") for module in ("copyreg", "copy_reg")),
    *(("torch.jit._pickle", f"build_{name}list") for name in ("tensor", "int", "double", "bool")),
    ("torch.jit._pickle", "restore_type_tag"),
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("torch.storage", "_load_from_bytes"),
}  # fmt: skip

# Steps of the budget for a call that is looked at: it takes as long as so many opcodes.
CALL_COST = 8

# What they give may be one of their arguments itself, or a part of it.
_ALIASES = {
    *DEVICE_COPIES,
    *(("torch", name) for name in ("as_tensor", "asarray", "from_numpy")),
    *((module, "getattr") for module in ("builtins", "__builtin__")),
}


class Effects(NamedTuple):
    """By the identity of a call, and by the key of a storage, which function may change it."""

    calls: Mapping[int, str]
    storages: Mapping[str, str]


def note_effects(envelope: Envelope, tensors: dict[str, Call], skipped: list[Skipped]) -> None:
    """Take the tensors away that a call may change which does not make them, with the reason."""
    budget = envelope.chunks.budget
    budget.step(CALL_COST * len(envelope.effects), "a pickle's calls")
    doubtful = {id(call): call for call in envelope.effects if _is_doubtful(call)}
    if not doubtful:
        return  # nearly all files
    found = _reach_of(doubtful.values(), budget)
    if not found.calls and not found.storages:
        return
    kept = {id(value) for value in _walk([envelope.value], budget, doubtful)}
    for path, call in list(tensors.items()):
        name = _find_changer(call, found, budget) if id(call) in kept else None
        if name is not None:
            del tensors[path]
            detail = f"it is given to {name}, whose effect is not known"
            skipped.append(Skipped(path, "ambiguous", detail))


def _is_doubtful(call: Call) -> bool:
    """Whether a call, or what was put into its result, may change what it was given."""
    function = call.function
    if function in _ALIASES:
        return call.altered
    if is_tensor(call) and (call.items is not None or call.extended is not None):
        return True  # elements are set, in a storage that others may share
    if function in SUBCLASS:
        return _is_doubtful_subclass(call)
    if function in _MAKERS:
        return bool(call.args) and type(call.args[0]) is Call and call.args[0].function != function
    return bool(call.args) and not (is_tensor(call) or is_array(call))


def _is_doubtful_subclass(call: Call) -> bool:
    """(function, class, arguments, state): the function is called with the arguments, and the
    state is set on what it gives.
    """
    if len(call.args) < 3 or call.args[0] in DEVICE_COPIES:
        return call.altered or not state_is_harmless(call)
    inner = Call(call.args[0], call.args[2] if type(call.args[2]) is tuple else ())
    return not is_tensor(inner) or _is_doubtful(inner)


def _reach_of(doubtful: Iterable[Call], budget: Budget) -> Effects:
    """What the calls were given, however deep."""
    calls: dict[int, str] = {}
    storages: dict[str, str] = {}
    seen: set[int] = set()
    for call in doubtful:
        itself = is_tensor(call) and call.function not in SUBCLASS
        given = [call] if itself else [*call.args, call.keywords]
        for value in _walk(given, budget, {}, seen):
            if type(value) is Call:
                calls[id(value)] = name_call(call)
            elif type(value) is Persistent and (key := _key(value)) is not None:
                storages.setdefault(key, name_call(call))
    return Effects(calls, storages)


def _key(reference: Persistent) -> str | None:
    pid = reference.pid
    key = pid[2] if type(pid) is tuple and len(pid) > 2 else pid
    return str(key) if type(key) in (str, int) else None


def _find_changer(call: Call, found: Effects, budget: Budget) -> str | None:
    """The function that may change a tensor, or the storage that it shares; None where none may."""
    for value in _walk([call], budget, {}):
        if id(value) in found.calls:
            return found.calls[id(value)]
        if type(value) is Persistent and (key := _key(value)) in found.storages:
            return found.storages[key or ""]
    return None


def _walk(
    roots: list[Any], budget: Budget, closed: Mapping[int, Call], seen: set[int] | None = None
) -> Iterable[Any]:
    """The containers, calls and references that can be reached; into the arguments of a `closed`
    call nobody goes.
    """
    left, met = [*roots], set() if seen is None else seen
    while left:
        value = left.pop()
        kind = type(value)
        if kind not in (dict, list, tuple, Call, Persistent) or id(value) in met:
            continue
        met.add(id(value))
        yield value
        inner = _parts(value, id(value) in closed)
        budget.step(1 + len(inner), "what a pickle's calls are given")
        left += inner


def _parts(value: Any, closed: bool) -> list[Any]:
    if type(value) is dict:
        return list(value.values())
    if type(value) is not Call:
        return [] if type(value) is Persistent else list(value)
    given = [] if closed else [*value.args, value.keywords]
    given += [value.state, value.extended]
    return [*given, *(item for pair in value.items or () for item in pair)]
