"""`lstm-audit audit`: report, and never fail for what is found."""

import sys

import click

from ..audit import Request, audit_paths
from .exits import of_audit
from .help import Manual
from .output import (
    REPORT_OPTIONS,
    RUN_OPTIONS,
    Progress,
    config_options,
    emit,
    report_options,
    run_options,
    verify_option,
)

HEADINGS = {"What to audit": (*RUN_OPTIONS, "no_init", "verify", "config", "no_config"), "Reports": REPORT_OPTIONS}

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
@config_options
@report_options
def command(
    paths: tuple[str, ...],
    layers: tuple[str, ...],
    jobs: int,
    no_init: bool,
    verify: bool,
    config: str | None,
    no_config: bool,
    format_name: str,
    output: str | None,
    reports: tuple[tuple[str, str], ...],
    color: str,
    quiet: bool,
) -> None:
    """Report what every LSTM's forget gate starts at.

    PATH is a checkpoint (torch in any envelope, safetensors, an index of shards), a folder, or a glob. Content decides
    what a file is, not its suffix; nothing in it is executed. The nearest policy says which findings are shown.

    \b
    Exit codes:
      0  reported            3  an input could not be read
      2  usage               4  no checkpoint among the inputs
    """
    progress = Progress(quiet)
    audit = audit_paths(paths, _request(layers, no_init, verify, config, no_config), jobs, progress)
    progress.end()
    emit(audit, format_name, output, reports, color, quiet)
    sys.exit(of_audit(audit))


def _request(layers: tuple[str, ...], no_init: bool, verify: bool, config: str | None, no_config: bool) -> Request:
    """The policy in force says what is shown, as in `check`; but nothing asks for an LSTM: a report fails nobody."""
    if no_init and (verify or config):
        raise click.UsageError("--verify and --config are about rules, and --no-init leaves the rules out")
    if no_init:
        return Request(layers, numbers_only=True)
    from .policy_options import loaded

    return Request(layers, loaded(config, no_config, verify=verify, require_lstm=False))
