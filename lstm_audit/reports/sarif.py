"""`sarif` 2.1.0 (OASIS): findings for code scanning, with everything that GitHub asks for.

Comes in: an `Audit`, and through the `Look` the root of the repository and the edits of fixes. Goes
out: one run, its results most severe first. Promise: valid against the official schema, no more
than GitHub keeps of a run, and the same bytes wherever the repository lies, as long as its files
lie inside.

A checkpoint has no lines. GitHub wants all four numbers of a text region and shows the finding at
the file's first line; the true place of the forget bias stands beside them as byteOffset and
byteLength, where the file has one.
"""

import os
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence

from ..fact_json import as_json
from ..facts import Audit, FileAudit, FileError, Finding, Json
from ..lstm.layer import Identity
from ..raw.locators import is_remote
from ..rules import RULES
from ..version import __version__
from . import Look, Replacement, report
from .listings import rank
from .remedies import commands, remedy
from .words import PATH_LIMIT, dumps, escape, relative, show_place, utf8

# A path, and which LSTM.
RegionKey = tuple[str, Identity | None]

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
HOME = "https://pypi.org/project/lstm-audit/"
RESULTS = 5000  # GitHub shows no more of a run, and keeps the first
NOTIFICATIONS = 1000
FIX_BYTES = (
    1 << 21
    # bytes that all fixes together carry: GitHub takes 10 MB of gzip, and base64 of noise stays
    # noise
)
FULL, SHORT = 1024, 255  # characters of a description
LEVELS = {"error": "error", "warning": "warning", "info": "note"}
TEXT = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}


@report("sarif")
def sarif(audit: Audit, look: Look) -> str:
    """A log with one run."""
    run = _run(audit, look)
    return dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _run(audit: Audit, look: Look) -> Json:
    findings = rank(audit.findings)
    rules = _rules(findings)
    notes = _notifications(audit, look, len(findings) - RESULTS)
    driver: Json = {
        "name": "lstm-audit",
        "version": __version__,
        "informationUri": HOME,
        "rules": list(rules.values()),
    }
    driver["notifications"] = [
        {"id": kind} for kind in sorted({note["descriptor"]["id"] for note in notes})
    ]
    return {
        "tool": {"driver": driver},
        "automationDetails": {"id": "lstm-audit/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {"executionSuccessful": not audit.errors, "toolExecutionNotifications": notes}
        ],
        "results": _results(audit, findings[:RESULTS], list(rules), look),
    }


# ---- rules


def _rules(findings: Sequence[Finding]) -> dict[str, Json]:
    """Every rule of the catalogue by its code, and whatever else a finding names."""
    known = {r.code: _rule(r.code, r.name, r.severity, r.manual) for r in RULES.values()}
    for finding in findings:
        if finding.code not in known:
            known[finding.code] = _rule(finding.code, finding.name, finding.severity, "")
    return dict(sorted(known.items()))


def _rule(code: str, name: str, severity: str, manual: str) -> Json:
    """GitHub refuses empty texts, so a rule without a manual says its name."""
    manual = manual or f"{name}."
    return {
        "id": code,
        "name": name,
        "shortDescription": {"text": escape(" ".join(manual.split("\n\n")[0].split()), SHORT)},
        "fullDescription": {
            "text": escape(" ".join(" ".join(manual.split("\n\n")[:2]).split()), FULL)
        },
        "help": {"text": manual, "markdown": _markdown(f"{code} {name}", manual)},
        **_help_uri(manual),
        "defaultConfiguration": {"level": LEVELS[severity]},
        "properties": {
            "tags": ["lstm"],
            "precision": "high",
            "problem.severity": _problem(severity),
        },
    }


def _help_uri(manual: str) -> Json:
    """The first paper or page that a manual refers to."""
    if paper := re.search(r"arXiv:? ?(\d{4}\.\d{4,5})", manual):
        return {"helpUri": f"https://arxiv.org/abs/{paper[1]}"}
    page = re.search(r"https://[\w./#-]+[\w/]", manual)
    return {"helpUri": page[0]} if page else {}


