"""A process that dies at a chosen call that could change a folder."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("open", "pwrite", "copy_file_range", "fsync", "replace", "unlink", "ftruncate")
"""What of `os` could change a folder; `open` only where it creates."""


def killed(path: Path, at: int, act: Callable[[str], object]) -> int:
    """Run `act` in a child that is dead at its `at`-th call: 9, or 0 where it was through before."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = [at]

    def counted(name: str, real: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            if name != "open" or args[1] & os.O_CREAT:
                left[0] -= 1
                if not left[0]:
                    os._exit(9)
            return None if name == "fsync" else real(*args, **named)

        return call

    try:
        for name in CALLS:
            setattr(os, name, counted(name, getattr(os, name)))
        act(str(path))
        os._exit(0)
    finally:
        os._exit(1)
