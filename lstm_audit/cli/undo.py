"""`lstm-audit undo`: the bytes that a patch replaced."""

from collections.abc import Iterator

from ..errors import AuditError
from ..inputs import expand
from ..reports.words import counted, escape
from . import exits
from .options import Given
from .output import say, tell

SAID = {
    "restored": "restored the bytes from before the last patch",
    "rolled-back": "an interrupted --in-place patch was rolled back",
    "dropped": "the recorded patch never reached the file; its record was removed",
    "nothing": "nothing to undo",
}


EPILOG = """\b
Examples:
  lstm-audit undo model.pt
  lstm-audit undo --in-place model.safetensors.index.json
"""


def run(given: Given) -> int:
    """Restore the bytes that the last patch of each FILE replaced.

    Several patches are taken back one by one, the newest first. A file that has changed since is
    refused. For a sharded checkpoint name the index, and every shard is restored.

    \b
    Exit codes:
      0  restored    3  a file was refused; it is as it was
      2  usage       4  nothing to undo
    """
    codes = [
        code for one in expand(given.paths) for code in _each(one.path, given.in_place, given.quiet)
    ]
    return max(
        codes, key=(exits.PASS, exits.NOTHING, exits.UNREADABLE).index, default=exits.NOTHING
    )


def _each(path: str, in_place: bool, quiet: bool) -> Iterator[int]:
    """The file, or the shards that the newest patch touched."""
    from ..patching.checkpoint import newest_files

    try:
        for file in newest_files(path):
            path = file
            yield _one(file, in_place, quiet)
    except AuditError as error:
        tell(f"{escape(path)}: refused: {error.message}")
        yield exits.UNREADABLE


def _one(path: str, in_place: bool, quiet: bool) -> int:
    from ..patching.undo import undo

    undone = undo(path, mode="in-place" if in_place else "replace")
    for note in undone.notes:
        tell(f"note: {note}")
    if not quiet:
        left = f"; {counted(undone.remaining, 'undo step')} left" if undone.remaining else ""
        say(f"{escape(path)}: {SAID[undone.state]}{left}")
    return exits.NOTHING if undone.state == "nothing" else exits.PASS
