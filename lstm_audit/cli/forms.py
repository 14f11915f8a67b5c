"""What a row of the table of options is, and how a word of the command line becomes a value.

Comes in: a word. Goes out: its value. Promise: what is not taken is a ValueError that says what was
expected.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ..reports import REPORTS
from ..tuples import NamedTuple

# What was given to a command: an attribute for each of its rows, its default where nothing was.
GivenOptions = SimpleNamespace


# One row serves four readers: click's option, the reader without click (`plain`), the manual and
# the Tab key. So a row holds data and functions alone, and knows none of them.
class Option(NamedTuple):
    """One option. Without `parse` it is a flag; `off` is the spelling that says no.

    `parse` makes the value of a word and raises ValueError for what it does not take; `many`
    collects the values of every use. `choices` and `complete` (a function of the module of that
    name) are for the manual and the Tab key. A `default` is told by the manual where `told`.
    """

    name: str
    spellings: tuple[str, ...]
    help: str
    parse: Callable[[str], Any] | None = None
    metavar: str = ""
    default: Any = None
    many: bool = False
    off: str = ""
    choices: Callable[[], Sequence[str]] | None = None
    complete: str = ""
    told: bool = False

    @property
    def unset(self) -> Any:
        """What stands for an option that was not given."""
        if self.many:
            return ()
        is_plain_flag = self.parse is None and not self.off
        return False if is_plain_flag and self.default is None else self.default


class Argument(NamedTuple):
    """Words without a dash: all of them where `many`, else just one."""

    name: str
    metavar: str
    many: bool = False
    required: bool = True
    choices: Callable[[], Sequence[str]] | None = None
    complete: str = ""


class Form(NamedTuple):
    """What a command takes: its arguments, and its options under their headings."""

    arguments: tuple[Argument, ...]
    sections: Mapping[str, tuple[Option, ...]]

    @property
    def options(self) -> tuple[Option, ...]:
        """The options of all sections."""
        return tuple(option for options in self.sections.values() for option in options)

    def blank(self) -> dict[str, Any]:
        """Every name with what it is when nothing was given."""
        return {
            **{a.name: () if a.many else None for a in self.arguments},
            **{option.name: option.unset for option in self.options},
        }


def read_decimal(text: str) -> float:
    """A decimal number, `nan` and infinities included: whoever uses it says what it may be."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"a number was expected, not {text!r}") from None


def read_count(text: str) -> int:
    """A whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"a whole number was expected, 0 or more, not {text!r}")
    return int(text)


def read_whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"a whole number was expected, not {text!r}") from None


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"a whole number was expected, 1 or more, not {text!r}")
    return int(text)


def read_share(text: str) -> float:
    """A number from 0 to 1; what is a percentage is asked for as a share."""
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if value > 1:
        raise ValueError(f"a share from 0 to 1 was expected, not {text!r}{hint_share(text)}")
    return value


def hint_share(text: str) -> str:
    """`90` and `90%` where a share was asked for: `; did you mean 0.9?`, or nothing."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return ""
    return f"; did you mean {value / 100:g}?" if 1 < value < 100 else ""


def report_file(text: str) -> tuple[str, str]:
    """(format, file); known before the run, since an audit may take long."""
    name, equals, path = text.partition("=")
    if not equals or not path or name not in REPORTS:
        raise ValueError(
            f"{text}: FORMAT=FILE was expected, FORMAT one of {', '.join(sorted(REPORTS))}"
        )
    return name, path


def page_file(text: str) -> str:
    """The file of a page that is asked for as `html=FILE`."""
    name, equals, path = text.partition("=")
    if name != "html" or not equals or not path:
        raise ValueError(f"{text}: html=FILE was expected; other formats are those of `audit`")
    return path


def formats() -> Sequence[str]:
    """The names of the reports, for --format."""
    return sorted(REPORTS)
