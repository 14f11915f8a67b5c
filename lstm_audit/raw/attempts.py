"""Asking again: how often, when, and what a refusal means in our own words.

Comes in: something that asks a store, and what came back. Goes out: the answer, or an error of
ours. Promise: it is asked again only where a refusal may pass, a few times, with pauses that
differ; no text of a library, which would hold the locator and its secrets, is passed on.
"""

import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import Unreadable

TRIES = 4
# Seconds before the second try; doubled for each further one, and stretched at random by up to as
# much again, so that a thousand readers do not come back at once.
PAUSE = 0.25

# Seconds that are waited at most when a server says itself when to come back (Retry-After).
LONGEST_PAUSE = 10.0

# Seconds after the first refusal of a request in which it is made again.
PATIENCE = 120.0

# HTTP states after which the same range may be asked for again (RFC 9110, 15).
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})

T = TypeVar("T")


# The pause doubles and is stretched at random, so that a thousand readers that were refused
# together do not come back together; a server that names a pause itself gets that one, within
# bounds. What cannot pass (no such file, no access) is not asked for again.
def attempt(ask: Callable[[], T]) -> T:
    """The answer, after a few tries where a refusal may pass. The libraries' own texts are not
    repeated: they hold the locator, and with it what may be secret.
    """
    started = time.monotonic()
    for left in reversed(range(TRIES)):
        try:
            return ask()
        except Unreadable:
            raise
        except FileNotFoundError:
            raise Unreadable("there is no such file") from None
        except PermissionError:
            raise Unreadable("access is denied: are the credentials there?") from None
        except Exception as error:  # noqa: BLE001 # every library raises its own kinds
            late = time.monotonic() - started > PATIENCE
            if not left or late or not _may_pass(error):
                raise Unreadable(f"cannot read: {kind_of(error)}") from None
            pause = PAUSE * 2 ** (TRIES - 1 - left) * (1 + random.random())  # noqa: S311 # a pause
            time.sleep(max(pause, _read_asked_pause(error)))
    raise AssertionError("the last try returns or raises")


def _read_asked_pause(error: Exception) -> float:
    """What the server itself asks for (Retry-After in seconds), within bounds."""
    headers = getattr(error, "headers", None) or {}
    said = str(headers.get("Retry-After", ""))
    return min(float(said), LONGEST_PAUSE) if said.isascii() and said.isdigit() else 0.0


def status_of(error: Exception) -> int | None:
    """The HTTP state behind an error: aiohttp's, huggingface_hub's and gcsfs's, botocore's,
    azure's.
    """
    said = getattr(error, "status", None)
    said = getattr(error, "code", None) if said is None else said
    if isinstance(said, int):
        return said or None  # aiohttp says 0 where it knows none
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        said = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        said = getattr(answer, "status_code", None)
    return said if isinstance(said, int) else None


def _may_pass(error: Exception) -> bool:
    """Whether the same question may be answered later."""
    status = status_of(error)
    if status is not None:
        return status in RETRIED
    return isinstance(error, OSError | TimeoutError) or "Client" in type(error).__name__


REFUSALS = {
    401: ": are the credentials there?",
    403: ": are the credentials there?",
    404: ": there is no such file",
    410: ": there is no such file",
}


def kind_of(error: Exception) -> str:
    """What may be said of an error: its HTTP state, or its type."""
    status = status_of(error)
    if status is not None:
        return f"HTTP {status}{REFUSALS.get(status, '')}"
    name = type(error).__name__
    if "Redirect" in name:
        return "its redirects do not end"
    if "DNS" in name or isinstance(error, socket.gaierror):
        return "the host's name is not known here"
    if "Connect" in name:  # aiohttp's, httpx's, requests' and botocore's are called so
        return "nothing answers there"
    return "it takes too long" if isinstance(error, TimeoutError) else name
