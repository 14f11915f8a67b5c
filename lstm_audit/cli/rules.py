"""`lstm-audit rules`: the catalogue."""

import click

from ..rules import RULES


@click.command("rules")
@click.option("--json", "as_json", is_flag=True, help="The catalogue as JSON.")
def command(as_json: bool) -> None:
    """List every rule: code, name, default severity, and what it sees."""
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
        click.echo(dumps(entries, indent=2))
        return
    from tabulate import tabulate

    rows = [(rule.code, rule.name, rule.severity, rule.sections[""].split("\n")[0]) for rule in rules]
    click.echo(tabulate(rows, headers=["code", "name", "severity", "what it sees"]))
    click.echo("\n`lstm-audit explain CODE` prints a rule's manual.")
