"""Results as people look at them, from Python and in notebooks: a module a kind of result.

Comes in: a result. Goes out: text, a fragment of HTML, a `pandas.DataFrame`. Promise: what is shown
here is what the command shows; nothing but `Result` imports these modules, by name and when it is
looked at.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import BadPolicy, MissingPackage
from ..reports import Look, Reports
from ..spelling import suggest

if TYPE_CHECKING:
    import pandas

# Lines that `print(result)` takes at most.
TALLEST = 40

# A table of numbers, column by column.
Columns = Mapping[str, Sequence[object]]

Render = Callable[[Any, Look], str]


Formats = Mapping[str, Render] | Reports


class View(NamedTuple):
    """How one kind of result is looked at.

    `formats` are its reports. `short` are the ways of printing it, the fullest first: the first
    that takes no more than `TALLEST` lines is what `print` shows. `picture` is a fragment of HTML.
    `frames` are its tables of numbers; the first is that of `to_dataframe()`.
    """

    formats: Formats
    short: Sequence[Render]
    picture: Callable[[Any], str]
    frames: Mapping[str, Callable[[Any], Columns]]

    def render(
        self,
        result: Any,
        format: str,
        width: int,
        color: bool,
        quiet: bool,
        verbose: bool,
        statistics: bool,
    ) -> str:
        """The report of that name; raises `BadPolicy` where there is none."""
        look = Look(width, color, quiet, verbose=verbose, statistics=statistics)
        names = [*self.formats]
        if format not in names:
            raise BadPolicy(f"no report is called {format!r}; {suggest(format, names)}")
        return self.formats[format](result, look)

    def print(self, result: Any) -> str:
        """What `print(result)` shows: the table, as full as it fits."""
        look = Look(width=shutil.get_terminal_size((80, 24)).columns)
        text = ""
        for render in self.short:
            text = render(result, look).rstrip("\n")
            if text.count("\n") < TALLEST:
                return text
        lines = text.splitlines()
        rest = len(lines) - TALLEST + 1
        return "\n".join([*lines[: TALLEST - 1], f"… {rest} more lines: .to('table') has them"])

    def frame(self, result: Any, of: str) -> "pandas.DataFrame":
        """A table of the result's numbers; see `Result.to_dataframe`."""
        of = of or next(iter(self.frames))
        if of not in self.frames:
            raise BadPolicy(f"no table is called {of!r}; {suggest(of, [*self.frames])}")
        try:
            import pandas  # a second, and only some have it
        except ImportError:
            raise MissingPackage(
                "to_dataframe() needs pandas: pip install pandas (to_dict() and to('csv') have the "
                "same numbers without it)"
            ) from None
        return pandas.DataFrame(dict(self.frames[of](result)))
