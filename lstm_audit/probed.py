"""A live model's audit beside what its cells really do.

Comes in: the audit of one module, and the module. Goes out: the audit with a finding LA404 for
every row whose number the module itself contradicts, and with what was measured in the entries that
were skipped. Promise: a skipped entry stays skipped: it was measured, not understood.
"""

from typing import Any

from .errors import Skipped
from .facts import Audit, FileAudit, Finding
from .step import Probe, probe


def with_probes(found: Audit, model: Any) -> Audit:
    """The audit of a live module after one step of each of its cells."""
    probes = probe(model)
    return found._replace(files=tuple(_probe_file(file, probes) for file in found.files))


def _probe_file(file: FileAudit, probes: tuple[Probe, ...]) -> FileAudit:
    wrong = [one for one in probes if not one.agrees]
    findings = (*file.findings, *(_disagreement(file, one) for one in wrong))
    skipped = tuple(_measure_entry(entry, probes) for entry in file.skipped)
    return file._replace(findings=findings, skipped=skipped)


def _disagreement(file: FileAudit, one: Probe) -> Finding:
    conventions = [
        row.lstm.identity.convention
        for row in file.rows
        if row.lstm.identity[:3] == (one.module, one.layer, one.direction)
    ]
    message = (
        f"the module itself keeps {one.activation:.4g} of its memory at rest, its weights alone "
        f"say {one.static:.4g}: its forward does something else than its names say"
    )
    return Finding(
        "LA404", "ambiguous-cell", "error", file.path, one.module, one.layer, one.direction,
        message, measured=one.activation, expected=one.static,
        convention=conventions[0] if conventions else None,
    )  # fmt: skip


def _measure_entry(entry: Skipped, probes: tuple[Probe, ...]) -> Skipped:
    for one in probes:
        if one.module == entry.module and one.forget:
            detail = f"measured by its own forward: f = {one.activation:.4f} (mean); {entry.detail}"
            return entry._replace(detail=detail)
        if one.module == entry.module and one.problem:
            return entry._replace(detail=f"{entry.detail}; it could not be probed: {one.problem}")
    return entry
