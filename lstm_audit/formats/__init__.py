"""Spans into tensors: what a reader returns, and the table of readers.

Comes in: a span over a whole file. Goes out: a `Checkpoint`. Promise: whatever the bytes, a reader
returns tensors, answers None ("not mine"), or raises an `AuditError`; nothing in the bytes is
executed, imported or believed.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..errors import Skipped, UnknownFormat
from ..raw.span import Span
from ..raw.tensor import Tensor
from ..registry import Registry


class Claim(NamedTuple):
    """What the container says of a module, beside its tensors: a pickled class, a live object's
    type.

    `kind` is lstm, gru or rnn; `facts` are the integers that came with it: hidden_size, proj_size,
    num_layers, bidirectional, bias.
    """

    class_name: str
    kind: str
    facts: Mapping[str, int] = {}


class Checkpoint(NamedTuple):
    """Named tensors and what is claimed of them.

    `tensors` go by their natural dotted path; `claims` by module path; `skipped` are tensors or
    modules that the container holds in a form that cannot be read; `globals` are the (module, name)
    pairs that an unsafe load of the file would import; `notes` say how many bytes stand where no
    reader of the format looks.
    """

    format: str
    tensors: Mapping[str, Tensor]
    claims: Mapping[str, Claim] = {}
    skipped: tuple[Skipped, ...] = ()
    globals: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def shape_of(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """A tensor's shape. A weight need not be located for it, where the mapping can tell the claim
    alone.
    """
    claimed = getattr(tensors, "shape_of", None)
    return tensors[name].shape if claimed is None else claimed(name)


Beside = Callable[[str], Span]
"""Opens a file in the same folder by its bare name, for formats that spread over several files; a
`*` at the start stands for the file's own name without its suffix.
"""

Reader = Callable[[Span, Beside], "Checkpoint | None"]

READERS: Registry[Reader] = Registry(__name__, first=("torch", "safetensors"))
"""What most files are is asked first; the answer is the same in any order."""

WEAK: set[Reader] = set()
"""Readers that go by so little that every other one is asked first: a pickle is known by two bytes,
which a safetensors header of 128 bytes has too, and an ONNX model by three, which one of 1179912
bytes has.
"""


def reader(name: str, weak: bool = False) -> Callable[[Reader], Reader]:
    """Register a function that reads one family of containers, recognised by content."""

    def register(attempt: Reader) -> Reader:
        if weak:
            WEAK.add(attempt)
        return READERS.add(name, attempt)

    return register


def read(span: Span, beside: Beside) -> Checkpoint:
    """The checkpoint in `span`, by the first reader that claims it; raises `UnknownFormat` when
    none does.
    """
    weak = []
    for attempt in READERS.each():
        if attempt in WEAK:
            weak.append(attempt)
        elif (checkpoint := attempt(span, beside)) is not None:
            return checkpoint
    for attempt in weak:
        if (checkpoint := attempt(span, beside)) is not None:
            return checkpoint
    raise UnknownFormat("no checkpoint format is recognised in these bytes", 0)
