"""Spans into tensors: what a reader returns, and the table of readers.

Comes in: a span over a whole file. Goes out: a `Checkpoint`. Promise: whatever the bytes, a reader
returns tensors, answers None ("not mine"), or raises an `AuditError`; nothing in the bytes is
executed, imported or believed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from ..errors import AuditError, Skipped, UnknownFormat
from ..raw.span import Span
from ..raw.tensor import Tensor
from ..raw.tensors import Tensors
from ..registry import Registry
from ..tuples import NamedTuple


class Claim(NamedTuple):
    """What the container says of a module, beside its tensors: a pickled class, a live object's
    type.

    `kind` is lstm, gru or rnn where the container says it outright; else "", and the names decide:
    `class_name`, its `bases` (MODULE.NAME, nearest first) and torch's attribute `mode`. `facts` are
    the integers that came with it: hidden_size, proj_size, num_layers, bidirectional, bias;
    `own_forward` is 1 for a live class that computes its step itself, `steps` for one whose code
    is seen to compute that of an LSTM. `activation` is the forget
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
    the file; `notes` are sentences that hold for every recurrence of it.
    """

    dialect: str
    scopes: tuple[Scope, ...]
    producer: str = ""
    notes: tuple[str, ...] = ()


class Trailing(NamedTuple):
    """Bytes of a file that no loader reads: how many, and behind what."""

    size: int
    behind: str


class ParameterGroup(NamedTuple):
    """How an optimizer in the same file moved some of the parameters.

    `settings` are its numbers (lr, weight_decay), `names` all that it has a setting for, `slots`
    what the optimizer remembers of a parameter (exp_avg, momentum_buffer), `lengths` those of its
    parameters that have one axis, where something is remembered of them.
    """

    settings: Mapping[str, float]
    names: frozenset[str]
    slots: frozenset[str]
    lengths: frozenset[int]


class Checkpoint(NamedTuple):
    """Named tensors and what is claimed of them.

    `tensors` go by their natural dotted path; `claims` by module path, or by the path of the folder
    that the tensors of one recurrence stand in; `skipped` are tensors or modules that the container
    holds in a form that cannot be read; `globals` are the (module, name) pairs that an unsafe load
    of the file would import, `around` those that loading what it lies in would; `trailing` are
    bytes where no reader of the format looks; `notes` are sentences for the report. `graphs` hold
    what has no names; then there are no `tensors`. `files` are bytes in it, by their path, that may
    be checkpoints of their own. `counters` are the numbers by which the file itself says how far
    training had come. `twins`: by the name of a tensor, that of another in which the same numbers
    are stored again. `optimizers` are the parameter groups of the optimizers that lie beside the
    model. `worked_out` keeps what follows from the header alone, by name: all files of this format
    with this very header share it; None where the reader knows of no other file.
    """

    format: str
    tensors: Mapping[str, Tensor]
    claims: Mapping[str, Claim] = {}
    skipped: tuple[Skipped, ...] = ()
    globals: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    graphs: tuple[Graph, ...] = ()
    files: Mapping[str, Span] = {}
    trailing: tuple[Trailing, ...] = ()
    counters: Mapping[str, int] = {}
    twins: Mapping[str, str] = {}
    around: tuple[tuple[str, str], ...] = ()
    optimizers: tuple[ParameterGroup, ...] = ()
    worked_out: dict[str, Any] | None = None

    @property
    def holds_nothing(self) -> bool:
        """Whether there is nothing in it that could be judged, or be said not to be."""
        return not (self.tensors or self.graphs or self.skipped or self.claims)


class MemberPart(NamedTuple):
    """What a member of an archive is: `inside` is its path there, `!` between archives."""

    inside: str
    checkpoint: Checkpoint | AuditError


# Keys under which trainers count (Lightning, ignite, fairseq, mmengine, Flax), the finest first.
#
# A step is told apart by more checkpoints than an epoch is.
COUNTERS = (
    "global_step", "step", "steps", "iteration", "iterations", "iter", "num_updates", "epoch",
)  # fmt: skip


def counters_in(values: Mapping[Any, Any]) -> dict[str, int]:
    """The counters among the values at the top of a file: natural numbers that 64 bits hold."""
    found = {name: values[name] for name in COUNTERS if name in values}
    return {
        name: value for name, value in found.items() if type(value) is int and 0 <= value < 1 << 63
    }


def shape_of(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """A tensor's shape. A weight need not be located for it, where the mapping can tell the claim
    alone.
    """
    return tensors.shape_of(name) if isinstance(tensors, Tensors) else tensors[name].shape


# Opens a file in the same folder by its bare name, for formats that spread over several files; a
# `*` at the start stands for the file's own name without its suffix. Only a name that stands in the
# code may lead to the folder above, by `../` before it.
Beside = Callable[[str], Span]

Reader = Callable[[Span, Beside], "Checkpoint | None"]


class Format(NamedTuple):
    """What may be asked about a format by those who do not know its bytes.

    `suffixes` are the ends of file names that promise it. `expected`: those by which a file in a
    walked folder must be a checkpoint, or it is an error. `executes`: loading it without a filter
    imports and calls what the file names. `filters`: `torch.load(weights_only=True)` reads it
    without that. `shares_bytes`: two tensors may lie on the same bytes.
    `reference`: a library's own reader can be asked whether a whole written file is right.
    `several`: it is an index of several files.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    executes: bool = False
    shares_bytes: bool = True
    reference: bool = False
    several: bool = False
    filters: bool = False


