"""The results: what an audit says, as typed values and as the JSON of `lstm-audit/report/1`.

Comes in: facts and measures. Goes out: `Audit`, frozen, sorted, without timestamps. Promise:
`to_dict()` is strict JSON and equal, byte for byte, in two runs over the same files.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .errors import Skipped
from .lstm.forensics.schemes import Init
from .lstm.layer import GATES, Lstm
from .lstm.measure import Measures, Stats
from .version import __version__

SCHEMA = "lstm-audit/report/1"
SEVERITIES = ("error", "warning", "info")
"""Most severe first."""

Json = dict[str, Any]


class Row(NamedTuple):
    """One LSTM of a report: the facts, what was measured, and which initialiser made it (None: not
    asked).
    """

    lstm: Lstm
    measures: Measures
    init: Init | None = None


class Fix(NamedTuple):
    """What mends a finding: arguments of `lstm-audit patch FILE`. `safe`: nothing that was learned
    is lost.
    """

    arguments: tuple[str, ...]
    safe: bool


class Finding(NamedTuple):
    """One rule's word on one LSTM, one module (`layer` None) or one file (`module` None too).

    `measured` and `expected` are numbers or short texts; the message says both, and what to do.
    """

    code: str
    name: str
    severity: str
    path: str
    module: str | None
    layer: int | None
    direction: str | None
    message: str
    measured: float | str | None = None
    expected: float | str | None = None
    fix: Fix | None = None

    @property
    def fingerprint(self) -> str:
        """The same in every run over the same file, whatever the numbers: the key of a baseline."""
        return f"{self.code}:{self.path}:{self.address}"

    @property
    def address(self) -> str:
        """`MODULE:lK[:reverse]`, `MODULE`, or nothing, as far as the finding has a place."""
        if self.layer is None:
            return self.module or ""
        return f"{self.module}:l{self.layer}" + (":reverse" if self.direction == "reverse" else "")


class FileAudit(NamedTuple):
    """One checkpoint that could be read. `bytes` is its size on disk (all shards together)."""

    path: str
    format: str
    bytes: int
    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]
    findings: tuple[Finding, ...] = ()


class FileError(NamedTuple):
    """One input that could not be read: the kind, what to do, and the byte at which it happened."""

    path: str
    kind: str
    message: str
    at: int | None = None


class Audit(NamedTuple):
    """The result of one run. `ignored` counts the files in walked folders that are no
    checkpoints.
    """

    files: tuple[FileAudit, ...]
    errors: tuple[FileError, ...] = ()
    ignored: int = 0
    ignored_paths: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every LSTM of every file, in the order of the report."""
        return tuple(row for file in self.files for row in file.rows)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding of every file, in the order of the report."""
        return tuple(finding for file in self.files for finding in file.findings)

    def to_dict(self) -> Json:
        """The report as plain JSON values; non-finite numbers are the strings NaN, Infinity and
        -Infinity.
        """
        return {
            "schema": SCHEMA,
            "tool": {"name": "lstm-audit", "version": __version__},
            "summary": self._summary(),
            "files": [_file(file) for file in self.files],
            "errors": [_error(error) for error in self.errors],
        }

    def _summary(self) -> Json:
        return {
            "files": len(self.files),
            "unreadable": len(self.errors),
            "ignored": self.ignored,
            "lstms": len(self.rows),
            "skipped": sum(len(file.skipped) for file in self.files),
            "findings": {s: sum(f.severity == s for f in self.findings) for s in SEVERITIES},
        }


def number(value: float) -> float | str:
    """A float as strict JSON can hold it."""
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _error(error: FileError) -> Json:
    return {"path": error.path, "kind": error.kind, "message": error.message, "at": error.at}


def _file(file: FileAudit) -> Json:
    return {
        "path": file.path,
        "format": file.format,
        "bytes": file.bytes,
        "lstms": [_row(row) for row in file.rows],
        "skipped": [
            {"module": s.module, "reason": s.reason, "detail": s.detail} for s in file.skipped
        ],
        "findings": [_finding(finding) for finding in file.findings],
    }


def _row(row: Row) -> Json:
    lstm, measures = row.lstm, row.measures
    return {
        "module": lstm.module,
        "layer": lstm.layer,
        "direction": lstm.direction,
        "convention": lstm.convention,
        "hidden_size": lstm.hidden_size,
        "dtype": lstm.dtype,
        "bias_tensors": list(lstm.bias_tensors),
        "aliases": list(lstm.aliases),
        "offset": number(lstm.offset),
        "activation_function": lstm.activation_function,
        "notes": list(lstm.notes),
        "gates": _by_gate(measures.gates),
        "difference": None if measures.difference is None else _by_gate(measures.difference),
        "activation": _stats(measures.activation),
        "time_scale": _stats(measures.time_scale),
        "half_life": _stats(measures.half_life),
        "init": None if row.init is None else _init(row.init),
    }


def _init(init: Init) -> Json:
    return {
        "scheme": init.scheme,
        "value": None if init.value is None else number(init.value),
        "state": init.state,
        "confidence": init.confidence,
        "evidence": init.evidence,
    }


def _finding(finding: Finding) -> Json:
    return {
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity,
        "path": finding.path,
        "module": finding.module,
        "layer": finding.layer,
        "direction": finding.direction,
        "message": finding.message,
        "measured": number(finding.measured)
        if isinstance(finding.measured, float)
        else finding.measured,
        "expected": number(finding.expected)
        if isinstance(finding.expected, float)
        else finding.expected,
        "fixable": finding.fix is not None,
        "fix": None
        if finding.fix is None
        else {"arguments": list(finding.fix.arguments), "safe": finding.fix.safe},
        "fingerprint": finding.fingerprint,
    }


def _by_gate(stats: Mapping[str, Stats]) -> Json:
    return {gate: _stats(stats[gate]) for gate in GATES}


def _stats(stats: Stats) -> Json:
    return {name: number(value) for name, value in zip(Stats._fields, stats, strict=True)}


def sort_skipped(skipped: Sequence[Skipped]) -> tuple[Skipped, ...]:
    """Skipped entries in the order of a report, each said once."""
    return tuple(sorted(set(skipped), key=lambda s: (s.module, s.reason, s.detail)))
