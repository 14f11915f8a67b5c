"""Pickled values into named tensors.

Comes in: an `Envelope`: inert values, never objects. Goes out: `Contents`: tensors by their natural
dotted path, built when they are asked for, and what the pickled classes claim. Promise: a value is
walked once, however many paths lead to it, and no path can make the walk endless.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...errors import MalformedFile, Skipped
from ...raw.words import MAX_NAME, is_plain, show
from ...tuples import NamedTuple
from ...wire.pickle import Call, Global, Opaque, PickledBytes
from .. import Claim
from .legacy import Envelope
from .rebuild import is_load
from .tensor_calls import is_array, is_tensor, makes_values, unread

# Parts of a tuple that is a key.
MAX_PARTS = 8

# Bytes of a checkpoint that may be kept in a pickle; the smallest with an LSTM has about 500.
LEAST_FILE = 256

# Second names a file may have for tensors deep below what is met again: doubly shared containers,
# one in the other, would double them at each level, and they count where LSTMs are limited.
MAX_ALIASES = 1 << 10

# A name of n characters counts as n / 2**LONG further steps of the budget.
LONG = 6

_TRANSPARENT = {
    ("torch.jit._pickle", name)
    for name in (
        "build_tensorlist",
        "build_intlist",
        "build_doublelist",
        "build_boollist",
        "restore_type_tag",
    )
}
_MODULE_PARTS = frozenset({"_modules", "_parameters", "_buffers"})
_FACTS = ("hidden_size", "input_size", "proj_size", "num_layers", "bidirectional", "bias")

# Modules whose classes hold items; what BUILD gives to one of them is an attribute, no item.
_CONTAINERS = ("collections", "builtins", "__builtin__")

# A path, and the inert value that stands there.
ValuePath = tuple[str, Any]


class Walked(NamedTuple):
    """A container whose tensors are all found, by their places in the order of finding; it stands
    on the stack below what is in the container.
    """

    container: int
    path: str
    start: int
    stop: int = 0


class Contents(NamedTuple):
    """What the walk found: by path the calls that would build tensors, claims by module path,
    what has no readable values, and by path the bytes that may be files of their own.
    """

    tensors: dict[str, Call]
    claims: dict[str, Claim]
    skipped: list[Skipped]
    files: dict[str, PickledBytes]


def contents(envelope: Envelope) -> Contents:
    """What a decoded pickle holds; it is walked once for all files that have the same one."""
    found: Contents | None = envelope.worked_out.get("contents")
    if found is None:
        found = envelope.worked_out["contents"] = _walk(envelope)
        if envelope.effects:
            from .effects import note_effects  # 1 ms that plain state dicts need not wait for

            note_effects(envelope, found.tensors, found.skipped)
    return found


# The walk of an inert value. Containers may share parts and may contain themselves, so each is
# walked once; but names matter: a tied module must be known under both of its names, and a value
# that was walked already is therefore *named* again, not walked again.
#
# That is done in two depths. The tensors right in a container are remembered by label, and a second
# way to the container gives them second names at once, even while the first walk is under way.
# Tensors further down are found in the list of names, between the places where the walk of the
# container began and ended, which a `Walked` entry below its contents on the stack tells. Two
# containers that share each other level by level would double names at each level: `spare` bounds
# how many second names a file may have in this way.
#
# Optimizer states come last, because they refer to the model's own parameters: the first path that
# leads to a tensor is the one it is reported by.
def _walk(envelope: Envelope) -> Contents:
    """Walk a decoded pickle from its root; what an optimizer holds comes last, so that no model is
    named after it.
    """
    found, budget = Contents({}, {}, [], {}), envelope.chunks.budget
    leaves: dict[int, list[ValuePath]] = {}
    names: list[str] = []
    walked: dict[int, Walked] = {}
    spare = MAX_ALIASES
    stack: list[ValuePath] = [("", envelope.value)]
    later: list[ValuePath] = []
    while stack or later:
        path, value = stack.pop() if stack else later.pop()
        if type(value) is Call and (is_tensor(value) or is_array(value)):
            _note_tensor(found, path, value)
            if len(found.tensors) > len(names):
                names.append(path)
            continue
        if type(value) is PickledBytes:
            found.files.setdefault(path, value)
            continue
        if type(value) is Walked:
            walked[value.container] = value._replace(stop=len(names))
            continue
        if type(value) not in (dict, list, tuple, Call):
            continue
        if not value:  # an empty container; a `Call` is never one
            continue
        known = leaves.get(id(value))
        inner = []
        if known is not None:
            deep = _deep_tensors(found, names, walked.get(id(value)), spare)
            spare -= len(deep)
            known = list(dict.fromkeys([*known, *deep])) if deep else known
        for place in _children(path, value) if known is None else _again(path, known):
            budget.steps -= 1 + (len(place[0]) >> LONG)
            if budget.steps < 0:
                budget.step(0, "a pickle's contents")
            inner.append(place)
        if known is None:
            leaves[id(value)] = _tensors_in(path, inner)
            if type(value) is Call:
                _note_call(found, path, value)
            if len(inner) > len(leaves[id(value)]):
                stack.append((path, Walked(id(value), path, len(names))))
        for place in reversed(inner):
            (later if "optim" in place[0] else stack).append(place)
    return found


def _tensors_in(path: str, inner: list[ValuePath]) -> list[ValuePath]:
    """Of a container's parts the tensors, by their labels: a second way to it gives them a second
    name, also while the container is still being walked.
    """
    skip = len(path) + 1 if path else 0
    return [(name[skip:], part) for name, part in inner if type(part) is Call and is_tensor(part)]


def _deep_tensors(
    found: Contents, names: list[str], walked: Walked | None, spare: int
) -> list[ValuePath]:
    """The tensors further below a container that is met again, by their labels in it: tied modules
    have a second name. None while it is still being walked: that is a way back up.
    """
    if walked is None or walked.stop - walked.start > spare:
        return []
    skip = len(walked.path) + 1 if walked.path else 0
    below = ((name[skip:], found.tensors[name]) for name in names[walked.start : walked.stop])
    return [place for place in below if is_tensor(place[1])]


def _again(path: str, leaves: list[ValuePath]) -> Iterator[ValuePath]:
    return ((_join(path, label) if label else path, part) for label, part in leaves)


def _note_call(found: Contents, path: str, call: Call) -> None:
    """What an object says of itself; and what may be a tensor, made in a way that is not known."""
    if claim := _claim(call):
        found.claims[path] = claim
    name = (call.function.module, call.function.name)
    tensors = [arg for arg in call.args if type(arg) is Call and (is_tensor(arg) or is_array(arg))]
    if is_load(call) or (tensors and name not in _TRANSPARENT) or makes_values(path, call):
        detail = f"it is made by {show('.'.join(name))}, whose effect is not known"
        found.skipped.append(Skipped(path, "ambiguous", detail))


def _note_tensor(found: Contents, path: str, call: Call) -> None:
    reason = unread(call)
    if reason is not None:
        found.skipped.append(Skipped(path, *reason))
    elif found.tensors.setdefault(path, call) is not call:
        found.skipped.append(
            Skipped(path, "ambiguous", "several tensors have the same path in the file")
        )


def _children(path: str, value: Any) -> Iterator[ValuePath]:
    """The values inside a container, each with its path."""
    if type(value) is dict:
        return _pairs(path, value.items())
    if type(value) is Call:
        return _parts_of_call(path, value)
    return _elements(path, value) if type(value) in (list, tuple) else iter(())


def _elements(path: str, value: Sequence[Any]) -> Iterator[ValuePath]:
    for k, part in enumerate(value):
        if type(part) is not PickledBytes or _may_be_file(part):
            yield _join(path, str(k)), part


def items_of(value: Any) -> dict[str, Any]:
    """What stands in a mapping under texts; of what is none, nothing."""
    if type(value) is dict:
        return value  # its other keys are nobody's question
    if type(value) is not Call or value.function.module not in _CONTAINERS:
        return {}
    items = [*(_read_items(value.args) or ()), *(value.items or ())]
    return {key: item for key, item in items if type(key) is str}


# Keys that are no text or number get "?" and a count: their values must still be found.
def _pairs(path: str, pairs: Iterable[Sequence[Any]]) -> Iterator[ValuePath]:
    unknown = 0
    for key, value in pairs:
        if type(value) in (dict, list, tuple, Call) or _may_be_file(value):
            label = _label(key)
            if label is None:
                unknown += 1
                label = "?" if unknown == 1 else f"?{unknown}"
            yield _join(path, label), value


def _may_be_file(value: Any) -> bool:
    """Bytes that are long enough to be a checkpoint of their own."""
    return type(value) is PickledBytes and value.stop - value.start >= LEAST_FILE


# What a pickled object holds can be in four places: constructor arguments, items set one by one,
# elements appended, and the state. Which of them mean what depends on the class; containers of the
# standard library take arguments as items, everything else keeps attributes in its state.
def _parts_of_call(path: str, call: Call) -> Iterator[ValuePath]:
    """A pickled object: the items of a mapping, the elements of a sequence, attributes, and
    constructor arguments.
    """
    if is_load(call):
        return  # its bytes are read where the call is
    name = (call.function.module, call.function.name)
    if name in _TRANSPARENT:
        yield from ((path, argument) for argument in call.args[:1])
        return
    if name[0] in _CONTAINERS:
        arguments = _read_items(call.args)
        yield from _pairs(path, _last([*(arguments or ()), *(call.items or ())]))
    else:
        arguments = None
        yield from _pairs(path, _last(call.items or ()))
        yield from _attributes(path, call)
    if call.extended:
        yield from _children(path, call.extended)
    if arguments is None and name != ("torch", "Size"):
        yield from _children(path, call.args)


def _last(items: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The items without those that a later one of the same name replaces."""
    last = {item[0]: k for k, item in enumerate(items) if type(item[0]) is str}
    if len(last) == len(items):
        return list(items)
    return [item for k, item in enumerate(items) if type(item[0]) is not str or last[item[0]] == k]


