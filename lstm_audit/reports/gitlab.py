"""`gitlab`: a code-quality report, which GitLab shows beside a merge request.

Comes in: an `Audit`. Goes out: a JSON list in the subset of the CodeClimate format that GitLab
reads (description, check_name, fingerprint, severity, location). Promise: an issue keeps its
fingerprint as long as its place and rule are the same, and paths are those of the repository.

A checkpoint has no lines: GitLab demands one, so it is the first; findings in source have theirs.
"""

from collections import Counter
from hashlib import sha256
from typing import Any

from ..facts import Audit, FileError, Finding
from . import Look, report
from .listings import rank
from .remedies import commands, remedy
from .words import PATH_LIMIT, describe_error, dumps, escape, relative, show_place, utf8

# GitLab's words.
SEVERITY = {"error": "major", "warning": "minor", "info": "info"}

# GitLab shows what is new among them; a longer list only makes its page slow.
ISSUES = 5000


@report("gitlab")
def gitlab(audit: Audit, look: Look) -> str:
    """Unreadable inputs first, then the findings, most severe first."""
    issues = [_unreadable(error, look) for error in audit.errors]
    issues += [_issue(finding, look) for finding in rank(audit.findings)]
    return dumps(_distinct(issues[:ISSUES]), indent=2) + "\n"


def _distinct(issues: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """GitLab drops an issue whose fingerprint it has seen: equal ones are numbered."""
    seen: Counter[str] = Counter()
    for issue in issues:
        fingerprint = issue["fingerprint"]
        if seen[fingerprint]:
            issue["fingerprint"] = _digest(fingerprint, str(seen[fingerprint]))
        seen[fingerprint] += 1
    return issues


def _issue(finding: Finding, look: Look) -> dict[str, Any]:
    file = relative(finding.path, look.root) or finding.path
    place = show_place(finding)
    parts = [f"{place}: " if place else "", escape(finding.message, PATH_LIMIT)]
    parts += [f". {remedy(command)}" for command in commands(file, [finding.fix])]
    return {
        "description": "".join(parts),
        "check_name": finding.code,
        "fingerprint": _digest(
            finding.code, file, finding.address, str(finding.convention), str(finding.line)
        ),
        "severity": SEVERITY[finding.severity],
        "location": _location(file, finding.line),
    }


def _unreadable(error: FileError, look: Look) -> dict[str, Any]:
    file = relative(error.path, look.root) or error.path
    return {
        "description": escape(describe_error(error), PATH_LIMIT),
        "check_name": error.kind,
        "fingerprint": _digest(error.kind, file, ""),
        "severity": "critical",
        "location": _location(file, None),
    }


def _location(file: str, line: int | None) -> dict[str, Any]:
    return {"path": file, "lines": {"begin": line or 1}}


def _digest(*parts: str) -> str:
    return sha256(b"\0".join(map(utf8, parts))).hexdigest()
