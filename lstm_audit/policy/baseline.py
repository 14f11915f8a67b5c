"""The findings that a project has accepted: `lstm-audit/baseline/1`.

Comes in: findings, and a baseline file. Goes out: what is new, what is known, what is stale; and
the file, written anew. Promise: a finding is known only while its measured value is the accepted
one, or nearer to what is expected; the file is the same, byte for byte, on every machine, and a
kill leaves the old one or the new one.

A key is `CODE:PATH:ADDRESS` with the path as seen from the baseline's folder, so commit the file
and keep it in place.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..errors import BadPolicy, MalformedFile
from ..fact_json import json_number
from ..facts import Audit, FileAudit, Finding
from ..lstm.layer import ROOT
from ..raw.budget import Budget
from ..replacing import replace_whole
from ..wire.json import MAX_SIZE, parse_json
from .globs import matches, names_of_address, relative_to
from .kinds import KeyPlace, read_table, read_text, wrong, wrong_type
from .load import show_path
from .model import Policy
from .table import of_whole_file, selects
from .unmatched import addresses_in, nearest_address, nearest_path

BASELINE_SCHEMA = "lstm-audit/baseline/1"
# Relative: what another summation order or libm may change in a measured value.
SAME_VALUE = 1e-6

Measured = float | str | None


# A baseline accepts a value and not a place: who accepts a forget bias of 0 has not accepted that
# it becomes -3. So a finding is known only if its number is the accepted one, or a milder one on
# the same side of what is expected.
class Accepted(NamedTuple):
    """An accepted place: the rule, the path from the baseline's folder, the address, and every
    value accepted there.

    A rule may find several things at one place, so `measured` has one value a finding.
    """

    code: str
    path: str
    address: str
    measured: tuple[Measured, ...]

    @property
    def key(self) -> str:
        """What the file is keyed by."""
        return f"{self.code}:{self.path}:{self.address}"


class Baseline(NamedTuple):
    """The entries by key, and the folder that their paths start from."""

    folder: str
    entries: Mapping[str, Accepted] = {}


class Matched(NamedTuple):
    """Findings against a baseline.

    A `new` one whose place is known but whose value has moved says so in its message. `stale`
    entries accept something that was judged and is no longer found. `elsewhere` says that the
    baseline has nothing of these files.
    """

    new: tuple[Finding, ...]
    known: tuple[Finding, ...]
    stale: tuple[Accepted, ...]
    elsewhere: str = ""


# Whether this run could have found what an entry accepts.
CouldFind = Callable[[Accepted], bool]


def could_find_all(entry: Accepted) -> bool:
    """A run that judged all there is."""
    return True


# An entry that this run had no chance to find (another folder, another layer, a rule that is off)
# is neither stale nor dropped by an update: one baseline serves runs over parts of a repository.
def could_find(
    audit: Audit, policy: Policy, folder: str, layers: tuple[str, ...] = ()
) -> CouldFind:
    """What a run over some files, some layers and some rules could have found; a file that is gone
    counts as judged.
    """
    paths = {relative_to(file.path, folder): file.path for file in audit.files}

    def judged(entry: Accepted) -> bool:
        if entry.path not in paths:
            return not _may_be_there(entry.path, folder)
        if layers and not matches(names_of_address(entry.address), layers):
            return False
        return selects(of_whole_file(policy, paths[entry.path]), entry.code)

    return judged


# Several findings of one rule at one place have equal keys, so values are matched one to one, like
# coins: each accepted value covers one finding and is then used up. Two passes, because a milder
# finding could otherwise take the value that another one has exactly, and leave that one without.
def match_findings(
    findings: Iterable[Finding], baseline: Baseline, judged: CouldFind = could_find_all
) -> Matched:
    """Sort findings into new and known, and name the entries that are stale."""
    findings, left = (
        tuple(findings),
        {key: list(entry.measured) for key, entry in baseline.entries.items()},
    )
    accepted = [left.get(key_of(finding, baseline.folder), []) for finding in findings]
    known: set[int] = set()
    for covers in (
        _same,
        _milder,
    ):  # the same values first: a milder finding must not use up another one's entry
        for n, finding in enumerate(findings):
            if n not in known and _taken(finding, accepted[n], covers):
                known.add(n)
    stale = (
        e._replace(measured=tuple(left[key]))
        for key, e in baseline.entries.items()
        if left[key] and judged(e)
    )
    return Matched(
        tuple(_add_hint(f, accepted[n]) for n, f in enumerate(findings) if n not in known),
        tuple(f for n, f in enumerate(findings) if n in known),
        tuple(stale),
    )


def key_of(finding: Finding, folder: str) -> str:
    """A finding's fingerprint with the path as seen from the baseline's folder."""
    return f"{finding.code}:{relative_to(finding.path, folder)}:{finding.address}"


def _taken(
    finding: Finding, accepted: list[Measured], covers: Callable[[Finding, Measured], bool]
) -> bool:
    """Use up the first accepted value that covers the finding."""
    for k, old in enumerate(accepted):
        if covers(finding, old):
            del accepted[k]
            return True
    return False


def _as_stored(value: Measured) -> Measured:
    return json_number(float(value)) if isinstance(value, (int, float)) else value


def _same(finding: Finding, old: Measured) -> bool:
    value = _as_stored(finding.measured)
    if isinstance(value, float) and isinstance(old, float):
        return math.isclose(value, old, rel_tol=SAME_VALUE, abs_tol=0.0)
    return value == old


def _milder(finding: Finding, old: Measured) -> bool:
    """Nearer to a number that is expected than what was accepted, on the same side of it."""
    value, expected = _as_stored(finding.measured), finding.expected
    if not (
        isinstance(value, float) and isinstance(old, float) and isinstance(expected, (int, float))
    ):
        return False
    return old <= value <= expected or expected <= value <= old


def _add_hint(finding: Finding, accepted: list[Measured]) -> Finding:
    """What the baseline accepted at the same place: the finding is not unknown, it has changed."""
    if not accepted:
        return finding
    values = ", ".join(
        f"{v:.6g}" if isinstance(v, float) else "none" if v is None else v for v in accepted
    )
    return finding._replace(message=f"{finding.message} (the baseline accepts {values} here)")


def update(
    baseline: Baseline, findings: Iterable[Finding], judged: CouldFind = could_find_all
) -> Baseline:
    """The baseline that accepts `findings`, and still what this run could not have judged."""
    kept = {key: entry for key, entry in baseline.entries.items() if not judged(entry)}
    found: dict[str, Accepted] = {}
    for finding in findings:
        path = relative_to(finding.path, baseline.folder)
        entry = Accepted(finding.code, path, finding.address, (_as_stored(finding.measured),))
        old = found.get(entry.key)
        found[entry.key] = entry._replace(measured=old.measured + entry.measured) if old else entry
    return Baseline(baseline.folder, kept | found)


def empty_baseline(path: str) -> Baseline:
    """The baseline that a file not yet written would hold."""
    return Baseline(os.path.dirname(os.path.abspath(path)))


def load_baseline(path: str) -> Baseline:
    """The baseline in a file; raises `BadPolicy` for one that is not there or not to be
    believed.
    """
    place = KeyPlace(show_path(path))
    table = read_table(_parse(path, place), place)
    if table.get("schema") != BASELINE_SCHEMA:
        raise wrong(
            place,
            f"no baseline: its schema is not {BASELINE_SCHEMA!r}; write one with --update-baseline",
        )
    if extra := sorted(set(table) - {"schema", "entries"}):
        raise wrong(place.child(extra[0]), "no such key")
    above = place.child("entries")
    items = read_table(table.get("entries"), above).items()
    entries = {key: _entry(key, value, above.child(key)) for key, value in items}
    return empty_baseline(path)._replace(entries=entries)


def _parse(path: str, place: KeyPlace) -> object:
    try:
        with open(path, "rb") as file:
            value: object = parse_json(
                file.read(MAX_SIZE + 1), Budget(), "the baseline", halves=True
            )
    except OSError as error:
        hint = "; write one with --update-baseline" if isinstance(error, FileNotFoundError) else ""
        raise wrong(place, f"cannot read the baseline: {error.strerror}{hint}") from None
    except MalformedFile as error:
        raise wrong(place, error.message) from None
    return value


# The parts stand in the entry although its key holds them: keys are for people and for merges, and
# splitting one at colons would fail on a module whose name has one. That the two agree is checked,
# since a file that was edited by hand in one place only would accept something else than it says.
def _entry(key: str, value: object, place: KeyPlace) -> Accepted:
    table = read_table(value, place)
    if set(table) != {"code", "path", "address", "measured"}:
        raise wrong(place, "an entry has the keys code, path, address and measured")
    if not isinstance(table["address"], str):
        raise wrong_type(place.child("address"), "a string", table["address"])
    if not isinstance(table["measured"], list) or not table["measured"]:
        raise wrong_type(place.child("measured"), "a list of values", table["measured"])
    measured = tuple(_read_measured(item, place.child("measured")) for item in table["measured"])
    code, path = (read_text(table[name], place.child(name)) for name in ("code", "path"))
    entry = Accepted(code, path, table["address"], measured)
    if entry.key != key:
        raise wrong(place, f"the key of this entry is {entry.key!r}: edited by hand?")
    return entry


def _read_measured(value: object, place: KeyPlace) -> Measured:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(place, "a number, a string or null", value)
    try:
        return json_number(float(value))
    except OverflowError:
        raise wrong_type(place, "a number that a double can hold", value) from None


# A pattern that matches nothing is an error everywhere (DESIGN: promises), and an entry is a
# pattern of one: a baseline copied from another folder would else accept nothing and say nothing.
def refuse_misplaced(baseline: Baseline, audits: Sequence[Audit]) -> None:
    """Raise `BadPolicy` for an entry of a baseline that is about nothing: its file is neither in
    the run nor on disk, or nothing in the file has its address.
    """
    files = {relative_to(file.path, baseline.folder): file for a in audits for file in a.files}
    unread = {relative_to(error.path, baseline.folder) for a in audits for error in a.errors}
    for entry in baseline.entries.values():
        if entry.path in unread:
            continue
        if entry.path not in files and _may_be_there(entry.path, baseline.folder):
            continue
        file = files.get(entry.path)
        if file is None:
            hint = nearest_path(entry.path, files)
            raise BadPolicy(f"{_nothing(entry)} no such file; {hint} {DROP}")
        if entry.address and not _has_address(file, entry.address):
            hint = nearest_address(entry.address, [*addresses_in(file)] or ["(none)"])
            raise BadPolicy(f"{_nothing(entry)} no such LSTM in the file; {hint} {DROP}")


def refuse_gone(baseline: Baseline, names: Iterable[str]) -> None:
    """Raise `BadPolicy` for an entry whose file is not on disk; `names` are those of the run, of
    which none has an entry here.
    """
    for entry in baseline.entries.values():
        if not _may_be_there(entry.path, baseline.folder):
            hint = nearest_path(entry.path, names)
            raise BadPolicy(f"{_nothing(entry)} no such file; {hint} {DROP}")


# One baseline serves runs over parts of a repository, so that entries of files beside them are
# no mistake. A baseline that has nothing at all of a run may be one of another folder.
def say_elsewhere(baseline: Baseline, names: Iterable[str]) -> str:
    """A sentence where no entry is of a file of the run, whose `names` are given; else nothing."""
    paths, run = {entry.path for entry in baseline.entries.values()}, list(names)
    if not paths or not run or not paths.isdisjoint(run):
        return ""
    return (
        f"none of the baseline's entries ({len(baseline.entries)}) is of a file in this run, which "
        f"has {run[0]!r}; {nearest_path(run[0], paths)}"
    )


DROP = "(--update-baseline drops what is gone)"


def _may_be_there(path: str, folder: str) -> bool:
    """Whether a path outside of the run exists, or cannot be known to: standard input, an object, a
    URL (whose `//` became `/`), a member of an archive that exists.
    """
    if path == "-" or path.startswith("<") or ":/" in path:
        return True
    return any(os.path.lexists(os.path.join(folder, p)) for p in (path, path.partition("!")[0]))


def _nothing(entry: Accepted) -> str:
    return f"the baseline's entry {entry.key!r} matches nothing:"


def _has_address(file: FileAudit, address: str) -> bool:
    module, *written = names_of_address(address)
    there = {name for row in file.rows for name in row.lstm.names}
    there |= {name for one in file.left_out for name in names_of_address(one)}
    there |= {skip.module or ROOT for skip in file.skipped}
    return module in there if ":l" not in address else bool(there & {module, *written})


def save_baseline(baseline: Baseline, path: str) -> None:
    """Write the file through one beside it; links are followed. Raises `BadPolicy` when that cannot
    be done.
    """
    try:
        with replace_whole(path) as file:
            file.write(baseline_text(baseline).encode("ascii"))
    except OSError as error:
        raise BadPolicy(f"{show_path(path)}: cannot write the baseline: {error.strerror}") from None


def baseline_text(baseline: Baseline) -> str:
    """The JSON of the file: sorted, a line a value so that a merge is readable, ASCII."""
    import json  # 2 ms that reading a baseline needs, and no check without one

    entries = {
        key: {
            "code": e.code,
            "path": e.path,
            "address": e.address,
            "measured": sorted(e.measured, key=_order),
        }
        for key, e in sorted(baseline.entries.items())
    }
    return (
        json.dumps({"schema": BASELINE_SCHEMA, "entries": entries}, indent=1, allow_nan=False)
        + "\n"
    )


def _order(value: Measured) -> tuple[int, float, str]:
    if isinstance(value, str):
        return 2, 0.0, value
    return (0, 0.0, "") if value is None else (1, value, "")
