"""Pickled values into named tensors.

Comes in: an `Envelope`: inert values, never objects. Goes out: `Contents`: tensors by their natural
dotted path, built when they are asked for, and what the pickled classes claim. Promise: a value is
walked once, however many paths lead to it, and no path can make the walk endless.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from ...errors import MalformedFile, Skipped
from ...raw.tensor import Tensor
from ...wire.pickle import Call, Global
from .. import Claim
from .legacy import Envelope
from .rebuild import is_array, is_tensor, nested_file, unread

MAX_NODES = (
    1 << 20
)  # values of one pickle that the walk visits: far beyond any model, about a second
MAX_PATH = 4096  # characters of a name; longer ones are nested on purpose

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
_CELLS = {
    "LSTM": "lstm",
    "LSTMCell": "lstm",
    "GRU": "gru",
    "GRUCell": "gru",
    "RNN": "rnn",
    "RNNCell": "rnn",
}
_MODES = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn", "RNN_RELU": "rnn"}
_FACTS = ("hidden_size", "input_size", "proj_size", "num_layers", "bidirectional", "bias")

Place = tuple[str, Any]
"""A path, and the inert value that stands there."""


class Contents(NamedTuple):
    """What the walk found: by path the calls that would build tensors, claims by module path, what
    has no readable values, and the calls that would load a whole torch file out of bytes.
    """

    tensors: dict[str, Call]
    claims: dict[str, Claim]
    skipped: list[Skipped]
    nested: list[Call]


def contents(envelope: Envelope) -> Contents:
    """Walk a decoded pickle from its root; what an optimizer holds comes last, so that no model is
    named after it.
    """
    found, seen = Contents({}, {}, [], []), set()
    stack: list[Place] = [("", envelope.value)]
    later: list[Place] = []
    visited = 0
    while stack or later:
        path, value = stack.pop() if stack else later.pop()
        visited += 1
        if visited > MAX_NODES or len(path) > MAX_PATH:
            raise MalformedFile(
                f"more than {MAX_NODES} values, or a name over {MAX_PATH} characters", kind="limit"
            )
        if type(value) is Call and (nested := nested_file(value)):
            found.nested.append(nested)
        if type(value) is Call and (is_tensor(value) or is_array(value)):
            _note_tensor(found, path, value)
        elif type(value) in (dict, list, tuple, Call):
            inner = list(_children(path, value))
            if (
                id(value) in seen
            ):  # a second way to the same container: only the tensors right in it get a second name
                inner = [
                    (name, leaf) for name, leaf in inner if type(leaf) is Call and is_tensor(leaf)
                ]
            elif type(value) is Call and (claim := _claim(value)):
                found.claims[path] = claim
            seen.add(id(value))
            for place in reversed(inner):
                (later if "optim" in place[0] else stack).append(place)
    return found


def _note_tensor(found: Contents, path: str, call: Call) -> None:
    reason = unread(call)
    if reason is not None:
        found.skipped.append(Skipped(path, *reason))
    elif found.tensors.setdefault(path, call) is not call:
        found.skipped.append(
            Skipped(path, "ambiguous", "several tensors have the same path in the file")
        )


def _children(path: str, value: Any) -> Iterator[Place]:
    """The values inside a container, each with its path."""
    if type(value) is dict:
        yield from _pairs(path, value.items())
    elif type(value) in (list, tuple):
        yield from ((_join(path, str(k)), v) for k, v in enumerate(value))
    elif type(value) is Call:
        yield from _parts_of_call(path, value)


def _pairs(path: str, pairs: Iterable[Sequence[Any]]) -> Iterator[Place]:
    unknown = 0
    for key, value in pairs:
        if type(value) in (dict, list, tuple, Call):
            label = _label(key)
            if label is None:
                unknown += 1
                label = "?" if unknown == 1 else f"?{unknown}"
            yield _join(path, label), value


def _parts_of_call(path: str, call: Call) -> Iterator[Place]:
    """A pickled object: the items of a mapping, the elements of a sequence, attributes, and
    constructor arguments.
    """
    name = (call.function.module, call.function.name)
    if name in _TRANSPARENT:
        yield from ((path, argument) for argument in call.args[:1])
        return
    if call.items:
        yield from _pairs(path, call.items)
    if call.extended:
        yield from _children(path, call.extended)
    yield from _attributes(path, call)
    arguments = _ordered_pairs(call.args)
    if arguments is not None:
        yield from _pairs(path, arguments)
    elif name != ("torch", "Size"):
        yield from _children(path, call.args)


def _ordered_pairs(arguments: Sequence[Any]) -> list[list[Any]] | None:
    """Python 2 pickled OrderedDict([[key, value], ...]) as one argument."""
    if len(arguments) == 1 and type(arguments[0]) is list:
        pairs = arguments[0]
        if pairs and all(type(pair) is list and len(pair) == 2 for pair in pairs):
            return pairs
    return None


def _attributes(path: str, call: Call) -> Iterator[Place]:
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
    """A dictionary key as part of a path; None for what is no text, number or tuple of them, and
    gets a number.
    """
    if type(key) is tuple:
        labels = [_label(part) for part in key]
        return None if None in labels else f"({', '.join(map(str, labels))})"
    return key if type(key) is str else str(key) if type(key) in (int, bool, float) else None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _claim(call: Call) -> Claim | None:
    """What a pickled recurrent module says of itself: its class, or torch's `mode` attribute in a
    subclass.
    """
    state = next((s for s in _states(call) if type(s) is dict), None)
    cls = call.args[0] if call.args and type(call.args[0]) is Global else call.function
    known = "torch.nn.modules.rnn" in cls.module or "torch.ao.nn.quant" in cls.module
    kind = _CELLS.get(cls.name) if known else None
    if kind is None and state is not None and "hidden_size" in state:
        mode = state.get("mode")
        kind = _MODES.get(mode) if type(mode) is str else None
    if kind is None:
        return None
    facts = (
        {name: int(state[name]) for name in _FACTS if type(state.get(name)) in (int, bool)}
        if state
        else {}
    )
    return Claim(f"{cls.module}.{cls.name}", kind, facts)


Claimed = TypeVar("Claimed")
"""What a container says of one tensor before it is located."""


def _nothing(claimed: object) -> None:
    return None


class LazyTensors(Mapping[str, Tensor], Generic[Claimed]):
    """Named tensors that are located by `build` when they are looked up: a model has thousands that
    no audit needs.

    `shape` gives the shape that is claimed of a tensor, where the claim alone tells it: of a weight
    no more is needed.
    """

    def __init__(
        self,
        claims: Mapping[str, Claimed],
        build: Callable[[Claimed], Tensor],
        shape: Callable[[Claimed], tuple[int, ...] | None] = _nothing,
    ) -> None:
        self._claims = claims
        self._build = build
        self._shape = shape
        self._built: dict[str, Tensor] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def shape_of(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, as far as possible from its claim alone."""
        known = self._shapes.get(name)
        if known is None:
            known = self._shapes[name] = self._shape(self._claims[name]) or self[name].shape
        return known

    def __getitem__(self, name: str) -> Tensor:
        built = self._built.get(name)
        if built is None:
            built = self._built[name] = self._build(self._claims[name])
        return built

    def __contains__(self, name: object) -> bool:
        return name in self._claims

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)
