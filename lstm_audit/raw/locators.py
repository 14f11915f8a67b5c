"""How a locator of each store is written.

Comes in: a locator without what may be secret. Goes out: nothing, or the form that was expected.
Promise: one that ends before it names a place is met before any library is asked, whose own texts
say little.
"""

from ..errors import BadPolicy

FORMS = {"s3": "BUCKET/PATH", "gs": "BUCKET/PATH", "az": "CONTAINER/PATH", "hf": "ORG/REPO/FILE"}
FORMS |= {"s3a": FORMS["s3"], "gcs": FORMS["gs"], "abfs": FORMS["az"], "abfss": FORMS["az"]}
FORMS |= dict.fromkeys(("http", "https", "ftp", "sftp", "ssh"), "HOST/PATH")
"""What stands behind `://`, by scheme; others may do without."""


def refuse_half(locator: str) -> None:
    """Raise `BadPolicy` where a locator names no place, or one that cannot be."""
    scheme, _, rest = locator.partition("://")
    if scheme not in FORMS:
        return
    words = rest.rstrip("/").split("/")
    short = scheme == "hf" and len(words) < 2
    spaced = any(character.isspace() for character in words[0])
    if (
        not words[0]
        or short
        or spaced
        or (FORMS[scheme] == "HOST/PATH" and not _has_port(words[0]))
    ):
        raise BadPolicy(f"{locator}: {scheme}://{FORMS[scheme]} was expected")


def _has_port(host: str) -> bool:
    """Whether what stands behind a host's colon is a port; `[::1]:80` has one."""
    name, colon, port = host.rpartition("]")[2].partition(":")
    return not colon or (port.isascii() and port.isdigit() and bool(name or "]" in host))
