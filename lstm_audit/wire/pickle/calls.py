"""Opcodes that would import, call or look up something: they are only mentioned.

Comes in: the machine, and the place behind an opcode. Goes out: the place of the next opcode.
Promise: what stands there becomes a `Global`, a `Call` or a `Persistent`; nothing of it runs.
"""

from typing import Any

from .state import OpcodeError, PickleMachine, note_change, opcode
from .values import JOBLIB_ARRAYS, Call, Global, Persistent, PickledBytes
from .window import ShortWindowError

MAX_NAME = 1024  # characters of a module's or a global's name

# Called with bytes, it loads a whole torch file (torch/storage.py), which has a pickle of its own:
# each of these calls is remembered, for it may be thrown away before the pickle ends.
_LOAD = Global("torch.storage", "_load_from_bytes")


# One object a name: two mentions of one global are then the same object, and comparing them by
# identity is enough for the readers and for `watched`.
def _mention(m: PickleMachine, module: str, name: str) -> None:
    if len(module) > MAX_NAME or len(name) > MAX_NAME:
        raise OpcodeError(f"a global's name has over {MAX_NAME} characters", "limit")
    known = m.globals.get((module, name))
    if known is None:
        known = m.globals[module, name] = Global(module, name)
        if known == _LOAD:
            m.watched = known
    m.stack.append(known)


@opcode(0x63, 2)
def _global(m: PickleMachine, at: int) -> int:
    """Two lines: module and name."""
    middle = _line_end(m, at)
    end = _line_end(m, middle + 1)
    _mention(m, m.data[at:middle].decode(), m.data[middle + 1 : end].decode())
    return end + 1


# GLOBAL's names end in a newline and have no length before them: without a bound the search would
# run through the whole file, window by window, for every one of them.
def _line_end(m: PickleMachine, at: int) -> int:
    longest = 4 * MAX_NAME  # bytes of a name in UTF-8
    end = m.data.find(b"\n", at, at + longest + 1)
    if end >= 0:
        return end
    if len(m.data) - at > longest:
        raise OpcodeError(f"a global's name has over {MAX_NAME} characters", "limit")
    if len(m.data) == m.reach:
        raise OpcodeError("the bytes end before a global's name does", "truncated")
    raise ShortWindowError(3 + 2 * longest)


@opcode(0x93)
def _stack_global(m: PickleMachine, at: int) -> int:
    name, module = m.stack.pop(), m.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise OpcodeError("a global's name is no text")
    _mention(m, module, name)
    return at


_CALL = Global("operator", "call")

# What nearly every call of a real file is; these make a tensor, and leave their arguments as they
# are (torch/_utils.py).
_MAKERS = frozenset(
    ("torch._utils", f"_rebuild_{name}")
    for name in ("tensor", "tensor_v2", "tensor_v3", "parameter", "parameter_with_state")
)


# A call with arguments is by far the commonest (every tensor is one), so the two usual forms are
# told apart here without the checks of the general one.
@opcode(0x52)
def _reduce(m: PickleMachine, at: int) -> int:
    """What would be called with what; calling the result of a call is mentioned as `operator.call`
    of it.

    Protocol 2 writes that for objects with keyword arguments: `functools.partial(cls.__new__, ...)`
    and then `()`.
    """
    args, function = m.stack.pop(), m.stack[-1]
    if type(args) is tuple and type(function) is Global:
        m.stack[-1] = call = Call(function, args)
        if args and function is not m.maker:
            _note(m, call)
    elif type(args) is tuple and type(function) is Call:
        m.stack[-1] = call = Call(_CALL, (function, *args))
        m.effects.append(call)
    else:
        return _call(m, at, function, args)
    return at


# A function may change what it is given, and its result may be thrown away at once: then nothing of
# the value shows that it was called. NEWOBJ calls a class alone, whose __new__ makes something.
def _note(m: PickleMachine, call: Call) -> None:
    """Remember a call by a function that is not known to make a tensor and no more."""
    if call.function in _MAKERS:
        m.maker = call.function
        return
    m.effects.append(call)
    if call.function is m.watched:
        m.loads.append(call)


