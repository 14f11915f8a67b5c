"""What is remembered of one checkpoint of a run for the next: never a number, never a fault."""

import gc
import struct
from pathlib import Path

import pytest
import torch

import lstm_audit
from lstm_audit.facts import FileAudit, FileError
from lstm_audit.formats.torch import archive
from lstm_audit.inputs import Input
from lstm_audit.lstm import find
from lstm_audit.pipeline import audit_input
from lstm_audit.raw.source import FileSource

FIXTURES = Path(__file__).parents[2] / "fixtures"


def told(path: Path) -> FileAudit | FileError:
    """All that is said of a file that somebody named."""
    (only,) = audit_input(Input(str(path), named=True))
    return only


def alone(path: Path) -> FileAudit | FileError:
    """The same, with nothing remembered."""
    archive._remember.cache_clear()
    return told(path)


@pytest.mark.parametrize("folder", ["clean", "mixed", "flawed", "conventions"])
def test_a_file_is_told_as_before(folder: str) -> None:
    files = [path for path in sorted((FIXTURES / folder).rglob("*.p*t*")) if path.is_file()]
    assert files
    for path in files:
        said = repr(alone(path))
        assert [repr(told(path)) for _ in range(3)] == [said] * 3, path


def a_run(folder: Path, **more: torch.Tensor) -> list[Path]:
    """Four checkpoints of one model."""
    files = [folder / f"epoch_{epoch}.pt" for epoch in range(4)]
    for epoch, path in enumerate(files):
        torch.manual_seed(epoch)
        state = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True).state_dict()
        torch.save({**{f"enc.{name}": value for name, value in state.items()}, **more}, path)
    return files


def test_names_are_walked_over_twice_in_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, walked, anew = a_run(tmp_path), [], find.find_anew
    expected = [alone(path) for path in files]
    archive._remember.cache_clear()
    monkeypatch.setattr(find, "find_anew", lambda *given: walked.append(1) or anew(*given))
    assert [told(path) for path in files] == expected
    assert len(walked) == 2  # the first pays nothing for the others, the second remembers
    assert len({row.measures.gates["f"].mean for row in lstm_audit.audit(tmp_path).rows}) == 16


@pytest.mark.parametrize("name", ["enc.bias_hh_l1", "enc.gain"])
def test_a_record_that_is_wrong_in_one_file_is_said_of_that_file(tmp_path: Path, name: str) -> None:
    """`gain` is no bias of any LSTM, but it takes the row away: the walk locates it as well."""
    more = {"enc.gain": torch.rand(16)} if name == "enc.gain" else {}
    files = a_run(tmp_path, **more)
    record = list(torch.load(files[2], weights_only=True)).index(name)
    raw = bytearray(files[2].read_bytes())
    header = f"epoch_2/data/{record}".encode()
    at = raw.index(header) - 30
    assert raw[at : at + 4] == b"PK\3\4"
    raw[at + 30] ^= 1
    files[2].write_bytes(raw)
    expected = [alone(path) for path in files]
    assert isinstance(expected[2], FileError)
    archive._remember.cache_clear()
    assert [told(path) for path in files] == expected


def test_byte_order_is_each_file_s_own(tmp_path: Path) -> None:
    files = a_run(tmp_path)
    raw = files[2].read_bytes()
    at = raw.index(b"little", raw.index(b"epoch_2/byteorder"))
    files[2].write_bytes(raw[:at] + b"littel" + raw[at + 6 :])
    expected = [alone(path) for path in files]
    assert isinstance(expected[2], FileError)
    archive._remember.cache_clear()
    assert [told(path) for path in files] == expected


def test_no_file_is_kept(tmp_path: Path) -> None:
    archive._remember.cache_clear()
    gc.collect()
    before = sum(type(one) is FileSource for one in gc.get_objects())
    for path in a_run(tmp_path):
        told(path)
    assert archive._remember.cache_info().currsize == 1
    gc.collect()
    assert sum(type(one) is FileSource for one in gc.get_objects()) == before


def test_another_forget_gate_under_the_same_header_is_another_number(tmp_path: Path) -> None:
    files = a_run(tmp_path)
    for path in files:
        told(path)
    raw = bytearray(files[3].read_bytes())
    (row,) = [row for row in told(files[3]).rows if row.lstm.address == "enc:l1"]
    for place in row.lstm.locations:
        raw[place.at : place.at + place.size] = struct.pack("<4f", *[2.5] * 4)
    files[3].write_bytes(raw)
    (row,) = [row for row in told(files[3]).rows if row.lstm.address == "enc:l1"]
    assert row.measures.gates["f"].mean == 5.0
