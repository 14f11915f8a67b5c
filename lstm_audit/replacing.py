"""A whole file that takes the place of another, or of none.

Comes in: a path, and what is written piece by piece. Goes out: the file, whole. Promise: whoever
reads the path meanwhile, or after a kill, has the old file or the new one, never a part.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO


# The name is nobody's: two runs that write one path each write their own file, the last to finish
# wins as a whole. Models are not written so (`patching/files.py`): theirs is locked, verified and
# given its owner first.
@contextmanager
def replace_whole(path: str, durable: bool = True, mode: int | None = None) -> Iterator[BinaryIO]:
    """A file beside the one that `path` means through its links, which takes its name at the end.

    `durable`: not before the disk has it. `mode` is the new file's, else as the process makes one.
    Raises `OSError`; then, or when the caller raises, nothing is left of it.
    """
    real = os.path.realpath(path)
    temporary = os.path.join(os.path.dirname(real), f".lstm-audit-{os.urandom(6).hex()}.tmp")
    opened = False
    try:
        with open(temporary, "xb") as file:
            opened = True
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, real)
    except BaseException as error:
        # Ctrl-C may fall between the opening and its result; a file of another's stays.
        if opened or not isinstance(error, FileExistsError):
            with suppress(OSError):
                os.unlink(temporary)
        raise
