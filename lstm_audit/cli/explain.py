"""`lstm-audit explain CODE`: one rule's manual."""

from ..errors import BadPolicy
from ..rules import RULES
from ..spelling import nearest
from .exits import PASS
from .options import Given
from .output import say

EPILOG = """\b
Exit codes:
  0  printed    2  usage, or no such rule

\b
Example:
  lstm-audit explain LA101
"""


def run(given: Given) -> int:
    """Print a rule's manual.

    That is: what the rule sees, why it hurts, an example in numbers, the fix, and references. CODE
    is a code (LA101) or a name (doubled-forget-bias).
    """
    wanted = given.code.strip()
    found = [
        rule
        for rule in RULES.values()
        if wanted.upper() == rule.code or wanted.lower() == rule.name
    ]
    if not found:
        names = [name for rule in RULES.values() for name in (rule.code, rule.name)]
        near = nearest(wanted, names)
        hint = f"did you mean {near}?" if near else "`lstm-audit rules` lists them"
        raise BadPolicy(f"no rule is called {given.code!r}; {hint}")
    rule = found[0]
    say(f"{rule.code} {rule.name} [{rule.severity}]\n\n{rule.manual}")
    if rule.options:
        say(
            "\nOptions: " + ", ".join(f"{name} = {value!r}" for name, value in rule.options.items())
        )
    return PASS
