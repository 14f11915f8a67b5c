"""Bytes that know where they lie."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_audit.errors import MalformedFile, Unreadable
from lstm_audit.raw.source import BytesSource, FileSource
from lstm_audit.raw.span import Seal, Span, span_all
from lstm_audit.registry import Registry, module_names

DATA = bytes(range(200))


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "data"
    file.write_bytes(DATA)
    return str(file)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=5))
def test_a_slice_of_a_slice_knows_its_place(cuts: list[tuple[int, int]]) -> None:
    span, wanted = span_all(BytesSource(DATA)), DATA
    for a, b in cuts:
        if a <= b <= len(wanted):
            span, wanted = span[a:b], wanted[a:b]
            assert (span.read(), span.size, len(span)) == (wanted, len(wanted), len(wanted))
        else:
            with pytest.raises(MalformedFile) as refused:
                span[a:b]
            assert refused.value.kind == "truncated"
    assert span.read() == DATA[span.start : span.start + span.size]


def test_open_ends() -> None:
    span = span_all(BytesSource(DATA))[10:]
    assert span[:5].read() == DATA[10:15]
    assert span[5:].read() == DATA[15:]
    assert span[:].read() == DATA[10:]
    assert "10" in repr(span)


def test_only_a_files_bytes_have_a_place(path: str) -> None:
    with FileSource(path) as source:
        assert span_all(source)[3:][4:].at == 7
    assert span_all(BytesSource(DATA))[3:].at is None


def test_checksums_are_inherited_innermost_first(path: str) -> None:
    with FileSource(path) as source:
        outer = span_all(source)[10:100].add_seal(1, 150)
        inner = outer[5:50].add_seal(2, 160, 170)
        assert list(map(described, inner[1:2].seals)) == [
            (15, 45, 2, [160, 170]),
            (10, 90, 1, [150]),
        ]
        assert inner.add_seal_later(lambda: None).seals == inner.seals


def described(seal: Seal) -> tuple[int, int, int, list[int]]:
    places = [place.start for place in seal.places]
    return seal.covers.start, seal.covers.size, seal.stored, places


def test_a_place_of_an_inner_checksum_is_under_the_outer_ones(path: str) -> None:
    with FileSource(path) as source:
        outer = span_all(source)[10:100].add_seal(1, 150)
        (seal, _) = outer[5:50].add_seal(2, 60).seals
        assert [described(found) for found in seal.places[0].seals] == [(10, 90, 1, [150])]


def test_a_read_that_comes_in_pieces(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pread may give less than was asked for: at a signal, or over two gigabytes."""
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: real(fd, min(n, 7), at))
    with FileSource(path) as source:
        assert source.read(0, 200) == DATA


def test_a_file_that_shrinks(path: str) -> None:
    with FileSource(path) as source:
        os.truncate(path, 50)
        with pytest.raises(Unreadable, match="shrank") as refused:
            source.read(0, 200)
        assert (refused.value.kind, refused.value.at) == ("changed", 0)
        with pytest.raises(Unreadable, match="changed"):
            source.settle()


def test_a_disk_that_fails(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(fd: int, n: int, at: int) -> bytes:
        raise OSError(5, "Input/output error")

    with FileSource(path) as source:
        monkeypatch.setattr(os, "pread", failing)
        with pytest.raises(Unreadable, match="Input/output error") as refused:
            source.read(8, 4)
        assert (refused.value.kind, refused.value.at) == ("io", 8)


@pytest.mark.parametrize("name", ["nowhere", "a\0b", "."])
def test_what_cannot_be_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        FileSource(str(tmp_path / name))


def test_closing_twice(path: str) -> None:
    source = FileSource(path)
    source.close()
    source.close()
    with pytest.raises(Unreadable, match="Bad file descriptor"):
        source.read(0, 1)


def test_a_span_costs_one_object() -> None:
    assert not hasattr(Span(BytesSource(b""), 0, 0), "__dict__")


# ---- the table that fills itself


def test_a_registry_imports_no_more_than_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shelf"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from lstm_audit.registry import Registry\nSHELF = Registry(__name__, first=('middle',))\n"
    )
    for name in ("early", "middle", "late"):
        (package / f"{name}.py").write_text(
            f"from . import SHELF\nSHELF.add({name!r}, {len(name)})\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    import sys

    import shelf

    asked = shelf.SHELF.each()
    assert next(asked) == 6
    assert {name for name in sys.modules if name.startswith("shelf.")} == {"shelf.middle"}
    assert list(shelf.SHELF) == ["middle", "early", "late"]
    assert list(asked) == [5, 4], "what was imported meanwhile is given too"
    assert list(shelf.SHELF.each()) == shelf.SHELF.values() == [6, 5, 4]
    with pytest.raises(ValueError, match="registered twice"):
        shelf.SHELF.add("late", 0)


def test_threads_that_ask_a_registry_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one of them imports the others wait for, until all of it is there."""
    package = tmp_path / "rack"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from lstm_audit.registry import Registry\nRACK = Registry(__name__, first=('slow',))\n"
    )
    slow = "import time\ntime.sleep(0.05)\n@RACK.named('slow')\ndef read():\n    return half()\n"
    (package / "slow.py").write_text(
        f"from . import RACK\n{slow}time.sleep(0.05)\ndef half():\n    return 0.5\n"
    )
    (package / "other.py").write_text("from . import RACK\nRACK.add('other', lambda: 2)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import rack

    with ThreadPoolExecutor(8) as threads:
        found = [threads.submit(lambda: next(rack.RACK.each())()) for _ in range(8)]
        every = threads.submit(lambda: [read() for read in rack.RACK.each()])
    assert [one.result() for one in found] == [0.5] * 8
    assert every.result() == [0.5, 2]


def test_modules_of_a_package_in_a_zip(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "shelf.zip", "w") as archive:
        archive.writestr("shelf/__init__.py", "")
        archive.writestr("shelf/one.py", "")
        archive.writestr("shelf/two/__init__.py", "")
    assert module_names([str(tmp_path / "shelf.zip" / "shelf")]) == ["one", "two"]
    assert isinstance(Registry("lstm_audit.formats"), Registry)
