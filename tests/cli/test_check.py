"""`check`, as a build calls it: exit codes, policy, baseline, reports, and the ways in which a
process can end.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import (
    CLEAN,
    DOUBLED,
    FLAWED,
    FORMATS,
    FROZEN,
    GRU,
    HOSTILE,
    MIXED,
    MODEL,
    ONE_SIDED,
    TRUNCATED,
    environment,
    real,
    run,
)

import lstm_audit
from lstm_audit.reports import REPORTS


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of this repository, and nothing left in it."""
    monkeypatch.chdir(tmp_path)


def codes(*arguments: object) -> set[str]:
    """The codes that a run finds."""
    report = json.loads(run("check", "-f", "json", *arguments).stdout)
    return {finding["code"] for file in report["files"] for finding in file["findings"]}


# ---- exit codes, of the real command


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([MODEL], 0),
        ([DOUBLED], 1),
        (["--no-such-option", MODEL], 2),
        ([], 2),
        (["nowhere.pt"], 2),
        (["--fail-on", "fatal", MODEL], 2),
        ([TRUNCATED], 3),
        ([FROZEN], 3),
        ([GRU], 4),
        ([DOUBLED, TRUNCATED], 3),
        ([TRUNCATED, GRU], 3),
        ([FROZEN, DOUBLED], 3),
        ([DOUBLED, GRU], 1),
        ([MODEL, GRU], 4),
    ],
    ids=str,
)
def test_exit_code(arguments: list[object], code: int) -> None:
    done = real("check", *arguments)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr


def test_an_empty_folder_is_nothing_and_no_pass(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("nothing")
    assert run("check", "folder").exit_code == 4
    assert run("check", "--no-require-lstm", "folder").exit_code == 4


def test_one_broken_file_hides_no_other() -> None:
    report = json.loads(run("check", "-f", "json", TRUNCATED, DOUBLED).stdout)
    assert [error["kind"] for error in report["errors"]] == ["truncated"]
    assert "LA101" in {finding["code"] for file in report["files"] for finding in file["findings"]}


def test_what_softens_the_verdict() -> None:
    assert run("check", "--exit-zero", DOUBLED).exit_code == 0
    assert run("check", "--exit-zero", TRUNCATED).exit_code == 3
    assert run("check", "--exit-zero", GRU).exit_code == 4
    assert run("check", "--allow-skipped", "--no-require-lstm", FROZEN).exit_code == 0
    assert run("check", "--allow-skipped", FROZEN).exit_code == 4
    assert run("check", "--no-require-lstm", FROZEN).exit_code == 3
    assert run("check", "--allow-skipped", TRUNCATED, MODEL).exit_code == 3
    assert run("check", "--no-require-lstm", GRU).exit_code == 0


def test_fail_on() -> None:
    of_severity = {"error": 0, "warning": 1, "info": 1, "never": 0}
    assert {
        name: run("check", "--fail-on", name, ONE_SIDED).exit_code for name in of_severity
    } == of_severity
    assert run("check", "--fail-on", "never", DOUBLED).exit_code == 0


# ---- which rules


def test_select_and_ignore_by_prefix() -> None:
    assert codes(DOUBLED) == {"LA101"}
    assert codes("--select", "LA2", DOUBLED) == set()
    assert codes("--select", "LA2,LA1", DOUBLED) == {"LA101"}
    assert codes("--select", "ALL", "--ignore", "LA10", DOUBLED) == set()
    assert codes("--select", "LA101", "--ignore", "LA1", DOUBLED) == {"LA101"}
    assert run("check", "--ignore", "LA101", DOUBLED).exit_code == 0


def test_an_unknown_selector_is_no_silent_pass() -> None:
    done = run("check", "--select", "LA1O1", MODEL)
    assert done.exit_code == 2
    assert "did you mean 'LA1" in done.stderr


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--forget-bias", "1"], 0),
        (["--forget-bias", "1.2"], 1),
        (["--forget-bias", "1.2", "--tolerance", "0.3"], 0),
        (["--min-activation", "0.7"], 0),
        (["--min-activation", "0.8"], 1),
        (["--max-activation", "0.74"], 0),
        (["--max-activation", "0.73"], 1),
        (["--min-time-scale", "3.1"], 0),
        (["--min-time-scale", "3.3"], 1),
        (["--tolerance", "0.1"], 2),
        (["--min-activation", "0.9", "--max-activation", "0.8"], 2),
        (["--min-activation", "nan"], 2),
        (["--min-activation", "1.5"], 2),
    ],
    ids=str,
)
def test_bounds_by_flags(flags: list[str], code: int) -> None:
    assert run("check", *flags, MODEL).exit_code == code


