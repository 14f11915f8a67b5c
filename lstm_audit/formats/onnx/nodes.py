"""What a node of an ONNX model has beside names: attributes, bodies, an exporter's notes.

Comes in: a bare `Node` and its other fields. Goes out: the whole one, and the graphs among its
attributes. Promise: attributes are read when they are asked for: most are never looked into.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from ...wire.protobuf import BYTES, MAX_TEXT, Field, Wire
from .. import Attribute, Node
from .node_bytes import NO_FIELDS, NOTHING
from .opened import Frame, OnnxModel
from .tensors import read_constant, read_floats

WITH_BODIES = frozenset({"If", "Loop", "Scan", "SequenceMap"})
# AttributeProto.AttributeType of floats, ints and strings: an empty list has nothing else to tell
# it by.
LISTS = (6, 7, 8)
# What a Constant stores in a float or a list of floats; others are settings.
STORED = frozenset({"value_float", "value_floats"})


class Later(Mapping[str, Attribute]):
    """A mapping that is read when it is first asked: most nodes are never looked into."""

    __slots__ = ("_read", "_table")

    def __init__(self, read: Callable[[], Mapping[str, Attribute]]) -> None:
        self._read = read
        self._table: Mapping[str, Attribute] | None = None

    def _all(self) -> Mapping[str, Attribute]:
        if self._table is None:
            self._table = self._read()
        return self._table

    def __getitem__(self, name: str) -> Attribute:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def read_node(
    model: OnnxModel, node: Node, rest: Sequence[Field], frame: Frame
) -> tuple[Node, list[Field]]:
    """A node with its 5 attributes, 7 domain, 8 overload and 9 metadata, and the graphs among its
    attributes.
    """
    wire, op = model.wire, node.op
    attributes = [part for part in rest if part[0] == 5]
    metadata = [part for part in rest if part[0] == 9]
    table, bodies = NOTHING, NO_FIELDS
    if attributes:
        read = partial(read_attributes, model, attributes, frame.given)
        table = read() if op == "Constant" else Later(read)
        bodies = _bodies(wire, attributes) if op in WITH_BODIES else bodies
    labels = Later(partial(_read_labels, wire, metadata)) if metadata else NOTHING
    if len(rest) > len(attributes) + len(metadata):
        domain, overload = (
            "".join([wire.text(part) for part in rest if part[0] == number][-1:])
            for number in (7, 8)
        )
        op = spell_operator(domain, op, overload)
    return Node(op, node.ins, node.outs, node.name, table, labels), bodies


def spell_operator(domain: str, op: str, overload: str) -> str:
    """An operator of ONNX's own by its name alone, another one with its domain."""
    return (
        ("" if domain in ("", "ai.onnx") else f"{domain}::")
        + op
        + (f":{overload}" if overload else "")
    )


def _bodies(wire: Wire, attributes: Sequence[Field]) -> list[Field]:
    """The GraphProtos of 6 g and 11 graphs."""
    return [
        part
        for field in attributes
        for part in wire.message(field)
        if part[0] in (6, 11) and part[1] == BYTES
    ]


def read_attributes(
    model: OnnxModel, fields: Sequence[Field], given: Mapping[str, Attribute]
) -> dict[str, Attribute]:
    """AttributeProtos by name. In a function's body, 21 names the attribute of the call that gives
    the value.
    """
    table: dict[str, Attribute] = {}
    for field in fields:
        name, value, reference = _read_attribute(model, field)
        if reference:
            value = given.get(reference)
        if value is not None:
            table[name] = value
    return table


def _read_attribute(model: OnnxModel, field: Field) -> tuple[str, Attribute | None, str]:
    """One AttributeProto: 1 name, 2 f, 3 i, 4 s, 5 t, 7 floats, 8 ints, 9 strings, 21 the name of
    the call's.
    """
    wire = model.wire
    name, reference = "", ""
    one: Attribute | None = None
    many: list[int | float | str] = []
    floats: list[Field] = []
    listed = False
    for part in wire.message(field):
        number = part[0]
        if number == 1:
            name = wire.text(part)
        elif number == 2:
            one = next(iter(wire.floats(part)), None)
            floats = [part]
        elif number == 3:
            one = wire.number(part)
        elif number == 4:
            one = wire.text(part) if part[3] - part[2] <= MAX_TEXT else ""
        elif number == 5:
            one = read_constant(wire, part, model.external)
        elif number in (7, 8, 9):
            listed = True
            floats += [part] if number == 7 else []
            many += (
                wire.floats(part)
                if number == 7
                else wire.numbers(part)
                if number == 8
                else [wire.text(part)]
            )
        elif number == 20:
            listed = listed or wire.number(part) in LISTS
        elif number == 21:
            reference = wire.text(part)
    if name in STORED and floats:
        one = read_floats(wire, floats, listed)
    return name, tuple(many) if listed and one is None else one, reference


def _read_labels(wire: Wire, fields: Sequence[Field]) -> dict[str, Attribute]:
    """metadata_props: the exporter of torch writes where in the model a node came from, in up to 4
    KiB.
    """
    labels: dict[str, Attribute] = {}
    for field in fields:
        parts = {part[0]: part for part in wire.message(field)}
        if 1 in parts and 2 in parts and parts[2][3] - parts[2][2] <= MAX_TEXT:
            labels[wire.text(parts[1])] = wire.text(parts[2])
    return labels
