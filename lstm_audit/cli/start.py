"""From the words of a command line to its exit code.

Comes in: what stands behind `lstm-audit`. Goes out: the end of the process. Promise: stdout carries
the chosen format and nothing else, no traceback reaches a user, and an error never shares an exit
code with a finding.

Start-up time is a feature: what most runs ask for is understood by `plain`; click, and the module
of each command, are imported when they are needed.
"""

import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import NoReturn

from ..errors import AuditError
from .exits import INTERRUPTED, PASS, UNREADABLE, USAGE, abandon_stdout, end_from_outside
from .manners import reword
from .output import tell
from .plain import understood


def run() -> NoReturn:
    """Do what is asked: expected failures become a message and an exit code.

    Tearing the interpreter down piece by piece took a tenth of most commands' time: it is left out.
    """
    sys.excepthook = _report_crash
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(
            OSError, ValueError, AttributeError
        ):  # full, closed by us, closed by the caller
            stream.flush()
    os._exit(code)


def _run() -> int:
    """What the command line asks for, and its exit code."""
    try:
        if (run := understood(reword(sys.argv[1:]))) is not None:
            with end_from_outside():
                return run()
        from .group import group  # click, 36 ms that the fast path spares

        group(prog_name="lstm-audit")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else PASS if end.code is None else USAGE
    except AuditError as error:
        tell(f"Error: {error.message}")
    except OSError as error:
        abandon_stdout()
        tell(f"Error: {error.filename or 'output'}: {error.strerror}")
    return USAGE


def _report_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> NoReturn:
    """A defect of this program ends a build too, but not with Python's exit code 1, which here
    means a finding.
    """
    # Ctrl-C while a thread is waited for can come out as "release unlocked lock" (threading.py).
    if issubclass(kind, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        os._exit(INTERRUPTED)
    from traceback import format_exception  # 6 ms, for a fault of our own

    tell("".join(format_exception(kind, error, trace)), end="")
    tell("\nlstm-audit failed: a defect of its own, for which no checkpoint is to blame")
    os._exit(UNREADABLE)
