"""`json`: everything, for programs.

Comes in: an `Audit`. Goes out: strict JSON (RFC 8259), in ASCII, with the keys in the order of the
contract. Promise: any JSON parser reads it; nothing is rounded, shortened or left out.
"""

from typing import TYPE_CHECKING

from ..fact_json import as_json
from ..facts import Audit, Tool
from ..version import __version__
from . import Look, register_digest, report
from .words import dumps

if TYPE_CHECKING:
    from ..statistics import Statistics


@report("json")
def json(audit: Audit, look: Look) -> str:
    """The whole report, `lstm-audit/report/1`."""
    return dumps(audit.to_dict(), indent=2) + "\n"


@register_digest("json")
def statistics(found: "Statistics", look: Look) -> str:
    """The counts, the histogram and the worst files, `lstm-audit/statistics/1`."""
    from ..statistics import SCHEMA, StatisticsDocument  # 1 ms that a report need not pay

    tool = Tool("lstm-audit", __version__)
    return dumps(as_json(StatisticsDocument(SCHEMA, tool, found)), indent=2) + "\n"
