"""`lstm-audit config`: the policy in force, and where each part of it came from."""

from ..policy.describe import describe_policy
from .exits import PASS
from .forms import GivenOptions
from .output import print_lines, say_table
from .runs import read_policy_and_flags

EPILOG = """\b
Exit codes:
  0  shown    2  usage, or a configuration that cannot be obeyed

\b
Examples:
  lstm-audit config
  lstm-audit config --config ci.toml --min-activation 0.7
"""


def run(given: GivenOptions) -> int:
    """Show the policy in force, and where it was set.

    Every key that a verdict of `check` depends on, its value, and the file or flag that it comes
    from.
    """
    policy = read_policy_and_flags(given)
    lines = describe_policy(policy)
    if given.as_json:
        from json import dumps  # 2 ms that only --json needs

        keys = [{"key": key, "value": value, "set_by": origin} for key, value, origin in lines]
        print_lines(
            dumps({"schema": "lstm-audit/config/1", "file": policy.file, "keys": keys}, indent=2)
        )
        return PASS
    print_lines(f"policy: {policy.file or 'defaults, no configuration file'}")
    say_table(lines, ("key", "value", "set by"))
    return PASS
