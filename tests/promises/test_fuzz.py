"""Files changed where their structure is: a refusal, or the number that the real loader has.

Opcodes of a pickle, fields of a zip's directory, JSON of a header, bytes of a record. Each mutant
is audited; where that gives a row, the real loader (torch with its filter, safetensors, numpy) is
asked for the same number. `pytest tests/promises/test_fuzz.py --mutations 10000` digs deeper: by
default each of the seeds has `ROUNDS` times the given number of mutants, 20,000 in all.
"""

import io
import json
import pickle
import random
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forge
import numpy as np
import pytest
import torch
from forge import NONE, ORDERED, RECORDS, TRUE, H
from mutants import BOMBS, Rng, flip, mutate_pickle, mutate_zip
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors
from speed import at_most

from lstm_audit.facts import FileAudit, FileError
from lstm_audit.inputs import Input
from lstm_audit.pipeline import audit_input

ROUNDS = 31
CRASHES = Path(__file__).parent / "crashes"
"""Every input on which the reader ever failed."""

Mutant = tuple[bytes, bool]
"""A file, and whether a real loader may be asked (its answer is what it is)."""


"""What kills or stops other readers: with them in it no loader is asked."""

"""What is put between opcodes."""


def mutate_json(value: Any, rng: Rng) -> Any:
    """A document with one part changed."""
    odd = [None, True, -1, 1.5, "F16", [], {}, [[]], 1 << 64, "x" * 5000, "F32", [12], [0, 48], 12]
    if rng.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return rng.choice(odd)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        return [*value[:at], mutate_json(value[at], rng), *value[at + 1 :]]
    key = rng.choice(list(value))
    if rng.random() < 0.1:
        renamed = rng.choice(["bias_ih_l0", "__metadata__", "x" * 5000, "", "weight_hh_l1"])
        return {renamed if k == key else k: v for k, v in value.items()}
    return {k: mutate_json(v, rng) if k == key else v for k, v in value.items()}


# Seeds: a suffix, and a function from a source of chance to a mutant

STATE = forge.state_dict(forge.tensor(forge.storage("seven"))) + b"."
PARAMETER = (
    forge.state_dict(
        forge.call(
            "torch._utils",
            "_rebuild_parameter",
            forge.tensor(forge.storage("seven")),
            TRUE,
            ORDERED,
        ),
        start=ORDERED,
    )
    + b"."
)
OLD = (
    forge.state_dict(
        forge.tensor(forge.storage("seven", forge.GATES, "FloatStorage", NONE)), view=(NONE,)
    )
    + b"."
)
ARRAYS = forge.arrays(forge.array(RECORDS["seven"], order="<"))
ARCHIVE = forge.archive(STATE, {"byteorder": b"little"})
HEADER = save_safetensors(
    {
        "weight_ih_l0": np.zeros((forge.GATES, forge.IN), "f4"),
        "weight_hh_l0": np.zeros((forge.GATES, H), "f4"),
        "bias_ih_l0": np.frombuffer(RECORDS["seven"], "f4"),
        "bias_hh_l0": np.frombuffer(RECORDS["one"], "f4"),
    }
)


def _safetensors(rng: Rng) -> Mutant:
    if rng.random() < 0.2:
        return flip(HEADER, rng), True
    size = struct.unpack("<Q", HEADER[:8])[0]
    header = json.loads(HEADER[8 : 8 + size])
    text = json.dumps(mutate_json(header, rng)).encode()
    if rng.random() < 0.1:
        at = text.rfind(b"}")
        text = text[:at] + b',"bias_ih_l0":' + json.dumps(header["bias_hh_l0"]).encode() + b"}"
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + HEADER[8 + size :], True


def _records(rng: Rng) -> Mutant:
    key = rng.choice(list(RECORDS))
    raw = rng.choice([RECORDS[key][:-4], RECORDS[key] + b"1234", flip(RECORDS[key], rng), b""])
    order = rng.choice([b"little", b"big", b"Little", b""])
    name = rng.choice(["byteorder", "BYTEORDER", "data.pkl2", "DATA/one"])
    more = {name: order, **({"constants.pkl": b"\x80\x02)."} if rng.random() < 0.05 else {})}
    method = rng.choice([0, 0, 8])
    records = {**RECORDS, key: raw}
    return forge.archive(STATE, more, records=records, method=method), "constants.pkl" not in more


