"""`lstm-audit config`: the policy in force, and where each part of it came from."""

from ..policy.describe import describe
from ..reports.words import escape
from .exits import PASS
from .options import Given
from .output import say
from .runs import policy_of

EPILOG = """\b
Exit codes:
  0  shown    2  usage, or a configuration that cannot be obeyed

\b
Examples:
  lstm-audit config
  lstm-audit config --config ci.toml --min-activation 0.7
"""


def run(given: Given) -> int:
    """Show the policy in force, and where it was set.

    Every key that a verdict of `check` depends on, its value, and the file or flag that it comes
    from.
    """
    from tabulate import tabulate

    policy = policy_of(given)
    say(f"policy: {escape(policy.file or 'defaults, no configuration file')}")
    rows = [[escape(cell, limit=None) for cell in line] for line in describe(policy)]
    say(tabulate(rows, headers=["key", "value", "set by"], disable_numparse=True))
    return PASS
