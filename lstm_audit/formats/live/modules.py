"""A torch module: its parameters and buffers under all their names, and what its classes claim.

Comes in: a module. Goes out: named tensors and claims. Promise: none of its own methods is called
but those with which torch unpacks what it packed; a module that contains itself is refused.
"""

from typing import Any

from ...errors import MalformedFile, Skipped
from .. import Claim
from .gathered import MAX_ALIASES, Gathered, count_containers, join_path, library_of
from .steps import computes_step
from .tensors import add_tensor, torch_tensor

_FACTS = ("hidden_size", "proj_size", "num_layers", "bidirectional", "bias")
PACKED = (
    "its parameters are packed, and a live object does not show them; save it and audit the file"
)
_DYNAMIC = "torch.ao.nn.quantized.dynamic.modules.rnn"


def add_module(got: Gathered, path: str, module: Any) -> None:
    """A module's tensors under all their names. Its own methods are not asked: a subclass may do
    anything in them.
    """
    parts = _parts(module)
    count_containers(got, len(parts))
    places = [(join_path(path, name) if name else path, part) for name, part in parts]
    for kind in ("_parameters", "_buffers"):
        for where, part in places:
            for name, tensor in getattr(part, kind).items():
                if tensor is not None:
                    add_tensor(got, join_path(where, name), tensor, torch_tensor)
    for where, part in places:
        got.claims[where] = _claim(part)
        dynamic = _DYNAMIC in (cls.__module__ for cls in type(part).__mro__)
        if dynamic and "hidden_size" in vars(part):
            _add_packed(got, where, part)
    if isinstance(module, library_of("torch").jit.ScriptModule):
        _add_scripted(got, path, module)


def _parts(module: Any) -> list[tuple[str, Any]]:
    """A module and all inside it, under every path, those above first."""
    _bound_paths(module)
    found = []
    stack = [("", module)]
    while stack:
        path, part = stack.pop()
        found.append((path, part))
        inner = [(join_path(path, name), child) for name, child in _children(part)]
        stack += reversed(inner)
    return found


def _children(module: Any) -> list[tuple[str, Any]]:
    return [(name, part) for name, part in module._modules.items() if part is not None]


# Modules that share submodules have more paths than modules, exponentially many if the sharing is
# nested: they are counted bottom-up, as in any acyclic graph (paths of a module = 1 + those of its
# children), before a single path is made.
def _bound_paths(root: Any) -> None:
    """Raise `MalformedFile` where a module contains itself, or where there are far more paths to
    modules than modules: they are counted, from the innermost outwards, before any is walked.
    """
    paths: dict[int, int] = {}  # of the modules that are done
    above: set[int] = set()  # those on the way from the root to the one at hand
    stack = [root]
    while stack:
        module = stack[-1]
        inner = [part for _, part in _children(module)]
        if id(module) in paths:
            stack.pop()
        elif id(module) in above:
            paths[id(module)] = 1 + sum(paths[id(part)] for part in inner)
            above.remove(id(module))
            stack.pop()
        else:
            above.add(id(module))
            stack += [part for part in inner if id(part) not in paths]
            if any(id(part) in above for part in inner):
                raise MalformedFile("a module of the object contains itself", kind="unsupported")
    if paths[id(root)] - len(paths) > MAX_ALIASES:
        message = f"its modules share parts in more than {MAX_ALIASES} ways"
        raise MalformedFile(message, kind="limit")


def _add_scripted(got: Gathered, path: str, module: Any) -> None:
    """What a script runs, where its parameters do not show it: torch.jit.freeze made constants of
    them.
    """
    if any(name.startswith(path) for name in got.tensors):
        return
    calls = str(module.inlined_graph)
    if "aten::lstm" in calls:
        got.skipped.append(
            Skipped(
                path, "frozen", "torch.jit.freeze made constants of the weights; audit it unfrozen"
            )
        )
    elif "quantized_lstm" in calls:
        got.skipped.append(Skipped(path, "packed", PACKED))


def _claim(module: Any) -> Claim:
    """What a module's class, those it inherits from, and its own numbers say of it."""
    own, base = type(module), library_of("torch").nn.Module
    state = vars(module)
    facts = {key: int(value) for key in _FACTS if isinstance(value := state.get(key), int)}
    bases = tuple(
        f"{cls.__module__}.{cls.__qualname__}"
        for cls in own.__mro__[1:]
        if issubclass(cls, base) and cls is not base
    )
    if _computes_itself(own):
        facts["own_forward"] = 1
    if computes_step(own):
        facts["steps"] = 1
    return Claim(f"{own.__module__}.{own.__qualname__}", facts=facts, bases=bases)


# A subclass with a forward of its own may use the weights in any way, and the rows could then be
# wrong; one that calls super().forward, or has none, is torch's LSTM by its numbers.
def _computes_itself(own: type) -> bool:
    """Whether the author of a class wrote a forward that does not call the inherited one. The code
    is looked at, never run.
    """
    author = next(cls for cls in own.__mro__ if "forward" in vars(cls))
    code = getattr(vars(author)["forward"], "__code__", None)
    called = () if code is None else code.co_names
    return not author.__module__.startswith("torch.") and not {"super", "forward"} & {*called}


def _add_packed(got: Gathered, path: str, module: Any) -> None:
    """A dynamically quantised LSTM keeps its weights packed; torch unpacks copies of them, the
    biases in float32.
    """
    try:
        unpacked = {**module.get_weight(), **module.get_bias()}
    except (AttributeError, RuntimeError) as error:
        got.skipped.append(Skipped(path, "packed", f"torch cannot unpack its parameters: {error}"))
        return
    for name, tensor in unpacked.items():
        add_tensor(got, join_path(path, name), tensor, torch_tensor)
