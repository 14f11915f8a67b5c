"""`lstm-audit schema report|policy|statistics`: JSON Schemas of what goes out and what comes in."""

from .exits import PASS
from .forms import GivenOptions
from .output import print_lines

EPILOG = """\b
Exit codes:
  0  printed    2  usage

\b
Example:
  lstm-audit schema report > lstm-audit-report.schema.json
"""


def run(given: GivenOptions) -> int:
    """Print a JSON Schema: of the report, statistics or policy.

    `report` is what `--format json` writes, `statistics` what it writes with `--statistics`,
    `policy` what lstm-audit.toml may hold; draft 2020-12.
    """
    from json import dumps  # 2 ms, which `schema --help` spares

    from ..schemas import SCHEMAS  # 7 ms, which `schema --help` spares

    print_lines(dumps(SCHEMAS[given.what](), indent=2))
    return PASS
