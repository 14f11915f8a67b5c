"""What a file says about itself never steers a terminal, and Ctrl-C is no defect."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import FORMATS, environment, real, run

import lstm_audit
from lstm_audit.cli.output import harmless

EVIL = "\x1b]0;owned\x07\x1b[2J\r\u202egnp.\u2028"
"""Sets a window's title, clears the screen, goes back to the line's start, turns the text round,
breaks a line.
"""


def write_model(path: Path, name: str = f"{EVIL}lstm", bias: float = 1.0) -> Path:
    """A safetensors file of one doubled LSTM whose module has a hostile name."""
    h, at, header, body = 4, 0, {}, b""
    for tensor, shape in {
        "weight_ih_l0": (4 * h, 3),
        "weight_hh_l0": (4 * h, h),
        "bias_ih_l0": (4 * h,),
        "bias_hh_l0": (4 * h,),
    }.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [0.1] * count
        if len(shape) == 1:
            values[h : 2 * h] = [bias] * h
        body += struct.pack(f"<{count}f", *values)
        header[f"{name}.{tensor}"] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [at, len(body)],
        }
        at = len(body)
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)
    return path


def is_harmless(raw: bytes) -> bool:
    text = raw.decode()
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A hostile name in a hostile file in a hostile folder."""
    folder = tmp_path / "\x1b[31mruns\u202e"
    folder.mkdir()
    return write_model(folder / "a\x1b[2Jb.safetensors")


@pytest.mark.parametrize("command", ["audit", "check"])
@pytest.mark.parametrize("report", FORMATS)
def test_every_report(model: Path, command: str, report: str) -> None:
    (model.parent / "broken\x1b[2J.safetensors").write_bytes(b'\x08\0\0\0\0\0\0\0{"\x1b":1}')
    done = real(command, "-f", report, model.parent)
    assert b"owned" in done.stdout or report == "github"
    assert is_harmless(done.stdout)
    assert is_harmless(done.stderr)


@pytest.mark.parametrize(
    "report", ["table", "sarif", "markdown", "html", "github", "gitlab", "junit"]
)
def test_a_very_long_name(tmp_path: Path, report: str) -> None:
    """What is shown is bounded, and so is what it costs: this once took minutes."""
    model = write_model(tmp_path / "m.safetensors", "n" * 4_000)
    done = run("audit", "-f", report, model)
    assert done.exit_code == 0
    assert "LA101" in done.stdout
    assert len(done.stdout) < 150_000


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "MODEL", "--color", "always"],
        ["audit", "MODEL", "--layers", EVIL],
        ["audit", f"nowhere{EVIL}.pt"],
        ["check", "MODEL", "--config", f"nowhere{EVIL}.toml"],
        ["check", "MODEL", "--select", EVIL],
        ["check", "MODEL", "--baseline", "BASELINE", "--update-baseline"],
        ["check", "MODEL", "--baseline", "BASELINE"],
        ["diff", "MODEL", "OTHER"],
        ["diff", "MODEL", "OTHER", "--json"],
        ["diff", "MODEL", "FOLDER"],
        ["patch", "--dry-run", "--forget-bias", "1", "MODEL"],
        ["patch", "--diff", "--forget-bias", "1", "MODEL"],
        ["patch", "--json", "--dry-run", "--forget-bias", "1", "MODEL"],
        ["patch", "--forget-bias", "1", "--layers", EVIL, "MODEL"],
        ["patch", "--forget-bias", "1", f"nowhere{EVIL}.pt"],
        ["patch", "--forget-bias", "1", "MODEL"],
        ["undo", "MODEL"],
        ["undo", f"nowhere{EVIL}.pt"],
        ["config", "--config", f"nowhere{EVIL}.toml"],
        ["explain", EVIL],
        ["rules", EVIL],
        ["presets", EVIL],
        ["schema", EVIL],
        [f"--{EVIL}"],
        [EVIL],
    ],
    ids=repr,
)  # fmt: skip
def test_every_command(model: Path, words: list[str]) -> None:
    other = write_model(model.with_name("other\x9b2J.safetensors"), bias=2.0)
    places = {
        "MODEL": model,
        "OTHER": other,
        "FOLDER": model.parent,
        "BASELINE": model.parent / "b.json",
    }
    if words[0] == "undo":
        real("patch", "--forget-bias", "3", model)
    if "--update-baseline" not in words and "--baseline" in words:
        places["BASELINE"].write_text('{"schema": "lstm-audit/baseline/1", "findings": []}')
    done = real(*(places.get(word, word) for word in words))
    styles = (
        (b"\x1b[33m", b"\x1b[31m", b"\x1b[36m", b"\x1b[32m", b"\x1b[1m", b"\x1b[0m")
        if "always" in words
        else ()
    )
    for style in styles:
        done.stdout = done.stdout.replace(style, b"")
    assert done.stdout or done.stderr
    assert is_harmless(done.stdout)
    assert is_harmless(done.stderr)
    assert b"Traceback" not in done.stderr


def test_only_our_own_colours_pass() -> None:
    assert harmless("a\tb\x1b[31m\nc") == "a\\tb\\x1b[31m\nc"
    assert harmless("\x1b[31mred\x1b[0m\x1b[2J", styled=True) == "\x1b[31mred\x1b[0m\\x1b[2J"
    assert harmless("plain · τ\n\n") == "plain · τ\n\n"


