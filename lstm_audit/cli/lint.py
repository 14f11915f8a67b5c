"""`lstm-audit lint`: what Python source makes of an LSTM, without running it."""

from typing import TYPE_CHECKING

from ..facts import Audit, Finding
from ..pipeline import Request
from ..policy.verdict import fails
from ..reports.words import escape, say_count
from . import exits
from .forms import GivenOptions
from .output import ProgressLine, emit, print_lines, tell
from .runs import read_policy_and_flags

if TYPE_CHECKING:
    from ..policy.model import Policy
    from ..source.runs import Lint

EPILOG = """\b
Examples:
  lstm-audit lint src/
  lstm-audit lint --diff model.py
  lstm-audit lint --fix model.py
  cat model.py | lstm-audit lint -f github --stdin-filename model.py -
"""


def run(given: GivenOptions) -> int:
    """Lint the Python source that initialises an LSTM.

    Say what the code makes of the forget gate. PATH is a source, a notebook, a folder (.gitignore
    is honoured), a glob, or - for standard input. Nothing is imported or executed. A finding stands
    at the line of the write that decides; `# noqa: LA101` on that line silences it.

    \b
    Exit codes (3 before 1 before 4):
      0  pass
      1  a finding at or above --fail-on, or a fix that --diff shows
      2  usage or configuration
      3  a source is no Python, or could not be read
      4  no Python source among the inputs
    """
    from ..source.runs import LintRequest, lint_paths  # 117 ms: ast, the rules, json

    policy = read_policy_and_flags(given).having("require-lstm", False)
    request = LintRequest(policy, given.markdown, given.exclude, given.stdin_filename, given.jobs)
    if given.fix or given.diff:
        changed = _mend(given, request)
        if given.diff:
            return exits.FINDINGS if changed else exits.PASS
    progress = ProgressLine(given.quiet, "sources")
    found = lint_paths(given.paths, request, progress)
    progress.end()
    shown = _without_accepted(found.audit, given, policy)
    emit(shown, given, policy.fail_on, kept=[policy.file, given.baseline])
    _tell_unjudged(found, given)
    if not (found.sources or found.audit.errors or given.quiet):
        tell("no Python source among the inputs; `lstm-audit audit` reads checkpoints")
    return _exit_code(found, shown.findings, policy, given)


def _exit_code(
    found: "Lint", findings: tuple[Finding, ...], policy: "Policy", given: GivenOptions
) -> int:
    if found.audit.errors:
        return exits.UNREADABLE
    if any(fails(finding, policy) for finding in findings):
        return exits.PASS if given.exit_zero else exits.FINDINGS
    return exits.PASS if found.sources else exits.NOTHING


def _without_accepted(audit: Audit, given: GivenOptions, policy: "Policy") -> Audit:
    if given.baseline is None:
        return audit
    from ..accepting import accept, only  # 4 ms that only a baseline needs
    from .baseline import find_unaccepted  # the same

    request = Request(policy=policy)
    if given.update_baseline:
        accept(given.baseline, audit, request)
        return only(audit, ())
    return only(audit, find_unaccepted(given.baseline, audit, request, given.quiet))


def _tell_unjudged(found: "Lint", given: GivenOptions) -> None:
    """What could not be followed fails nothing, but is counted."""
    if found.unjudged and not given.quiet and not given.show_unjudged:
        count = say_count(len(found.unjudged), "place")
        tell(f"unjudged: {count} could not be followed (--show-unjudged)")
    for path, entry in found.unjudged if given.show_unjudged else ():
        where = f"{escape(path, limit=None)}:{entry.place.line}"
        name = f" {escape(entry.module)}" if entry.module else ""
        tell(f"unjudged: {where}:{name} {entry.reason}")


def _mend(given: GivenOptions, request: object) -> int:
    """Apply or show the fixes; how many sources they change."""
    from ..source.mend import mend_paths  # 8 ms, which only --fix pays
    from ..source.runs import LintRequest  # loaded already by the run that is mended

    assert isinstance(request, LintRequest)
    changed = 0
    for mended in mend_paths(given.paths, request, given.unsafe_fixes, write=not given.diff):
        changed += 1
        path = escape(mended.path, limit=None)
        if given.diff:
            print_diff(mended.diff)
        elif not given.quiet:
            tell(f"fixed {say_count(mended.fixes, 'finding')} in {path}")
    return changed


def print_diff(text: str) -> None:
    """A unified diff on stdout."""

    print_lines(text)
