"""`lstm-audit rules`: the catalogue."""

from ..rules import RULES
from .exits import PASS
from .options import Given
from .output import say

EPILOG = """\b
Exit codes:
  0  listed    2  usage

\b
Examples:
  lstm-audit rules
  lstm-audit rules --json | jq -r '.[].code'
"""


def run(given: Given) -> int:
    """List every rule: code, name, severity, what it sees."""
    rules = sorted(RULES.values(), key=lambda rule: rule.code)
    if given.as_json:
        from json import dumps

        entries = [
            {
                "code": rule.code,
                "name": rule.name,
                "severity": rule.severity,
                "summary": rule.sections[""],
                "options": dict(rule.options),
            }
            for rule in rules
        ]
        say(dumps(entries, indent=2))
        return PASS
    from tabulate import tabulate

    rows = [
        (rule.code, rule.name, rule.severity, rule.sections[""].split("\n")[0]) for rule in rules
    ]
    say(tabulate(rows, headers=["code", "name", "severity", "what it sees"]))
    say("\n`lstm-audit explain CODE` prints a rule's manual.")
    return PASS
