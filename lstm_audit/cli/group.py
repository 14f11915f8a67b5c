"""The click commands, and what click does otherwise than this program.

Comes in: any command line. Goes out: the command that it names, called. Promise: a command is
imported when it is named, and none of click's own exit codes collides with a verdict.
"""

import importlib
import sys
from collections.abc import Sequence
from io import StringIO
from typing import Any, NoReturn

import click

from ..version import __version__
from .exits import INTERRUPTED, PASS, end_from_outside
from .help import command_of
from .manners import hint_command, hint_option, hint_words, reword
from .options import FORMS
from .output import tell

# In the order of the manual.
COMMANDS = tuple(FORMS)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the manual."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for an unknown name (click then says what was meant)."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__package__}.{cmd_name}")
        return command_of(cmd_name, module)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for a mistyped name."""
        if (
            not ctx.resilient_parsing
            and args
            and not args[0].startswith("-")
            and args[0] not in COMMANDS
        ):
            raise click.UsageError(f"No such command {args[0]!r}. {hint_command(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    # click overloads main by its mode; only the one that ends the process is wanted
    def main(  # type: ignore[override]  # see above
        self, args: Sequence[str] | None = None, **more: Any
    ) -> NoReturn:
        """As click does, but that its messages, which quote the command line, are written by the
        one writer that knows a terminal, and that its guesses are ours.
        """
        words = reword(sys.argv[1:] if args is None else args)
        try:
            code = super().main(words, **{**more, "standalone_mode": False})
        except click.NoSuchOption as error:
            command = error.ctx.command.name if error.ctx and error.ctx.parent else None
            hint = hint_option(error.option_name, command)
            said = f"No such option: {error.option_name}. {hint}".rstrip()
            _leave(click.UsageError(said, error.ctx))
        except click.MissingParameter as error:
            _leave(_without_list(error))
        except click.ClickException as error:
            if "unexpected extra argument" in error.message:
                context = getattr(error, "ctx", None)
                hint = hint_words(context.command.name if context else None)
                error = click.UsageError(f"{error.message}{hint}", context)
            _leave(error)
        except click.Abort:  # Ctrl-C while click reads the command line, or ends the command
            tell("Interrupted")
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else PASS)

    def invoke(self, ctx: click.Context) -> object:
        """As click does, but for its exit code 1, which here means a finding, after Ctrl-C and a
        closed pipe.
        """
        with end_from_outside():
            return super().invoke(ctx)


def _without_list(error: click.MissingParameter) -> click.UsageError:
    """The argument that is missing; of some click lists the choices, with tabs, behind the metavar
    that has them already.
    """
    name = error.param.human_readable_name if error.param else error.param_hint
    return click.UsageError(f"Missing argument {name!r}.", error.ctx)


def _leave(error: click.ClickException) -> NoReturn:
    shown = StringIO()
    error.show(shown)
    tell(shown.getvalue(), end="")
    sys.exit(error.exit_code)


EPILOG = """\b
Start with:
  lstm-audit audit model.pt
  lstm-audit check --forget-bias 1 --tolerance 0.05 checkpoints/
  lstm-audit COMMAND --help
"""


ABOUT = """Say what an LSTM's forget gate starts at, from the checkpoint alone.

Nothing in a file is ever executed, and nothing is changed by an audit.
"""


@click.group(
    cls=LazyGroup,
    help=ABOUT,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(
    __version__, "-V", "--version", prog_name="lstm-audit", message="%(prog)s %(version)s"
)
def group() -> None:
    """All commands."""
