"""Core ML: a NeuralNetwork of layers, or an ML program of operations, in one protobuf message.

Comes in: a span over a whole .mlmodel. Goes out: a `Checkpoint` with a `Graph`: one scope a
network, and one for every block of a program. Promise: every count is held against the bytes; a
program's weights are looked for in one place only, `weights/weight.bin` beside the model.

Field numbers: mlmodel/format/Model.proto, NeuralNetwork.proto and MIL.proto of coremltools. No
runtime of it exists off Apple's systems: what is said here of gates is said by those files.
"""

from collections.abc import Sequence

from ...errors import MalformedFile
from ...raw.span import Span
from ...wire.protobuf import BYTES, VARINT, Field, Wire
from .. import Beside, Checkpoint, Format, Graph, reader
from .network import read_network
from .opened import CoremlModel, check_nesting
from .program import read_program

PIPELINES, NETWORKS, PROGRAM = (200, 201, 202), (303, 403, 500), 502
# The fields of a Model that say what it is; of the others none holds a recurrence.
OTHERS = (
    300, 301, 302, 304, 400, 401, 402, 404, 501, 555, 556, 560, 600, 601, 602, 603, 604, 606, 607,
    609, 610, 900, 2000, 2001, 2002, 2003, 2004, 2005, 2006, 3000,
)  # fmt: skip


@reader("coreml", Format("coreml", ("mlmodel",), ("mlmodel",)))
def read_coreml(span: Span, beside: Beside) -> Checkpoint | None:
    """A model's networks and programs; None when the bytes are no Model."""
    wire = Wire(span)
    parts = _model_fields(wire)
    if parts is None:
        return None
    model = CoremlModel(wire, beside, [], [])
    _read_model(model, parts, "", 0)
    return Checkpoint("coreml", {}, graphs=(Graph("coreml", tuple(model.scopes)),))


def _model_fields(wire: Wire) -> list[Field] | None:
    """The top level: 1 version, 2 description, 10 isUpdatable, and one field that says the kind."""
    if wire.span.size < 4 or wire.span[:1].read() != b"\x08":
        return None
    parts: list[Field] = []
    try:
        for part in wire.fields(0, wire.span.size):
            parts.append(part)
            if part[0] in (1, 10) and part[1] == VARINT:
                continue
            if part[1] != BYTES or part[0] not in (2, *PIPELINES, *NETWORKS, PROGRAM, *OTHERS):
                return None
    except MalformedFile as error:
        if error.kind == "limit":
            raise
        return None
    return parts if any(part[0] >= min(PIPELINES) for part in parts) else None


def _read_model(model: CoremlModel, parts: Sequence[Field], path: str, depth: int) -> None:
    """A Model, or the models inside a pipeline."""
    wire = model.wire
    check_nesting(model, depth)
    kinds = [part for part in parts if part[0] >= min(PIPELINES)]
    if len(kinds) > 1:
        message = "a model of two kinds at once: some readers take the first, others the last"
        raise MalformedFile(message, wire.place(kinds[1][2]), "ambiguous")
    for part in kinds:
        if part[0] in NETWORKS:
            read_network(model, part, path, None, depth)
        elif part[0] == PROGRAM:
            read_program(model, part, path, depth)
        elif part[0] in PIPELINES:
            inner = [part] if part[0] == 202 else [f for f in wire.message(part) if f[0] == 1]
            models = [f for pipe in inner for f in wire.message(pipe) if f[0] == 1]
            for number, one in enumerate(models):
                _read_model(model, list(wire.message(one)), f"{path}{number}/", depth + 1)