class Family(NamedTuple):
    """One reader and the formats that it reads. `weak`: it goes by so little that every other one
    is asked first: a pickle is known by two bytes, which a safetensors header of 128 bytes has too.
    """

    read: Reader
    formats: tuple[Format, ...]
    weak: bool = False


# What most files are is asked first; the answer is the same in any order.
READERS: Registry[Family] = Registry(__name__, first=("torch", "safetensors", "keras"))


def reader(name: str, *formats: Format, weak: bool = False) -> Callable[[Reader], Reader]:
    """Register a function that reads one family of containers, recognised by content; of a family
    that says nothing of its formats, the name is the only one.
    """

    def register(attempt: Reader) -> Reader:
        READERS.add(name, Family(attempt, formats or (Format(name),), weak))
        return attempt

    return register


LEADS = {b"\x08": ("onnx", "coreml"), b"<": ("openvino",), b"\x89": ("keras",)}
"""The modules that read what begins with a byte."""


def _likely(head: bytes) -> tuple[str, ...]:
    """The modules to import before all others, by how a file begins. Only the order of imports
    follows from it: those of torch and Keras would take half of the time that a graph takes.
    """
    if head[8:] == b"{" and head[:1] not in b"P\x80":  # not how a zip or a pickle begins, too
        return ("safetensors",)
    return ("tflite",) if head[4:8] == b"TFL3" else LEADS.get(head[:1], ())


# Formats are told by content, never by a file's name: renamed files are common, and a name is a
# claim. Each reader answers None as soon as the first bytes are not its own. Two readers may both
# be able to read some bytes (a safetensors header of 0x80 bytes begins like a pickle): the weak
# ones, which recognise little, are asked when all others have said no.
def read_checkpoint(span: Span, beside: Beside) -> Checkpoint:
    """The checkpoint in `span`, by the first reader that claims it; raises `UnknownFormat` when
    none does.
    """
    weak = []
    beside = partial(_open_beside, beside)
    head = span[: min(span.size, 9)].read()
    for family in READERS.each(_likely(head)):
        if family.weak:
            weak.append(family.read)
        elif (checkpoint := family.read(span, beside)) is not None:
            return checkpoint
    for attempt in weak:
        if (checkpoint := attempt(span, beside)) is not None:
            return checkpoint
    message = "no checkpoint format is recognised in these bytes"
    begins = b"\n" + span[: min(span.size, SOURCE_HEAD)].read()
    if any(word in begins for word in SOURCE_WORDS):
        message += "; Python source is read by `lstm-audit lint`"
    raise UnknownFormat(message, span.at)


# What Python source and notebooks are known by, and the bytes in which it stands.
SOURCE_WORDS = (b"\nimport ", b"\nfrom ", b'"nbformat"')
SOURCE_HEAD = 1 << 12


LFS_POINTER = b"version https://git-lfs.github.com/spec/"
NOT_PULLED = "a git-LFS pointer, the file itself was not pulled; run `git lfs pull`"


def _open_beside(beside: Beside, name: str) -> Span:
    """A neighbour's bytes; the text that stands in for them in a repository is none of them."""
    span = beside(name)
    if span[: min(span.size, len(LFS_POINTER))].read() == LFS_POINTER:
        raise UnknownFormat(f"{span.source.name}: {NOT_PULLED}", span.at, "lfs-pointer")
    return span


def format_named(name: str) -> Format:
    """What is known of a format; of one that nobody registered, nothing."""
    for family in READERS.each():
        for known in family.formats:
            if known.name == name:
                return known
    return Format(name)


def all_formats() -> list[Format]:
    """Every format of every reader."""
    return [known for family in READERS.values() for known in family.formats]


@cache
def list_suffixes() -> frozenset[str]:
    """In a walked folder or an archive, a file with one of these that cannot be read is an error;
    others are no checkpoints.
    """
    return frozenset(suffix for known in all_formats() for suffix in known.expected)