def test_layers() -> None:
    (rows,) = [
        file["lstms"]
        for file in json.loads(run("check", "-f", "json", "-l", "*:l1*", MODEL).stdout)["files"]
    ]
    assert [(row["layer"], row["direction"]) for row in rows] == [(1, "forward"), (1, "reverse")]
    typo = run("check", "-l", "(rot):l0", "-l", "*:l1*", MODEL)
    assert typo.exit_code == 2
    assert "'(rot):l0' matches no LSTM; the nearest is '(root):l0'" in typo.stderr


# ---- the policy's file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool.lstm-audit.forget]\nactivation = { min = 0.8 }\n"),
        ("lstm-audit.toml", "[forget]\nactivation = { min = 0.8 }\n"),
    ],
)
def test_the_nearest_configuration_holds(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert run("check", MODEL).exit_code == 1
    assert run("check", "--min-activation", "0.7", MODEL).exit_code == 0
    assert run("check", "--no-config", MODEL).exit_code == 0
    (tmp_path / "below" / "other.toml").write_text("fail-on = 'never'\n")
    assert run("check", "--config", "other.toml", MODEL).exit_code == 0
    assert run("check", "--config", "other.toml", "--no-config", MODEL).exit_code == 2


def test_overrides_by_file_and_layer(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        shutil.copy(MODEL, tmp_path / name)
    (tmp_path / "lstm-audit.toml").write_text(
        "forget.activation = { min = 0.9 }\n"
        "[[override]]\nfiles = 'a.*'\nforget.activation = { min = 0.7 }\n"
        "[[override]]\nfiles = 'b.*'\nlayers = '*:reverse'\nignore = ['LA202']\n"
    )
    report = json.loads(run("check", "-f", "json", "a.pt", "b.pt").stdout)
    found = {
        (f["path"], f["layer"], f["direction"])
        for file in report["files"]
        for f in file["findings"]
    }
    assert found == {("b.pt", 0, "forward"), ("b.pt", 1, "forward")}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("fail_on = 'error'", "did you mean 'fail-on'"),
        ("[forget]\nactivatoin = { min = 0.7 }", "did you mean 'activation'"),
        ("forget.activation = { minimum = 0.7 }", "did you mean 'min'"),
        ("select = ['LA9999']", "LA9"),
        ("fail-on = ", "not valid TOML"),
    ],
)
def test_a_key_that_nobody_reads_is_an_error(text: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "lstm-audit.toml").write_text(text)
    for command in ("check", "config"):
        done = run(command, *([MODEL] if command == "check" else []))
        assert done.exit_code == 2
        assert hint in done.stderr
        assert "lstm-audit.toml" in done.stderr


def test_config_shows_what_is_in_force_and_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "lstm-audit.toml").write_text(
        "forget.activation = { min = 0.7 }\n[[override]]\nfiles = 'x.pt'\nforget.bias = { min = "
        "0.5 }\n"
    )
    lines = run("config", "--fail-on", "info", COLUMNS="160").stdout.splitlines()
    assert lines[0] == "policy: lstm-audit.toml"
    by_key = {line.split("  ")[0]: line for line in lines if "  " in line}
    assert by_key["fail-on"].split() == ["fail-on", '"info"', "--fail-on"]
    assert by_key["require-lstm"].endswith("default")
    assert "min = 0.7" in by_key["forget.activation"]
    assert by_key["forget.activation"].rstrip().endswith("lstm-audit.toml: forget.activation")
    assert "min = 0.5" in by_key["override #1.forget.bias"]
    assert run("config", "--no-config").stdout.startswith("policy: defaults, no configuration file")


# ---- the baseline


@pytest.mark.parametrize("more", [(), ("--fix", "--diff")], ids=["streamed", "fixing"])
def test_a_baseline_of_another_folder_is_said(tmp_path: Path, more: tuple[str, ...]) -> None:
    for folder in ("east", "west"):
        (tmp_path / folder).mkdir()
        shutil.copy(DOUBLED, tmp_path / folder / "net.pt")
    run("check", "--baseline", "known.json", "--update-baseline", "east/net.pt")
    other = run("check", "-q", "--baseline", "known.json", *more, "west/net.pt")
    assert other.exit_code == 1
    assert "none of the baseline's entries (1) is of a file in this run" in other.stderr
    assert "has 'west/net.pt'; the nearest is 'east/net.pt'" in other.stderr
    both = run("check", "--baseline", "known.json", *more, "west/net.pt", "east/net.pt")
    assert "none of" not in both.stderr


