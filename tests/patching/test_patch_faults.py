"""Every system call of a patch, failed, torn or killed: the file holds its old bytes or its new
ones, whatever happens.

A child is forked for each fault: at the N-th call that creates, writes, syncs, renames, links,
unlinks, truncates or changes a mode it raises an error, writes half, or is killed before or after
the call. Then the next command is run, as a user would. Beside the kills there are power cuts,
which also lose what was not synced: they are computed from the traced calls (`Disk`).
`test_no_other_call_changes_the_folder` has strace say that no call was overlooked.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from taps import CALLS, GONE_WRONG, HALVES, Tap, act_in_child

from lstm_audit.errors import AuditError, Unreadable
from lstm_audit.patching import clone, files, journal, record
from lstm_audit.patching.apply import Applied, apply
from lstm_audit.patching.edits import Edit
from lstm_audit.patching.record import Record
from lstm_audit.patching.undo import undo

if sys.platform != "linux":
    pytest.skip("forks children and traces Linux calls", allow_module_level=True)

SIZE = 5000
BEFORE = random.Random(0).randbytes(SIZE)
PLACES = ((10, 400), (1200, 4), (3000, 64))


def edits(data: bytes, seed: int) -> tuple[Edit, ...]:
    """Edits in which every byte changes."""
    mask = random.Random(seed).randrange(1, 256)
    return tuple(
        Edit(a, data[a : a + n], bytes(b ^ mask for b in data[a : a + n]), f"patch {seed}")
        for a, n in PLACES
    )


def edited(data: bytes, changes: tuple[Edit, ...]) -> bytes:
    out = bytearray(data)
    for edit in changes:
        out[edit.at : edit.end] = edit.new
    return bytes(out)


FIRST = edited(BEFORE, edits(BEFORE, 1))
SECOND = edited(FIRST, edits(FIRST, 2))


def patch(path: str, seed: int, **options: Any) -> Applied:
    return apply(
        path, edits(Path(path).read_bytes(), seed), files.identity_of(os.stat(path)), **options
    )


# The seams: everything that can change a folder
# ----------------------------------------------------------------------

PARTIAL = ("pwrite", "copy_file_range")
FAULTS = ("EIO", "ENOSPC", "kill before", "kill after", "interrupt before", "interrupt after")


def faults_for(name: str) -> tuple[str, ...]:
    return FAULTS + (HALVES if name in PARTIAL else ())


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill does not lose what is in the page cache, so these tests need no disk."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: thousands of small files."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


# What is run, and what must hold afterwards
# --------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """`prepare` makes the file, `act` is what gets hurt; `old` and `new` are what the file may hold
    then.
    """

    name: str
    act: Callable[[str], object]
    old: bytes
    new: bytes
    prepare: tuple[Callable[[str], object], ...] = ()
    patches: int = 1  # of the record, once the act is complete
    output: bool = False
    slow_copy: bool = False
    record: bool = True


def stale_temp(path: str) -> None:
    Path(files.sidecar(path, f"lstm-audit-{'0' * 12}.tmp")).write_bytes(b"left by a killed run")


def stale_record(path: str) -> None:
    patch(path, 2)
    Path(path).write_bytes(FIRST)


def torn(path: str) -> None:
    """A patch in place, cut off in the middle of its bytes."""
    changes = edits(BEFORE, 1)
    with files.hold(path) as held:
        journal.begin(held, changes)
        files.write_at(held.fd, changes[0].new[:100], changes[0].at)


def other_owner(path: str) -> None:
    if os.getuid() == 0:
        os.chown(path, 65534, 65534)
    os.chmod(path, 0o640)


def fancy(path: str) -> None:
    with suppress(OSError):  # not every file system keeps them
        os.setxattr(path, "user.comment", b"mine")


def out(path: str) -> str:
    return path + ".out"


def first(path: str) -> None:
    patch(path, 1)


SCENARIOS = [
    Scenario("replace", lambda p: patch(p, 1), BEFORE, FIRST),
    Scenario("replace, owner and attributes", lambda p: patch(p, 1), BEFORE, FIRST, (other_owner, fancy)),
    Scenario("replace, no kernel copy", lambda p: patch(p, 1), BEFORE, FIRST, slow_copy=True),
    Scenario("replace again", lambda p: patch(p, 2), FIRST, SECOND, (first,), 2),
    Scenario("replace over a stale temp and record", lambda p: patch(p, 2), FIRST, SECOND,
             (first, stale_record, stale_temp), 2),
    Scenario("replace without undo", lambda p: patch(p, 1, undo=False), BEFORE, FIRST, record=False),
    Scenario("in place", lambda p: patch(p, 1, mode="in-place"), BEFORE, FIRST),
    Scenario("in place again", lambda p: patch(p, 2, mode="in-place"), FIRST, SECOND, (first,), 2),
    Scenario("in place without undo", lambda p: patch(p, 1, mode="in-place", undo=False), BEFORE, FIRST, record=False),
    Scenario("output", lambda p: patch(p, 1, mode="output", output=out(p)), BEFORE, BEFORE, output=True, patches=0),
    Scenario("output over a file", lambda p: patch(p, 1, mode="output", output=out(p), overwrite=True), BEFORE, BEFORE,
             (lambda p: Path(out(p)).write_bytes(b"was here"),), output=True, patches=0),
    Scenario("undo", undo, FIRST, BEFORE, (first,), 0),
    Scenario("undo one of two", undo, SECOND, FIRST, (first, lambda p: patch(p, 2)), 1),
    Scenario("undo in place", lambda p: undo(p, mode="in-place"), SECOND, FIRST, (first, lambda p: patch(p, 2)), 1),
    Scenario("undo rolls back", undo, BEFORE, BEFORE, (torn,), 0),
    Scenario("recover", journal.recover_journal, BEFORE, BEFORE, (torn,), 0),
]  # fmt: skip


def prepared(folder: Path, scenario: Scenario) -> str:
    folder.mkdir()
    path = folder / "model.pt"
    path.write_bytes(BEFORE)
    for step in scenario.prepare:
        step(str(path))
    return str(path)


def run_child(scenario: Scenario, path: str, tap: Tap) -> int:
    return act_in_child(lambda: scenario.act(path), tap)


def calls_of(folder: Path, scenario: Scenario) -> list[str]:
    path, tap = prepared(folder, scenario), Tap(slow_copy=scenario.slow_copy)
    with pytest.MonkeyPatch.context() as patcher:
        tap.install(patcher)
        scenario.act(path)
    assert_complete(scenario, path)
    return tap.names


def names_in(path: str) -> set[str]:
    return set(os.listdir(os.path.dirname(path)))


def assert_complete(scenario: Scenario, path: str) -> None:
    assert Path(path).read_bytes() == scenario.new
    expected = {"model.pt"}
    if scenario.output:
        expected.add("model.pt.out")
        assert Path(out(path)).read_bytes() == FIRST
    if scenario.patches and scenario.record:
        expected.add("model.pt.undo.json")
    if scenario.name != "recover":
        assert names_in(path) == expected


def assert_nothing_lost(
    scenario: Scenario, path: str, code: int, call: str, before: Record | None
) -> None:
    """Right after the fault, before anything has tidied up."""
    assert code in (0, 1, 2, -9)
    held, hot = Path(path).read_bytes(), journal.hot(path)
    if hot:
        assert all(
            b in pair
            for b, *pair in zip(held, scenario.old, scenario.new, BEFORE, FIRST, strict=True)
        )
    else:
        assert held in (scenario.old, scenario.new)
    if scenario.output and os.path.exists(out(path)):
        assert Path(out(path)).read_bytes() in (FIRST, b"was here")
    if code == 0:
        assert held == scenario.new
    if code == 1 and not hot and scenario.name != "recover":
        assert held == scenario.old
        assert record.load(path) == before
    temps = [name for name in names_in(path) if name.endswith(".tmp")]
    if code in (0, 1, 2) and call != "unlink":
        assert temps == [] or scenario.prepare[-1:] == (stale_temp,)


def assert_next_run_is_clean(scenario: Scenario, path: str) -> None:
    """Whatever was left, the same command again completes it, and undo gives back the very first
    bytes.
    """
    recovered = journal.recover_journal(path)
    assert not journal.hot(path)
    assert Path(path).read_bytes() in (scenario.old, scenario.new), recovered
    if scenario.name.startswith("undo"):
        finish_undo(path)
        return
    if scenario.output and os.path.exists(out(path)) and "over" not in scenario.name:
        os.unlink(out(path))  # a user whom we told that it exists
    if scenario.output or Path(path).read_bytes() != scenario.new:
        scenario.act(path)
    else:
        undo_if_recorded(scenario, path)
        scenario.act(path)
    assert_complete(scenario, path)
    if scenario.record:
        finish_undo(path)


def undo_if_recorded(scenario: Scenario, path: str) -> None:
    """The patch got through: then it must be possible to take it back."""
    if scenario.record and scenario.name != "recover":
        assert undo(path).state == "restored"
    elif not scenario.record:
        Path(path).write_bytes(scenario.old)
    assert Path(path).read_bytes() == scenario.old


def finish_undo(path: str) -> None:
    for _ in range(5):
        if undo(path).state == "nothing":
            break
    assert Path(path).read_bytes() == BEFORE
    assert names_in(path) - {"model.pt.out"} == {"model.pt"}


def test_every_call_of_every_scenario_can_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: Counter[str] = Counter()
    expected: Counter[str] = Counter()
    for k, scenario in enumerate(SCENARIOS):
        calls = calls_of(tmp_path / f"{k}", scenario)
        for at, call in enumerate(calls):
            expected[scenario.name] += len(faults_for(call))
            for fault in faults_for(call):
                path = prepared(tmp_path / f"{k}-{at}-{fault}", scenario)
                before = record.load(path)
                code = run_child(scenario, path, Tap(at, fault, scenario.slow_copy))
                try:
                    assert_nothing_lost(scenario, path, code, call, before)
                    assert_next_run_is_clean(scenario, path)
                except (AssertionError, AuditError) as error:
                    message = (
                        f"{scenario.name}: {fault} at call {at} ({call}), exit {code}: {error!r}"
                    )
                    raise AssertionError(message) from error
                shutil.rmtree(os.path.dirname(path))
                ran[scenario.name] += 1
    assert ran == expected
    assert len(ran) == len(SCENARIOS)
    with capsys.disabled():
        print(f"\n{sum(ran.values())} faults in {len(ran)} scenarios", end=" ")
    assert sum(ran.values()) > 1000


def test_a_killed_child_is_noticed(tmp_path: Path) -> None:
    """The harness itself: the fault happens, and a mistake of the program is told from an expected
    error.
    """
    path = prepared(tmp_path / "a", SCENARIOS[0])
    assert run_child(SCENARIOS[0], path, Tap(0, "kill before")) == -signal.SIGKILL
    assert run_child(SCENARIOS[0], path, Tap(0, "ENOSPC")) == 1
    wrong = Scenario("wrong", lambda p: int("x"), BEFORE, BEFORE)
    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(traceback, "print_exc", lambda: None)
        assert run_child(wrong, path, Tap()) == GONE_WRONG


# Power cuts: what was not synced may be lost, in any combination
# ------------------------------------------------------


@dataclass
class Disk:
    """Traced calls, and what a disk may hold when the power goes in the middle of them.

    A write that was not synced is, sector by sector, there or not; a name that was made, moved or
    removed without a sync of the folder is there or not.
    """

    names: dict[str, int]
    start: dict[int, bytes]
    events: list[tuple[Any, ...]] = field(default_factory=list)

    SECTOR = 32

    def live(self, upto: int) -> dict[str, bytes]:
        """What a process sees after so many calls: the page cache."""
        return self._state(self.events[:upto], lambda event: True)

    def cut(self, upto: int, chance: Callable[[], bool], synced: bool = True) -> dict[str, bytes]:
        """One of the things that a power cut after so many calls may leave."""
        events = self.events[:upto]
        last: dict[Any, int] = {
            event[1]: k for k, event in enumerate(events) if event[0] == "sync" and synced
        }
        safe = {k for k, event in enumerate(events) if k < last.get(self._of(event), -1)}
        return self._state(list(enumerate(events)), lambda event: event[0] in safe or chance())

    @staticmethod
    def _of(event: tuple[Any, ...]) -> Any:
        return event[1] if event[0] in ("write", "size") else "folder"

    def _state(self, events: Any, kept: Callable[[Any], bool]) -> dict[str, bytes]:
        names, data = dict(self.names), {ino: bytearray(b) for ino, b in self.start.items()}
        for numbered in events:
            event = numbered[1] if isinstance(numbered[1], tuple) else numbered
            kind, *rest = event
            if kind == "write":
                ino, at, new = rest
                for k in range(0, len(new), self.SECTOR):
                    if kept(numbered):
                        _put(data.setdefault(ino, bytearray()), at + k, new[k : k + self.SECTOR])
            elif kind == "size" and kept(numbered):
                file = data.setdefault(rest[0], bytearray())
                file.extend(bytes(max(rest[1] - len(file), 0)))
            elif kind == "name" and kept(numbered):
                names[rest[0]] = rest[1]
                data.setdefault(rest[1], bytearray())
            elif kind == "move" and kept(numbered):
                names.pop(rest[0], None)
                names[rest[1]] = rest[2]
            elif kind == "gone" and kept(numbered):
                names.pop(rest[0], None)
        return {name: bytes(data.get(ino, b"")) for name, ino in names.items()}


def _put(file: bytearray, at: int, new: bytes) -> None:
    file.extend(bytes(max(at + len(new) - len(file), 0)))
    file[at : at + len(new)] = new


class Tracer(Tap):
    """A tap that writes down what it sees. Inode numbers are used again by the system, so files get
    numbers of ours.
    """

    def __init__(self, folder: str, disk: Disk | None = None) -> None:
        super().__init__()
        self.folder, self.numbers, self.open_names = folder, {}, {}  # type: tuple[str, dict[int, int], dict[str, int]]
        found = {name: Path(folder, name) for name in os.listdir(folder)}
        ids = dict(disk_names(disk)) if disk else {name: k for k, name in enumerate(found)}
        self.next = max([*ids.values(), *(disk_numbers(disk) if disk else ())], default=0) + 1
        for name, file in found.items():
            self.numbers[file.stat().st_ino] = ids[name]
        self.open_names = {name: ids[name] for name in found}
        self.disk = disk or Disk(
            dict(self.open_names), {ids[n]: f.read_bytes() for n, f in found.items()}
        )

    def seen(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        add = self.disk.events.append
        if name == "open":
            self.numbers[os.fstat(result).st_ino] = self.next
            self.open_names[self.name(args[0])] = self.next
            add(("name", self.name(args[0]), self.next))
            self.next += 1
        elif name == "pwrite":
            add(("write", self.number(args[0]), args[2], bytes(args[1])[:result]))
        elif name == "copy_file_range":
            add(("write", self.number(args[1]), args[4], os.pread(args[1], result, args[4])))
        elif name == "ioctl":
            add(("write", self.number(args[0]), 0, os.pread(args[0], os.fstat(args[0]).st_size, 0)))
        elif name == "ftruncate":
            add(("size", self.number(args[0]), args[1]))
        elif name == "fsync":
            add(("sync", self.number(args[0])))
        elif name in ("replace", "rename"):
            self.open_names[self.name(args[1])] = self.open_names.pop(self.name(args[0]))
            add(
                (
                    "move",
                    self.name(args[0]),
                    self.name(args[1]),
                    self.open_names[self.name(args[1])],
                )
            )
        elif name == "link":
            self.open_names[self.name(args[1])] = self.open_names[self.name(args[0])]
            add(("name", self.name(args[1]), self.open_names[self.name(args[1])]))
        elif name == "unlink":
            self.open_names.pop(self.name(args[0]))
            add(("gone", self.name(args[0])))

    @staticmethod
    def name(path: str) -> str:
        return os.path.basename(path)

    def number(self, fd: int) -> Any:
        ino = os.fstat(fd).st_ino
        return "folder" if ino == os.stat(self.folder).st_ino else self.numbers[ino]


def disk_names(disk: Disk) -> dict[str, int]:
    """The names that a process sees after all calls."""
    names = dict(disk.names)
    for kind, *rest in disk.events:
        if kind == "name":
            names[rest[0]] = rest[1]
        elif kind == "move":
            names[rest[1]] = names.pop(rest[0])
        elif kind == "gone":
            names.pop(rest[0])
    return names


def disk_numbers(disk: Disk) -> list[int]:
    return [*disk.start, *(event[2] for event in disk.events if event[0] == "name")]


def traced(folder: Path, act: Callable[[str], object], disk: Disk | None = None) -> Disk:
    tracer = Tracer(str(folder), disk)
    with pytest.MonkeyPatch.context() as patcher:
        tracer.install(patcher)
        act(str(folder / "model.pt"))
    return tracer.disk


def materialised(folder: Path, state: dict[str, bytes]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in state.items():
        (folder / name).write_bytes(data)
    return folder


def chances(seed: int) -> Iterator[Callable[[], bool]]:
    yield lambda: True
    yield lambda: False
    for k in range(16):
        dice, share = random.Random(seed * 100 + k), (0.1, 0.5, 0.5, 0.9)[k % 4]
        yield lambda dice=dice, share=share: dice.random() < share  # type: ignore[misc]  # the values of this round


def bad_after_cut(folder: Path, scenario: Scenario) -> bool:
    """Whether what a power cut left is neither old nor new, or new without a way back."""
    path = str(folder / "model.pt")
    try:
        journal.recover_journal(path)
        if Path(path).read_bytes() not in (scenario.old, scenario.new):
            return True
        if (
            scenario.output
            and os.path.exists(out(path))
            and Path(out(path)).read_bytes() not in (FIRST, b"was here")
        ):
            return True
        assert_next_run_is_clean(scenario, path)
    except (AssertionError, AuditError, OSError):
        return True
    return False


BASIC = ["replace", "replace again", "in place", "in place again"]
UNDOING = ["undo", "undo one of two", "undo in place", "undo rolls back", "recover"]
CUT = [scenario for scenario in SCENARIOS if scenario.name in BASIC + UNDOING or scenario.output]


def cut_states(disk: Disk, first_call: int, synced: bool = True) -> Iterator[dict[str, bytes]]:
    seen = set()
    for upto in range(first_call, len(disk.events) + 1):
        for chance in chances(upto):
            state = disk.cut(upto, chance, synced)
            if (key := tuple(sorted(state.items()))) not in seen:
                seen.add(key)
                yield state


@pytest.mark.parametrize("scenario", CUT, ids=lambda s: s.name)
def test_power_cut_at_every_call(tmp_path: Path, scenario: Scenario) -> None:
    path = prepared(tmp_path / "run", scenario)
    disk = traced(tmp_path / "run", scenario.act)
    assert disk.live(len(disk.events)) == {
        n: Path(path).with_name(n).read_bytes() for n in names_in(path)
    }
    everything = len(disk.events)
    assert disk.cut(everything, lambda: False) == disk.live(everything), (
        "a command that returned is durable"
    )
    states = list(cut_states(disk, 0))
    bad = [s for s in states if bad_after_cut(materialised(tmp_path / "cut", s), scenario)]
    assert bad == []
    assert len(states) >= (4 if torn in scenario.prepare else 10)


@pytest.mark.parametrize("scenario", CUT[2:4], ids=lambda s: s.name)
def test_power_cut_while_recovering_from_a_kill(tmp_path: Path, scenario: Scenario) -> None:
    """The killed patch's bytes are in the page cache only: what recovery reads may not be what the
    disk has.
    """
    prepared(tmp_path / "run", scenario)
    whole = traced(tmp_path / "run", scenario.act)
    states = 0
    for killed in range(1, len(whole.events)):
        folder = materialised(tmp_path / "again", whole.live(killed))
        if not journal.hot(str(folder / "model.pt")):
            continue
        disk = Disk(whole.names, whole.start, whole.events[:killed])
        traced(folder, journal.recover_journal, disk)
        for state in cut_states(disk, killed):
            states += 1
            assert not bad_after_cut(materialised(tmp_path / "cut", state), scenario)
    assert states > 50


@pytest.mark.parametrize("scenario", [CUT[0], CUT[2], CUT[4]], ids=lambda s: s.name)
def test_power_cut_control_without_the_syncs_fails(tmp_path: Path, scenario: Scenario) -> None:
    prepared(tmp_path / "run", scenario)
    disk = traced(tmp_path / "run", scenario.act)
    states = list(cut_states(disk, 0, synced=False))
    assert sum(bad_after_cut(materialised(tmp_path / "cut", s), scenario) for s in states) >= 5


# The real thing -----------------------------------------------------------------------------------
# -------------------

CHILD = """
import os, sys
from lstm_audit.patching import files
from lstm_audit.patching.apply import apply
from lstm_audit.patching.edits import Edit
from lstm_audit.patching.undo import undo
path, mode = sys.argv[1:]
os.mkdir(os.path.dirname(path) + "/begin")
if mode == "undo":
    undo(path)
