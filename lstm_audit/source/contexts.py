"""Contexts and decorators that switch autograd.

Comes in: the value of a `with` item or of a decorator. Goes out: what it does to autograd. Promise:
a context that is not known may do anything, and is answered None.
"""

from .values import Dotted, Value

MODES = {
    "torch.no_grad": False,
    "torch.inference_mode": False,
    "torch.enable_grad": True,
    "torch.set_grad_enabled.off": False,
    "torch.set_grad_enabled.on": True,
}

QUIET = (
    "builtins.open", "contextlib.", "torch.cuda", "torch.autograd.", "torch.amp.", "torch.device",
    "torch.random.", "torch.backends.", "torch.profiler.", "warnings.", "tempfile.", "tqdm.",
    "threading.", "torch.utils.", "os.", "io.", "time.", "zipfile.",
)  # fmt: skip


def grad_mode_of(value: Value) -> bool | None:
    """Whether autograd is on in this context; None where it is left as it is."""
    return MODES.get(value.name) if isinstance(value, Dotted) else None


def is_quiet(value: Value) -> bool:
    """Whether a context surely leaves autograd alone."""
    return isinstance(value, Dotted) and value.name.startswith(QUIET)
