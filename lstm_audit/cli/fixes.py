"""Findings' fixes as bytes, for reports that carry them.

Comes in: an `Audit`. Goes out: for each finding that a patch mends, the edits. Promise: a fix that
cannot be planned is left out; the finding stands with its command.
"""

from collections.abc import Callable

from ..errors import AuditError
from ..facts import Audit, Finding
from ..patching import target
from ..patching.checkpoint import plan
from ..patching.target import Target
from ..reports import Replacement

MAKERS: dict[str, Callable[[str], Target]] = {
    "--forget-bias": lambda text: target.forget_bias(float(text)),
    "--activation": lambda text: target.activation(float(text)),
    "--time-scale": lambda text: target.time_scale(float(text)),
    "--half-life": lambda text: target.half_life(float(text)),
    "--shift": lambda text: target.shift(float(text)),
    "--init": lambda text: target.preset(text),
}


def edits_of(audit: Audit) -> dict[str, tuple[Replacement, ...]]:
    """By fingerprint, what each fix would write."""
    planned = (
        (finding.fingerprint, _planned(finding)) for finding in audit.findings if finding.fix
    )
    return {fingerprint: edits for fingerprint, edits in planned if edits}


def _planned(finding: Finding) -> tuple[Replacement, ...]:
    assert finding.fix is not None
    given = list(zip(finding.fix.arguments[::2], finding.fix.arguments[1::2], strict=False))
    layers = tuple(value for name, value in given if name == "--layers")
    targets = [MAKERS[name](value) for name, value in given if name in MAKERS]
    if len(targets) != 1:
        return ()
    try:
        files = plan(finding.path, targets[0], layers).files
    except AuditError:
        return ()
    return tuple(
        Replacement(edit.at, edit.old, edit.new, file.path) for file in files for edit in file.edits
    )
