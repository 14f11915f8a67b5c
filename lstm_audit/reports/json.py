"""`json`: everything, for programs.

Comes in: an `Audit`. Goes out: strict JSON (RFC 8259), in ASCII, with the keys in the order of the
contract. Promise: any JSON parser reads it; nothing is rounded, shortened or left out.
"""

from ..facts import Audit
from . import Look, report
from .words import dumps


@report("json")
def json(audit: Audit, look: Look) -> str:
    """The whole report, `lstm-audit/report/1`."""
    return dumps(audit.to_dict(), indent=2) + "\n"
