"""A command of click, made from its rows, and how its manual is laid out.

Comes in: a command's name and its module. Goes out: a click command. Promise: no option is left
out of the manual, and no line of it is wider than a terminal of 80 columns.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import click

from ..docstrings import read_docstring
from ..spelling import nearest
from . import complete
from .forms import Argument, GivenOptions, Option
from .options import FORMS


class Manual(click.Command):
    """A command whose options stand under headings; those that no heading names come last, under
    `Options`.
    """

    def __init__(self, *arguments: Any, headings: Mapping[str, Sequence[str]], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.headings = headings

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, a section a heading, in the order of the headings."""
        left = {
            param.name: param for param in self.get_params(ctx) if isinstance(param, click.Option)
        }
        for heading, names in self.headings.items():
            _section(ctx, formatter, heading, [left.pop(name) for name in names])
        _section(ctx, formatter, "Options", list(left.values()))


def _section(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    heading: str,
    options: Sequence[click.Option],
) -> None:
    records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
    if records:
        with formatter.section(heading):
            formatter.write_dl(records)


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """A word as a row's `parse` reads it."""

    name = "text"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value of a word; a default is one already."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class OneOf(click.Choice):  # type: ignore[type-arg]  # generic only since click 8.2
    """One of some words; another is met with the nearest one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word itself."""
        if value not in self.choices:
            near = nearest(value, self.choices)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(self.choices)}"
            self.fail(f"{value!r} is unknown; {hint}", param, ctx)
        return value


def command_of(name: str, module: ModuleType) -> click.Command:
    """The command that `module.run` carries out; its docstring is the manual."""
    form = FORMS[name]

    def call(**given: Any) -> None:
        sys.exit(module.run(GivenOptions(**given)))

    return Manual(
        name,
        callback=call,
        params=[*map(_argument, form.arguments), *map(_option, form.options)],
        help=read_docstring(module.run),
        epilog=module.EPILOG,
        headings={
            heading: [row.name for row in rows]
            for heading, rows in form.sections.items()
            if heading != "Options"
        },
    )


def _argument(row: Argument) -> click.Argument:
    return click.Argument(
        [row.name],
        nargs=-1 if row.many else 1,
        required=row.required,
        metavar=row.metavar,
        type=OneOf(row.choices()) if row.choices else str,
        shell_complete=getattr(complete, row.complete) if row.complete else None,
    )


def _option(row: Option) -> click.Option:
    words = [
        *row.spellings[:-1],
        f"{row.spellings[-1]}/{row.off}" if row.off else row.spellings[-1],
    ]
    if row.parse is None:
        return click.Option([*words, row.name], is_flag=True, default=row.unset, help=row.help)
    return click.Option(
        [*words, row.name],
        type=OneOf(row.choices()) if row.choices else Parsed(row.parse),
        default=row.default,
        multiple=row.many,
        metavar=row.metavar or None,
        show_default=row.told,
        help=row.help,
        shell_complete=getattr(complete, row.complete) if row.complete else None,
    )