def _problem(severity: str) -> str:
    """GitHub's words. security-severity stays away: it would make a security alert of an
    initialisation.
    """
    return "recommendation" if severity == "info" else severity


def _markdown(title: str, manual: str) -> str:
    """A manual in Markdown: the words that open its parts in bold, and a blank line before what is
    indented (code).
    """
    lines, before = [f"# {title}", ""], ""
    for line in manual.splitlines():
        head, colon, rest = line.partition(":")
        if not before and colon and head[:1].isupper() and head.count(" ") < 3:
            line = f"**{head}:**{rest}"
        lines += (
            [""] if line.startswith("    ") and before and not before.startswith("    ") else []
        )
        lines.append(line)
        before = line
    return "\n".join(lines)


# ---- results


def _results(
    audit: Audit, findings: Sequence[Finding], codes: Sequence[str], look: Look
) -> list[Json]:
    regions = {key: region for file in audit.files for key, region in _regions(file)}
    index = {code: k for k, code in enumerate(codes)}
    seen: dict[str, int] = {}
    results, left = [], FIX_BYTES
    for finding in findings:
        result = _result(finding, regions, index[finding.code], look)
        digest = _digest(finding, look)
        seen[digest] = seen.get(digest, 0) + 1
        result["partialFingerprints"] = {"primaryLocationLineHash": f"{digest}:{seen[digest]}"}
        edits = look.edits.get(finding.fingerprint, ())
        left -= sum(len(edit.new) for edit in edits)
        if edits and left >= 0:
            result["fixes"] = [_fix(finding, edits, look)]
        results.append(result)
    return results


def _result(finding: Finding, regions: Mapping[RegionKey, Json], index: int, look: Look) -> Json:
    region = {**TEXT, **_text_region(finding), **regions.get((finding.path, finding.identity), {})}
    location: Json = {
        "physicalLocation": {"artifactLocation": _artifact(finding.path, look), "region": region}
    }
    place = show_place(finding, PATH_LIMIT)
    if place:
        kind = "module" if finding.layer is None else "member"
        location["logicalLocations"] = [
            {"name": place.rpartition(".")[2], "fullyQualifiedName": place, "kind": kind}
        ]
    properties = {"measured": finding.measured, "expected": finding.expected}
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {"text": _sentence(finding, look)},
        "locations": [location],
        "properties": {
            name: as_json(value) for name, value in properties.items() if value is not None
        },
    }


def _text_region(finding: Finding) -> Json:
    """The line of a finding about source; a notebook's is of a cell, which no viewer knows."""
    if finding.line is None or finding.cell is not None:
        return {}
    line, column = finding.line, finding.column or 1
    return {"startLine": line, "startColumn": column, "endLine": line, "endColumn": column + 1}


def _sentence(finding: Finding, look: Look) -> str:
    place, fix = show_place(finding), _command(finding, look)
    text = escape(finding.message, PATH_LIMIT)
    return _unlink(f"{place}: {text}" if place else text) + (f". {fix}" if fix else "")


def _unlink(text: str) -> str:
    """SARIF 3.11.6: `[text](target)` in a message is a link, and viewers make one of an address in
    the web; no name in a file may become either.
    """
    return text.replace("](", "] (").replace("://", ": //").replace("www.", "www .")


def _command(finding: Finding, look: Look) -> str:
    """The remedy as far as it can be said here: whole, and with nothing in it that is a link."""
    path = relative(finding.path, look.root) or finding.path
    text = "".join(map(remedy, commands(path, [finding.fix])))
    return text if len(text) <= FULL and _unlink(text) == text else ""