def test_a_baseline_is_created_known_and_stale(tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    shutil.copy(DOUBLED, target)
    missing = run("check", "--baseline", "known.json", target)
    assert missing.exit_code == 2
    assert "--update-baseline" in missing.stderr
    assert run("check", "--update-baseline", target).exit_code == 2
    assert run("check", "--baseline", "known.json", "--update-baseline", target).exit_code == 0
    known = run("check", "--baseline", "known.json", target)
    assert known.exit_code == 0
    assert "1 finding accepted by the baseline" in known.stderr
    assert "LA101" not in known.stdout
    assert "accepted" not in run("check", "-q", "--baseline", "known.json", target).stderr

    assert run("patch", "--forget-bias", "1", "--no-undo", target).exit_code == 0
    stale = run("check", "--baseline", "known.json", target)
    assert stale.exit_code == 0
    assert "stale baseline entry" in stale.stderr
    assert "LA101:model.pt:encoder:l0" in stale.stderr
    assert run("check", "--baseline", "known.json", "--update-baseline", target).exit_code == 0
    assert json.loads((tmp_path / "known.json").read_text())["entries"] == {}


def test_a_finding_that_is_new_fails_beside_a_known_one(tmp_path: Path) -> None:
    shutil.copy(DOUBLED, tmp_path / "old.pt")
    run("check", "--baseline", "known.json", "--update-baseline", "old.pt")
    shutil.copy(FLAWED / "LA101" / "trained.pt", tmp_path / "new.pt")
    done = run(
        "check",
        "--baseline",
        "known.json",
        "--fail-on",
        "warning",
        "-f",
        "json",
        "old.pt",
        "new.pt",
    )
    assert done.exit_code == 1
    found = [
        (f["path"], f["code"])
        for file in json.loads(done.stdout)["files"]
        for f in file["findings"]
    ]
    assert ("new.pt", "LA101") in found
    assert "old.pt" not in {path for path, _ in found}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"schema": "lstm-audit/baseline/1", "entries": []}',
        b'{"schema": "lstm-audit/baseline/1", "entries": {"x": 1}}',
        b"[" * 100_000,
        b'{"schema": NaN}',
        b"\xff\xfe",
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_a_hostile_baseline_is_a_configuration_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "known.json").write_bytes(data)
    done = run("check", "--baseline", "known.json", DOUBLED)
    assert done.exit_code == 2
    assert "known.json" in done.stderr
    assert done.stdout == ""


# ---- reports


@pytest.mark.parametrize("name", ["json", "sarif"])
def test_json_as_python_reads_it(name: str) -> None:
    report = real("check", "-f", name, FLAWED / "LA301" / "overflowed.pt", HOSTILE)
    tool = subprocess.run(
        [sys.executable, "-m", "json.tool"], input=report.stdout, capture_output=True, check=False
    )
    assert tool.returncode == 0
    assert b"NaN" not in re.sub(rb'"[^"]*"', b"", report.stdout)


def test_jsonl_is_json_line_by_line() -> None:
    lines = run("check", "-f", "jsonl", CLEAN, DOUBLED).stdout.splitlines()
    assert len(lines) > 1
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_every_format_is_known_to_these_tests() -> None:
    assert sorted(REPORTS) == list(FORMATS)


