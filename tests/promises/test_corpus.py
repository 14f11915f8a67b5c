"""Checkpoints that other people saved, where they are at hand: patched or refused with a reason,
judged, undone.
"""

import hashlib
import shutil
from pathlib import Path

import pytest

import lstm_audit
from lstm_audit.errors import AuditError
from lstm_audit.facts import Row
from lstm_audit.raw.dtypes import DTYPES

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
NOT_MODELS = {"README.md", "check.py", "manifest.json"}
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file() and path.name not in NOT_MODELS)

pytestmark = pytest.mark.skipif(not FILES, reason="the folder of real checkpoints is not here")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def precision(row: Row) -> float:
    """The spacing of the coarsest dtype at 1, twice: the value less a run-time offset is stored."""
    bits = {
        "float64": 52,
        "float32": 23,
        "float16": 10,
        "bfloat16": 7,
        "float8_e4m3fn": 3,
        "float8_e5m2": 2,
    }
    assert set(bits) == {name for name, dtype in DTYPES.items() if dtype.encode}
    return float(2.0 ** (1 - min(bits[name] for name in row.lstm.dtype.split("+"))))


@pytest.mark.parametrize("place", ["ih", "split"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORPUS)))
def test_real_checkpoint(path: Path, place: str, tmp_path: Path) -> None:
    """Every LSTM that is reported is at 1, exactly or to its dtype, and the file comes back to the
    byte.
    """
    copy = Path(shutil.copyfile(path, tmp_path / path.name))
    before, rows = sha256(path), lstm_audit.audit(path).rows
    try:
        done = lstm_audit.patch(copy, forget_bias=1.0, place=place, in_place=place == "split")  # type: ignore[arg-type]  # any word, as from a caller without types
    except AuditError as refusal:
        reason = refusal.message
        assert reason
        assert sha256(copy) == before
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
        return
    assert len(done.gates) == len(rows)
    for row in lstm_audit.audit(copy).rows:
        bias = row.measures.gates["f"]
        assert max(abs(bias.min - 1), abs(bias.max - 1)) <= (
            0.0 if not row.lstm.offset else precision(row)
        )
    assert not lstm_audit.patch(copy, forget_bias=1.0, place=place).changed  # type: ignore[arg-type]  # any word, as from a caller without types
    from lstm_audit.patching.undo import undo

    if done.changed:
        assert undo(str(copy)).state == "restored"
    assert sha256(copy) == before


BY_NATURE = ("several checkpoints", "no place in the file", "(bias=False)")
"""Why a file that is judged cannot be patched as it is: archives, gzip and int8, no bias at all."""


def test_most_of_them_can_be_patched(tmp_path: Path) -> None:
    """The test above would also pass if everything were refused."""
    refused, patched = {}, 0
    for k, path in enumerate(FILES):
        copy = Path(shutil.copyfile(path, tmp_path / f"{k}-{path.name}"))
        try:
            patched += bool(lstm_audit.patch(copy, forget_bias=1.0).gates)
        except AuditError as refusal:
            if lstm_audit.audit(path).rows:
                refused[str(path.relative_to(CORPUS))] = refusal.message
    assert patched >= 55
    unexpected = {
        name: message
        for name, message in refused.items()
        if not any(reason in message for reason in BY_NATURE)
    }
    assert not unexpected
    assert len(refused) <= 6


GOLDEN = Path(__file__).parents[1] / "data" / "corpus_findings.txt"


def said(path: Path) -> list[str]:
    """What is said of one real file: its findings, or why it cannot be read; the numbers left
    out.
    """
    audit = lstm_audit.audit(path)
    name = path.relative_to(CORPUS)
    lines = [f"{name}  {f.severity} {f.code} {f.address or '(file)'}" for f in audit.findings]
    return lines + [f"{name}  unreadable: {error.kind}" for error in audit.errors]


def test_findings_are_those_that_a_person_has_read() -> None:
    """No false error; the list was read line by line (delete it to write it anew, then read the
    difference).
    """
    found = "".join(f"{line}\n" for path in FILES for line in said(path))
    if not GOLDEN.exists():
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()
    assert " error " not in found
