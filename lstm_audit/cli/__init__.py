"""The command line: a program's first step.

Comes in: nothing but the call. Goes out: the end of the process; `start` says how. Promise: Ctrl-C
leaves no traceback, not even while Python still imports us.
"""

import gc
import os
import sys
from _thread import interrupt_main, start_new_thread
from time import sleep

TYPE_CHECKING = False  # as from typing, which `start` imports where Ctrl-C is waited for

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """The entry point.

    Most commands take a tenth of a second, and what they import and make lasts until they end: a
    collector that looks through it finds nothing, and takes 3 % of the instructions of `audit`. So
    it is off before the first of our modules is imported, which is why they are imported here.
    """
    try:
        sys.unraisablehook = _heed
        gc.disable()
        from .start import run  # 60 million instructions, 6 of them the collector's
    except KeyboardInterrupt:
        os._exit(130)
    run()


def _heed(failure: "sys.UnraisableHookArgs") -> None:
    """Deliver again the Ctrl-C that came inside a callback of Python's own (the lock of an import,
    a finaliser), where nothing can be raised: Python would print it, and go on as if it had not
    come.
    """
    if failure.exc_type is KeyboardInterrupt:
        start_new_thread(_interrupt_soon, ())
    else:
        sys.__unraisablehook__(failure)


def _interrupt_soon() -> None:
    """From a thread of its own, when the callback is over."""
    sleep(0.001)
    interrupt_main()
