"""`lstm-audit check`: the gate of a build."""

import sys
from typing import Any

import click

from .help import Manual
from .options import (
    POLICY_HEADINGS,
    REPORT_OPTIONS,
    RUN_OPTIONS,
    policy_options,
    report_options,
    run_options,
)
from .runs import check

VERDICT = ("baseline", "update_baseline", "allow_skipped", "exit_zero")

EPILOG = """\b
Examples:
  lstm-audit check --forget-bias 1 --tolerance 0.05 model.pt
  lstm-audit check --min-activation 0.7 --fail-on warning checkpoints/
  lstm-audit check --report sarif=out.sarif --report junit=out.xml *.pt
  lstm-audit check --baseline known.json --update-baseline checkpoints/
"""


@click.command(
    "check",
    cls=Manual,
    headings={
        "What to check": RUN_OPTIONS,
        **POLICY_HEADINGS,
        "Verdict": VERDICT,
        "Reports": REPORT_OPTIONS,
    },
    epilog=EPILOG,
)
@run_options
@policy_options
@click.option(
    "--baseline",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Accept the findings that are listed there.",
)
@click.option(
    "--update-baseline",
    is_flag=True,
    help="Write the findings of this run into --baseline, and pass.",
)
@click.option("--allow-skipped", is_flag=True, help="Pass although an LSTM could not be judged.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 also when there are findings.")
@report_options
def command(**given: Any) -> None:
    """Report as `audit` does, and fail when the policy is broken.

    The policy is the nearest lstm-audit.toml, or [tool.lstm-audit] in a pyproject.toml, at or above
    the working directory; flags override it. Run `lstm-audit config` to see what is in force.

    \b
    Exit codes (3 before 1 before 4):
      0  pass
      1  a finding at or above --fail-on
      2  usage or configuration
      3  an input could not be read, or an LSTM not be judged
      4  no checkpoint, or no LSTM where one is required
    """
    sys.exit(check(**given))
