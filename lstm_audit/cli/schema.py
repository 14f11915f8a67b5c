"""`lstm-audit schema report|policy`: JSON Schemas of what goes out and what comes in."""

import click


@click.command("schema")
@click.argument("what", type=click.Choice(["report", "policy"]))
def command(what: str) -> None:
    """Print the JSON Schema (2020-12) of the JSON report, or of the policy."""
    from json import dumps

    from ..schemas import policy_schema, report_schema

    click.echo(dumps(report_schema() if what == "report" else policy_schema(), indent=2))
