"""`lstm-audit audit`: report, and never fail for what is found."""

import sys

import click

from ..audit import Request, audit_paths
from .exits import of_audit
from .help import Manual
from .output import REPORT_OPTIONS, RUN_OPTIONS, Progress, emit, report_options, run_options, verify_option

HEADINGS = {"What to audit": (*RUN_OPTIONS, "no_init", "verify"), "Reports": REPORT_OPTIONS}

EPILOG = """\b
Examples:
  lstm-audit audit model.pt
  lstm-audit audit -f json runs/ | jq .summary
  lstm-audit audit --layers 'encoder.*' --report html=gates.html model.pt
"""


@click.command("audit", cls=Manual, headings=HEADINGS, epilog=EPILOG)
@run_options
@click.option("--no-init", is_flag=True, help="Numbers only: no forensics, no rules; the fastest.")
@verify_option
@report_options
def command(
    paths: tuple[str, ...],
    layers: tuple[str, ...],
    jobs: int,
    no_init: bool,
    verify: bool,
    format_name: str,
    output: str | None,
    reports: tuple[tuple[str, str], ...],
    color: str,
    quiet: bool,
) -> None:
    """Report what every LSTM's forget gate starts at.

    PATH is a checkpoint (torch in any envelope, safetensors, an index of shards), a folder, or a glob. Content decides
    what a file is, not its suffix; nothing in it is executed.

    \b
    Exit codes:
      0  reported            3  an input could not be read
      2  usage               4  no checkpoint among the inputs
    """
    progress = Progress(quiet)
    audit = audit_paths(paths, _request(layers, no_init, verify), jobs, progress)
    progress.end()
    emit(audit, format_name, output, reports, color, quiet)
    sys.exit(of_audit(audit))


def _request(layers: tuple[str, ...], no_init: bool, verify: bool) -> Request:
    """Every rule with its defaults, and none of them asking for an LSTM: a report fails nobody."""
    if not verify:
        return Request(layers, numbers_only=no_init)
    if no_init:
        raise click.UsageError("--verify is a rule's work (LA902), and --no-init leaves the rules out")
    from ..policy.flags import with_flags
    from ..policy.model import Policy

    return Request(layers, with_flags(Policy(require_lstm=False), verify=True))
