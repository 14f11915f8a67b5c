"""The convention that would read what was seen, as a line to paste into the policy.

Comes in: the names and shapes of a recurrence that no row reads. Goes out: a sentence with a line
of TOML. Promise: the line is valid TOML, and a policy that holds it reads the tensors it was drawn
from; what the file does not say (the order of the gates, a run-time offset) is said to be assumed.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from ..tuples import NamedTuple
from .siblings import GateNames, WeightPair

ShapeOf = Callable[[str], tuple[int, ...]]
Patterns = tuple[tuple[str, tuple[str, ...]], ...]

BIAS_TEXT = r"(?i)bias|beta|(?:^|[._/|])b(?:[_./|]|\d|\{|[a-z]{0,2}\{|$)"
# Names that a sentence lists.
SHOWN = 6


class Draft(NamedTuple):
    """A convention as TOML has it: `tensors` maps a role to patterns."""

    name: str
    tensors: Patterns
    order: str = '"ifgo"'
    axis: int = 0
    offset: int = 0

    @classmethod
    def of_families(
        cls,
        module: str,
        parts: Sequence[GateNames],
        recurrent: GateNames,
        shape: ShapeOf,
        hidden: int,
    ) -> "Draft":
        """A tensor a gate."""
        four = [part for part in parts if len(part.members) == len(recurrent.members)]
        words = recurrent.words
        matrices = [part for part in four if _long(shape(part.members["f"])) > 1]
        biases = [
            part
            for part in four
            if part not in matrices and re.search(BIAS_TEXT, part.template[len(module) :])
        ]
        source = [part for part in matrices if part is not recurrent]
        roles: list[tuple[str, list[str]]] = [
            ("input", [part.template for part in source[:1]]),
            ("recurrent", [recurrent.template]),
            ("bias", [part.template for part in biases]),
        ]
        tensors = tuple(
            (role, tuple(_relative(text, module) for text in texts))
            for role, texts in roles
            if texts
        )
        table = ", ".join(f"{gate} = {_quote(words[gate])}" for gate in "ifgo" if gate in words)
        axis = 0 if shape(recurrent.members["f"])[0] == hidden else 1
        return cls(_name_of(module), tensors, f"{{ {table} }}", axis)

    @classmethod
    def of_pair(cls, pair: WeightPair, axis: int, left: Collection[str], shape: ShapeOf) -> "Draft":
        """A weight of x and a weight of h, with the biases that belong to them by name."""
        there, size = set(left), shape(pair.recurrent)[axis]
        roles = [("input", pair.source), ("recurrent", pair.recurrent)]
        for role, weight in (("bias-ih", pair.source), ("bias-hh", pair.recurrent)):
            names = (n for n in Draft.bias_names(weight) if n in there)
            found = next((n for n in names if _elements(shape(n)) == size), None)
            if found is not None and found not in (name for _, name in roles):
                roles.append((role, found))
        if len(roles) == 2:
            alone = [n for n in _beside(pair, left) if _elements(shape(n)) == size]
            roles += [("bias", name) for name in alone[:1]]
        tensors = tuple((role, (_relative(name, pair.module),)) for role, name in roles)
        return cls(_name_of(pair.module), tensors, axis=axis)

    @classmethod
    def of_joint(cls, module: str, weight: str, bias: str, axis: int, hidden: int) -> "Draft":
        """One weight over (x, h)."""
        roles = [("recurrent", weight)] + ([("bias", bias)] if bias else [])
        tensors = tuple((role, (_relative(name, module),)) for role, name in roles)
        return cls(_name_of(module), tensors, axis=axis)

    @classmethod
    def of_fused(cls, scope: str, weight: str, bias: str) -> "Draft":
        """One weight over (x, h) as TensorFlow 1 has it, whose cells add 1 to the forget gate."""
        roles = (("recurrent", weight), ("bias", bias))
        tensors = tuple((role, (_relative(name, scope),)) for role, name in roles)
        return cls(_name_of(weight.rpartition("/")[0]), tensors, '"igfo"', axis=1, offset=1)

    @staticmethod
    def bias_names(weight: str) -> Iterator[str]:
        """What the bias of a weight may be called."""
        at = max(weight.rfind(mark) for mark in "./|") + 1
        path, last = weight[:at], weight[at:]
        for old, new in (("weight", "bias"), ("kernel", "bias"), ("w", "b"), ("W", "b")):
            if old in last:
                yield path + last.replace(old, new, 1)
        for side in ("U", "u", "R", "r", "V", "v"):
            if last.startswith(side):
                yield f"{path}b{last[1:]}"
        yield f"{path}{last}_bias"
        yield f"{path}b_{last}"
        yield f"{path}bias_{last}"

    def text(self) -> str:
        """As one line of TOML, for the table [tool.lstm-audit]."""
        roles = ", ".join(f"{role} = {_patterns(texts)}" for role, texts in self.tensors)
        axis = f", axis = {self.axis}" if self.axis else ""
        axis += f", offset = {self.offset}" if self.offset else ""
        return (
            f"convention = [{{ name = {_quote(self.name)}, tensors = {{ {roles} }}, "
            f"order = {self.order}{axis} }}]"
        )


def describe_skip(names: Sequence[str], why: str, draft: Draft | None) -> str:
    """The sentence of a skipped entry."""
    shown = ", ".join(names[:SHOWN]) + (
        f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    )
    found = f"looks like an LSTM that no known convention reads ({why}): {shown}"
    if draft is None:
        return found
    return (
        f"{found}; if it is one, and its gates are in this order, this line under "
        f"[tool.lstm-audit] has it read: {draft.text()} "
        "(see `lstm-audit explain convention`)"
    )


def _long(shape: tuple[int, ...]) -> int:
    return sum(size != 1 for size in shape)


def _elements(shape: tuple[int, ...]) -> int:
    """The length of a vector; 0 for what is none."""
    return max(shape, default=0) if _long(shape) == 1 else 0


def _beside(pair: WeightPair, left: Collection[str]) -> Iterator[str]:
    within = f"{pair.module}." if pair.module else ""
    return (n for n in left if n.startswith(within) and n not in pair)


def _relative(text: str, module: str) -> str:
    """A name as a pattern for every module."""
    return f"*{text[len(module) :]}" if module else text


def _name_of(module: str) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9_-]+", module) if word and not word.isdigit()]
    return words[-1] if words else "own"


def _patterns(texts: tuple[str, ...]) -> str:
    if len(texts) == 1:
        return _quote(texts[0])
    return f"[{', '.join(map(_quote, texts))}]"


def _quote(text: str) -> str:
    """A basic string of TOML, whose escapes are JSON's; DEL must be escaped too."""
    import json  # 12 ms, which a file of known names need not wait for

    return json.dumps(text).replace("\x7f", "\\u007f")
