"""`check --baseline` over files that are forgotten one by one says what it says of all together."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from command import CLEAN, MODEL, run

from lstm_audit import accepting
from lstm_audit.cli import check as check_command

FLAWED = CLEAN.parent / "flawed"


def fill(folder: Path) -> None:
    """Sound and flawed models, one broken, one without an LSTM."""
    for path in sorted(FLAWED.glob("LA*/*.pt"))[:12]:
        shutil.copy(path, folder / f"{path.parent.name}-{path.name}")
    shutil.copy(MODEL, folder / "sound.pt")
    (folder / "broken.pt").write_bytes(b"PK\3\4")


def make_models(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of models, and where its baseline will be."""
    folder = tmp_path / "models"
    folder.mkdir()
    fill(folder)
    return folder, folder / "known.json"


def check(monkeypatch: pytest.MonkeyPatch, whole: bool, *words: object) -> Result:
    """A check that keeps all results, or none."""
    with monkeypatch.context() as patched:
        if whole:
            patched.setattr(check_command, "_needs_all", lambda given: True)
        else:
            patched.setattr(check_command, "_look", None)
        return run("check", *words)


def in_both_ways(monkeypatch: pytest.MonkeyPatch, *words: object) -> list[Result]:
    return [check(monkeypatch, whole, *words) for whole in (True, False)]


def change(case: str, folder: Path, known: Path) -> tuple[str, ...]:
    """Make the folder differ from its baseline; further words of the command."""
    document = json.loads(known.read_text())
    entries = document["entries"]
    first = next(key for key in sorted(entries))
    path = folder / entries[first]["path"]
    if case == "new":
        del entries[first]
    elif case == "stale":
        shutil.copy(MODEL, path)
    elif case == "file that is gone":
        path.unlink()
    elif case == "unreadable":
        path.write_bytes(b"PK\3\4")
    elif case == "layer that is gone":
        entry = {**entries[first], "address": "nowhere:l0"}
        entries[f"{entry['code']}:{entry['path']}:nowhere:l0"] = entry
    elif case == "outside":
        entry = {**entries[first], "path": "../elsewhere.pt"}
        entries[f"{entry['code']}:{entry['path']}:{entry['address']}"] = entry
        shutil.copy(MODEL, folder.parent / "elsewhere.pt")
    document["entries"] = dict(sorted(entries.items()))
    known.write_text(json.dumps(document))
    return ("--ignore", "LA101") if case == "rule that is off" else ()


CASES = {
    "known": 3, "new": 3, "stale": 3, "file that is gone": 2, "unreadable": 3,
    "layer that is gone": 2, "outside": 3, "rule that is off": 3,
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_same_whether_results_are_kept(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, known = make_models(tmp_path)
    bounds = ("--baseline", known, "--fail-on", "info", folder)
    assert run("check", "--update-baseline", *bounds).exit_code == 3  # of the broken one
    assert len(json.loads(known.read_text())["entries"]) > 5
    more = change(case, folder, known)
    for form in (("-f", "csv"), ("-f", "json", "--statistics")):
        whole, streamed = in_both_ways(monkeypatch, *more, *form, *bounds)
        assert whole.exit_code == streamed.exit_code == CASES[case], streamed.stderr
        lines = [set(done.stderr.splitlines()) for done in (whole, streamed)]
        if CASES[case] == 2:  # what came before the error is told on the way
            assert lines[0] <= lines[1]
        else:
            assert lines[0] == lines[1]
            assert whole.stdout == streamed.stdout


@pytest.mark.parametrize("case", CASES)
def test_the_same_baseline_is_written(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the run judged is replaced, and nothing else."""
    folder, known = make_models(tmp_path)
    words = ("--baseline", known, "--update-baseline", "--fail-on", "info", "-f", "csv", folder)
    run("check", *words)
    more = change(case, folder, known)
    before = known.read_bytes()
    written = []
    for whole in (True, False):
        known.write_bytes(before)
        done = check(monkeypatch, whole, *more, *words)
        written.append((done.exit_code, done.stdout, done.stderr, known.read_bytes()))
    assert written[0] == written[1]
    unchanged = case in ("known", "unreadable", "outside", "rule that is off")
    assert (json.loads(written[0][3]) == json.loads(before)) == unchanged
    run("check", *words[:-1], MODEL)  # of other files all is kept that is there
    assert set(json.loads(written[1][3])["entries"]) == set(
        json.loads(known.read_text())["entries"]
    )


def test_no_results_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry is looked for once, with its file, and then it is let go."""
    fill(tmp_path)
    known = tmp_path / "known.json"
    run("check", "--baseline", known, "--update-baseline", "-f", "csv", tmp_path)
    holdings = []
    init = accepting.Holding.__init__

    def note(self, *words) -> None:
        init(self, *words)
        holdings.append(self)

    monkeypatch.setattr(accepting.Holding, "__init__", note)
    assert run("check", "--baseline", known, "-f", "csv", tmp_path).exit_code == 3
    (holding,) = holdings
    assert holding.known
    assert not holding._left
