"""`lstm-audit explain CODE`: one rule's manual."""

from ..catalogue import find_rules
from ..policy.convention import MANUAL
from .exits import PASS
from .forms import GivenOptions
from .output import print_lines, say_table

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
    if given.code.strip().lower() == "convention":
        print_lines(MANUAL)
        return PASS
    found = find_rules(given.code)
    if len(found) > 1:
        say_table([(rule.code, rule.name, rule.severity) for rule in found], HEADS)
        return PASS
    (rule,) = found
    print_lines(f"{rule.code} {rule.name} [{rule.severity}]\n\n{rule.manual}")
    if rule.options:
        options = ", ".join(f"{name} = {value!r}" for name, value in rule.options.items())
        print_lines(f"\nOptions: {options}")
    return PASS


HEADS = ("code", "name", "severity")
