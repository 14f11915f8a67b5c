"""`lstm-audit rules`: the catalogue."""

import click

from ..rules import RULES
from .output import say

EPILOG = """\b
Exit codes:
  0  listed    2  usage

\b
Examples:
  lstm-audit rules
  lstm-audit rules --json | jq -r '.[].code'
"""


@click.command("rules", epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="The catalogue as JSON.")
def command(as_json: bool) -> None:
    """List every rule: code, name, severity, what it sees."""
    rules = sorted(RULES.values(), key=lambda rule: rule.code)
    if as_json:
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
        return
    from tabulate import tabulate

    rows = [
        (rule.code, rule.name, rule.severity, rule.sections[""].split("\n")[0]) for rule in rules
    ]
    say(tabulate(rows, headers=["code", "name", "severity", "what it sees"]))
    say("\n`lstm-audit explain CODE` prints a rule's manual.")