else:
    data = open(path, "rb").read(16)
    out = path + ".out" if mode == "output" else None
    apply(path, [Edit(0, data, bytes(16), "r")], files.identity_of(os.stat(path)), mode=mode, output=out)
os.mkdir(os.path.dirname(path) + "/end")
"""
READS = {
    "openat", "open", "read", "pread64", "close", "lseek", "flock", "stat", "lstat", "fstat", "newfstatat", "statx",
    "readlink", "readlinkat", "access", "faccessat", "faccessat2", "getdents64", "fcntl", "statfs", "fstatfs",
    "listxattr", "flistxattr", "getxattr", "fgetxattr", "mmap", "fadvise64",
}  # fmt: skip
SYSCALLS = {
    "pwrite64": "pwrite", "rename": "replace", "renameat": "replace", "renameat2": "replace", "linkat": "link",
    "unlinkat": "unlink", "fsetxattr": "setxattr",
}  # fmt: skip


def can_trace() -> bool:
    strace = shutil.which("strace")
    return (
        strace is not None
        and not subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode
    )


@pytest.mark.parametrize("mode", ["replace", "in-place", "output", "undo"])
def test_no_other_call_changes_the_folder(tmp_path: Path, mode: str) -> None:
    """Every system call that names the folder or a file in it either only reads or is one that the
    faults hit.
    """
    if not can_trace():
        pytest.skip("strace is not here, or may not trace")
    folder = tmp_path / "watched"
    folder.mkdir()
    path = folder / "model.pt"
    path.write_bytes(BEFORE)
    if mode == "undo":
        apply(str(path), [Edit(0, BEFORE[:16], bytes(16), "r")], files.identity_of(os.stat(path)))
    log = tmp_path / "log"
    command = [
        "strace",
        "-f",
        "-y",
        "-e",
        "signal=none",
        "-o",
        str(log),
        sys.executable,
        "-c",
        CHILD,
        str(path),
        mode,
    ]
    subprocess.run(
        command, check=True, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."}
    )
    lines = log.read_text(errors="replace").split("/begin")[1].split("/end")[0].splitlines()[1:-1]
    touching = [line.split(maxsplit=1)[1] for line in lines if str(folder) in line]
    changing = Counter(name for line in touching if (name := changing_call(line)))
    assert set(changing) <= {name for _, name in CALLS}, touching
    assert changing["fsync"] >= 2
    assert changing["pwrite"] >= 1


def changing_call(line: str) -> str | None:
    name = line.split("(")[0]
    if name == "openat" and "O_CREAT" in line:
        return "open"
    return None if name in READS else SYSCALLS.get(name, name)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.getuid() == 0 and shutil.which("mount")
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=False
        ).returncode
    ):
        pytest.skip("needs the right to mount a small file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("unguarded", [False, True])
def test_full_disk(tiny_disk: Path, unguarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before the copy begins; and where the free space was misjudged, given up without a
    trace.
    """
    path = tiny_disk / "model.pt"
    path.write_bytes(BEFORE * 120)
    if unguarded:
        monkeypatch.setattr(clone, "_refuse_full_disk", lambda source, target: None)
    changes = edits(BEFORE, 1)
    with pytest.raises(
        Unreadable, match="No space left" if unguarded else "--in-place writes only"
    ):
        apply(str(path), changes, files.identity_of(os.stat(path)))
    assert os.listdir(tiny_disk) == ["model.pt"]
    assert path.read_bytes() == BEFORE * 120
    apply(str(path), changes, files.identity_of(os.stat(path)), mode="in-place")
    assert path.read_bytes()[:SIZE] == FIRST


def test_full_disk_in_place(tiny_disk: Path) -> None:
    """No room for the journal: nothing happens."""
    path = tiny_disk / "model.pt"
    path.write_bytes(BEFORE)
    with pytest.raises(OSError, match="No space"):
        (tiny_disk / "filler").write_bytes(bytes(1 << 21))
    with pytest.raises(Unreadable, match="No space left"):
        patch(str(path), 1, mode="in-place")
    assert sorted(os.listdir(tiny_disk)) == ["filler", "model.pt"]
    assert path.read_bytes() == BEFORE
