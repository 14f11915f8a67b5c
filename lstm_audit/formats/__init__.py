"""Spans into tensors: what a reader returns, and the table of readers.

Comes in: a span over a whole file. Goes out: a `Checkpoint`. Promise: whatever the bytes, a reader
returns tensors, answers None ("not mine"), or raises an `AuditError`; nothing in the bytes is
executed, imported or believed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..errors import Skipped, UnknownFormat
from ..raw.span import Span
from ..raw.tensor import Tensor
from ..raw.tensors import Tensors
from ..registry import Registry


class Claim(NamedTuple):
    """What the container says of a module, beside its tensors: a pickled class, a live object's
    type.

    `kind` is lstm, gru or rnn where the container says it outright; else "", and the names decide:
    `class_name`, its `bases` (MODULE.NAME, nearest first) and torch's attribute `mode`. `facts` are
    the integers that came with it: hidden_size, proj_size, num_layers, bidirectional, bias;
    `own_forward` is 1 for a live class that computes its step itself. `activation` is the forget
    gate's, as `Lstm` names it; `notes` go into the report; `trouble` says why the module cannot be
    judged, whatever its tensors say.
    """

    class_name: str
    kind: str = ""
    facts: Mapping[str, int] = {}
    activation: str = "sigmoid"
    notes: tuple[str, ...] = ()
    trouble: Skipped | None = None
    bases: tuple[str, ...] = ()
    mode: str = ""


class Constant(NamedTuple):
    """A tensor that a graph stores.

    `tensor` says where it lies; where its numbers have no plain place (varints, several pieces),
    `numbers` are its values; where neither is known, `trouble` says why. `overridable`: it is the
    default of a graph's input. `scale`: a quantised tensor's step; the value is (stored - zero) *
    scale.
    """

    name: str
    shape: tuple[int, ...]
    tensor: Tensor | None = None
    numbers: tuple[float, ...] | None = None
    trouble: str = ""
    overridable: bool = False
    scale: float = 1.0
    zero: int = 0


Attribute = int | float | str | Constant | tuple[int | float | str, ...]


class Node(NamedTuple):
    """One operation of a graph, under ONNX's name; an input or output that is left out is "".

    `labels` is what the exporter noted beside it.
    """

    op: str
    ins: tuple[str, ...]
    outs: tuple[str, ...]
    name: str = ""
    attributes: Mapping[str, Attribute] = {}
    labels: Mapping[str, Attribute] = {}


class Scope(NamedTuple):
    """One list of nodes and the names that hold in it.

    A name that is not known here is looked for in `outer`. `bound` gives names of this scope
    another meaning: what a call hands to a function, what a loop hands on unchanged. `calls`: by
    the number of a node, the scope and the names that make its outputs. `inputs`: what comes from
    outside, with its declared shape (None: unknown sizes).
    """

    path: str
    nodes: Sequence[Node]
    constants: Mapping[str, Constant]
    outer: "Scope | None" = None
    bound: Mapping[str, "tuple[Scope, str]"] = {}
    calls: Mapping[int, "tuple[Scope, tuple[str, ...]]"] = {}
    inputs: Mapping[str, tuple[int | None, ...]] = {}
    outputs: tuple[str, ...] = ()


class Graph(NamedTuple):
    """A model whose tensors have no names worth the word: nodes, in scopes.

    `dialect` says whose operators these are (onnx, tflite, openvino, coreml), `producer` what wrote
    the file.
    """

    dialect: str
    scopes: tuple[Scope, ...]
    producer: str = ""


class Checkpoint(NamedTuple):
    """Named tensors and what is claimed of them.

    `tensors` go by their natural dotted path; `claims` by module path, or by the path of the folder
    that the tensors of one recurrence stand in; `skipped` are tensors or
    modules that the container holds in a form that cannot be read; `globals` are the (module, name)
    pairs that an unsafe load of the file would import; `notes` say how many bytes stand where no
    reader of the format looks. `graphs` hold what has no names; `tensors` is empty then.
    `files` are bytes in it, by their path, that may be checkpoints of their own.
    """

    format: str
    tensors: Mapping[str, Tensor]
    claims: Mapping[str, Claim] = {}
    skipped: tuple[Skipped, ...] = ()
    globals: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    graphs: tuple[Graph, ...] = ()
    files: Mapping[str, Span] = {}

    @property
    def holds_nothing(self) -> bool:
        """Whether there is nothing in it that could be judged, or be said not to be."""
        return not (self.tensors or self.graphs or self.skipped or self.claims)


def shape_of(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """A tensor's shape. A weight need not be located for it, where the mapping can tell the claim
    alone.
    """
    return tensors.shape_of(name) if isinstance(tensors, Tensors) else tensors[name].shape


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