def _export(rng: Rng) -> Mutant:
    value = mutate_json(json.loads(forge.config(**forge.HOMES)), rng)
    records = {forge.CONFIG: json.dumps(value).encode()}
    records |= {f"data/weights/{key}": raw for key, raw in RECORDS.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, raw in records.items():
            file.writestr(f"m/{name}", raw)
    return out.getvalue(), False


def _scripted(rng: Rng) -> Mutant:
    constants = {"constants.pkl": mutate_pickle(b"\x80\x02)N0.", rng)}
    return forge.archive(mutate_pickle(STATE, rng), constants), False


def _index(rng: Rng) -> Mutant:
    homes = dict.fromkeys(forge.HOMES, "shard.safetensors")
    document = {"metadata": {"total_size": 1}, "weight_map": homes}
    return json.dumps(mutate_json(document, rng)).encode(), False


def _keys(rng: Rng) -> Mutant:
    raw = forge.legacy(OLD, ("hh", "ih", "seven", "zero"))
    cut = rng.choice([None, None, -1, -8, 200])
    return flip(raw[:cut], rng), True


SEEDS: dict[str, tuple[str, Callable[[Rng], Mutant]]] = {
    "opcodes": (".pt", lambda rng: (forge.archive(mutate_pickle(STATE, rng)), True)),
    "parameters": (".pt", lambda rng: (forge.archive(mutate_pickle(PARAMETER, rng)), True)),
    "legacy opcodes": (
        ".pt",
        lambda rng: (
            forge.legacy(mutate_pickle(OLD, rng), ("hh", "ih", "seven", "zero")),
            True,
        ),
    ),
    "legacy bytes": (".pt", _keys),
    "arrays": (".pkl", lambda rng: (mutate_pickle(ARRAYS, rng), True)),
    "directory": (".pt", lambda rng: (mutate_zip(ARCHIVE, rng), True)),
    "records": (".pt", _records),
    "headers": (".safetensors", _safetensors),
    "exports": (".pt2", _export),
    "scripts": (".pt", _scripted),
    "indexes": (".index.json", _index),
}


def real(path: Path, data: bytes, suffix: str) -> dict[str, Any] | None:
    """What the real loader gives; None where it refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix == ".safetensors":
                loaded = load_safetensors(data)
            elif suffix == ".pkl":
                loaded = pickle._loads(data)  # type: ignore[attr-defined]  # the one in Python: an index is no amount of memory
            else:
                loaded = torch.load(path, weights_only=True)
    except Exception:  # noqa: BLE001  # whatever a loader raises is a refusal
        return None
    return loaded if isinstance(loaded, dict) else None


def numbers(value: Any) -> Any:
    if torch.is_tensor(value):
        return value.detach().double().numpy()
    return np.asarray(value, "f8")


def check_rows(audit: FileAudit, loaded: dict[str, Any]) -> None:
    """Each row's forget gate is what the loader's tensors say."""
    for row in audit.rows:
        names = row.lstm.bias_tensors
        if any(name not in loaded for name in names):
            assert not all("." not in name for name in names), f"{names} are not there"
            continue
        size = row.lstm.hidden_size
        total = sum(np.ravel(numbers(loaded[name]))[size : 2 * size] for name in names)
        measured = row.measures.gates["f"]
        if np.isfinite(total).all():
            assert measured.min == pytest.approx(float(np.min(total)), rel=1e-5)
            assert measured.max == pytest.approx(float(np.max(total)), rel=1e-5)


def mutants(name: str, count: int) -> Iterator[Mutant]:
    rng = random.Random(name)
    make = SEEDS[name][1]
    for _ in range(count):
        yield make(rng)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # numpy's own
@pytest.mark.parametrize("name", SEEDS)
def test_mutants_are_refused_or_read_as_the_loader_reads_them(
    name: str, mutations: int, tmp_path: Path
) -> None:
    suffix = SEEDS[name][0]
    path = tmp_path / f"model{suffix}"
    (tmp_path / "shard.safetensors").write_bytes(HEADER)
    for data, asked in mutants(name, ROUNDS * mutations):
        path.write_bytes(data)
        with at_most(4):
            results = audit_input(Input(str(path), named=True))
        for result in results:  # several where data.pkl has another name: then it is an archive
            check(result, data, path if asked else None)


def check(result: FileAudit | FileError, data: bytes, path: Path | None) -> None:
    """Hold a result against what the real loader makes of `path`, if that may be asked."""
    assert isinstance(result, FileAudit | FileError)
    if isinstance(result, FileError):
        assert result.kind != "defect", (result.message, data)
    elif path is not None and result.rows and not any(bomb in data for bomb in BOMBS):
        loaded = real(path, data, path.suffix)
        if loaded is not None:
            check_rows(result, loaded)


@pytest.mark.parametrize("path", sorted(CRASHES.glob("*.*")), ids=lambda path: path.name)
def test_what_once_failed_does_not_fail_again(path: Path) -> None:
    for result in audit_input(Input(str(path), named=True)):
        assert isinstance(result, FileAudit | FileError)
        if isinstance(result, FileAudit) and result.rows:
            check_rows(result, real(path, path.read_bytes(), path.suffix) or {})
