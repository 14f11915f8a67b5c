"""Frozen facts: the class that `typing.NamedTuple` would make, in a third of the time.

Comes in: a class with annotations. Goes out: a class of tuples whose elements have those names.
Promise: what such a class can do, and how fast, is what the standard one can: a test holds the two
against each other.

A start makes some ninety of these classes. The standard way sets bases and methods on a class that
is made already, for which Python looks through all slots of the type each time, and compiles a
line for every class: 70 of the 260 million instructions of a whole `audit FILE`. So the modules
that every audit imports take their `NamedTuple` from here.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info >= (3, 14):  # where annotations are no part of the body
    from typing import NamedTuple as NamedTuple
else:
    from collections import _tuplegetter
    from functools import cache
    from types import FunctionType

    _UNEXPECTED = TypeError if sys.version_info >= (3, 13) else ValueError

    def _make(kind, iterable):
        """A new tuple from a sequence or iterable."""
        made = tuple.__new__(kind, iterable)
        if len(made) != len(kind._fields):
            raise TypeError(f"Expected {len(kind._fields)} arguments, got {len(made)}")
        return made

    def _replace(self, /, **given):
        """A new tuple, with other values for some fields."""
        made = self._make(map(given.pop, self._fields, self))
        if given:
            raise _UNEXPECTED(f"Got unexpected field names: {[*given]!r}")
        return made

    def _asdict(self):
        """A new dict of the fields."""
        return dict(zip(self._fields, self, strict=True))

    def _repr(self):
        parts = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({', '.join(parts)})"

    _SHARED = {
        "__slots__": (),
        "_make": classmethod(_make),
        "_replace": _replace,
        "_asdict": _asdict,
        "__replace__": _replace,  # copy.replace, since 3.13
        "__repr__": _repr,
        "__getnewargs__": lambda self: tuple(self),
    }

    _NAMES = {"_new": tuple.__new__}

    @cache
    def _new_of(count):
        """The code of a `__new__` of so many arguments. It is compiled once, and each class has it
        under the names of its fields: a line for each would take 7 ms of a start.
        """
        words = "".join(f"_{k}, " for k in range(count))
        return eval(f"lambda _cls, {words}: _new(_cls, ({words}))").__code__  # noqa: S307 - ours

    class _Kind(type):
        def __new__(cls, name, bases, body):
            """The class of tuples, made at once with all that it has."""
            hints = body.get("__annotations__", {})
            fields = tuple(hints)
            defaults = {field: body.pop(field) for field in fields if field in body}
            code = _new_of(len(fields)).replace(co_varnames=("_cls", *fields))
            new = FunctionType(code, _NAMES, "__new__", tuple(defaults.values()))
            new.__qualname__ = f"{name}.__new__"
            new.__annotations__ = hints
            own = {
                "__doc__": f"{name}({', '.join(fields)})",
                "__new__": new,
                "__match_args__": fields,
                "_fields": fields,
                "_field_defaults": defaults,
            }
            own |= {field: _tuplegetter(k, "") for k, field in enumerate(fields)}
            return type(name, (tuple,), _SHARED | own | body)

    NamedTuple = type.__new__(_Kind, "NamedTuple", (), {})
