"""Calls that change tensors which they do not make: refused, or the number that the loader has.

The loaders are torch with and without its filter, and Python's pickle for arrays. Many of these
calls throw their result away, so that nothing of the value shows that they were made.
"""

import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forge import (
    BUILD,
    FALSE,
    GATES,
    NEWOBJ,
    RECORDS,
    H,
    archive,
    array,
    arrays,
    call,
    group,
    number,
    sizes,
    state_dict,
    storage,
    table,
    tensor,
    text,
    the,
    view_of,
)

from lstm_audit.facts import FileAudit
from lstm_audit.inputs import Input
from lstm_audit.pipeline import audit_input

ONE, SEVEN = tensor(storage("one")), tensor(storage("seven"))
PUT, GET, POP, CALL = b"q\x09", b"h\x09", b"0", b"R"
BIAS = state_dict(ONE + PUT)
"""A state dict whose bias is remembered."""
DICT = state_dict(ONE) + PUT
"""A state dict that is itself remembered."""
COPY = the("torch._utils", "_rebuild_device_tensor_from_cpu_tensor")
COPIED = group(GET, the("torch", "float32"), text("cpu"), FALSE)
"""The arguments of a copy to where the bias is already: torch gives the bias itself."""
RAW = b"B" + struct.pack("<I", 4 * GATES) + RECORDS["seven"]
VALUES = arrays(array(RECORDS["one"]) + PUT).removesuffix(b".")


def dropped(start: bytes, *parts: bytes) -> bytes:
    return archive(start + b"".join(parts) + POP + b".")


def dotted(start: bytes, module: str, name: str, *given: bytes) -> bytes:
    """A call of a method, by a name with a dot, which takes protocol 4."""
    function = text(module) + text(name) + b"\x93"
    return dropped(b"\x80\x04" + start[2:], function, group(*given), CALL)


def beside(value: bytes) -> bytes:
    return archive(BIAS + text("x") + value + b"s.")


def subclass(state: bytes) -> bytes:
    return call(
        "torch._tensor", "_rebuild_from_type_v2", COPY, the("torch", "Tensor"), COPIED, state
    )


TORCH = {
    "the data of an alias": beside(subclass(table(data=SEVEN))),
    "the state of an alias": beside(COPY + COPIED + CALL + view_of("seven") + BUILD),
    "the state of an alias that is replaced": archive(
        BIAS
        + (text("x") + COPY + COPIED + CALL + view_of("seven") + BUILD + b"s")
        + (text("x") + number(1) + b"s.")
    ),
}
UNSAFE = {
    "an alias that is thrown away": dropped(BIAS, COPY, COPIED, CALL, view_of("seven"), BUILD),
    "an initialiser": dropped(BIAS, call("torch.nn.init", "zeros_", GET)),
    "an initialiser as a subclass": dropped(
        BIAS,
        call(
            "torch._tensor",
            "_rebuild_from_type_v2",
            the("torch.nn.init", "zeros_"),
            the("torch", "Tensor"),
            group(GET),
            table(),
        ),
    ),
    "a method of a tensor": dotted(BIAS, "torch", "Tensor.add_", GET, number(6)),
    "a method that is looked up": dropped(
        BIAS, call("builtins", "getattr", GET, text("zero_")), b")", CALL
    ),
    "an item": dropped(DICT, call("operator", "setitem", GET, text("bias_ih_l0"), SEVEN)),
    "an item by a method": dotted(DICT, "builtins", "dict.update", GET, table(bias_ih_l0=SEVEN)),
    "an item by a map": dropped(
        DICT,
        the("builtins", "list"),
        group(
            the("builtins", "map")
            + group(
                the("operator", "setitem"),
                *(b"](" + value + b"e" for value in (GET, text("bias_ih_l0"), SEVEN)),
            )
            + NEWOBJ
        ),
        CALL,
    ),
    "an attribute": dropped(BIAS, call("builtins", "setattr", GET, text("data"), SEVEN)),
    "an operator": dropped(BIAS, call("operator", "iadd", GET, number(6))),
    "elements of another tensor": archive(
        BIAS + text("x") + ONE + number(H) + call("builtins", "float", number(7)) + b"ss."
    ),
    "a partial": dropped(
        BIAS,
        call("functools", "partial", the("torch.nn.init", "constant_"), GET),
        group(number(7)),
        CALL,
    ),
    "a bias that a function makes": archive(
        state_dict(call("torch", "ones", number(GATES))) + b"."
    ),
}
NUMPY = {
    "copyto": VALUES + call("numpy", "copyto", GET, number(7)) + POP + b".",
    "an array over a buffer": arrays(call("numpy", "ndarray", sizes([GATES]), text("<f4"), RAW)),
    "a new array over a buffer": arrays(
        the("numpy", "ndarray") + group(sizes([GATES]), text("<f4"), RAW) + NEWOBJ
    ),
    "frombuffer": arrays(call("numpy", "frombuffer", RAW, text("<f4"))),
}


def forget_bias(value: dict[str, Any]) -> Any:
    halves = [value[name] for name in ("bias_ih_l0", "bias_hh_l0") if name in value]
    return sum(np.asarray(half, "f8")[H : 2 * H] for half in halves)


def check(path: Path, truth: Any) -> None:
    for result in audit_input(Input(str(path), named=True)):
        if isinstance(result, FileAudit):
            assert result.rows or result.skipped
            for row in result.rows:
                assert row.measures.gates["f"].mean == pytest.approx(truth.mean())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [*TORCH, *UNSAFE])
def test_the_number_is_that_of_torch_or_there_is_none(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes({**TORCH, **UNSAFE}[case])
    with torch.no_grad():
        check(path, forget_bias(torch.load(path, weights_only=case in TORCH)))


@pytest.mark.parametrize("case", NUMPY)
def test_the_number_is_that_of_numpy_or_there_is_none(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(NUMPY[case])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(path, forget_bias(pickle.loads(NUMPY[case])))


READ = {
    "a dict that only a function gets": archive(
        b"\x80\x02" + the("flax", "Frozen") + group(state_dict(SEVEN)[2:]) + CALL + b"."
    ),
    "a bound method": dropped(DICT, call("builtins", "getattr", GET, text("items"))),
    "an object with values of its own": archive(
        state_dict(SEVEN) + text("x") + call("my", "Holder", ONE) + b"s."
    ),
    "a copy to another device": archive(
        state_dict(COPY + group(SEVEN, the("torch", "float32"), text("cuda:0"), FALSE) + CALL)
        + b"."
    ),
}


@pytest.mark.parametrize("case", READ)
def test_what_changes_nothing_is_read(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(READ[case])
    (result,) = audit_input(Input(str(path), named=True))
    assert isinstance(result, FileAudit)
    assert len(result.rows) == 1
