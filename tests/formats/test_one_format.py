"""A format is one module: what others ask about it is asked of its record."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lstm_audit
from lstm_audit.fleet import audit
from lstm_audit.formats import (
    READERS,
    Beside,
    Checkpoint,
    Format,
    all_formats,
    format_named,
    list_suffixes,
    reader,
)
from lstm_audit.inputs import Input
from lstm_audit.raw.span import Span

PACKAGE = Path(lstm_audit.__file__).parent


@pytest.fixture
def invented() -> Iterator[Format]:
    """A format that no file of the package knows of."""
    READERS.values()
    known = Format("invented", ("inv",), ("inv",), executes=True, shares_bytes=False)

    @reader("invented", known)
    def read(span: Span, beside: Beside) -> Checkpoint | None:
        if span.size < 8 or span[:8].read() != b"INVENTED":
            return None
        return Checkpoint("invented", {}, globals=(("os", "system"),))

    list_suffixes.cache_clear()
    yield known
    del READERS._entries["invented"]
    list_suffixes.cache_clear()


def test_a_new_format_is_known_wherever_formats_are_asked_about(
    invented: Format, tmp_path: Path
) -> None:
    path = tmp_path / "model.inv"
    path.write_bytes(b"INVENTED")
    (file,) = audit(path).files
    assert file.format == "invented"
    assert [finding.code for finding in file.findings] == ["LA901"]
    assert format_named("invented") == invented
    assert Input(str(path), named=False).expected
    path.write_bytes(b"something else that nobody reads")
    (error,) = audit(tmp_path).errors
    assert error.kind == "unknown-format"
    (tmp_path / "model.inv").unlink()
    (tmp_path / "model.safetensors").write_bytes(b"INVENTED")
    (file,) = audit(tmp_path).files
    assert [finding.code for finding in file.findings] == ["LA901", "LA903"]


def test_the_names_of_formats_stand_in_their_readers_alone() -> None:
    """What a rule, the patcher or the walk of folders wants to know, the record says."""
    words = {"pickle", "hdf5", "keras", "onnx", "refused"}  # which mean something else, too
    names = {known.name for known in all_formats()} - words
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0]
        if room in ("formats", "wire", "lstm", "source"):
            continue
        code = re.sub(r'"""(?s:.*?)"""', "", path.read_text())
        assert not names & set(re.findall(r'"([\w-]+)"', code)), path


def test_every_format_says_what_may_be_asked() -> None:
    known = {one.name: one for one in all_formats()}
    assert len(known) == len(all_formats())
    assert known["torch-zip"].executes
    assert not known["torchscript"].executes
    assert not known["safetensors"].shares_bytes
    assert known["torch-sharded"].several
    assert format_named("live") == Format("live")


def test_a_safetensors_file_imports_no_other_reader(tmp_path: Path) -> None:
    """In a process of its own: which reader is asked first follows from what was imported."""
    script = """
import sys
from pathlib import Path
from lstm_audit.fleet import audit
path = Path(sys.argv[1])
header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
assert audit(str(path), numbers_only=True).files[0].format == "safetensors"
assert "lstm_audit.formats.torch" not in sys.modules
"""
    command = [sys.executable, "-c", script, str(tmp_path / "one.safetensors")]
    subprocess.run(command, check=True)
