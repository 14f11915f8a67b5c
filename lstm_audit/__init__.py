"""lstm-audit: what an LSTM's forget gate starts at, read from the checkpoint without running it.

    import lstm_audit
    result = lstm_audit.audit("model.pt")           # or a folder, a torch.nn.Module, a state dict
    result.rows[0].measures.activation.mean         # 0.5 for a fresh torch.nn.LSTM

Names are imported when they are used.
"""

from .version import __version__ as __version__

TYPE_CHECKING = False  # as from typing, whose import takes 5 ms: longer than ours

if TYPE_CHECKING:
    from .errors import AuditError as AuditError
    from .facts import Audit as Audit
    from .facts import FileAudit as FileAudit
    from .facts import FileError as FileError
    from .facts import Finding as Finding
    from .facts import Row as Row
    from .fleet import audit as audit
    from .gate import Checked as Checked
    from .gate import assert_forget_gate as assert_forget_gate
    from .gate import check as check
    from .gate import lint as lint
    from .patching.api import Patched as Patched
    from .patching.api import patch as patch
    from .step import Probe as Probe
    from .step import probe as probe

_HOMES = {
    "audit": "fleet",
    "check": "gate",
    "lint": "gate",
    "Checked": "gate",
    "assert_forget_gate": "gate",
    "AuditError": "errors",
    "Audit": "facts",
    "FileAudit": "facts",
    "FileError": "facts",
    "Finding": "facts",
    "Row": "facts",
    "Patched": "patching.api",
    "patch": "patching.api",
    "Probe": "step",
    "probe": "step",
}

__all__ = [
    "Audit", "AuditError", "Checked", "FileAudit", "FileError", "Finding", "Patched", "Probe",
    "Row", "__version__",
    "assert_forget_gate", "audit", "check", "lint", "patch", "probe",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'lstm_audit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