def _read_items(arguments: Sequence[Any]) -> Sequence[Sequence[Any]] | None:
    """The items that a mapping's constructor gets: OrderedDict([[key, value], ...]), as Python 2
    pickled it, or another mapping.
    """
    if len(arguments) != 1:
        return None
    given = arguments[0]
    if type(given) is dict:
        return list(given.items())
    if type(given) in (list, tuple) and given:
        pairs = all(type(pair) in (list, tuple) and len(pair) == 2 for pair in given)
        return given if pairs else None
    return None


def _attributes(path: str, call: Call) -> Iterator[ValuePath]:
    """The state of an object; a module's parameters and children stand right under the module's own
    name.
    """
    for state in _states(call):
        if type(state) is dict:
            yield from ((path, value) for key, value in state.items() if key in _MODULE_PARTS)
            yield from _pairs(
                path, [item for item in state.items() if item[0] not in _MODULE_PARTS]
            )
        else:
            yield from _children(path, state)


# copyreg's protocol 2 gives (dict, slots); torch's ScriptObject (payload, class).
def _states(call: Call) -> list[Any]:
    """BUILD's argument; (dict, slots) for objects with slots; (payload, class) for torch's custom
    classes.
    """
    state = call.state
    if (call.function.module, call.function.name) == ("torch", "ScriptObject") and type(
        state
    ) is tuple:
        return [part for part in state if type(part) is tuple][:1]
    if (
        type(state) is tuple
        and len(state) == 2
        and all(part is None or type(part) is dict for part in state)
    ):
        return [part for part in state if part is not None]
    return [] if state is None else [state]


