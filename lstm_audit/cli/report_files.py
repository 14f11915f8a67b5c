"""The files that a run writes: a report into a file, or nothing.

Comes in: text and a path. Goes out: the file, replaced whole. Promise: an input of the run, and a
file that is there but no report's, is never overwritten; a stream is written to, not replaced.
"""

import os
from collections.abc import Sequence

from ..errors import BadPolicy
from ..facts import Audit
from ..inputs import shards_beside
from ..interrupted import sidecars
from ..raw.locators import is_remote
from ..replacing import replace_whole
from ..reports.words import utf8


# Compared are real paths, since `-o model.pt` may be a link to an input, and what belongs to an
# input counts as well: its shards, its journal, its undo record.
def refuse_overwriting(audit: Audit, kept: Sequence[str | None], outputs: Sequence[str]) -> None:
    """`-o model.pt model.pt` would put a report in the checkpoint's place, and two reports one in
    the other's.
    """
    if not outputs:
        return
    paths = [file.path for file in audit.files] + [error.path for error in audit.errors]
    paths = [path for path in paths if not is_remote(path)]
    paths += [shard for path in paths for shard in shards_beside(path)]
    taken = {os.path.realpath(path): "is one of the inputs" for path in (*paths, *kept) if path}
    for path in paths:
        for one in sidecars(path):
            taken[os.path.realpath(one)] = "belongs to one of the inputs"
    for output in outputs:
        real = os.path.realpath(output)
        if reason := taken.get(real):
            raise BadPolicy(f"{output}: {reason}; a report would overwrite it")
        if not is_stream(output):
            taken[real] = "is already written by another report"


def write_report_file(path: str, text: str) -> None:
    """Through a temporary file beside it, so that a reader never sees half a report."""
    try:
        if is_stream(path):
            with open(path, "ab") as file:
                file.write(utf8(text))
        else:
            with replace_whole(path, durable=False) as file:
                file.write(utf8(text))
    except OSError as error:
        raise BadPolicy(f"{path}: cannot write the report: {error.strerror}") from None


# Links are followed by hand: /dev/stdout leads through /proc/self/fd/1 to whatever file the shell
# opened, and replacing that file would leave the shell's descriptor with the old one.
def is_stream(path: str) -> bool:
    """/dev/stdout, a named pipe: nothing that could be replaced, even where a regular file stands
    behind a descriptor.
    """
    for _ in range(MOST_LINKS):
        path = os.path.abspath(path)
        if path.startswith(DESCRIPTORS):
            return True
        if not os.path.islink(path):
            break
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return os.path.exists(path) and not os.path.isfile(path)


# Links that are followed one by one; Linux follows no more either.
MOST_LINKS = 40

# Paths that name an open file of a process.
DESCRIPTORS = ("/proc/", "/dev/fd/", "/dev/stdin", "/dev/stdout", "/dev/stderr")