def test_two_runs_are_the_same_to_the_byte_whatever_the_hash_seed(tmp_path: Path) -> None:
    folders = []
    for seed in ("0", "4711"):
        folders.append(tmp_path / seed)
        folders[-1].mkdir()
        reports = [
            word for name in FORMATS for word in ("--report", f"{name}={folders[-1] / name}")
        ]
        targets = (CLEAN, DOUBLED, ONE_SIDED, MIXED, HOSTILE)
        done = real(
            "check", "-j", "2" if seed == "0" else "1", *reports, *targets, PYTHONHASHSEED=seed
        )
        assert done.returncode == 3
        (folders[-1] / "stdout").write_bytes(done.stdout)
    for name in (*FORMATS, "stdout"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second, name
        assert len(first) > 100, name


def test_a_report_in_a_file_is_what_stdout_would_have_carried(tmp_path: Path) -> None:
    for name in set(FORMATS) - {"table"}:
        printed = run("check", "-f", name, DOUBLED)
        written = run("check", "-f", name, "-o", "report", DOUBLED)
        assert (printed.exit_code, written.exit_code, written.stdout) == (1, 1, "")
        assert (tmp_path / "report").read_bytes() == printed.stdout_bytes
    assert os.listdir(tmp_path) == ["report"]


def test_reports_are_written_also_for_a_verdict_that_fails(tmp_path: Path) -> None:
    done = run(
        "check",
        "--report",
        "json=a.json",
        "--report",
        "junit=b.xml",
        "-o",
        "c.txt",
        DOUBLED,
        TRUNCATED,
    )
    assert done.exit_code == 3
    assert json.loads((tmp_path / "a.json").read_text())["summary"]["unreadable"] == 1
    assert (tmp_path / "b.xml").read_text().startswith("<?xml")
    assert "LA101" in (tmp_path / "c.txt").read_text()


@pytest.mark.parametrize("text", ["json", "json=", "nonsense=x", "=x"])
def test_a_report_that_cannot_be_is_refused_before_the_run(text: str) -> None:
    done = run("check", "--report", text, "nowhere.pt")
    assert done.exit_code == 2
    assert "FORMAT=FILE" in done.stderr


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    for arguments in (["-o", "no/where"], ["--report", "json=no/where"]):
        done = real("check", *arguments, MODEL, cwd=tmp_path)
        assert done.returncode == 2
        assert b"no/where: cannot write the report: No such file or directory" in done.stderr
    assert run("check", "-o", tmp_path, MODEL).exit_code == 2
    assert os.listdir(tmp_path) == []


def test_a_report_never_takes_the_place_of_an_input_or_of_another(tmp_path: Path) -> None:
    shutil.copy(MODEL, tmp_path / "model.pt")
    (tmp_path / "link").symlink_to("model.pt")
    for arguments in (
        ["-o", "model.pt"],
        ["--report", "json=./link"],
        ["-o", "x", "--report", "json=x"],
    ):
        assert run("check", *arguments, "model.pt").exit_code == 2, arguments
    assert (tmp_path / "model.pt").read_bytes() == MODEL.read_bytes()
    assert (tmp_path / "link").is_symlink()


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "report").write_text("old")
    monkeypatch.setattr(os, "replace", full)
    assert run("check", "-o", "report", MODEL).exit_code == 2
    assert os.listdir(tmp_path) == ["report"]
    assert (tmp_path / "report").read_text() == "old"


def test_a_link_is_followed_and_a_device_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    assert run("check", "-f", "json", "-o", "link", MODEL).exit_code == 0
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "real").read_text())
    (tmp_path / "out").write_text("before\n")
    with open(tmp_path / "out", "ab") as out:
        done = subprocess.run(
            [sys.executable, "-m", "lstm_audit", "check", "-f", "json", "-o", "/dev/stdout", MODEL],
            stdout=out, env=environment(), check=False,
        )  # fmt: skip
    assert done.returncode == 0
    before, _, report = (tmp_path / "out").read_text().partition("\n")
    assert before == "before"
    assert json.loads(report)
    assert os.path.islink("/dev/stdout")


# ---- terminals, encodings, names


def test_colour_only_where_it_is_wanted() -> None:
    assert "\x1b[" not in run("check", DOUBLED).stdout
    assert "\x1b[" in run("check", "--color", "always", DOUBLED).stdout
    assert "\x1b[" not in run("check", "--color", "never", DOUBLED).stdout


@pytest.mark.parametrize(
    ("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)]
)
def test_no_color_on_a_terminal(more: dict[str, str], coloured: bool) -> None:
    import pty

    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "lstm_audit", "check", str(DOUBLED)]
    done = subprocess.run(words, stdout=theirs, stderr=theirs, env=environment(**more), check=False)
    os.close(theirs)
    text = b""
    while part := _read(ours):
        text += part
    os.close(ours)
    assert done.returncode == 1
    assert (b"\x1b[" in text) == coloured


def _read(file: int) -> bytes:
    try:
        return os.read(file, 65536)
    except OSError:  # Linux: EIO at the end of a pseudo-terminal
        return b""


