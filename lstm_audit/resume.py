"""A file of results that a run goes on from, and leaves as a run without an interruption would.

Comes in: the inputs, in order, and what became of each. Goes out: what stands already, and the
file, line by line. Promise: a kill at any instant leaves lines that the next run goes on from; a
finished run leaves one line an input, in the order of the inputs, and nothing else.

As long as the inputs are those of the file, one after the other, nothing is written. At the first
that is not, what follows in the file is moved to `FILE.old`, where the inputs behind it are looked
up, and the file goes on with new lines. `FILE.old` goes when the run is finished.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO, Self

from .errors import BadPolicy
from .fleet import Pending, Settled
from .inputs import Input
from .pipeline import Results
from .raw.locators import label
from .results import ResultLine, line_of, read_line, stamp_of, stands, with_facts

LONGEST = 64 << 20
"""Bytes of one line: a thousand LSTMs take three million."""


# `take` asks each input whether it is the one that stands in the file, and so waits for it: of URLs
# one round trip after the other, however many jobs there are.
def ask_ahead(inputs: Iterable[Input], jobs: int) -> Iterator[Input]:
    """The inputs in their order; those that lie elsewhere know their size and version, for which
    `jobs` of them are asked at a time.
    """
    from concurrent.futures import (
        ThreadPoolExecutor,
    )  # 15 ms with `worker`, which local files spare

    from .worker import in_order  # the same

    threads = ThreadPoolExecutor(jobs)
    try:
        yield from in_order(threads, with_facts, inputs)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


# A run that was killed has left lines of results, the last one perhaps torn. As long as inputs come
# in the order of the lines, the file is read along and nothing is written. At the first input that
# differs (a new file, a changed stamp) what follows is moved aside, and from there on lines are
# written anew, found in the old part by a hash of their input where that still stands. So a second
# kill at any moment loses at most one line.
class Resumed:
    """The file being continued. `take` every input in order, `put` its results in the same order,
    then `finish`; raises `BadPolicy` where the file is none of results, or of another question, or
    is being written to.
    """

    def __init__(self, path: str, head: bytes) -> None:
        self.path, self._old_path = path, f"{path}.old"
        self.reused = 0
        try:
            self._file: BinaryIO = open(path, "a+b")  # noqa: SIM115 # closed by finish or at the end
        except OSError as error:
            raise BadPolicy(f"{path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise BadPolicy(f"{path}: another run is writing into it") from None
        try:
            self._at = self._check_head(head)
        except BadPolicy:
            self._file.close()
            raise
        self._places: dict[int, list[int]] = {}
        self._old: BinaryIO | None = None
        self._file.seek(self._at)
        self._follows = True
        self._next = self._read_next()

    def _check_head(self, head: bytes) -> int:
        """The place behind the first line, which is written where there is none yet."""
        self._file.seek(0)
        first = self._file.readline(LONGEST)
        if head.startswith(first) and first != head:  # empty, or killed in the first line
            self._file.truncate(0)
            self._file.write(head)
            self._file.flush()
        elif first != head:
            raise BadPolicy(self._complain(first, head))
        return len(head)

    def _complain(self, first: bytes, head: bytes) -> str:
        if not first.startswith(head[: head.index(b",")]):
            return f"{self.path}: it holds no results of --resume; name another file"
        before, now = (line.split(b'"version":"')[1].partition(b'"')[0] for line in (first, head))
        what = (
            f"version {before.decode()} wrote it, and this is {now.decode()}"
            if before != now
            else "it was asked under another policy, or of other --layers"
        )
        return f"{self.path}: {what}; name another file, or remove it to begin anew"

    def take(self, given: Input) -> Settled | Pending:
        """What stands of the next input, or that it must be audited."""
        if self._follows:
            line = self._next
            if line is not None and stands(line, given):
                self._at = self._file.tell()
                self._next = self._read_next()
                self.reused += 1
                return Settled(given, line.results)
            self._diverge()
        line = self._look_up(given)
        if line is not None:
            self.reused += 1
            return Settled(given, line.results, line_of(given, line.stamp, line.results))
        return Pending(given, stamp_of(given))

    def _read_next(self) -> ResultLine | None:
        return read_line(self._file.readline(LONGEST))

    def _diverge(self) -> None:
        """Move what follows to the side. Until the file is cut, its lines stand twice, which does
        no harm.
        """
        self._follows = False
        self._file.seek(self._at)
        if self._file.read(1) or os.path.exists(self._old_path):
            self._set_aside()
        self._file.truncate(self._at)
        self._file.seek(self._at)

    def _set_aside(self) -> None:
        new = f"{self._old_path}.new"
        with open(new, "wb") as aside:
            self._file.seek(self._at)
            for line in _lines(self._file):
                aside.write(line)
            with suppress(FileNotFoundError), open(self._old_path, "rb") as older:
                for line in _lines(older):
                    aside.write(line)
            aside.flush()
            os.fsync(aside.fileno())
        os.replace(new, self._old_path)
        self._old = open(self._old_path, "rb")  # noqa: SIM115 # as above
        at = 0
        for line in _lines(self._old):
            if (found := read_line(line)) is not None:
                self._places.setdefault(hash(found.input), []).append(at)
            at += len(line)

    def _look_up(self, given: Input) -> ResultLine | None:
        for at in self._places.get(hash(label(given.path)), ()):
            assert self._old is not None
            self._old.seek(at)
            line = read_line(self._old.readline(LONGEST))
            if line is not None and stands(line, given):
                return line
        return None

    def put(self, taken: Settled | Pending, results: Results) -> None:
        """Write the line of an input, unless it stands where it should. The system has it when this
        returns.
        """
        if isinstance(taken, Pending):
            line = line_of(taken.given, taken.stamp, results)
        else:
            line = taken.line
        if line:
            self._file.write(line)
            self._file.flush()

    def finish(self) -> None:
        """All inputs are there: what the file holds beyond them goes."""
        if self._follows:
            self._file.truncate(self._at)
        for left in (self._old_path, f"{self._old_path}.new"):
            with suppress(FileNotFoundError):
                os.unlink(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._old is not None:
            self._old.close()
        self._file.close()


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LONGEST):
        yield line
