"""All that a step of somebody's forward could change, put back.

Comes in: a live module. Goes out: the module to call, in eval mode, with nothing of its user's
hooked to it. Promise: afterwards its parameters, buffers, attributes (a list that grew, a tensor
that was written to), modes and hooks, and the random states of torch, Python and numpy, are what
they were.
"""

import copy
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

# What torch keeps in a module under these names runs around its forward.
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")
# Containers that a forward may change in place; what they hold is looked into as deep as this.
DEPTH = 3

Undo = Callable[[], None]


# The forward is somebody's code: it may draw random numbers, count calls, or write to a buffer. All
# that a module holds is put back by value, since identity alone would not show a change in place.
# Hooks that the user hung on it (loggers, monitors) are not run: a probe is no step of training. Of
# torch's own those that compute a weight stay (weight_norm, spectral_norm, pruning).
@contextmanager
def keep(part: Any, torch: Any) -> Iterator[Any]:
    """The module to call: itself, or of a scripted one, whose attributes nothing shows, a copy."""
    if isinstance(part, torch.jit.ScriptModule):
        part = copy.deepcopy(part)
    modules = list(part.modules())
    scripted = [isinstance(module, torch.jit.ScriptModule) for module in modules]
    plain = [module for module, script in zip(modules, scripted, strict=True) if not script]
    with ExitStack() as stack:
        for undo in _undo_random(torch):
            stack.callback(undo)
        with torch.no_grad():
            for tensor in (*part.parameters(), *part.buffers()):
                stack.callback(_undo_tensor(tensor, torch))
        for module in plain:
            stack.callback(_undo_container(vars(module), DEPTH, torch))
        for module in modules:
            stack.callback(_undo_mode(module))
            module.training = False
        for module in plain:
            _unhook(module)
        for name in GLOBAL_HOOKS:
            hooks = getattr(torch.nn.modules.module, name, None)
            if hooks:
                stack.callback(_undo_container(hooks, 1, torch))
                hooks.clear()
        with torch.no_grad():
            yield part


def _undo_random(torch: Any) -> Iterator[Undo]:
    """Random states as they are now."""
    state, drawn = torch.get_rng_state(), random.getstate()
    yield lambda: torch.set_rng_state(state)
    yield lambda: random.setstate(drawn)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numbers = numpy.random.get_state()
        yield lambda: numpy.random.set_state(numbers)
    if torch.cuda.is_initialized():
        devices = torch.cuda.get_rng_state_all()
        yield lambda: torch.cuda.set_rng_state_all(devices)


def _undo_tensor(tensor: Any, torch: Any) -> Undo:
    """The numbers of a tensor; one that was given others of another size gets its own back."""
    data, value, version = tensor.data, tensor.detach().clone(), tensor._version

    def undo() -> None:
        if tensor.data.data_ptr() != data.data_ptr() or tensor.shape != data.shape:
            tensor.data = data
        if tensor._version != version or not torch.equal(tensor, value):
            with torch.no_grad():
                tensor.copy_(value)

    return undo


def _undo_mode(module: Any) -> Undo:
    training = module.training

    def undo() -> None:
        module.training = training

    return undo


def _undo_container(held: Any, depth: int, torch: Any) -> Undo:
    """The items of a container, and those of the containers among them."""
    items = dict(held) if isinstance(held, dict) else list(held)
    values = items.values() if isinstance(items, dict) else items
    inner: list[Undo] = []
    for value in values if depth else ():
        if isinstance(value, dict | list | set | deque):
            inner.append(_undo_container(value, depth - 1, torch))
        elif isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
            inner.append(_undo_tensor(value, torch))

    def undo() -> None:
        held.clear()
        held.update(items) if isinstance(held, dict | set) else held.extend(items)
        for one in inner:
            one()

    return undo


def _unhook(module: Any) -> None:
    for name in HOOKS:
        hooks = vars(module).get(name)
        for key, hook in list(hooks.items()) if hooks else ():
            if not type(hook).__module__.startswith("torch.nn.utils"):
                del hooks[key]
