"""The nodes of an ONNX model: one quick walk that says what the careful one says, and what it
costs.
"""

import random
import sys
from pathlib import Path

import onnx_models as o
import pytest
from onnx_models import block, number

from lstm_audit.errors import MalformedFile
from lstm_audit.formats import Node
from lstm_audit.formats.onnx import node_bytes
from lstm_audit.formats.onnx.model import read_onnx
from lstm_audit.lstm.unfold import unfold
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire.protobuf import Wire

WORDS = (b"", b"x", b"/encoder/Mul_1", "Größe".encode(), b"\xff\xfe", b"n" * 127, b"n" * 128, b"n" * 5000, b"n" * 17000)  # fmt: skip


def draw_field(rng: random.Random) -> bytes:
    kind = rng.randrange(12)
    if kind < 8:
        return block(rng.choice((1, 1, 2, 2, 3, 4, 5, 7, 8, 9)), rng.choice(WORDS))
    if kind == 8:
        return number(rng.randint(1, 20), rng.randint(0, 900))
    if kind == 9:
        return block(rng.randint(16, 40), b"ab")  # a key of two bytes
    if kind == 10:
        return b"\x0a\x82\x00ab"  # a length that takes more bytes than it needs
    return rng.randbytes(rng.randint(0, 3))


def read(data: bytes, careful: bool) -> object:
    wire = Wire(span_all(BytesSource(data)))
    try:
        field = next(wire.fields(0, len(data)))
        return (node_bytes._cut_any if careful else node_bytes.cut_node)(wire, field)
    except MalformedFile as error:
        return error.kind, error.message


def test_a_short_node_is_read_as_any_other() -> None:
    rng = random.Random(9)
    nodes = 0
    for _ in range(3000):
        data = block(1, b"".join(draw_field(rng) for _ in range(rng.randint(0, 6)))) + b"\x08\x01"
        quick, careful = read(data, False), read(data, True)
        assert quick == careful
        nodes += isinstance(quick, tuple) and isinstance(quick[0], Node)
    assert nodes > 1000


def test_the_last_bytes_of_a_node_may_lie() -> None:
    for tail in (b"\x0a", b"\x0a\x05abc", b"\x0a\x80", b"\x0a\x80\x01", b"\x0a\x80\x80\x01"):
        data = block(1, block(4, b"Mul") + tail) + b"\x08\x01" * 90
        assert read(data, False) == read(data, True)
        assert not isinstance(read(data, False)[0], Node)  # type: ignore[index]  # a tuple


def count_steps(data: bytes) -> int:
    """The steps that CPython takes to read a model and to look for its recurrences."""
    steps = 0

    def trace(frame: object, event: str, _: object) -> object:
        nonlocal steps
        frame.f_trace_opcodes = True  # type: ignore[attr-defined]  # a frame
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]  # any callable
    try:
        checkpoint = read_onnx(span_all(BytesSource(data)), lambda name: pytest.fail(name))
        assert checkpoint is not None
        assert unfold(checkpoint.graphs[0]).lstms
    finally:
        sys.settrace(before)
    return steps


def test_a_node_that_matters_to_nobody_costs_few_steps(tmp_path: Path) -> None:
    """Of 3,000 nodes that is some 20 ms; they took 43."""

    def model(more: int) -> bytes:
        nodes = [o.node("LSTM", ["X", "W", "R", "B"], ["Y"], "/l/LSTM", hidden_size=2)]
        nodes += [o.node("MatMul", [f"a{k}", "W"], [f"m{k}"], f"/block.{k}/MatMul") for k in range(more)]  # fmt: skip
        tensors = [o.tensor("W", (1, 8, 2), [0.0] * 16), o.tensor("R", (1, 8, 2), [0.0] * 16)]
        return o.model(o.graph(nodes, [*tensors, o.tensor("B", (1, 16), [0.5] * 16)]))

    assert (count_steps(model(500)) - count_steps(model(100))) / 400 < 540
