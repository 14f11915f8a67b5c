"""`lstm-audit rules`: the catalogue."""

from typing import Any

from ..catalogue import find_rules
from ..rules import Rule, every_rule
from .exits import PASS
from .forms import GivenOptions
from .output import print_lines, say_table

EPILOG = """\b
Exit codes:
  0  listed    2  usage

\b
Examples:
  lstm-audit rules
  lstm-audit rules LA1
  lstm-audit rules --json | jq -r '.[].code'
"""


def run(given: GivenOptions) -> int:
    """List the rules: code, name, severity, what each sees.

    CODE is a code (LA101), its beginning (LA1), or a name or a part of one (doubled).
    """
    rules = [rule for code in given.codes for rule in find_rules(code)] or every_rule()
    if given.as_json:
        from json import dumps  # 2 ms that only --json needs

        print_lines(dumps([_entry(rule) for rule in dict.fromkeys(rules)], indent=2))
        return PASS
    rows = [
        (rule.code, rule.name, rule.severity, rule.sections[""].split("\n")[0])
        for rule in dict.fromkeys(rules)
    ]
    say_table(rows, ("code", "name", "severity", "what it sees"))
    print_lines("\n`lstm-audit explain CODE` prints a rule's manual.")
    return PASS


def _entry(rule: Rule) -> dict[str, Any]:
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity,
        "summary": rule.sections[""],
        "options": dict(rule.options),
    }
