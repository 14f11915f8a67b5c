"""A NodeProto's names, and where the rest of it lies.

Comes in: the field that a node is. Goes out: a bare `Node`, and its other fields. Promise: a node
is walked once, and what it says of attributes and metadata is left where it lies until it is asked.

Nodes are by far the most of a model, and few of them matter: this walk is what a large model costs.
So a short node, which has nothing but strings and messages, takes one loop over its bytes. Any
other node goes through `Wire.message`, which finds what is wrong with it, too.
"""

from collections.abc import Mapping

from ...wire.protobuf import BYTES, MAX_TEXT, Field, Wire
from .. import Attribute, Node

# Bytes of a node that are taken at once: one from torch's dynamo exporter has up to 5 KiB.
MAX_SHORT = 1 << 14

# Fields that making a node counts for, beside its own.
NODE = 6

# The keys of 1 input, 2 output, 3 name and 4 op_type, which are strings.
INPUT, OUTPUT, NAME, OP_TYPE = 0x0A, 0x12, 0x1A, 0x22

NO_FIELDS: list[Field] = []
NOTHING: Mapping[str, Attribute] = {}


def cut_node(wire: Wire, field: Field) -> tuple[Node, list[Field]]:
    """The node's operator, inputs, outputs and name; its fields from 5 on."""
    start, stop = field[2], field[3]
    if field[1] == BYTES and stop - start <= MAX_SHORT:
        window, text, first = wire.look(start, stop, NODE)
        end = first + stop - start
        cut = _cut_short(window, text, first, end, start - first)
        if cut is not None:
            return cut if text[first:end].isascii() else (_decode(cut[0]), cut[1])
    wire.charge(NODE)
    return _cut_any(wire, field)


def _cut_short(
    raw: bytes, text: str, at: int, end: int, base: int
) -> tuple[Node, list[Field]] | None:
    """What lies between `at` and `end`, with `text` one character a byte, and `base` to be added to
    places; None where a field is no string and no message, or does not fit.
    """
    ins: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    rest, name, op, longest = NO_FIELDS, "", "", 0
    while at < end:
        tag = raw[at]
        size = raw[at + 1]
        at += 2
        if size > 127:
            if raw[at] > 127:
                return None
            size += (raw[at] << 7) - 128
            at += 1
            longest = max(longest, size if tag <= OP_TYPE else 0)
        stop = at + size
        if tag == INPUT:
            ins += (text[at:stop],)
        elif tag == OUTPUT:
            outs += (text[at:stop],)
        elif tag == NAME:
            name = text[at:stop]
        elif tag == OP_TYPE:
            op = text[at:stop]
        elif tag & 135 == BYTES and tag > 7:
            rest = [*rest, (tag >> 3, BYTES, base + at, base + stop)]
        else:
            return None
        at = stop
    if at > end or longest > MAX_TEXT:
        return None
    # 3,000 nodes: 4 million instructions less than by Node(...), of 100 million.
    return tuple.__new__(Node, (op, ins, outs, name, NOTHING, NOTHING)), rest


def _decode(node: Node) -> Node:
    """The same with every name read as UTF-8."""
    ins, outs = map(_utf8, node.ins), map(_utf8, node.outs)
    return Node(_utf8(node.op), tuple(ins), tuple(outs), _utf8(node.name))


def _utf8(name: str) -> str:
    return name.encode("latin-1").decode("utf-8", "backslashreplace")


def _cut_any(wire: Wire, field: Field) -> tuple[Node, list[Field]]:
    """The same of any node, each field held against its message."""
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [""], 4: [""]}
    rest: list[Field] = []
    for part in wire.message(field):
        if part[0] in texts:
            texts[part[0]].append(wire.text(part))
        else:
            rest.append(part)
    return Node(texts[4][-1], tuple(texts[1]), tuple(texts[2]), texts[3][-1]), rest
