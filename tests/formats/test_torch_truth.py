"""What torch and numpy make of files that no writer writes: we say the same number, or none.

torch applies state that BUILD gives, believes the first of two claims, and skips what is marked as
a folder. Each case is loaded by the real framework; a row of ours must hold its number, and where
there is no row there must be an error or a skipped entry that says why.
"""

import pickle
import types
from pathlib import Path
from typing import Any

import forge
import numpy as np
import pytest
import torch
from forge import (
    BUILD,
    FALSE,
    GATES,
    NEWOBJ,
    NONE,
    ORDERED,
    RECORDS,
    TRUE,
    H,
    archive,
    array,
    arrays,
    call,
    group,
    items,
    legacy,
    number,
    sizes,
    state_dict,
    storage,
    swapped,
    table,
    tensor,
    text,
    the,
    view_of,
)

import lstm_audit
from lstm_audit.facts import Audit
from lstm_audit.formats.torch.tensor_calls import _TOUCHING

ONE, SEVEN = tensor(storage("one")), tensor(storage("seven"))
UTILS = "torch._utils"


def parameter(*state: bytes, name: str = "_rebuild_parameter") -> bytes:
    return call(UTILS, name, ONE, TRUE, ORDERED, *state)


def subclass(state: bytes) -> bytes:
    arguments = group(storage("one"), number(0), sizes([GATES]), sizes([1]), FALSE, ORDERED)
    rebuild, cls = the(UTILS, "_rebuild_tensor_v2"), the("torch", "Tensor")
    return call("torch._tensor", "_rebuild_from_type_v2", rebuild, cls, arguments, state)


def with_config() -> dict[str, bytes]:
    homes = {f"data/weights/{key}": raw for key, raw in RECORDS.items()}
    return {forge.CONFIG: forge.config(**forge.HOMES), **homes}


VARIABLE = group(SEVEN, TRUE, NONE, TRUE, NONE)
HALVES = tensor(storage("one", 2 * GATES, "HalfStorage"))
UNTYPED = storage("seven", 4 * GATES, "UntypedStorage")
V3 = tensor(UNTYPED, (GATES,), the("torch", "float32"), name="_rebuild_tensor_v3")
BIG = {key: swapped(raw) for key, raw in RECORDS.items()}
BOTH = {**RECORDS, "both": RECORDS["one"] + RECORDS["seven"]}


def part(at: int, key: str = "part") -> bytes:
    """A legacy view of the storage `both`."""
    view = group(text(key), number(at), number(GATES))
    return tensor(storage("both", 2 * GATES, "FloatStorage", view))


def old(*tensors: tuple[str, bytes]) -> bytes:
    """A legacy file with further tensors before bias_ih_l0."""
    body = state_dict(tensors[-1][1], view=(NONE,)).removesuffix(b"u")
    body = body.replace(b"}(", b"}(" + b"".join(text(n) + t for n, t in tensors[:-1]), 1)
    return legacy(body + b"u.", ("both", "hh", "ih", "zero"), BOTH)


