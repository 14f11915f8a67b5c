"""What the command says of a baseline.

Comes in: an `Audit` and the baseline's path. Goes out: the findings that it does not accept.
Promise: what the baseline hides is counted, and what it hides for nothing is named.
"""

from collections.abc import Iterable

from ..accepting import compare_with
from ..facts import Audit, Finding
from ..pipeline import Request
from ..policy.baseline import Accepted
from ..reports.words import escape, say_count
from .output import tell


def find_unaccepted(path: str, audit: Audit, request: Request, quiet: bool) -> tuple[Finding, ...]:
    """The findings that are new; what is known is counted on stderr, and what is stale is named
    there.
    """
    compared = compare_with(path, audit, request)
    tell_held(len(compared.known), compared.stale, compared.elsewhere, quiet)
    return compared.new


def tell_held(known: int, stale: Iterable[Accepted], elsewhere: str, quiet: bool) -> None:
    """How many findings are accepted, each entry that accepts none, and whether all of them are
    about other files.
    """
    if known and not quiet:
        tell(f"{say_count(known, 'finding')} accepted by the baseline")
    if elsewhere:
        tell(escape(elsewhere, limit=None))
    for entry in stale:
        key = escape(entry.key, limit=None)
        tell(f"stale baseline entry, no longer found: {key}; --update-baseline removes it")
