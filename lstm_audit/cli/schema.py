"""`lstm-audit schema report|policy`: JSON Schemas of what goes out and what comes in."""

import click

from .output import say

EPILOG = """\b
Exit codes:
  0  printed    2  usage

\b
Example:
  lstm-audit schema report > lstm-audit-report.schema.json
"""


@click.command("schema", epilog=EPILOG)
@click.argument("what", type=click.Choice(["report", "policy"]))
def command(what: str) -> None:
    """Print the JSON Schema of the report or the policy.

    `report` is what `--format json` writes, `policy` what lstm-audit.toml may hold; draft 2020-12.
    """
    from json import dumps

    from ..schemas import policy_schema, report_schema

    say(dumps(report_schema() if what == "report" else policy_schema(), indent=2))
