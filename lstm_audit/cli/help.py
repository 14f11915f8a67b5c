"""How the manual of a command is laid out.

Comes in: a command's options, and which of them belong together. Goes out: the text of --help.
Promise: no option is left out, and no line is wider than a terminal of 80 columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import click


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