@opcode(0x81)
def _newobj(m: PickleMachine, at: int) -> int:
    args, function = m.stack.pop(), m.stack[-1]
    return _call(m, at, function, args)


# cloudpickle writes a class of `__main__` (a notebook's) by value: a call makes it, and objects are
# made of what that gives. Without arguments its __new__ has nothing that it could change.
def _call(m: PickleMachine, at: int, function: Any, args: Any, keywords: Any = None) -> int:
    if type(function) is Call and type(args) is tuple and type(keywords) in (dict, type(None)):
        m.stack[-1] = call = Call(_CALL, (function, *args), keywords)
        if args or keywords:
            m.effects.append(call)
        return at
    if (
        type(function) is not Global
        or type(args) is not tuple
        or type(keywords) not in (dict, type(None))
    ):
        raise OpcodeError(
            f"a {type(function).__name__} would be called with a {type(args).__name__}"
        )
    m.stack[-1] = call = Call(function, args, keywords)
    if function is m.watched:
        m.loads.append(call)
    return at


@opcode(0x92)
def _newobj_ex(m: PickleMachine, at: int) -> int:
    keywords, args, function = m.stack.pop(), m.stack.pop(), m.stack[-1]
    return _call(m, at, function, args, keywords)


# BUILD on a dict is what torch leaves where an OrderedDict with attributes was saved by an old
# pickler: its `_metadata` (versions of modules) is set on the dict object, and none of its entries.
@opcode(0x62)
def _build(m: PickleMachine, at: int) -> int:
    """Give an object its state. On a dict (torch's `_metadata` on a converted OrderedDict) it
    changes no entry.
    """
    state, target = m.stack[-1], m.stack[-2]
    if type(target) is Call:
        if target.state is not None:
            raise OpcodeError("an object is given its state twice")
        if target.function in JOBLIB_ARRAYS:
            return _array_behind(m, at, target, state)
        target.state = state
        note_change(m, target)
    elif type(target) is not dict:
        raise OpcodeError(f"a {type(target).__name__} is given a state")
    m.stack.pop()
    return at


# joblib (NumpyArrayWrapper) writes an array's bytes straight behind the pickled wrapper, in the
# middle of the opcodes. The machine must know the wrapper to be able to step over them; how many
# bytes there are follows from the wrapper's state alone.
def _array_behind(m: PickleMachine, at: int, wrapper: Call, state: Any) -> int:
    """joblib's wrapper, with the elements of its array behind it in the stream."""
    from .joblib import MAX_PADDING, Unclear, array_of, padding_of, replace  # 0.9 ms

    need = min(1 + MAX_PADDING, m.reach - at)
    if at + need > len(m.data):
        raise ShortWindowError(1 + need)
    try:
        array = array_of(wrapper, state)
        at += padding_of(array, m.data[at : at + need])
    except Unclear as unclear:
        raise OpcodeError(str(unclear), "unsupported") from None
    if array.size > m.reach - at:
        raise OpcodeError("an array of joblib is cut short", "truncated")
    elements = PickledBytes(m.base + at, m.base + at + array.size)
    replace(wrapper, array, elements)
    m.stack.pop()
    return at + array.size


# torch's legacy format passes the class of a whole module through the persistent id, with its
# source text, so that it can warn when the source has changed (torch/serialization.py,
# persistent_id).
@opcode(0x51)
def _binpersid(m: PickleMachine, at: int) -> int:
    """In legacy torch files ('module', class, source file, source) stands for the class."""
    pid = m.stack[-1]
    is_class = type(pid) is tuple and len(pid) > 1 and type(pid[0]) is str and pid[0] == "module"
    if m.resolve is not None:
        m.stack[-1] = m.resolve(pid)
    elif is_class and type(pid[1]) is Global:
        m.stack[-1] = pid[1]
    else:
        m.stack[-1] = Persistent(pid)
        m.persistents.append(m.stack[-1])
    return at
