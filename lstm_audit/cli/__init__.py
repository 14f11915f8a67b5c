"""The command line: a program's first step.

Comes in: nothing but the call. Goes out: the end of the process; `start` says how. Promise: Ctrl-C
leaves no traceback, not even while Python still imports us.
"""

import gc
import os

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
        gc.disable()
        from .start import run  # 60 million instructions, 6 of them the collector's
    except KeyboardInterrupt:
        os._exit(130)
    run()