TORCH: dict[str, bytes] = {
    "state of a tensor": archive(state_dict(ONE + view_of("seven") + BUILD) + b"."),
    "state of a parameter": archive(state_dict(parameter() + VARIABLE + BUILD) + b"."),
    "a storage as a parameter's state": archive(
        state_dict(
            call(UTILS, "_rebuild_parameter", ONE, FALSE, ORDERED) + view_of("seven") + BUILD
        )
        + b"."
    ),
    "data among attributes": archive(
        state_dict(parameter(table(data=SEVEN), name="_rebuild_parameter_with_state")) + b"."
    ),
    "data among slots": archive(
        state_dict(parameter(group(NONE, table(data=SEVEN)), name="_rebuild_parameter_with_state"))
        + b"."
    ),
    "data in an ordered state": archive(
        state_dict(
            parameter(ORDERED + items([("data", SEVEN)]), name="_rebuild_parameter_with_state")
        )
        + b"."
    ),
    "data of a subclass": archive(state_dict(subclass(table(data=SEVEN))) + b"."),
    "two dtypes of one storage": archive(
        state_dict(HALVES, start=b"}" + items([("x", ONE)])) + b"."
    ),
    "two lengths of one storage": archive(
        state_dict(tensor(storage("both", 2 * GATES)), start=b"}")[:-1]
        + text("x")
        + tensor(storage("both", GATES))
        + b"u.",
        records=BOTH,
    ),
    "a negative bit of no": archive(
        state_dict(tensor(storage("seven"), (GATES,), table(neg=FALSE))) + b"."
    ),
    "an ordered negative bit": archive(
        state_dict(tensor(storage("seven"), (GATES,), ORDERED + items([("neg", FALSE)]))) + b"."
    ),
    "attributes of an OrderedDict": archive(
        state_dict(ONE, start=ORDERED) + table(bias_ih_l0=SEVEN) + BUILD + b"."
    ),
    "an item that replaces another": archive(
        state_dict(ONE, start=ORDERED) + items([("bias_ih_l0", SEVEN)]) + b"."
    ),
    "a .pt2's config beside data.pkl": archive(state_dict(SEVEN) + b".", with_config()),
    "a byte order in capitals": archive(
        state_dict(SEVEN) + b".", {"BYTEORDER": b"big"}, records=BIG
    ),
    "a part of a storage twice": old(("x", part(0)), ("bias_ih_l0", part(GATES))),
    "a storage's key for a part": old(("x", part(0)), ("bias_ih_l0", part(GATES, "both"))),
}

UNSAFE: dict[str, bytes] = {  # torch reads these without its filter alone
    "a tensor made of its state": archive(
        state_dict(the("torch", "Tensor") + b")" + NEWOBJ + view_of("seven") + BUILD) + b"."
    ),
    "a typed tensor made of its state": archive(
        state_dict(the("torch", "FloatTensor") + b")" + NEWOBJ + view_of("seven") + BUILD) + b"."
    ),
    "a parameter made of its state": archive(
        state_dict(the("torch.nn.parameter", "Parameter") + b")" + NEWOBJ + VARIABLE + BUILD) + b"."
    ),
    "bytes of a big-endian file without a type": archive(
        state_dict(V3) + b".", {"byteorder": b"big"}, records=BIG
    ),
    "a tensor of a function": archive(state_dict(call("torch", "neg", SEVEN)) + b"."),
    "a tensor of another": archive(state_dict(call("torch", "clone", SEVEN)) + b"."),
    "an element that is set": archive(
        state_dict(ONE + number(H) + call("builtins", "float", number(7)) + b"s") + b"."
    ),
    "a conversion": archive(
        state_dict(
            call(
                UTILS,
                "_rebuild_device_tensor_from_cpu_tensor",
                SEVEN,
                the("torch", "float16"),
                text("cpu"),
                FALSE,
            )
        )
        + b"."
    ),
    "items that a constructor gets": archive(
        call(
            "collections",
            "OrderedDict",
            b"]("
            + b"".join(
                group(text(name), value)
                for name, value in {
                    "weight_ih_l0": tensor(storage("ih", GATES * forge.IN), (GATES, forge.IN)),
                    "weight_hh_l0": tensor(storage("hh", GATES * H), (GATES, H)),
                    "bias_ih_l0": SEVEN,
                    "bias_hh_l0": tensor(storage("zero")),
                }.items()
            )
            + b"e",
        ).join([b"\x80\x02", b"."])
    ),
}

NUMPY: dict[str, bytes] = {
    "a byte order in the code": arrays(array(swapped(RECORDS["seven"]), code=">f4")),
    "a byte order in the state": arrays(array(swapped(RECORDS["seven"]), order=">")),
    "a state that overrules the code": arrays(array(RECORDS["seven"], code=">f4", order="<")),
    "elements that are set": arrays(
        array(RECORDS["one"]) + b"".join(number(k) + number(7) + b"s" for k in range(H, 2 * H))
    ),
    "the magic of old torch files in its head": b"\x80\x04\x8a\x0a"
    + forge.MAGIC.to_bytes(10, "little")
    + b"0"
    + arrays(array(RECORDS["seven"]))[2:],
    "a matrix": arrays(array(RECORDS["seven"], cls=the("numpy", "matrix"))),
}

