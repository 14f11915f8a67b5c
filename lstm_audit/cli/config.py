"""`lstm-audit config`: the policy in force, and where each part of it came from."""

from typing import Any

import click

from ..policy.describe import describe
from .policy_options import policy_of, policy_options


@click.command("config")
@policy_options
def command(config: str | None, no_config: bool, **given: Any) -> None:
    """Show the policy in force: every key, its value, and where it was set."""
    from tabulate import tabulate

    policy = policy_of(config, no_config, given)
    click.echo(f"policy: {policy.file or 'defaults, no configuration file'}")
    click.echo(tabulate(describe(policy), headers=["key", "value", "set by"], disable_numparse=True))
