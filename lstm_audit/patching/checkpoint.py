"""A checkpoint opened and a patch of it planned.

Comes in: a path and a `Target`. Goes out: `Planned`, with the edits of every file and what must be
found there afterwards. Promise: everything that can forbid the patch is found here, and nothing is
written.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..errors import AuditError, NotPatchable
from ..facts import Fix
from ..formats import format_named
from ..lstm.copies import find_averages
from ..lstm.find import Found, find_lstms
from ..lstm.forensics.fingerprint import identify
from ..lstm.layer import GATES, Identity, Lstm
from ..lstm.measure import Values, read_values
from ..lstm.own import Own
from ..pipeline import MAX_UNITS, Opened, open_checkpoint
from ..raw.locators import is_remote, label
from ..targets import TARGETS, Target
from . import files
from .choose import choose, matching
from .edits import Change, Edit, edits_of
from .overlap import Layout, lay_out, refuse_sharing
from .plan import BiasPlace, GatePlan, changes_of, plan_gates
from .readers import refuse_readers


class FilePlan(NamedTuple):
    """The edits of one file: the checkpoint itself, or one of its shards."""

    path: str
    identity: files.FileIdentity
    edits: tuple[Edit, ...]


class Planned(NamedTuple):
    """What a patch would do to the checkpoint at `path`, which may lie inside the file `home`.

    `expected`: every LSTM's effective biases afterwards; `warnings`: what to know first; `matched`:
    the patterns that match an LSTM, of all those at `addresses`; `declared`: the conventions of the
    user's own by which they were found.
    """

    path: str
    home: str
    format: str
    target: Target
    gates: tuple[GatePlan, ...]
    files: tuple[FilePlan, ...]
    expected: Mapping[Identity, tuple[tuple[float, ...], ...]]
    warnings: tuple[str, ...]
    matched: frozenset[str]
    addresses: tuple[str, ...]
    declared: tuple[Own, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether a single byte would change."""
        return any(file.edits for file in self.files)


# Planning opens, reads and closes the file like an audit, and holds nothing open: between the plan
# and the write stand a question to the user and a lock. That the file is still the one that was
# planned is checked then, by identity and by the old bytes (`apply.check_holds`).
def plan(
    path: str,
    target: Target,
    layers: tuple[str, ...] = (),
    place: BiasPlace = "ih",
    strict: bool = True,
    declared: tuple[Own, ...] = (),
) -> Planned:
    """Plan a patch of the checkpoint at `path`; raises `NotPatchable`, or what reading it raises.

    A pattern that matches nothing raises `BadPolicy`; without `strict` the caller sees to that, who
    may have other files.

    Nothing is written: a file whose patch was interrupted is refused as `InterruptedPatch`, which
    `whole.recover` puts right.
    """
    if is_remote(path):
        raise _elsewhere(path)
    with open_checkpoint(path) as file:
        subject = _read(file, declared)
        matched = matching(subject.found, layers)
        nothing = not strict and layers and not matched
        chosen = [] if nothing else choose(subject.found, layers if strict else tuple(matched))
        planned = _plan(path, subject, chosen, target, place, matched)
        return planned._replace(declared=declared)


# A fix names identities, not patterns: it is for the LSTMs that the finding was about, and a file
# that has changed so that they are gone is refused, not matched anew.
def plan_fix(path: str, fix: Fix, declared: tuple[Own, ...] = ()) -> Planned:
    """Plan the fix of a finding; raises as `plan` does, and `NotPatchable` where its LSTMs are not
    there.
    """
    with open_checkpoint(path) as file:
        subject = _read(file, declared)
        chosen = [lstm for lstm in subject.found.lstms if lstm.identity in fix.identities]
        if len(chosen) != len(fix.identities):
            raise NotPatchable("the file no longer holds the LSTMs that the fix is for")
        planned = _plan(path, subject, chosen, fix.target, "ih")
        return planned._replace(declared=declared)


