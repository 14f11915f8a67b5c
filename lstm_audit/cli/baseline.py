"""What the command says of a baseline.

Comes in: an `Audit` and the baseline's path. Goes out: the findings that it does not accept.
Promise: what the baseline hides is counted, and what it hides for nothing is named.
"""

from ..accepting import compare_with
from ..facts import Audit, Finding
from ..pipeline import Request
from ..reports.words import counted, escape
from .output import tell


def unaccepted(path: str, audit: Audit, request: Request, quiet: bool) -> tuple[Finding, ...]:
    """The findings that are new; what is known is counted on stderr, and what is stale is named
    there.
    """
    compared = compare_with(path, audit, request)
    if compared.known and not quiet:
        tell(f"{counted(len(compared.known), 'finding')} accepted by the baseline")
    for entry in compared.stale:
        key = escape(entry.key, limit=None)
        tell(f"stale baseline entry, no longer found: {key}; --update-baseline removes it")
    return compared.new
