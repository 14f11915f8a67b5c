"""Scripts changed where their structure is: a refusal, or the number that torch.jit has.

torch.jit reads a script in C++, and some mutants end the process. So a child loads them, one after
the other, and says what it found; where it dies, the mutant at which it died counts as refused and
another child goes on behind it.
"""

import io
import os
import pickle
import random
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mutants import flip, mutate_pickle, mutate_zip

from lstm_audit.facts import FileAudit, FileError
from lstm_audit.inputs import Input
from lstm_audit.pipeline import audit_input

H = 5
ROUNDS = 10
BATCH = 100

Loaded = dict[str, Any] | None


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, H)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


@cache
def script() -> bytes:
    torch.manual_seed(4)
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(Net()), out)
    return out.getvalue()


def rewritten(rng: random.Random) -> bytes:
    """One record of the archive is another, or the archive has one more."""
    with zipfile.ZipFile(io.BytesIO(script())) as file:
        members = [(info, file.read(info)) for info in file.infolist()]
    out = io.BytesIO()
    at = rng.randrange(len(members))
    with zipfile.ZipFile(out, "w") as file:
        for place, (info, data) in enumerate(members):
            file.writestr(info.filename, changed(info.filename, data, rng) if place == at else data)
        if rng.random() < 0.1:
            info, data = rng.choice(members)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a name twice
                file.writestr(rng.choice([info.filename, info.filename.upper()]), data)
    return out.getvalue()


def changed(name: str, data: bytes, rng: random.Random) -> bytes:
    if name.endswith(".pkl"):
        return mutate_pickle(data, rng)
    if name.endswith(".py") and rng.random() < 0.5:
        lines = data.split(b"\n")
        at = rng.randrange(len(lines))
        return b"\n".join([*lines[:at], *lines[at + rng.choice((0, 1)) :], lines[at]])
    return flip(data, rng) if data and rng.random() < 0.7 else data[: len(data) // 2]


def mutants(count: int) -> Iterator[bytes]:
    rng = random.Random("scripts")
    for _ in range(count):
        kind = rng.random()
        yield (
            rewritten(rng)
            if kind < 0.6
            else mutate_zip(script(), rng)
            if kind < 0.9
            else flip(script(), rng)
        )


def load(path: Path) -> Loaded:
    """What torch.jit gives, in a child that may die of it."""
    try:
        state = torch.jit.load(path).state_dict()
    except BaseException:  # noqa: BLE001  # whatever a loader raises is a refusal
        return None
    return {name: value.detach().double().numpy() for name, value in state.items()}


def ask(paths: Sequence[Path]) -> list[Loaded]:
    """What torch.jit gives for each; None where it refuses, or dies."""
    answers: list[Loaded] = []
    while len(answers) < len(paths):
        told = told_by_a_child(paths[len(answers) :])
        answers += told
        if len(answers) < len(paths):
            answers.append(None)
    return answers


def told_by_a_child(paths: Sequence[Path]) -> list[Loaded]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        with os.fdopen(writing, "wb") as out:
            for path in paths:
                pickle.dump(load(path), out)
                out.flush()
        os._exit(0)
    os.close(writing)
    told: list[Loaded] = []
    with os.fdopen(reading, "rb") as source:
        while len(told) < len(paths):
            try:
                told.append(pickle.load(source))
            except (EOFError, pickle.UnpicklingError):
                break
    os.waitpid(child, 0)
    return told


def check_rows(audit: FileAudit, loaded: dict[str, Any], data: bytes) -> None:
    for row in audit.rows:
        names = row.lstm.bias_tensors
        assert set(names) <= set(loaded), (names, data)
        size = row.lstm.hidden_size
        total = sum(np.ravel(loaded[name])[size : 2 * size] for name in names)
        if np.isfinite(total).all():
            assert row.measures.gates["f"].mean == pytest.approx(float(np.mean(total)), rel=1e-5)


def test_the_script_itself_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(script())
    (audit,) = audit_input(Input(str(path), named=True))
    (loaded,) = ask([path])
    assert isinstance(audit, FileAudit)
    assert len(audit.rows) == 1
    assert loaded is not None
    check_rows(audit, loaded, b"")


def test_a_child_that_dies_refuses_one_mutant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(path: Path) -> Loaded:
        return os._exit(11) if path.name == "1" else {}  # type: ignore[func-returns-value]  # it does not return

    monkeypatch.setitem(globals(), "load", deadly)
    assert ask([tmp_path / str(k) for k in range(3)]) == [{}, None, {}]


def test_mutants_are_refused_or_read_as_torch_jit_reads_them(
    mutations: int, tmp_path: Path
) -> None:
    paths, rows, both = [tmp_path / f"{k}.pt" for k in range(BATCH)], 0, 0
    made = mutants(ROUNDS * mutations)
    for _ in range(ROUNDS * mutations // BATCH):
        audits = []
        for path in paths:
            data = next(made)
            path.write_bytes(data)
            (result, *more) = audit_input(Input(str(path), named=True))
            for one in (result, *more):  # several where it is an archive of other things
                assert not isinstance(one, FileError) or one.kind != "defect", data
            audits.append((result, data))
        for (audit, data), loaded in zip(audits, ask(paths), strict=True):
            if isinstance(audit, FileAudit):
                rows += len(audit.rows)
                if loaded is not None and audit.rows:
                    check_rows(audit, loaded, data)
                    both += 1
    assert rows > both > mutations, "most were neither refused by all nor read by us alone"