def _plan(
    path: str,
    subject: "OpenCheckpoint",
    chosen: Sequence[Lstm],
    target: Target,
    place: BiasPlace,
    matched: frozenset[str] = frozenset(),
) -> Planned:
    file, found = subject.file, subject.found
    gates, changes = _plan_gates(subject, chosen, target, place)
    return Planned(
        path=path,
        home=file.sources[0].name,
        format=file.checkpoint.format,
        target=target,
        gates=gates,
        files=tuple(_file_plans(file, changes)),
        expected=_expect(subject.values, gates),
        warnings=tuple(_warnings(path, found, chosen, subject.values, file)),
        matched=matched,
        addresses=tuple(lstm.address for lstm in found.lstms),
    )


def _elsewhere(path: str) -> NotPatchable:
    """A store replaces whole objects: what was patched there could not be undone."""
    name = os.path.basename(label(path))
    return NotPatchable(
        f"a file that lies elsewhere is not patched: download {name}, "
        f"`lstm-audit patch {name} …`, and upload it again"
    )


# SARIF shows a replacement for every finding. With a reading of the file for each of them, 400
# LSTMs took two minutes; layouts and values are the same for all.
def plan_each(
    path: str, fixes: Sequence[Fix], declared: tuple[Own, ...] = ()
) -> list[tuple[FilePlan, ...]]:
    """What each fix by itself would write, from one reading of the file; nothing where a fix is
    refused.
    """
    with open_checkpoint(path) as file:
        subject = _read(file, declared)._replace(layouts=lay_out(file.checkpoint.tensors))
        lstms = {lstm.identity: lstm for lstm in subject.found.lstms}
        return [_files_of_fix(subject, lstms, fix) for fix in fixes]


def _files_of_fix(
    subject: "OpenCheckpoint", lstms: Mapping[Identity, Lstm], fix: Fix
) -> tuple[FilePlan, ...]:
    chosen = [lstms[one] for one in fix.identities if one in lstms]
    try:
        _, changes = _plan_gates(subject, chosen, fix.target, "ih")
        return tuple(_file_plans(subject.file, changes))
    except NotPatchable:
        return ()


class OpenCheckpoint(NamedTuple):
    """An open checkpoint with all that a plan needs to know of it. `layouts`: where its tensors
    lie, if several patches are planned.
    """

    file: Opened
    found: Found
    values: Mapping[Identity, Values]
    layouts: Mapping[int, Layout] = {}  # a default that nothing writes to


def _read(file: Opened, declared: tuple[Own, ...]) -> OpenCheckpoint:
    found = find_lstms(file.checkpoint, declared)
    units = sum(4 * lstm.hidden_size for lstm in found.lstms)
    if units > MAX_UNITS:
        raise NotPatchable(
            f"{units} bias elements in one file; at most {MAX_UNITS} are read", kind="limit"
        )
    return OpenCheckpoint(file, found, {lstm.identity: read_values(lstm) for lstm in found.lstms})


# Two kinds of sharing can make a patch reach too far. In a graph another operator may read the same
# constant; in a torch file another tensor may view the same storage. Either is refused before a
# byte is planned, because undo could not tell afterwards whose change it was.
def _plan_gates(
    subject: OpenCheckpoint, chosen: Sequence[Lstm], target: Target, place: BiasPlace
) -> tuple[tuple[GatePlan, ...], list[Change]]:
    """The gates of the chosen LSTMs, and the changes of bytes that they come to."""
    gates = tuple(
        gate
        for lstm in chosen
        for gate in plan_gates(lstm, subject.values[lstm.identity], target, place)
    )
    changes = list(changes_of(gates))
    checkpoint = subject.file.checkpoint
    if checkpoint.graphs:
        refuse_readers(checkpoint.graphs, gates, changes)
    elif format_named(checkpoint.format).shares_bytes:
        layouts = subject.layouts or lay_out(checkpoint.tensors)
        refuse_sharing(checkpoint.tensors, layouts, subject.found.lstms, chosen, changes)
    return gates, changes


def with_donor(target: Target) -> Target:
    """The target with the biases of the checkpoint that it names, if it names one; raises what
    reading that raises.
    """
    if TARGETS[target.name].kind != "file":
        return target
    with open_checkpoint(str(target.values[0])) as file:
        values = _read(file, ()).values
        return target._replace(donor={one: tuple(found.forget) for one, found in values.items()})