def test_quiet() -> None:
    loud, quiet = run("check", DOUBLED), run("check", "-q", DOUBLED)
    assert quiet.exit_code == 1
    assert "LA101" in quiet.stdout
    assert len(quiet.stdout) < len(loud.stdout)
    assert quiet.stderr == ""


SHOWING: list[list[str | Path]] = [
    ["audit", DOUBLED],
    ["check", DOUBLED],
    ["diff", CLEAN / "lstm.pt", CLEAN / "half.pt"],
    ["diff", DOUBLED, FLAWED / "LA101" / "trained.pt"],
    ["patch", "--diff", "--forget-bias", "2", MODEL],
    ["patch", "--dry-run", "--init", "mts", MODEL],
    ["patch", "--json", "--dry-run", "--shift", "1", MODEL],
    ["presets"],
    ["rules"],
    ["explain", "LA203"],
    ["config"],
    ["schema", "report"],
]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_command_prints_in_any_encoding(encoding: str) -> None:
    calls = [[os.fspath(word) for word in words] for words in SHOWING]
    code = f"""
import sys
from lstm_audit.cli.group import group
for words in {calls!r}:
    try:
        group(words)
    except SystemExit as ended:
        assert ended.code in (0, 1), (words, ended.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env=environment(PYTHONIOENCODING=encoding),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    assert ("1 -> 2" in text) == (encoding != "utf-8")
    assert ("median tau" in text) == (encoding != "utf-8")
    assert ("1 → 2" in text) == (encoding == "utf-8")


def test_formats_for_machines_are_utf8_in_any_locale(tmp_path: Path) -> None:
    shutil.copy(DOUBLED, tmp_path / "modèle.pt")
    for name in set(FORMATS) - {"table"}:
        here, there = (
            real("check", "-f", name, "modèle.pt", cwd=tmp_path, PYTHONIOENCODING=e)
            for e in ("latin-1", "utf-8")
        )
        assert here.stdout == there.stdout, name
        assert here.stdout.decode("utf-8")


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"mod\xe9le\x1b[31m.pt")
    shutil.copy(DOUBLED, tmp_path / name)
    reports = [
        word for format_name in FORMATS for word in ("--report", f"{format_name}=out.{format_name}")
    ]
    for arguments in (["check", *reports, name], ["audit", "."], ["diff", name, name]):
        done = real(*arguments, cwd=tmp_path)
        assert done.returncode in (0, 1), done.stderr
        assert b"Traceback" not in done.stderr
        assert b"\x1b" not in done.stdout
        done.stdout.decode("utf-8")
    for format_name in FORMATS:
        assert b"\x1b" not in (tmp_path / f"out.{format_name}").read_bytes(), format_name
        (tmp_path / f"out.{format_name}").read_text(encoding="utf-8")
    missing = real("check", os.fsdecode(b"gone\xe9\x1b[31m.pt"), cwd=tmp_path)
    assert missing.returncode == 2
    assert b"\x1b" not in missing.stderr
    assert b"Traceback" not in missing.stderr


# ---- how a process can end


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose report is larger than a pipe holds, and takes a while."""
    folder = tmp_path_factory.mktemp("many")
    shutil.copy(MODEL, folder / "0.pt")
    for n in range(1, 150):
        os.link(folder / "0.pt", folder / f"{n}.pt")
    return folder


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("format_name", ["json", "jsonl"])
def test_a_reader_that_has_seen_enough(many: Path, format_name: str, unbuffered: str) -> None:
    words = [
        sys.executable,
        "-m",
        "lstm_audit",
        "check",
        "-f",
        format_name,
        str(many),
    ]
    env = environment(PYTHONUNBUFFERED=unbuffered)
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


ONCE_INSIDE = """
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "lstm_audit.cli.start":
            print("here", end="", file=sys.stderr, flush=True)
sys.meta_path.insert(0, Finder())
from lstm_audit.cli import main
main()
"""
"""The command, which says so once it looks for Ctrl-C."""


