"""`lstm-audit undo`: the bytes that a patch replaced."""

import os
import sys

import click

from ..errors import AuditError
from ..reports import counted, escape
from . import complete, exits
from .output import say
from .patch import refuse_missing

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


@click.command("undo", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", shell_complete=complete.files)
@click.option("--in-place", is_flag=True, help="Write just the bytes, under a journal; keeps inode and hard links.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def command(paths: tuple[str, ...], in_place: bool, quiet: bool) -> None:
    """Restore the bytes that the last patch of each FILE replaced.

    Several patches are taken back one by one, the newest first. A file that has changed since is refused. For a
    sharded checkpoint name the index, and every shard is restored.

    \b
    Exit codes:
      0  restored    3  a file was refused; it is as it was
      2  usage       4  nothing to undo
    """
    refuse_missing(paths)
    codes = [_one(file, in_place, quiet) for path in paths for file in _files(path)]
    sys.exit(max(codes, key=(exits.PASS, exits.NOTHING, exits.UNREADABLE).index) if codes else exits.NOTHING)


def _files(path: str) -> list[str]:
    """The files of a checkpoint that have something to undo; the first where there is none."""
    from ..patch import journal, record
    from ..patch.checkpoint import files_of

    names = files_of(path)
    return [name for name in names if os.path.exists(record.name_of(name)) or journal.hot(name)] or names[:1]


def _one(path: str, in_place: bool, quiet: bool) -> int:
    from ..patch.undo import undo

    try:
        undone = undo(path, mode="in-place" if in_place else "replace")
    except AuditError as error:
        click.echo(f"{escape(path)}: refused: {error.message}", err=True)
        return exits.UNREADABLE
    for note in undone.notes:
        click.echo(f"note: {note}", err=True)
    if not quiet:
        left = f"; {counted(undone.remaining, 'undo step')} left" if undone.remaining else ""
        say(f"{escape(path)}: {SAID[undone.state]}{left}")
    return exits.NOTHING if undone.state == "nothing" else exits.PASS
