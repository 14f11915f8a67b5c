"""Calls of the operating system that fail on demand, and what must be gone wrong then."""

import errno
import fcntl
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from lstm_audit.errors import AuditError

CALLS: tuple[tuple[Any, str], ...] = (
    (os, "open"), (os, "write"), (os, "pwrite"), (os, "copy_file_range"), (os, "ftruncate"), (os, "fsync"),
    (os, "replace"), (os, "rename"), (os, "link"), (os, "unlink"), (os, "fchmod"), (os, "fchown"), (os, "setxattr"),
    (os, "removexattr"), (fcntl, "ioctl"),
)  # fmt: skip

HALVES = ("short", "kill half way")


class Tap:
    """Stands in for every call of `CALLS`, counts them, and does something at one of them."""

    def __init__(
        self, at: int = -1, fault: str = "", slow_copy: bool = False, sync: bool = False
    ) -> None:
        self.names: list[str] = []
        self.at, self.fault, self.slow_copy, self.sync = at, fault, slow_copy, sync

    def seen(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """For those who keep a trace."""

    def install(self, patcher: pytest.MonkeyPatch) -> None:
        for module, name in CALLS:
            patcher.setattr(module, name, self.wrapped(name, getattr(module, name)))

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **options)
            self.names.append(name)
            if len(self.names) - 1 == self.at:
                return self.faulty(name, real, args)
            return self.done(name, real, args, options)

        return call

    def done(
        self, name: str, real: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        if self.slow_copy and name in ("copy_file_range", "ioctl"):
            raise OSError(errno.EOPNOTSUPP, "not here")
        result = None if name == "fsync" and not self.sync else real(*args, **options)
        self.seen(name, args, result)
        return result

    def faulty(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        kind, _, when = self.fault.partition(" ")
        if self.fault in HALVES:
            if name == "pwrite":
                args = (args[0], bytes(args[1])[: max(len(args[1]) // 2, 1)], args[2])
            else:
                args = (*args[:2], max(args[2] // 2, 1), *args[3:])
            when = "after"
        if when == "before":
            self.stop(kind)
        if kind.startswith("E"):
            raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)))
        result = self.done(name, real, args, {})
        self.stop(kind)
        return result

    def stop(self, kind: str) -> None:
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "interrupt":
            raise KeyboardInterrupt


GONE_WRONG = 9


def act_in_child(act: Callable[[], object], tap: Tap) -> int:
    """0 done, 1 an AuditError, 2 interrupted, -9 killed; anything else is a mistake of the
    program.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = GONE_WRONG
    try:
        with pytest.MonkeyPatch.context() as patcher:
            tap.install(patcher)
            act()
            code = 0
    except AuditError:
        code = 1
    except KeyboardInterrupt:
        code = 2
    finally:
        if code == GONE_WRONG:
            traceback.print_exc()
        os._exit(code)
