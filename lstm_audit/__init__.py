"""lstm-audit: what an LSTM's forget gate starts at, read from the checkpoint without running it.

    import lstm_audit
    result = lstm_audit.audit("model.pt")           # or a folder, a torch.nn.Module, a state dict
    result[0].measures.activation.mean              # 0.5 for a fresh torch.nn.LSTM
    print(result)                                   # the table; in a notebook, the picture

Look:     audit, check, lint, diff, trend, probe, gates
Change:   patch, undo
Train:    assert_forget_gate, monitor, and the callbacks of lstm_audit.integrations
Look up:  presets, explain, load_policy
Errors:   AuditError is the root; BadPolicy, MalformedFile, MissingFile, MissingPackage,
          NotPatchable, UnknownFormat, Unreadable
"""

from .version import __version__ as __version__

# False, as from typing, whose import takes 5 ms: longer than ours. Spelled so, for jedi looks past
# the branch of a plain False.
TYPE_CHECKING = not __name__

if TYPE_CHECKING:
    from .activity import Activity as Activity
    from .activity import GateActivity as GateActivity
    from .activity import gates as gates
    from .api import PresetFacts as PresetFacts
    from .api import diff as diff
    from .api import explain as explain
    from .api import presets as presets
    from .api import trend as trend
    from .compare import Comparison as Comparison
    from .errors import AuditError as AuditError
    from .errors import BadPolicy as BadPolicy
    from .errors import MalformedFile as MalformedFile
    from .errors import MissingFile as MissingFile
    from .errors import MissingPackage as MissingPackage
    from .errors import NotPatchable as NotPatchable
    from .errors import Skipped as Skipped
    from .errors import UnknownFormat as UnknownFormat
    from .errors import Unreadable as Unreadable
    from .facts import Audit as Audit
    from .facts import FileAudit as FileAudit
    from .facts import FileError as FileError
    from .facts import Finding as Finding
    from .facts import Row as Row
    from .fleet import audit as audit
    from .gate import Checked as Checked
    from .gate import assert_forget_gate as assert_forget_gate
    from .gate import check as check
    from .history import Trend as Trend
    from .linting import LintAudit as LintAudit
    from .linting import lint as lint
    from .monitoring import GateWarning as GateWarning
    from .monitoring import Monitor as Monitor
    from .monitoring import monitor as monitor
    from .patching.api import Patched as Patched
    from .patching.api import patch as patch
    from .patching.api import undo as undo
    from .patching.undo import Undone as Undone
    from .policy.load import load_policy as load_policy
    from .policy.model import Policy as Policy
    from .step import Probe as Probe
    from .step import probe as probe
    from .writers import Alarm as Alarm
    from .writers import Reading as Reading
else:
    # Each name is imported when it is used. A type checker must not see this function: it would
    # take every misspelled name for one of ours.
    _HOMES = {
        "activity": ("Activity", "GateActivity", "gates"),
        "api": ("PresetFacts", "diff", "explain", "presets", "trend"),
        "compare": ("Comparison",),
        "errors": (
            "AuditError", "BadPolicy", "MalformedFile", "MissingFile", "MissingPackage",
            "NotPatchable", "Skipped", "UnknownFormat", "Unreadable",
        ),
        "facts": ("Audit", "FileAudit", "FileError", "Finding", "Row"),
        "fleet": ("audit",),
        "gate": ("Checked", "assert_forget_gate", "check"),
        "history": ("Trend",),
        "linting": ("LintAudit", "lint"),
        "monitoring": ("GateWarning", "Monitor", "monitor"),
        "patching.api": ("Patched", "patch", "undo"),
        "patching.undo": ("Undone",),
        "policy.load": ("load_policy",),
        "policy.model": ("Policy",),
        "step": ("Probe", "probe"),
        "writers": ("Alarm", "Reading"),
    }  # fmt: skip

    def __getattr__(name):
        for home, names in _HOMES.items():
            if name in names:
                from importlib import import_module  # kept out of the names of the package

                return getattr(import_module(f".{home}", __name__), name)
        raise AttributeError(f"module 'lstm_audit' has no attribute {name!r}")

    def __dir__():
        return sorted(__all__)


__all__ = [
    "Activity", "Alarm", "Audit", "AuditError", "BadPolicy", "Checked", "Comparison", "FileAudit",
    "FileError", "Finding", "GateActivity", "GateWarning", "LintAudit", "MalformedFile",
    "MissingFile", "MissingPackage", "Monitor", "NotPatchable", "Patched", "Policy", "PresetFacts",
    "Probe", "Reading", "Row", "Skipped", "Trend", "Undone", "UnknownFormat", "Unreadable",
    "__version__",
    "assert_forget_gate", "audit", "check", "diff", "explain", "gates", "lint", "load_policy",
    "monitor", "patch", "presets", "probe", "trend", "undo",
]  # fmt: skip