WITHIN = """
import signal, sys
class Swallowing:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "lstm_audit.cli.MODULE":
            ACTION
sys.meta_path.insert(0, Finder())
from lstm_audit.cli import main
main()
"""
"""A run in which something happens when a module of the command line is about to be imported."""


@pytest.mark.parametrize("wait", [0, 0.002, 0.01, 0.02, 0.03, 0.045, 0.08])
def test_an_interruption_is_no_defect(tmp_path: Path, wait: float) -> None:
    """Whenever Ctrl-C comes once our code runs: no traceback, and 130 or the result."""
    for k in range(30):
        write_model(tmp_path / f"{k}.safetensors", f"m{k}")
    code = WITHIN.replace("MODULE", "start").replace("ACTION", "print('!', file=sys.stderr)")
    with subprocess.Popen(
        [sys.executable, "-c", code, "audit", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        assert process.stderr.read(1) == b"!"
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert b"Traceback" not in said
    assert process.returncode in (0, 130)


@pytest.mark.parametrize("during", ["start", "runs", "output"])
def test_an_interruption_inside_a_callback_still_ends_the_run(tmp_path: Path, during: str) -> None:
    """Python prints what a finaliser raises, and goes on: so Ctrl-C comes once more, behind it."""
    for k in range(30):
        write_model(tmp_path / f"{k}.safetensors", f"m{k}")
    code = WITHIN.replace("MODULE", during).replace("ACTION", "Swallowing()")
    done = subprocess.run(
        [sys.executable, "-c", code, "audit", str(tmp_path)],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert b"ignored" not in done.stderr
    assert done.returncode == 130


@pytest.mark.parametrize("words", [["audit", "--help"], ["explain", "LA101"], ["rules"]])
def test_manuals_survive_without_docstrings(words: list[str]) -> None:
    assert real(*words, PYTHONOPTIMIZE="2").stdout == real(*words).stdout


def test_a_deleted_working_directory(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    model = write_model(tmp_path / "m.safetensors")
    code = (
        "import os, sys; os.rmdir(os.getcwd()); from lstm_audit.cli import main; "
        "sys.argv[0] = 'lstm-audit'; main()"
    )
    for report in FORMATS:
        done = subprocess.run(
            [sys.executable, "-c", code, "audit", "-f", report, str(model)],
            capture_output=True,
            cwd=gone,
            env=environment(),
            check=False,
        )
        gone.mkdir()
        assert (done.returncode, done.stderr) == (0, b""), report
        assert done.stdout


def test_a_report_is_no_one_elses_file(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.safetensors")
    theirs = tmp_path / f"r.json.tmp{os.getpid()}"
    theirs.write_text("theirs")
    for sidecar in ("m.safetensors.undo.json", ".m.safetensors.lstm-audit-journal"):
        done = real("audit", "--report", f"json={tmp_path / sidecar}", model)
        assert done.returncode == 2
        assert b"belongs to one of the inputs" in done.stderr
    assert real("audit", "--report", f"json={tmp_path / 'r.json'}", model).returncode == 0
    assert theirs.read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m.safetensors",
        "r.json",
        theirs.name,
    ]


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no shared memory here")
def test_shared_memory_holds_files(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.safetensors")
    place = Path("/dev/shm") / f"lstm-audit-{os.getpid()}.json"
    try:
        for _ in range(2):  # replaced, not appended to
            assert real("audit", "--report", f"json={place}", model).returncode == 0
            assert json.loads(place.read_text())["summary"]["files"] == 1
    finally:
        place.unlink(missing_ok=True)


def test_an_error_that_an_interruption_caused_is_no_defect() -> None:
    """As threading's "release unlocked lock", where Ctrl-C comes while a lock is taken."""
    code = (
        "from lstm_audit.cli import start\n"
        "def broken():\n"
        "    try:\n"
        "        raise KeyboardInterrupt\n"
        "    finally:\n"
        "        raise RuntimeError('release unlocked lock')\n"
        "start._run = broken\n"
        "start.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


def test_what_python_prints_is_harmless(tmp_path: Path) -> None:
    """What a script prints, and the assertion of a test, end in a terminal as well."""
    model = write_model(tmp_path / "m.safetensors")
    odd = write_model(tmp_path / "odd.safetensors", f"{EVIL}b")
    raw = odd.read_bytes().replace(b"weight_hh_l0", b"weight_xx_l0")
    odd.write_bytes(raw.replace(b"weight_ih_l0", b"weight_yy_l0"))
    found = lstm_audit.diff(str(model), str(odd))
    assert "not judged" in str(found)
    assert is_harmless(str(found).encode())
    with pytest.raises(AssertionError) as refused:
        lstm_audit.assert_forget_gate(str(model), bias=9.0)
    assert "owned" in str(refused.value)
    assert is_harmless(str(refused.value).encode())
    with pytest.raises(AssertionError) as refused:
        lstm_audit.assert_forget_gate(str(odd), bias=9.0)
    assert is_harmless(str(refused.value).encode())