READ: dict[str, bytes] = {  # here a refusal would be wrong
    "nothing unusual": archive(state_dict(SEVEN) + b"."),
    "legacy": old(("bias_ih_l0", part(GATES))),
    "a deflated archive": archive(state_dict(SEVEN) + b".", method=8),
    "attributes that nobody minds": archive(
        state_dict(
            parameter(table(tensor_model_parallel=TRUE), name="_rebuild_parameter_with_state")
        )
        + b"."
    ),
    "an empty state": archive(state_dict(subclass(table())) + b"."),
    "a negative bit": archive(
        state_dict(tensor(storage("seven"), (GATES,), table(neg=TRUE))) + b"."
    ),
    "big-endian": archive(state_dict(SEVEN) + b".", {"byteorder": b"big"}, records=BIG),
    "metadata of an OrderedDict": archive(
        state_dict(SEVEN, start=ORDERED) + table(_metadata=ORDERED) + BUILD + b"."
    ),
    "an integer key": archive(
        state_dict(tensor(storage("#5"))) + b".", records={**RECORDS, "5": RECORDS["seven"]}
    ),
}


def forget_gate(state: Any) -> list[float]:
    """Per unit, of the halves that are there."""
    halves = [state[name] for name in ("bias_ih_l0", "bias_hh_l0") if name in state]
    total = sum(
        half.detach().double().numpy() if torch.is_tensor(half) else np.asarray(half, "f8")
        for half in halves
    )
    return np.ravel(total)[H : 2 * H].tolist()  # type: ignore[no-any-return]  # an array's own list


def agree(path: Path, truth: list[float], read: bool = False) -> None:
    audit: Audit = lstm_audit.audit(path)
    for row in audit.rows:
        stats = row.measures.gates["f"]
        assert [stats.min, stats.max] == pytest.approx([min(truth), max(truth)])
    said = audit.errors or any(file.skipped for file in audit.files)
    assert audit.rows or (said and not read)
    assert all(error.message for error in audit.errors)


@pytest.mark.parametrize("case", TORCH)
def test_the_number_is_that_of_torch_or_there_is_none(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(TORCH[case])
    agree(path, forget_gate(torch.load(path, weights_only=True)))


@pytest.mark.parametrize("case", UNSAFE)
def test_the_number_is_that_of_torch_without_its_filter(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(UNSAFE[case])
    agree(path, forget_gate(torch.load(path, weights_only=False)))


@pytest.mark.parametrize("case", NUMPY)
def test_the_number_is_that_of_numpy_or_there_is_none(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(NUMPY[case])
    agree(path, forget_gate(pickle.loads(NUMPY[case])))


@pytest.mark.parametrize("case", READ)
def test_what_is_ordinary_is_read(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(READ[case])
    agree(path, forget_gate(torch.load(path, weights_only=True)), read=True)


@pytest.mark.parametrize("name", ["data/seven", "data/seven/"])
def test_contents_of_a_folder_are_refused(name: str, tmp_path: Path) -> None:
    """torch reads nothing of them, and has whatever lay in its memory."""
    records = {**RECORDS, "seven/": RECORDS["seven"]}
    key = name.removeprefix("data/")
    folders = (name,) if not name.endswith("/") else ()
    path = tmp_path / "model.pt"
    path.write_bytes(
        archive(state_dict(tensor(storage(key))) + b".", records=records, folders=folders)
    )
    (error,) = lstm_audit.audit(path).errors
    assert error.kind == "ambiguous"


def test_every_attribute_that_changes_a_tensor_is_known() -> None:
    """torch itself says which attributes of a parameter change its values when they are set."""
    changing = set()
    for cls in torch.nn.Parameter.__mro__:
        for name, kind in vars(cls).items():
            if isinstance(kind, types.GetSetDescriptorType | property):
                value = torch.nn.Parameter(torch.ones(3))
                try:
                    setattr(value, name, torch.full((3,), 7.0))
                except (AttributeError, RuntimeError, TypeError):
                    continue
                if not torch.equal(value.detach(), torch.ones(3)):
                    changing.add(name)
    assert "data" in changing
    assert changing <= _TOUCHING