@pytest.mark.parametrize(("jobs", "after"), [("1", 0.3), ("2", 0.12), ("2", 0.2), ("2", 0.3)])
def test_control_c(many: Path, jobs: str, after: float) -> None:
    """With two processes at several moments: a worker that is just starting is the one that would
    complain. Standard input never ends, so that no machine is too quick.
    """
    words = [sys.executable, "-c", ONCE_INSIDE, "check", "-j", jobs, many, "-"]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.read(4)
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)
        told, said = process.stdout.read(), process.stderr.read()
        assert process.wait() == 130
    assert b"Traceback" not in said
    assert told == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize(
    "arguments", [["check", DOUBLED], ["check", "-f", "json", DOUBLED], ["presets"], ["--help"]]
)
def test_a_full_disk_is_no_finding(arguments: list[object]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lstm_audit", *map(str, arguments)],
            stdout=full, stderr=subprocess.PIPE, env=environment(), check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_closed_stdout() -> None:
    words = f"{sys.executable} -m lstm_audit check {DOUBLED} >&-"
    done = subprocess.run(
        ["sh", "-c", words], stderr=subprocess.PIPE, env=environment(), check=False
    )
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_defect_of_the_program_is_no_finding() -> None:
    code = "from lstm_audit.cli import main, runs; runs.audit_inputs = None; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", MODEL],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 3
    assert b"TypeError" in done.stderr
    assert b"a defect of its own" in done.stderr


def test_the_same_verdict_from_python() -> None:
    for path in (MODEL, DOUBLED, TRUNCATED, FROZEN, GRU):
        assert lstm_audit.check(path).passed == (run("check", path).exit_code == 0), path


def test_verify_checks_large_records_too(tmp_path: Path) -> None:
    """A bias inside of one big storage, as cuDNN packs them: over a megabyte, its checksum is
    checked on demand.
    """
    import torch

    packed = torch.zeros(1 << 19)
    state = {"weight_ih_l0": torch.randn(16, 2), "weight_hh_l0": torch.randn(16, 4)}
    state |= {"bias_ih_l0": packed[:16], "bias_hh_l0": packed[16:32]}
    torch.save(state, tmp_path / "m.pt")
    data = (tmp_path / "m.pt").read_bytes()
    at = data.index(bytes(4096)) + 4000
    (tmp_path / "m.pt").write_bytes(data[:at] + b"\x01" + data[at + 1 :])
    for command in ("audit", "check"):
        plain, verified = (
            run(command, tmp_path / "m.pt"),
            run(command, "--verify", tmp_path / "m.pt"),
        )
        assert "LA902" not in plain.stdout
        assert "LA902" in verified.stdout


def test_audit_shows_what_the_policy_in_force_asks_for(tmp_path: Path) -> None:
    (tmp_path / "lstm-audit.toml").write_text('ignore = ["LA1"]')
    model = MIXED / "default.pt"
    assert b"LA108" in real("audit", model, cwd=MIXED).stdout
    assert b"LA108" not in real("audit", model, cwd=tmp_path).stdout
    assert b"LA108" in real("audit", "--no-config", model, cwd=tmp_path).stdout
    assert real("audit", "--no-init", "--verify", model).returncode == 2
    (tmp_path / "lstm-audit.toml").write_text("ignor = []")
    broken = real("audit", model, cwd=tmp_path)
    assert (broken.returncode, b"did you mean" in broken.stderr) == (2, True)


# ---- what a run must not lose


def broken_shards(folder: Path, how: str) -> Path:
    """A sharded checkpoint with a fault, beside a good checkpoint."""
    shutil.copytree(CLEAN / "sharded", folder)
    shutil.copy(MODEL, folder / "good.pt")
    shard, index = (
        folder / "model-00001-of-00002.safetensors",
        folder / "model.safetensors.index.json",
    )
    if how == "truncated":
        os.truncate(shard, 5000)
    elif how == "replaced":
        shard.write_text("<!doctype html>")
    elif how == "escaping":
        index.write_text(index.read_text().replace("model-00001", "../model-00001"))
    elif how == "cut":
        index.write_text(index.read_text()[:-30])
    return folder


@pytest.mark.parametrize("how", ["truncated", "replaced", "escaping", "cut"])
def test_a_broken_sharded_checkpoint_is_not_one_of_the_other_files(
    how: str, tmp_path: Path
) -> None:
    """Its shards are not audited by themselves, so that nobody else would miss it."""
    folder = broken_shards(tmp_path / "m", how)
    done = run("check", "-f", "json", folder)
    assert done.exit_code == 3
    assert [Path(error["path"]).name for error in json.loads(done.stdout)["errors"]] == [
        "model.safetensors.index.json"
    ]


