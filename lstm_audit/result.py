"""What the functions of this package return, as people look at it.

Comes in: a result, which is plain values. Goes out: text, a page, a table of numbers. Promise: a
result holds none of this: what draws it stands in `views`, and is imported when it is first looked
at.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from .views import View


# Characters of a name that a `repr` shows.
LONGEST = 60


def quote_for_repr(text: str) -> str:
    """A name or a message for a `repr`: what a terminal would obey is spelled out, and what is too
    long loses its middle.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 + 1 :]}"
    return repr(text)


class Result:
    """The ways in which every result can be looked at.

    `print(result)` is its table, in 40 lines at most; the last line of a notebook's cell is its
    picture; `to` gives whichever report of the command, `to_dataframe` the numbers.
    """

    __slots__ = ()

    def __init_subclass__(cls, view: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        if view:
            cls._view_name = view

    _view_name = ""
    """The module of `views` that draws it."""

    def _view(self) -> "View":
        module = import_module(f".views.{self._view_name}", __package__)
        view: View = module.VIEW
        return view

    def to(
        self,
        format: str = "table",
        *,
        width: int = 80,
        color: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        statistics: bool = False,
    ) -> str:
        """The report in one of the formats of the command (`-f`): table, json, html ...

        `width` is that of the table, in columns; `color`, `quiet`, `verbose` and `statistics` are
        the options of the command. Raises `BadPolicy` for a format that there is not.
        """
        return self._view().render(self, format, width, color, quiet, verbose, statistics)

    def __str__(self) -> str:
        return self._view().print(self)

    def _repr_html_(self) -> str:
        """The picture that a notebook shows."""
        return self._view().picture(self)

    def to_dataframe(self, of: str = "") -> "pandas.DataFrame":
        """The numbers as a `pandas.DataFrame`; `of` says of what, where there are several tables.

        Raises `MissingPackage` where pandas is not installed, and `BadPolicy` for a table that
        there is not.
        """
        return self._view().frame(self, of)
