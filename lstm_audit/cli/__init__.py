"""The command line: click commands, thin.

Comes in: arguments. Goes out: a report on stdout, everything else on stderr, and an exit code. Promise: stdout carries
the chosen format and nothing else, no traceback reaches a user, and an error never shares an exit code with a finding.

A command lives in the module of its name and is imported when it is called: start-up time is a feature.
"""

import gc
import importlib
import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import NoReturn

import click

from ..errors import AuditError
from ..version import __version__
from .exits import INTERRUPTED, PASS, PIPE_CLOSED, UNREADABLE, USAGE

COMMANDS = ("audit", "check", "patch", "undo", "diff", "rules", "explain", "presets", "config", "schema")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the manual."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for an unknown name (click then says what was meant)."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"{__name__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for a mistyped name."""
        if not ctx.resilient_parsing and args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" The commands are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """As click does, but for its exit code 1, which here means a finding, after Ctrl-C and a closed pipe."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nInterrupted", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            _abandon_stdout()
            sys.exit(PIPE_CLOSED)


EPILOG = """\b
Start with:
  lstm-audit audit model.pt
  lstm-audit check --forget-bias 1 --tolerance 0.05 checkpoints/
  lstm-audit COMMAND --help
"""


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="lstm-audit", message="%(prog)s %(version)s")
def group() -> None:
    """Say what an LSTM's forget gate starts at, from the checkpoint alone.

    Nothing in a file is ever executed, and nothing is changed by an audit.
    """


def main() -> NoReturn:
    """The entry point: expected failures become a message and an exit code.

    A tenth of a second is all that most commands take, and a tenth of that went into collecting garbage that is not
    there and into tearing the interpreter down piece by piece: so neither is done.
    """
    gc.disable()
    sys.excepthook = _crashed
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # full, closed by us, closed by the caller
            stream.flush()
    os._exit(code)


def _run() -> int:
    """The group's exit code."""
    try:
        group(prog_name="lstm-audit")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else PASS if end.code is None else USAGE
    except AuditError as error:
        click.echo(f"Error: {error.message}", err=True)
    except OSError as error:
        _abandon_stdout()
        click.echo(f"Error: {error.filename or 'output'}: {error.strerror}", err=True)
    return USAGE


def _abandon_stdout() -> None:
    """What is still buffered for a stdout that takes no more would fail once more when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> NoReturn:
    """A defect of this program ends a build too, but not with Python's exit code 1, which here means a finding."""
    if issubclass(kind, KeyboardInterrupt):
        os._exit(INTERRUPTED)
    sys.__excepthook__(kind, error, trace)
    click.echo("\nlstm-audit failed: a defect of its own, for which no checkpoint is to blame", err=True)
    os._exit(UNREADABLE)
