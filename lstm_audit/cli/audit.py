"""`lstm-audit audit`: report, and never fail for what is found."""

import sys
from typing import Any

import click

from .help import Manual
from .options import (
    REPORT_OPTIONS,
    RUN_OPTIONS,
    config_options,
    report_options,
    run_options,
    verify_option,
)
from .runs import audit

HEADINGS = {
    "What to audit": (*RUN_OPTIONS, "no_init", "verify", "config", "no_config"),
    "Reports": REPORT_OPTIONS,
}

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
def command(**given: Any) -> None:
    """Report what every LSTM's forget gate starts at.

    PATH is a checkpoint (torch in any envelope, safetensors, an index of shards), a folder, or a
    glob. Content decides what a file is, not its suffix; nothing in it is executed. The nearest
    policy says which findings are shown.

    \b
    Exit codes:
      0  reported            3  an input could not be read
      2  usage               4  no checkpoint among the inputs
    """
    sys.exit(audit(**given))
