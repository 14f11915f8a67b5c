"""`lstm-audit explain CODE`: one rule's manual."""

import sys

from ..catalogue import find_rules
from ..policy.convention import MANUAL
from ..reports.terminal import fold
from .exits import PASS
from .forms import GivenOptions
from .output import look_of, print_lines, say_table

EPILOG = """\b
Exit codes:
  0  printed    2  usage, or no such rule

\b
Example:
  lstm-audit explain LA101
  lstm-audit explain convention
"""


def run(given: GivenOptions) -> int:
    """Print a rule's manual.

    That is: what the rule sees, why it hurts, an example in numbers, the fix, and references. CODE
    is a code (LA101) or a name (doubled-forget-bias); where it means several, they are listed.
    The word `convention` prints how to declare a convention of one's own.
    """
    width = look_of(sys.stdout, "never", quiet=False).width
    if given.code.strip().lower() == "convention":
        print_lines(fold(MANUAL, width))
        return PASS
    found = find_rules(given.code)
    if len(found) > 1:
        say_table([(rule.code, rule.name, rule.severity) for rule in found], HEADS)
        return PASS
    (rule,) = found
    print_lines(f"{rule.code} {rule.name} [{rule.severity}]\n\n{fold(rule.manual, width)}")
    if rule.options:
        options = ", ".join(f"{name} = {value!r}" for name, value in rule.options.items())
        print_lines(f"\nOptions: {options}")
    return PASS


HEADS = ("code", "name", "severity")
