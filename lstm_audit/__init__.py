"""lstm-audit: what an LSTM's forget gate starts at, read from the checkpoint without running it.

    import lstm_audit
    result = lstm_audit.audit("model.pt")           # or a folder, a torch.nn.Module, a state dict
    result.rows[0].measures.activation.mean         # 0.5 for a fresh torch.nn.LSTM

Names are imported when they are used.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .audit import audit as audit
    from .check import Checked as Checked
    from .check import assert_forget_gate as assert_forget_gate
    from .check import check as check
    from .errors import AuditError as AuditError
    from .finding import Audit as Audit
    from .finding import FileAudit as FileAudit
    from .finding import FileError as FileError
    from .finding import Finding as Finding
    from .finding import Row as Row
    from .patch.api import Patched as Patched
    from .patch.api import patch as patch

_HOMES = {
    "audit": "audit",
    "check": "check",
    "Checked": "check",
    "assert_forget_gate": "check",
    "AuditError": "errors",
    "Audit": "finding",
    "FileAudit": "finding",
    "FileError": "finding",
    "Finding": "finding",
    "Row": "finding",
    "Patched": "patch.api",
    "patch": "patch.api",
}

__all__ = [
    "Audit", "AuditError", "Checked", "FileAudit", "FileError", "Finding", "Patched", "Row", "__version__",
    "assert_forget_gate", "audit", "check", "patch",
]  # fmt: skip


class _Package(ModuleType):
    """Importing the module `lstm_audit.audit` would bind it over the function of the same name: not here."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lstm_audit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
