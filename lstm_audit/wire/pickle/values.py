"""What stands in a decoded pickle for the things that Python would have made.

Comes in: nothing. Goes out: `Global`, `Call`, `Persistent`, `PickledBytes`, `Opaque`, and
`Decoded`, a whole pickle. Promise: none of them can do anything; a value may contain itself and
share parts any number of times, so it is never printed, compared or hashed as a whole
(`raw.words.show` says one in a message).
"""

from typing import Any

from ...tuples import NamedTuple

# Classes of the objects behind which joblib writes an array into the stream; see `joblib`.
JOBLIB_ARRAYS = frozenset(
    {
        ("joblib.numpy_pickle", "NumpyArrayWrapper"),
        ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"),
    }
)


class Global(NamedTuple):
    """Something a pickle names for import; it stays a name. (A pair, because names may hold dots
    and spaces.)
    """

    module: str
    name: str


class Call:
    """What REDUCE or NEWOBJ would have called, and what was then put into the result.

    Calling the result of a call is put as `operator.call` of it. `state` is what BUILD gave,
    `items` the (key, value) pairs set on it, `extended` the values appended or added.
    """

    __slots__ = ("args", "extended", "function", "items", "keywords", "state")

    def __init__(
        self, function: Global, args: tuple[Any, ...], keywords: dict[Any, Any] | None = None
    ) -> None:
        self.function = function
        self.args = args
        self.keywords = keywords
        self.state: Any = None
        self.items: list[tuple[Any, Any]] | None = None
        self.extended: list[Any] | None = None

    @property
    def altered(self) -> bool:
        """Whether anything was put into the result."""
        return not (self.state is None and self.items is None and self.extended is None)


class Persistent:
    """A reference to something outside the pickle (in torch files: a storage), by whatever
    identifies it.
    """

    __slots__ = ("pid",)

    def __init__(self, pid: Any) -> None:
        self.pid = pid


class PickledBytes:
    """Raw bytes, by their place: `span[start:stop]` of the span that was decoded."""

    __slots__ = ("start", "stop")

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop


class Opaque:
    """A dict key that may cost too much to hash, boxed: equal only to itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Decoded(NamedTuple):
    """A pickle's value, the globals and the persistent ids it mentions, in order, the calls that
    would load a whole file out of bytes, those that may do more than make something, and the place
    behind its STOP.
    """

    value: Any
    globals: tuple[Global, ...]
    persistents: tuple[Persistent, ...]
    loads: tuple[Call, ...]
    effects: tuple[Call, ...]
    end: int
