"""What a locator means by its words: standard input, a path, or a place in a store.

Comes in: a locator. Goes out: which of them it is, what a report calls it, whether another process
reaches it too, or the form that was expected. Promise: one that ends before it names a place is met
before any library is asked, whose own texts say little.
"""

import os
import re
import sys
from typing import Any

from ..errors import BadPolicy

# Standard input as a checkpoint.
STDIN = "-"

_SCHEME = r"[a-z][a-z0-9+.-]+://"

FORMS = {"s3": "BUCKET/PATH", "gs": "BUCKET/PATH", "az": "CONTAINER/PATH", "hf": "ORG/REPO/FILE"}
FORMS |= {"s3a": FORMS["s3"], "gcs": FORMS["gs"], "abfs": FORMS["az"], "abfss": FORMS["az"]}
FORMS |= dict.fromkeys(("http", "https", "ftp", "sftp", "ssh"), "HOST/PATH")
"""What stands behind `://`, by scheme; others may do without."""


def is_remote(path: str) -> bool:
    """Whether a path is a locator with a scheme."""
    return "://" in path and re.match(_SCHEME, path) is not None


def label(path: str) -> str:
    """What a report calls an input: a locator without user, password and query, which may be
    secret.
    """
    if not is_remote(path):
        return path
    scheme, _, rest = path.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def refuse_half(locator: str) -> None:
    """Raise `BadPolicy` where a locator, here without what may be secret, names no place, or one
    that cannot be.
    """
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


# The stores that a process reaches by what stands in its environment and in the user's files, and
# the libraries that read them. Any other file system may live in this process alone (`memory://`).
STORES = frozenset({"http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf"})
LIBRARIES = frozenset({"fsspec", "s3fs", "gcsfs", "adlfs", "huggingface_hub"})


def is_reached_alike(locator: str) -> bool:
    """Whether a process that is told nothing reads it as this one does: not where a Python program
    has set options of fsspec, or has put a class of its own in the place of a store's.
    """
    scheme = locator.partition("://")[0]
    config: Any = sys.modules.get("fsspec.config")  # not loaded: nobody has told it anything
    registry: Any = sys.modules.get("fsspec.registry")
    if scheme not in STORES or (config is not None and config.conf):
        return False
    loaded = registry.registry.get(scheme) if registry is not None else None
    known = registry.known_implementations.get(scheme, {}) if registry is not None else {}
    names = [loaded.__module__] if loaded else [known["class"]] if "class" in known else []
    return all(name.partition(".")[0] in LIBRARIES for name in names)


def find_libraries() -> list[str]:
    """The folder where this process has what reads the stores, such as the user's own one, which an
    isolated interpreter leaves out; none where there is nothing.
    """
    from importlib.util import find_spec  # 1 ms that only workers need

    found = find_spec("fsspec")
    return [os.path.dirname(os.path.dirname(found.origin))] if found and found.origin else []
