"""`lstm-audit check`: the gate of a build."""

import sys
from typing import Any

import click

from ..audit import Request, audit_paths
from ..finding import Audit
from ..policy.baseline import (
    Compared,
    compare,
    empty_baseline,
    judged_in,
    load_baseline,
    save_baseline,
    updated,
)
from ..policy.model import Policy
from .exits import of_check
from .output import Progress, emit, report_options, run_options
from .policy_options import policy_of, policy_options


@click.command("check")
@run_options
@policy_options
@click.option("--baseline", type=click.Path(dir_okay=False), metavar="FILE", help="Accept the findings listed there.")
@click.option("--update-baseline", is_flag=True, help="Write the findings of this run into --baseline, and pass.")
@click.option("--allow-skipped", is_flag=True, help="Pass although an LSTM could not be judged.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 also when there are findings.")
@report_options
def command(
    paths: tuple[str, ...],
    layers: tuple[str, ...],
    jobs: int,
    config: str | None,
    no_config: bool,
    baseline: str | None,
    update_baseline: bool,
    allow_skipped: bool,
    exit_zero: bool,
    format_name: str,
    output: str | None,
    reports: tuple[str, ...],
    color: str,
    quiet: bool,
    **given: Any,
) -> None:
    """Report as `audit` does, and fail when the policy is broken.

    The policy is the nearest lstm-audit.toml, or [tool.lstm-audit] in a pyproject.toml, at or above the working
    directory; flags override it. `lstm-audit config` shows what is in force.

    \b
    Exit codes (3 before 1 before 4):
      0  pass                                 3  an input could not be read or judged
      1  a finding at or above --fail-on      4  no checkpoint, or no LSTM where one is required
      2  usage or configuration
    """
    policy = policy_of(config, no_config, given)
    if update_baseline and baseline is None:
        raise click.UsageError("--update-baseline needs --baseline FILE")
    known = None if baseline is None or update_baseline else load_baseline(baseline)
    progress = Progress(quiet)
    audit = audit_paths(paths, Request(layers, policy), jobs, progress)
    progress.end()
    if update_baseline and baseline is not None:
        _update(baseline, audit, policy, layers)
        compared = Compared((), audit.findings, ())
    elif known is not None:
        compared = compare(audit.findings, known, judged_in(audit, policy, known.folder, layers))
    else:
        compared = Compared(audit.findings, (), ())
    shown = audit if baseline is None else only(audit, compared)
    emit(shown, format_name, output, reports, color, quiet, policy.fail_on)
    _say(compared, quiet)
    sys.exit(of_check(audit, policy, compared.new, allow_skipped=allow_skipped, exit_zero=exit_zero))


def only(audit: Audit, compared: Compared) -> Audit:
    """The audit with the findings that no baseline knows."""
    from dataclasses import replace

    files = tuple(replace(file, findings=tuple(f for f in compared.new if f.path == file.path)) for file in audit.files)
    return replace(audit, files=files)


def _update(path: str, audit: Audit, policy: Policy, layers: tuple[str, ...]) -> None:
    """Accept what was found; what this run could not have judged stays as it is."""
    import os

    old = load_baseline(path) if os.path.exists(path) else empty_baseline(path)
    save_baseline(updated(old, audit.findings, judged_in(audit, policy, old.folder, layers)), path)


def _say(compared: Compared, quiet: bool) -> None:
    """What the baseline did, on stderr."""
    if compared.known and not quiet:
        click.echo(f"{len(compared.known)} findings are accepted by the baseline", err=True)
    for entry in compared.stale:
        click.echo(f"stale baseline entry, no longer found: {entry.key}; --update-baseline removes it", err=True)
