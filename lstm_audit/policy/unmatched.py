"""Patterns that match nothing in a whole run: mistakes, never a pass.

Comes in: an `Audit`, and the patterns that it was asked with. Goes out: nothing, or `BadPolicy`
that names the nearest address or path. Promise: what a pattern could have matched in a file that
could not be read is not held against it.

A run may look at some files of a repository only (a commit hook names those that changed), so a
`files` glob of a configuration is right, too, when it matches a file that is there.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from ..errors import BadPolicy
from ..facts import Audit, FileAudit, FileError
from ..lstm.extra import NORMED
from ..spelling import nearest
from .globs import file_matches, matches, matches_module, names_of_address, relative_to
from .model import Override, Policy
from .table import overrides_for


# If an input could not be read, the pattern may have been meant for what it holds: its own error is
# said, and fails the run by itself.
def refuse_unmatched(
    audits: Sequence[Audit],
    layers: Sequence[str] = (),
    policy: Policy | None = None,
    name: str = "--layers",
) -> None:
    """Raise `BadPolicy` for a pattern of `layers` (called `name`), or of an override, that matches
    nothing in all of the audits.
    """
    if any(audit.errors for audit in audits):
        return
    files = [file for audit in audits for file in audit.files]
    _refuse_layers(files, layers, name)
    if policy is not None:
        paths = [file.path for file in files]
        paths += [path for audit in audits for path in audit.ignored_paths]
        for n, override in enumerate(policy.overrides, 1):
            _refuse_override(override, n, policy, files, paths)
        _refuse_conventions(policy, files)


# A result holds no names of tensors. What a convention took shows as a row that is called by it;
# where it was skipped by its shapes, left out, merged with another name of its storage or read by
# its norms, the row is not, or not so, called: then nothing is held against it.
def _refuse_conventions(policy: Policy, files: Sequence[FileAudit]) -> None:
    """A declared convention that read nothing in a run in which there was something to read."""
    read = {row.lstm.convention for file in files for row in file.rows}
    unread = next((own for own in policy.conventions if own.name not in read), None)
    if unread is None or any(map(_may_hide_convention, files)):
        return
    there = sorted({address for file in files for address in addresses_in(file)})
    if there:
        where = f"{policy.file}: convention" if policy.file else "convention"
        patterns = [text for _, texts in unread.tensors for text in texts]
        hint = nearest_address(patterns[0].strip("*./"), there)
        raise BadPolicy(
            f"{where} {unread.name!r}: {', '.join(map(repr, patterns))} match no LSTM of this "
            f"run; {hint}"
        )


def _may_hide_convention(file: FileAudit) -> bool:
    """Whether a declared convention may have taken something that no row of a file is called by."""
    return (
        bool(file.left_out)
        or any(skip.reason != "unknown-convention" for skip in file.skipped)
        or any(row.lstm.tied or row.lstm.convention == NORMED for row in file.rows)
    )


def _refuse_override(
    override: Override, n: int, policy: Policy, files: Sequence[FileAudit], paths: Sequence[str]
) -> None:
    where = f"{policy.file}: override #{n}" if policy.file else f"override #{n}"
    for pattern in override.files:
        seen = any(file_matches(path, policy.folder, [pattern]) for path in paths)
        if all(map(_is_file, paths)) and not seen and not _is_there(pattern, policy.folder):
            here = (relative_to(path, policy.folder) if policy.folder else path for path in paths)
            hint = nearest_path(pattern, here)
            raise BadPolicy(f"{where}.files: {pattern!r} matches no file; {hint}")
    fitting = [file for file in files if override in overrides_for(policy, file.path)]
    _refuse_layers(fitting, override.layers, f"{where}.layers")


def nearest_path(pattern: str, paths: Iterable[str]) -> str:
    """A hint at the path that a pattern may have been meant for."""
    near = nearest(pattern, paths, least=0.0)
    return "there is none in this run" if near is None else f"the nearest is {near!r}"


def _is_file(path: str) -> bool:
    """Standard input and a live object have no path that a glob could match."""
    return path != "-" and not path.startswith("<")


# A glob of a policy is for a repository, and a run may be over one folder of it: a glob that
# matches a file elsewhere below the policy's folder is no mistake. Only one that matches nothing
# anywhere is.
def _is_there(pattern: str, folder: str) -> bool:
    """Whether a glob of a configuration file matches something on disk."""
    import glob  # half a millisecond that only a glob of no file in the run needs

    if not folder:
        return False
    name = pattern.removeprefix("./")
    anywhere = name if "/" in name else f"**/{name}"
    below = f"{anywhere}**" if anywhere.endswith("/") else anywhere
    found = glob.iglob(
        os.path.join(glob.escape(folder), below), recursive=True, include_hidden=True
    )
    return any(True for _ in found)


def _refuse_layers(files: Sequence[FileAudit], patterns: Iterable[str], where: str) -> None:
    """Of several patterns each must match; where there is nothing at all, none is to blame."""
    there = sorted({address for file in files for address in addresses_in(file)})
    for pattern in patterns if there else ():
        if not any(_matches_in(file, pattern) for file in files):
            raise BadPolicy(
                f"{where}: {pattern!r} matches no LSTM; {nearest_address(pattern, there)}"
            )


def nearest_address(pattern: str, addresses: Sequence[str]) -> str:
    """The address that a pattern may have been meant for; a pattern without a layer is held against
    modules.
    """
    parts = {one if ":l" in pattern else one.partition(":l")[0]: one for one in addresses[::-1]}
    near = nearest(pattern, parts, least=0.0)
    assert near is not None  # there are addresses, and anything is alike by 0
    return f"the nearest is {parts[near]!r}"


def _matches_in(file: FileAudit, pattern: str) -> bool:
    """Whether a pattern matches something in a file, asked for or not."""
    return (
        any(matches(row.lstm.names, [pattern]) for row in file.rows)
        or any(matches(names_of_address(address), [pattern]) for address in file.left_out)
        or any(matches_module(skip.module, [pattern]) for skip in file.skipped)
    )


def addresses_in(file: FileAudit) -> Iterator[str]:
    """The addresses in a file, as reports write them, and the modules of what was skipped."""
    for row in file.rows:
        for one in (row.lstm.identity, *row.lstm.tied):
            yield one.written
    yield from (f"(root){one}" if one[:1] in (":", "") else one for one in file.left_out)
    yield from (skip.module or "(root)" for skip in file.skipped)


# The run may have millions of files and is gone through once. For each pattern one file that it
# matches is proof; for the hint the nearest among the first few names will do. So a bounded number
# of results is kept, and `refuse_unmatched` is asked about those.
class Witnesses:
    """The files of a run of any size that are enough to tell which patterns match nothing: for each
    pattern the first that it matches, and some more, among whose names the nearest is sought.
    """

    def __init__(self, layers: Sequence[str], policy: Policy | None) -> None:
        self._layers, self._policy = layers, policy
        self._overrides = () if policy is None else policy.overrides
        self._unread = set() if policy is None else {own.name for own in policy.conventions}
        self._left = set(layers)
        self._left_of = [(set(one.files), set(one.layers)) for one in self._overrides]
        self._kept: list[FileAudit] = []
        self._paths: list[str] = []
        self._error: FileError | None = None

    def add(self, path: str, results: Iterable[FileAudit | FileError]) -> None:
        """What came of one input."""
        if not (self._layers or self._overrides or self._unread):
            return
        results = list(results)
        if not results and (self._tells_path(path) or len(self._paths) < ENOUGH):
            self._paths.append(path)
        for result in results:
            if isinstance(result, FileError):
                self._error = self._error or result
            elif self._tells(result) or len(self._kept) < ENOUGH:
                self._kept.append(result)

    def _tells(self, file: FileAudit) -> bool:
        """Whether a pattern matches a file that matched none before."""
        found = {pattern for pattern in self._left if _matches_in(file, pattern)}
        self._left -= found
        tells = self._tells_path(file.path) or bool(found) or self._tells_convention(file)
        if self._policy is not None and any(layers for _, layers in self._left_of):
            fitting = overrides_for(self._policy, file.path)
            for override, (_, layers) in zip(self._overrides, self._left_of, strict=True):
                hits = {p for p in layers if override in fitting and _matches_in(file, p)}
                layers -= hits
                tells |= bool(hits)
        return tells

    def _tells_convention(self, file: FileAudit) -> bool:
        read = self._unread & {row.lstm.convention for row in file.rows}
        if self._unread and _may_hide_convention(file):  # one such file acquits them all
            read = self._unread
        self._unread = self._unread - read
        return bool(read)

    def _tells_path(self, path: str) -> bool:
        tells = False
        for files, _ in self._left_of:
            folder = self._policy.folder if self._policy is not None else ""
            hits = {pattern for pattern in files if file_matches(path, folder, [pattern])}
            files -= hits
            tells |= bool(hits)
        return tells

    def refuse_unmatched(self) -> None:
        """As the function of this name, over all that was added."""
        errors = () if self._error is None else (self._error,)
        audit = Audit(tuple(self._kept), errors, ignored_paths=tuple(self._paths))
        refuse_unmatched([audit], self._layers, self._policy)


ENOUGH = 200
"""Files among whose names the nearest to a pattern is sought."""
