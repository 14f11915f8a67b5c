"""What a patch of a graph must not reach: LSTMs are told apart by their identity."""

from types import SimpleNamespace

import pytest

from lstm_audit.errors import NotPatchable
from lstm_audit.formats import Graph
from lstm_audit.lstm.layer import GATES, Lstm, Term
from lstm_audit.patching import readers
from lstm_audit.patching.edits import Change
from lstm_audit.patching.plan import GatePlan
from lstm_audit.raw.dtypes import DTYPES
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.raw.tensor import Tensor, whole_block

SPAN = span_all(BytesSource(bytes(16)))
BIAS = Term("b", "m.bias", whole_block(Tensor(DTYPES["float32"], (4,), (1,), SPAN)))
NONE = dict.fromkeys(GATES, ())
CHOSEN = Lstm("m", 0, "forward", "onnx", 4, "float32", {**NONE, "f": (BIAS,)})


@pytest.mark.parametrize(
    ("gates", "copied", "message"),
    [
        ({**NONE, "f": (BIAS,)}, False, "gate f of m:l0 is stored in the same bytes"),
        (NONE, True, "m:l0 is stored twice"),
    ],
)
def test_an_lstm_of_the_same_address_is_another(
    monkeypatch: pytest.MonkeyPatch,
    gates: dict[str, tuple[Term, ...]],
    copied: bool,
    message: str,
) -> None:
    twin = CHOSEN._replace(convention="openvino", gates=gates)
    assert twin.address == CHOSEN.address
    both = [CHOSEN, twin]
    monkeypatch.setattr(readers, "unfold", lambda graph: SimpleNamespace(lstms=both))
    monkeypatch.setattr(readers, "foreign_reader", lambda graph, unfolded, spans: None)
    monkeypatch.setattr(readers, "copies", lambda unfolded: [both] if copied else [])
    plan = GatePlan(CHOSEN, "f", (), (), (), ())
    graph: Graph = SimpleNamespace()  # type: ignore[assignment]  # what is asked of it is above
    with pytest.raises(NotPatchable, match=message):
        readers.refuse_readers([graph], [plan], [Change(SPAN, b"\1" * 16, "")])