def _label(key: Any) -> str | None:
    """A dictionary key as part of a path; None for what is no text, number or short tuple of them,
    and gets a number.
    """
    if type(key) is tuple:
        labels = [_word(part) for part in key] if len(key) <= MAX_PARTS else [None]
        return None if None in labels else f"({', '.join(map(str, labels))})"
    return _word(key)


def _word(key: Any) -> str | None:
    if type(key) is str:
        if len(key) > MAX_NAME:
            raise _too_long()
        return key
    if type(key) is Opaque and type(key.value) is str:
        raise _too_long()  # no other text is boxed
    return str(key) if key is not None and is_plain(key) else None


def _join(path: str, name: str) -> str:
    if len(path) + len(name) > MAX_NAME:
        raise _too_long()
    return f"{path}.{name}" if path else name


def _too_long() -> MalformedFile:
    return MalformedFile(f"a name of over {MAX_NAME} characters", kind="limit")


def _claim(call: Call) -> Claim | None:
    """What a pickled module says of itself: its class, and torch's `mode` attribute."""
    state = next((s for s in _states(call) if type(s) is dict), None)
    if state is None or not ("_parameters" in state or "hidden_size" in state):
        return None
    cls = call.args[0] if call.args and type(call.args[0]) is Global else call.function
    mode = state.get("mode")
    facts = {name: int(state[name]) for name in _FACTS if _is_fact(state.get(name))}
    return Claim(f"{cls.module}.{cls.name}", facts=facts, mode=mode if type(mode) is str else "")


def _is_fact(value: object) -> bool:
    return type(value) in (int, bool) and is_plain(value)
