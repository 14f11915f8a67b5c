"""`lstm-audit schema report|policy`: JSON Schemas of what goes out and what comes in."""

from .exits import PASS
from .options import Given
from .output import say

EPILOG = """\b
Exit codes:
  0  printed    2  usage

\b
Example:
  lstm-audit schema report > lstm-audit-report.schema.json
"""


def run(given: Given) -> int:
    """Print the JSON Schema of the report or the policy.

    `report` is what `--format json` writes, `policy` what lstm-audit.toml may hold; draft 2020-12.
    """
    from json import dumps

    from ..schemas import policy_schema, report_schema

    say(dumps(report_schema() if given.what == "report" else policy_schema(), indent=2))
    return PASS