def test_an_index_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    shutil.copy(MODEL, tmp_path)
    (tmp_path / "search.index.json").write_text('{"words": {}}')
    done = run("check", tmp_path)
    assert done.exit_code == 0
    assert "1 other file ignored" in done.stdout


@pytest.mark.parametrize("words", [["-o"], ["--report"]])
def test_a_report_never_takes_the_place_of_what_the_run_reads(
    words: list[str], tmp_path: Path
) -> None:
    folder = broken_shards(tmp_path / "m", "not at all")
    (folder / "policy.toml").write_text("ignore = []")
    assert (
        run(
            "check", "--baseline", folder / "known.json", "--update-baseline", folder / "good.pt"
        ).exit_code
        == 0
    )
    before = {path: path.read_bytes() for path in folder.iterdir()}
    inputs = [
        "check",
        "-f",
        "json",
        "--config",
        folder / "policy.toml",
        "--baseline",
        folder / "known.json",
        folder,
    ]
    for victim in before:
        done = run(*inputs, *words, victim if words == ["-o"] else f"json={victim}")
        assert done.exit_code == 2, victim
        assert "a report would overwrite it" in done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("more", [[], ["-j", "1"]])
def test_a_closed_stderr(more: list[str]) -> None:
    words = " ".join([sys.executable, "-m lstm_audit check", *more, f"{MODEL} 2>&-"])
    done = subprocess.run(
        ["sh", "-c", words], stdout=subprocess.PIPE, env=environment(), check=False
    )
    assert done.returncode == 0
    assert b"1 file" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize(
    "words",
    [
        ["check", "nowhere.pt"],
        ["check", "-j", "1", "nowhere.pt"],
        ["check", "--min-activation", "2", MODEL],
        ["bogus"],
        ["patch", "nowhere.pt", "--forget-bias", "1"],
    ],
)
def test_an_error_that_cannot_be_said_is_no_finding(words: list[object]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lstm_audit", *map(str, words)],
            stderr=full,
            env=environment(),
            check=False,
        )
    assert done.returncode == 2


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_leaves_word_of_what_could_not_be_read(format_name: str) -> None:
    done = real("audit", "-f", format_name, TRUNCATED)
    assert done.returncode == 3
    assert TRUNCATED.name.encode() in done.stdout + done.stderr


def test_a_closed_stdin() -> None:
    words = f"{sys.executable} -m lstm_audit audit - <&-"
    done = subprocess.run(["sh", "-c", words], capture_output=True, env=environment(), check=False)
    assert done.returncode == 3
    assert b"standard input is closed" in done.stdout


@pytest.mark.parametrize(
    ("words", "last"),
    [
        ([MODEL], "passed at --fail-on error · no policy file"),
        ([DOUBLED], "FAILED: 1 error at --fail-on error · no policy file · 1 fixable with --fix"),
        ([DOUBLED, "--fail-on", "never"], "passed at --fail-on never · no policy file · 1 fixable with --fix"),
        ([FROZEN], "NOT PASSED: 1 LSTM could not be judged · no policy file"),
        ([TRUNCATED], "NOT PASSED: 1 input could not be read · no policy file"),
        ([FROZEN, TRUNCATED, DOUBLED, MODEL], "NOT PASSED: 1 input could not be read, 1 LSTM could not be judged,"
            " 1 error at --fail-on error · no policy file · 1 fixable with --fix"),
        ([GRU], "NOT PASSED: no LSTM was found · no policy file"),
    ],
)  # fmt: skip
def test_the_last_line_is_the_verdict(words: list[object], last: str) -> None:
    assert run("check", *words, LC_ALL="C.UTF-8", COLUMNS="200").stdout.splitlines()[-1] == last


def test_the_verdict_names_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lstm-audit.toml").write_text('fail-on = "warning"\n')
    monkeypatch.chdir(tmp_path)
    last = run("check", MODEL, LC_ALL="C.UTF-8").stdout.splitlines()[-1]
    assert last == "passed at --fail-on warning · policy lstm-audit.toml"
    assert "passed" not in run("audit", MODEL).stdout


@pytest.mark.parametrize(
    "words", [["rules"], ["presets"], ["config"], ["diff", MODEL, DOUBLED], ["explain", "LA1"]]
)
def test_tables_fit_a_terminal(words: list[object]) -> None:
    lines = run(*words, LC_ALL="C.UTF-8").stdout.splitlines()
    assert max(map(len, lines)) <= 80
