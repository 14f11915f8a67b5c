"""Signals at random times, as a person, a scheduler or the kernel sends them to the real command.

`test_patch_faults.py` stops a patch at each of its system calls. Here nobody knows when: a child
runs the whole command, and the parent sends SIGINT, SIGTERM or SIGKILL after a random part of the
time that it takes. `pytest tests/patching/test_signals.py --mutations 500` sends 500 in each mode.
"""

import os
import random
import shutil
import signal
import sys
import time
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from command import CLEAN

import lstm_audit
from lstm_audit import cli
from lstm_audit.cli import group, patch  # noqa: F401  # what a child would import, once for all
from lstm_audit.errors import NotPatchable
from lstm_audit.patching.whole import undo_checkpoint

OLD, NEW = 0.5, -2.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
PADDING = 4 << 20  # bytes: so that a copy takes as long as the rest
SAFELY_ENDED = {0, 130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL}

Files = dict[str, bytes]


class Mode(NamedTuple):
    """What is run on which kind of file; `undone`: a patch went before, and is what is undone."""

    kind: str
    words: tuple[str, ...]
    undone: bool = False


PATCH = ("patch", "--forget-bias", str(NEW), "--place", "split")
MODES = {
    "patch": Mode("torch", PATCH),
    "patch without undo": Mode("torch", (*PATCH, "--no-undo")),
    "patch --in-place": Mode("torch", (*PATCH, "--in-place")),
    "undo": Mode("torch", ("undo",), undone=True),
    "patch an archive": Mode("zip", PATCH),
    "patch shards": Mode("shards", PATCH),
    "patch shards --in-place": Mode("shards", (*PATCH, "--in-place")),
    "undo shards": Mode("shards", ("undo",), undone=True),
}


def build(folder: Path, kind: str) -> Path:
    folder.mkdir()
    if kind == "shards":
        shutil.copytree(CLEAN / "sharded", folder, dirs_exist_ok=True)
        path = folder / "model.safetensors.index.json"
        lstm_audit.patch(path, forget_bias=OLD, place="split", undo=False)
        return path
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(3, 40)
    with torch.no_grad():
        lstm.bias_ih_l0[40:80] = lstm.bias_hh_l0[40:80] = OLD / 2
    state = {**lstm.state_dict(), "table": torch.zeros(PADDING // 4)}
    path = folder / "model.pt"
    torch.save(state, path)
    if kind == "zip":
        outer = folder / "model.zip"
        with zipfile.ZipFile(outer, "w") as file:
            file.write(path, "a/model.pt")
        path.unlink()
        return outer
    return path


def contents(path: Path, names: set[str]) -> Files:
    return {name: (path.parent / name).read_bytes() for name in names}


def restore(path: Path, files: Files) -> None:
    for other in path.parent.iterdir():
        other.unlink()
    for name, data in files.items():
        (path.parent / name).write_bytes(data)


def start(words: list[str], errors: Path) -> int:
    """The command in a child of its own, as the shell starts it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child is the command's
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return child
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stdout, sys.stderr = open(os.devnull, "w"), errors.open("w")  # noqa: SIM115  # until it ends
        sys.argv = ["lstm-audit", *words]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        cli.main()
    except BaseException as error:  # noqa: BLE001  # what the interpreter would do with it
        if isinstance(error, KeyboardInterrupt):
            os._exit(130)
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(99)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def takes(path: Path, before: Files, words: list[str], errors: Path) -> float:
    """Seconds of an undisturbed run: the middle of five."""
    seconds = []
    for _ in range(5):
        restore(path, before)
        started = time.monotonic()
        assert wait(start(words, errors)) == 0, errors.read_text()
        seconds.append(time.monotonic() - started)
    return sorted(seconds)[2]


def means(path: Path) -> set[float]:
    """The forget biases, or none where the file is refused as interrupted."""
    found = lstm_audit.audit(path)
    if found.errors:
        assert {error.kind for error in found.errors} == {"interrupted-patch"}, found.errors
        return set()
    return {round(row.measures.gates["f"].mean, 6) for row in found.rows}


@pytest.mark.parametrize("name", MODES)
def test_a_signal_at_any_time_leaves_the_old_file_or_the_new_one(
    name: str, mutations: int, tmp_path: Path
) -> None:
    mode = MODES[name]
    path = build(tmp_path / "watched", mode.kind)
    names = {file.name for file in path.parent.iterdir()}
    plain = contents(path, names)
    before = plain
    if mode.undone:
        lstm_audit.patch(path, forget_bias=NEW, place="split")
        before = contents(path, {file.name for file in path.parent.iterdir()})
    words, errors = [mode.words[0], str(path), *mode.words[1:]], tmp_path / "stderr"
    longest = 1.1 * takes(path, before, words, errors)
    after = contents(path, names)
    chance, met = random.Random(name), Counter[str]()
    rounds = mutations // 3 if mutations < 500 else mutations
    while met.total() < rounds or (len(met) < 2 and met.total() < 9 * rounds):
        if met.total() and met.total() % rounds == 0:
            longest *= 2  # the machine is busier than when it was timed
        restore(path, before)
        child = start(words, errors)
        time.sleep(chance.uniform(0, longest))
        os.kill(child, chance.choice(SIGNALS))
        assert wait(child) in SAFELY_ENDED, errors.read_text()
        assert "Traceback" not in errors.read_text()
        met[settled(path, names, (plain, contents_of(before, names), after))] += 1
    assert len(met) > 1, "some came before it was done, and some after"


def contents_of(files: Files, names: set[str]) -> Files:
    return {name: files[name] for name in names}


def settled(path: Path, names: set[str], allowed: tuple[Files, ...]) -> str:
    """Check what a signal left, and what the next `undo` makes of it; says what was found."""
    found = means(path)
    assert found in (set(), {OLD}, {NEW})
    if not found:
        with suppress(NotPatchable):  # nothing to undo: the last one never began
            undo_checkpoint(str(path))
        assert means(path) in ({OLD}, {NEW})
    now = contents(path, names)
    assert now in allowed, "torn"
    return "interrupted" if not found else "old" if found == {OLD} else "new"