def _file_plans(file: Opened, changes: Sequence[Change]) -> Iterator[FilePlan]:
    """The edits of every file that is meant, in the order in which the files were opened; none
    where the bytes are there already.
    """
    edits = edits_of(changes)
    meant = {id(change.span.source) for change in changes} | {id(source) for source in edits}
    for source in file.sources:
        if id(source) in meant:
            yield FilePlan(source.name, source.identity, edits.get(source, ()))


# What the checkpoint must say when it is read again after the write: also of LSTMs that were not
# named, so that a patch that reached one of them is noticed before the copy takes the file's name
# (`verify`).
def _expect(
    values: Mapping[Identity, Values], gates: Sequence[GatePlan]
) -> dict[Identity, tuple[tuple[float, ...], ...]]:
    """Every LSTM's four effective biases after the patch, the untouched ones included."""
    expected = {key: [tuple(gate) for gate in found.effective] for key, found in values.items()}
    for plan in gates:
        expected[plan.lstm.identity][GATES.index(plan.gate)] = plan.after
        if plan.lstm.coupled == "i":  # i = 1 - f goes with it
            expected[plan.lstm.identity][0] = tuple(-value for value in plan.after)
    return {key: tuple(gates) for key, gates in expected.items()}


# None of these stops the patch: each is a case in which the bytes will be right and the user may
# still be surprised, because something else overrules them at run time or stays as it was.
def _warnings(
    path: str, found: Found, chosen: Sequence[Lstm], values: Mapping[Identity, Values], file: Opened
) -> Iterator[str]:
    """What a careful person would want to know before the write."""
    trained = [lstm.address for lstm in chosen if _looks_trained(lstm, values[lstm.identity])]
    if trained:
        looks, whose = ("looks", "its") if len(trained) == 1 else ("look", "their")
        yield f"{_some(trained)} {looks} trained: what {whose} forget gates learned is replaced"
    if any(skip.reason == "optimizer-state" for skip in found.skipped):
        yield (
            "the file also holds an optimizer's state: its moments belong to the old biases when "
            "training resumes"
        )
    grouped = any("fp32" in name and "group" in name for name in file.checkpoint.tensors)
    if grouped or "_model_states" in os.path.basename(path):
        yield (
            "this looks like DeepSpeed: on resume the fp32 master weights in *_optim_states.pt "
            "overrule this patch"
        )
    touched = {lstm.identity for lstm in chosen}
    pairs = find_averages(found.lstms).items()
    copies = [copy.address for copy, own in pairs if own in touched and copy not in touched]
    models = [own.address for copy, own in pairs if copy in touched and own not in touched]
    if copies:
        looks = (
            "look like averaged copies (EMA)" if copies[1:] else "looks like an averaged copy (EMA)"
        )
        yield f"{_some(copies)} {looks} and {_stay(copies)}"
    if models:
        yield f"only an averaged copy (EMA) is patched: {_some(models)} {_stay(models)}"


def _stay(addresses: Sequence[str]) -> str:
    """What becomes of LSTMs that nobody named, one or several."""
    stay, them = ("stay as they are", "them") if addresses[1:] else ("stays as it is", "it")
    return f"{stay}; --layers can name {them} too"


def _looks_trained(lstm: Lstm, values: Values) -> bool:
    if not lstm.two_halves:
        return False
    return identify(values.halves["ih"], values.halves["hh"], lstm.dtype).state == "trained"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def explain_refusal(planned: Planned, replace: bool = True) -> str:
    """Why the write of these files would be refused whatever the bytes; empty where it would
    not.
    """
    try:
        for file in planned.files:
            files.refuse_writing(file.path)
            if replace:
                files.refuse_hard_links(os.stat(file.path))
    except AuditError as error:
        return error.message
    return ""


def find_mappings(planned: Planned) -> list[str]:
    """Processes that would see an in-place write of these files at once."""
    return [process for file in planned.files for process in files.find_mappers(file.path)]
