"""`lstm_audit.lint`: the linter from Python, and its fixes.

Comes in: paths, or the text of a source. Goes out: `LintAudit`, an `Audit` of sources.
Promise: what `lstm-audit lint` finds and writes; nothing that is linted is imported or executed.
"""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .errors import BadPolicy
from .facts import Audit
from .pipeline import Request
from .policy.globs import patterns_of
from .policy.load import PolicyLike, make_policy

if TYPE_CHECKING:
    from .source.imaginary import Unjudged
    from .source.mend import Mended
    from .source.runs import LintRequest


class LintAudit(Audit, view="audited"):
    """The audit of sources. `unjudged` are the places that could not be followed, each with its
    path; `mended` the sources that fixes changed, or under `dry_run` would, each with its diff.
    """

    __slots__ = ("mended", "unjudged")

    mended: "tuple[Mended, ...]"
    unjudged: "tuple[tuple[str, Unjudged], ...]"

    def __init__(
        self,
        audit: Audit,
        unjudged: "tuple[tuple[str, Unjudged], ...]" = (),
        mended: "tuple[Mended, ...]" = (),
    ) -> None:
        super().__init__(*audit._values())
        object.__setattr__(self, "unjudged", unjudged)
        object.__setattr__(self, "mended", mended)

    def __reduce__(self) -> tuple[Any, ...]:
        return LintAudit, (Audit(*self._values()), self.unjudged, self.mended)


def lint(
    target: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    policy: PolicyLike = None,
    *,
    jobs: int = 1,
    markdown: bool = False,
    exclude: str | Iterable[str] = (),
    fix: bool = False,
    unsafe_fixes: bool = False,
    dry_run: bool = False,
    baseline: str | os.PathLike[str] | None = None,
    update_baseline: bool = False,
) -> LintAudit:
    """What the code that initialises an LSTM makes of its forget gate, without running it.

    `target` is a source, a notebook, a folder or a glob, a list of these, or the text of a source
    (recognised by its line ends). `policy` is as in `check`, `exclude` as in `audit`. `fix` applies
    the edits that were proven to mend a finding, `unsafe_fixes` the others too, and then looks
    again; under `dry_run` nothing is written, and `LintAudit.mended` has the diffs. `baseline` and
    `update_baseline` are as in `check`. Findings have a line and a column.

    Raises `BadPolicy` for a path that does not exist, `MalformedFile` for a text that is no Python.
    """
    from .source.runs import LintRequest, lint_paths  # 117 ms, which a check spares

    chosen = make_policy(policy).having("require-lstm", False)
    fixes = fix or unsafe_fixes
    if dry_run and not fixes:
        raise BadPolicy("dry_run is for fix and unsafe_fixes: give one of them")
    if update_baseline and baseline is None:
        raise BadPolicy("update_baseline needs baseline, the file that is written")
    if isinstance(target, str) and "\n" in target:
        return _lint_text(target, LintRequest(chosen), fixes, unsafe_fixes, dry_run)
    request = LintRequest(chosen, markdown, patterns_of(exclude), jobs=jobs)
    given = [target] if isinstance(target, str | os.PathLike) else target
    paths = [os.fspath(path) for path in given]
    mended = _mend(paths, request, unsafe_fixes, dry_run) if fixes else ()
    found = lint_paths(paths, request)
    audit = found.audit
    if baseline is not None:
        from .accepting import hold_against  # 5 ms that only a baseline needs

        held = hold_against(os.fspath(baseline), Request(policy=chosen), update_baseline)
        audit = held(audit, True)[0]
    return LintAudit(audit, found.unjudged, mended)


def _mend(
    paths: list[str], request: "LintRequest", unsafe: bool, dry_run: bool
) -> "tuple[Mended, ...]":
    from .source.mend import mend_paths  # 8 ms, which only fixes pay

    return tuple(mend_paths(paths, request, unsafe, write=not dry_run))


def _lint_text(
    text: str, request: "LintRequest", fixes: bool, unsafe: bool, dry_run: bool
) -> LintAudit:
    """A text of no file: its fixes are shown, and can be written nowhere."""
    from .source.mend import Mended, make_diff, mend_bytes  # 8 ms, as above
    from .source.runs import lint_bytes  # loaded already

    if fixes and not dry_run:
        raise BadPolicy("a text is no file that could be written: give dry_run=True, or a path")
    name, data = "<source>", text.encode("utf-8", "surrogatepass")
    found = lint_bytes(data, name, "python", request.policy)
    audit = Audit(tuple(file for file in (found.file,) if file is not None), sources=1)
    better = mend_bytes(data, name, request, unsafe) if fixes else None
    mended = (Mended(name, better[1], make_diff(name, data, better[0])),) if better else ()
    return LintAudit(audit, tuple((name, entry) for entry in found.unjudged), mended)
