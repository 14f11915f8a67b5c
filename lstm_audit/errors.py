"""What can go wrong, by whose fault.

Comes in: nothing. Goes out: the exceptions that the rest raises, and `Skipped`, the value that
stands for "this part could not be judged". Promise: every failure that a user's file, policy or
flag can cause is an `AuditError` with a kind, a message that says what to do, and, where there is
one, the byte at which it happened.
"""

from typing import Annotated

from .tuples import NamedTuple


class AuditError(Exception):
    """The root of all expected failures.

    `kind` is one of the words that `errors[].kind` of the JSON report may hold; `at` is the
    absolute byte offset in the file at which the trouble was seen, or None.
    """

    kind = "io"

    def __init__(self, message: str, at: int | None = None, kind: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        if kind is not None:
            self.kind = kind


class MalformedFile(AuditError):
    """The bytes break their own format's rules.

    Kinds: `malformed`, `truncated`, `ambiguous` (two readers could read different bytes), `limit`
    (beyond what is read), `unsupported` (a known format, or a part of one, that is not read).
    """

    kind = "malformed"


class UnknownFormat(AuditError):
    """No reader claims the bytes. Kinds: `unknown-format`, `lfs-pointer`, `html`, `empty`,
    `unsupported`.
    """

    kind = "unknown-format"


class Unreadable(AuditError):
    """The operating system, or another process, is in the way. Kinds: `io`, `changed`,
    `interrupted-patch`.
    """


class NotPatchable(AuditError):
    """The bytes can be judged but not written; the message gives the reason. Kinds:
    `not-patchable`, `changed`, `limit`, `several` (an archive of which one checkpoint must be
    named).
    """

    kind = "not-patchable"


class BadPolicy(AuditError):
    """A configuration file or flag that cannot be obeyed; always a usage error, exit 2."""

    kind = "policy"


class MissingFile(BadPolicy, FileNotFoundError):
    """A path that leads nowhere: a usage error, and Python's own `FileNotFoundError` as well."""

    def __str__(self) -> str:  # that of OSError wants an errno
        return self.message


class MissingPackage(AuditError, ImportError):
    """Something that only an optional package can do; the message has the line that installs it."""

    kind = "unsupported"

    def __str__(self) -> str:
        return self.message


class Skipped(NamedTuple):
    """Something that looks recurrent but was not judged: where, why in one word, why in a sentence.

    `reason` is one of gru, rnn, ambiguous, frozen, packed, unsupported-dtype, conflicting-evidence,
    optimizer-state, parametrized, missing-data, limit.
    """

    module: str
    reason: Annotated[str, ("pattern", "^[a-z0-9]+([-_][a-z0-9]+)*$")]
    detail: str
