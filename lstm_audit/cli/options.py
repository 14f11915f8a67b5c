"""The options that commands share.

Comes in: a click command. Goes out: the command with one more family of options. Promise: an option
is spelled, typed and explained here and nowhere else.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..reports import REPORTS
from . import complete
from .output import COLORS

Command = TypeVar("Command", bound=Callable[..., Any])


def _parse_reports(
    ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """(format, file) of every --report; before the run, since an audit may take long."""
    return tuple(_parse_report(text) for text in texts)


def _parse_report(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not path or name not in REPORTS:
        raise click.BadParameter(
            f"{text}: FORMAT=FILE was expected, FORMAT one of {', '.join(sorted(REPORTS))}"
        )
    return name, path


REPORT_OPTIONS = ("format_name", "output", "reports", "color", "quiet")
"""What `report_options` adds, for the headings of a manual."""


def report_options(command: Command) -> Command:
    """--format, --output, --report, --color, --quiet."""
    options = [
        click.option(
            "-f",
            "--format",
            "format_name",
            type=click.Choice(sorted(REPORTS)),
            default="table",
            show_default=True,
            help="What stdout carries.",
        ),
        click.option(
            "-o",
            "--output",
            type=click.Path(dir_okay=False),
            help="Write the report to a file, not stdout.",
        ),
        click.option(
            "--report",
            "reports",
            multiple=True,
            metavar="FORMAT=FILE",
            callback=_parse_reports,
            shell_complete=complete.reports,
            help="One more report in the same run; repeatable.",
        ),
        click.option(
            "--color", type=click.Choice(COLORS), default="auto", help="NO_COLOR is honoured."
        ),
        click.option(
            "-q", "--quiet", is_flag=True, help="No progress, and no advice in the table."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


RUN_OPTIONS = ("layers", "jobs")
"""What `run_options` adds."""


def run_options(command: Command) -> Command:
    """PATH..., --layers, --jobs."""
    options = [
        click.argument(
            "paths", nargs=-1, required=True, metavar="PATH...", shell_complete=complete.files
        ),
        click.option(
            "-l",
            "--layers",
            multiple=True,
            metavar="PATTERN",
            shell_complete=complete.layers,
            help="Only LSTMs whose address (encoder.lstm:l0:reverse) or module matches the glob; "
            "repeatable.",
        ),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(0),
            default=1,
            metavar="N",
            help="Processes; 0 means one a core.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def config_options(command: Command) -> Command:
    """--config, --no-config."""
    config = click.option(
        "--config",
        type=click.Path(),
        metavar="FILE",
        help="This policy, not the nearest one above.",
    )
    return config(
        click.option("--no-config", is_flag=True, help="Look for no configuration file.")(command)
    )


verify_option = click.option(
    "--verify",
    is_flag=True,
    help="Check the checksum of every bias record, however large: reads it whole.",
)


POLICY_HEADINGS = {
    "Policy": ("config", "no_config", "select", "ignore", "fail_on", "require_lstm", "verify"),
    "Bounds of the forget gate, over the means of its units": (
        "forget_bias",
        "tolerance",
        "min_activation",
        "max_activation",
        "min_time_scale",
    ),
}
"""The sections of a manual for these options."""


def policy_options(command: Command) -> Command:
    """--config, --no-config, --select, --ignore, --fail-on, the bounds, --require-lstm."""
    options = [
        config_options,
        click.option(
            "--select",
            multiple=True,
            metavar="CODES",
            shell_complete=complete.selectors,
            help="Only these rules: codes or their beginnings (LA1), comma-separated.",
        ),
        click.option(
            "--ignore",
            multiple=True,
            metavar="CODES",
            shell_complete=complete.selectors,
            help="Not these rules.",
        ),
        click.option(
            "--fail-on",
            metavar="SEVERITY",
            shell_complete=complete.severities,
            help="The mildest that fails: error (default), warning, info; or never.",
        ),
        click.option(
            "--forget-bias",
            type=float,
            metavar="B",
            help="The mean effective forget bias must be B ...",
        ),
        click.option(
            "--tolerance", type=float, metavar="T", help="... give or take T (0.05 unless set)."
        ),
        click.option(
            "--min-activation", type=float, metavar="F", help="Least mean forget activation."
        ),
        click.option(
            "--max-activation", type=float, metavar="F", help="Largest mean forget activation."
        ),
        click.option(
            "--min-time-scale", type=float, metavar="T", help="Least mean time scale in steps."
        ),
        click.option(
            "--require-lstm/--no-require-lstm",
            default=None,
            help="Whether a file without an LSTM fails.",
        ),
        verify_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command
