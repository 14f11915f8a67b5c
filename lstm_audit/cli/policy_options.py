"""The options from which `check` and `config` make their policy.

Comes in: flags. Goes out: a `Policy`. Promise: a flag overrides the file, and both are named when they are wrong.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..policy.flags import with_flags
from ..policy.load import load_policy
from ..policy.model import Policy
from . import complete
from .output import config_options, verify_option

Command = TypeVar("Command", bound=Callable[..., Any])

HEADINGS = {
    "Policy": ("config", "no_config", "select", "ignore", "fail_on", "require_lstm", "verify"),
    "Bounds of the forget gate, over the means of its units": (
        "forget_bias", "tolerance", "min_activation", "max_activation", "min_time_scale",
    ),
}  # fmt: skip
"""The sections of a manual for these options."""

FLAGS = (
    "forget_bias", "tolerance", "min_activation", "max_activation", "min_time_scale", "select", "ignore", "fail_on",
    "require_lstm", "verify",
)  # fmt: skip


def policy_options(command: Command) -> Command:
    """--config, --no-config, --select, --ignore, --fail-on, the bounds, --require-lstm."""
    options = [
        config_options,
        click.option(
            "--select", multiple=True, metavar="CODES", shell_complete=complete.selectors,
            help="Only these rules: codes or their beginnings (LA1), comma-separated.",
        ),
        click.option(
            "--ignore", multiple=True, metavar="CODES", shell_complete=complete.selectors, help="Not these rules."
        ),
        click.option(
            "--fail-on", metavar="SEVERITY", shell_complete=complete.severities,
            help="The mildest that fails: error (default), warning, info; or never.",
        ),
        click.option("--forget-bias", type=float, metavar="B", help="The mean effective forget bias must be B ..."),
        click.option("--tolerance", type=float, metavar="T", help="... give or take T (0.05 unless set)."),
        click.option("--min-activation", type=float, metavar="F", help="Least mean forget activation."),
        click.option("--max-activation", type=float, metavar="F", help="Largest mean forget activation."),
        click.option("--min-time-scale", type=float, metavar="T", help="Least mean time scale in steps."),
        click.option("--require-lstm/--no-require-lstm", default=None, help="Whether a file without an LSTM fails."),
        verify_option,
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def policy_of(config: str | None, no_config: bool, given: dict[str, Any]) -> Policy:
    """The file's policy under the flags of a command; raises `BadPolicy`."""
    return loaded(config, no_config, **{name: given[name] for name in FLAGS})


def loaded(config: str | None, no_config: bool, **flags: Any) -> Policy:
    """The file's policy under flags; raises `BadPolicy`."""
    if config is not None and no_config:
        raise click.UsageError("--config and --no-config exclude each other")
    return with_flags(load_policy(config, use_config=not no_config), **flags)