def _regions(file: FileAudit) -> Iterator[tuple[RegionKey, Json]]:
    """For each LSTM, where the first stored part of the forget bias lies, if that is in the very
    file that a finding names.
    """
    for row in file.rows:
        for location in row.lstm.locations:
            if location.path == file.path:
                yield (
                    (file.path, row.lstm.identity),
                    {"byteOffset": location.at, "byteLength": location.size},
                )
                break


def _digest(finding: Finding, look: Look) -> str:
    """The finding's identity in a repository: other than its fingerprint it knows no folder outside
    of it.
    """
    from hashlib import sha256  # 4 ms that only a fingerprint needs

    text = f"{finding.code}:{_uri(finding.path, look)}:{finding.address}"
    return sha256(utf8(text)).hexdigest()[:16]


def _fix(finding: Finding, edits: Sequence[Replacement], look: Look) -> Json:
    """A change of bytes for each file (SARIF 3.55 to 3.57); the checksums that it breaks are among
    the edits.
    """
    by_path: dict[str, list[Json]] = {}
    for edit in sorted(edits, key=lambda edit: (edit.path or "", edit.at)):
        by_path.setdefault(edit.path or finding.path, []).append(
            {
                "deletedRegion": {"byteOffset": edit.at, "byteLength": len(edit.old)},
                "insertedContent": {"binary": b64encode(edit.new).decode("ascii")},
            }
        )
    changes = [
        {"artifactLocation": _artifact(p, look), "replacements": parts}
        for p, parts in by_path.items()
    ]
    return {
        "description": {"text": _command(finding, look) or "Replace the bytes."},
        "artifactChanges": changes,
    }


# ---- places, and what was not judged


def _artifact(path: str, look: Look) -> Json:
    return {"uri": _uri(path, look)}


def _uri(path: str, look: Look) -> str:
    """Relative to the root; a colon is encoded as well, since it could end a scheme (RFC 3986,
    4.2). A locator is absolute already.
    """
    from urllib.parse import quote  # 5 ms that only an odd path needs

    if is_remote(path):
        return quote(utf8(path), safe=":/@[]!")

    inside = relative(path, look.root)
    if inside is not None:
        return quote(utf8(inside))
    return "file://" + quote(utf8(os.path.abspath(path).replace(os.sep, "/")))


def _notifications(audit: Audit, look: Look, cut: int) -> list[Json]:
    """Unreadable inputs as errors, what was skipped as notes, and how many findings no longer
    fitted.
    """
    found = [_unreadable(error, look) for error in audit.errors]
    found += [note for file in audit.files for note in _list_skipped(file, look)]
    beyond = len(found) - NOTIFICATIONS
    found = found[:NOTIFICATIONS]
    if cut > 0:
        found.append(
            _notice(
                "limit", "warning", f"{cut} more findings are not listed; GitHub keeps {RESULTS}"
            )
        )
    if beyond > 0:
        found.append(
            _notice("limit", "warning", f"{beyond} more inputs or modules were not judged")
        )
    return found


def _unreadable(error: FileError, look: Look) -> Json:
    region: Mapping[str, int] = (
        TEXT if error.at is None else {**TEXT, "byteOffset": error.at, "byteLength": 0}
    )
    place = {
        "physicalLocation": {"artifactLocation": _artifact(error.path, look), "region": region}
    }
    return {**_notice(error.kind, "error", error.message), "locations": [place]}


def _list_skipped(file: FileAudit, look: Look) -> Iterator[Json]:
    for skipped in file.skipped:
        place: Json = {
            "physicalLocation": {"artifactLocation": _artifact(file.path, look), "region": TEXT}
        }
        name = escape(skipped.module, PATH_LIMIT) or "(root)"
        place["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "module"}]
        text = f"{name} was not judged: {skipped.detail or skipped.reason}"
        yield {**_notice(skipped.reason, "note", text), "locations": [place]}


def _notice(kind: str, level: str, text: str) -> Json:
    return {
        "descriptor": {"id": kind},
        "level": level,
        "message": {"text": _unlink(escape(text, PATH_LIMIT))},
    }
