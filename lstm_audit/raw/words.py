"""One safe word for any value that came out of a file.

Comes in: a number, a text, a container, something inert. Goes out: a short text for a message.
Promise: it takes no longer for a value that shares, nests or repeats parts of itself than for a
number: only a text and an integer of ordinary size are looked at, of everything else the type.
"""

# Characters of a tensor's name, in every format; no real one has a tenth of it.
MAX_NAME = 4096

# Characters of a text in a message.
MAX_SHOWN = 100

# Numbers of a size or of strides in a message.
MAX_LISTED = 8


def show(value: object) -> str:
    """A value as a message may quote it: at most some hundred characters, whatever it holds."""
    if type(value) is tuple or type(value) is list:
        if len(value) <= MAX_LISTED and all(map(is_plain, value)):
            inner = ", ".join(map(show, value))
            return f"[{inner}]" if type(value) is list else f"({inner})"
        return f"a {type(value).__name__} of {len(value)}"
    if type(value) is str or type(value) is bytes:
        return repr(value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN]) + (
            "..." if len(value) > MAX_SHOWN else ""
        )
    if is_plain(value):
        return repr(value)
    return "an enormous number" if type(value) is int else f"a {type(value).__name__}"


def is_plain(value: object) -> bool:
    """Whether a value is None, a truth value, a float, or an integer of at most 64 bits."""
    if type(value) is int:
        return -(1 << 63) <= value < 1 << 64
    return value is None or type(value) in (bool, float)
