"""`json`: everything, for programs.

Comes in: an `Audit`. Goes out: strict JSON (RFC 8259), in ASCII, with the keys in the order of the
contract. Promise: any JSON parser reads it; nothing is rounded, shortened or left out.
"""

from ..facts import Audit, Tool, as_json
from ..statistics import SCHEMA, Statistics, StatisticsDocument
from ..version import __version__
from . import Look, register_digest, report
from .words import dumps


@report("json")
def json(audit: Audit, look: Look) -> str:
    """The whole report, `lstm-audit/report/1`."""
    return dumps(audit.to_dict(), indent=2) + "\n"


@register_digest("json")
def statistics(found: Statistics, look: Look) -> str:
    """The counts, the histogram and the worst files, `lstm-audit/statistics/1`."""
    tool = Tool("lstm-audit", __version__)
    return dumps(as_json(StatisticsDocument(SCHEMA, tool, found)), indent=2) + "\n"
