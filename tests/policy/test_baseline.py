"""Baselines: what is known, what is new, what is stale, and a file that is the same everywhere."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_audit.errors import BadPolicy
from lstm_audit.facts import Audit, FileAudit, Finding
from lstm_audit.policy.baseline import (
    BASELINE_SCHEMA,
    Accepted,
    Baseline,
    baseline_text,
    could_find,
    empty_baseline,
    load_baseline,
    match_findings,
    save_baseline,
    update,
)
from lstm_audit.policy.model import Policy
from lstm_audit.policy.toml import read_policy
from lstm_audit.wire.json import MAX_SIZE


def replace(fact: Any, **changes: Any) -> Any:
    """A named tuple with some fields changed."""
    return fact._replace(**changes)


def found(
    measured: float | str | None = 2.0,
    path: str = "a.pt",
    code: str = "LA101",
    module: str = "m",
    expected: float | str | None = None,
) -> Finding:
    return Finding(
        code, "a-rule", "error", path, module, 0, "forward", "message", measured, expected
    )


def accepting(*findings: Finding) -> Baseline:
    return update(Baseline(os.getcwd()), findings)


def test_what_was_accepted_is_known_and_the_rest_is_new() -> None:
    baseline = accepting(found(), found(module="n"))
    result = match_findings(
        [found(), found(module="n"), found(module="x"), found(code="LA102")], baseline
    )
    assert [f.address for f in result.known] == ["m:l0", "n:l0"]
    assert [(f.code, f.address) for f in result.new] == [("LA101", "x:l0"), ("LA102", "m:l0")]
    assert result.stale == ()
    assert result.new[0].message == "message"


@pytest.mark.parametrize(
    ("old", "now", "expected", "known"),
    [
        (2.0, 2.0, None, True),
        (2.0, 2.0 * (1 + 5e-7), None, True),
        (2.0, 2.0 * (1 + 5e-6), None, False),
        (0.0, 1e-300, None, False),
        (2.0, 2.5, 1.0, False),
        (2.0, 1.5, 1.0, True),
        (2.0, 0.5, 1.0, False),
        (0.5, 0.8, 1.0, True),
        (2.0, 1.5, "1", False),
        (math.nan, math.nan, None, True),
        (math.inf, math.inf, None, True),
        (math.nan, 1.0, 1.0, False),
        ("doubled", "doubled", None, True),
        ("doubled", "chrono", None, False),
        (None, None, None, True),
        (None, 1.0, None, False),
        (3, 3, None, True),
    ],
)
def test_a_finding_is_known_while_it_is_no_worse(
    old: Any, now: Any, expected: Any, known: bool
) -> None:
    result = match_findings([found(now, expected=expected)], accepting(found(old)))
    assert (len(result.known), len(result.new)) == ((1, 0) if known else (0, 1))
    if not known:
        assert result.new[0].message.startswith("message (the baseline accepts ")
        assert len(result.stale) == 1


def test_several_findings_in_one_place_are_counted() -> None:
    baseline = accepting(found("os.system"), found("eval"))
    result = match_findings([found("eval"), found("eval"), found("os.system")], baseline)
    assert [f.measured for f in result.known] == ["eval", "os.system"]
    assert [f.measured for f in result.new] == ["eval"]
    assert match_findings([found("eval")], baseline).stale[0].measured == ("os.system",)


def test_the_values_of_one_place_are_sorted() -> None:
    several = [found(value) for value in ("b", 2.0, None, "a", -1.0)]
    assert json.loads(baseline_text(accepting(*several)))["entries"]["LA101:a.pt:m:l0"]["measured"] == [
        None, -1.0, 2.0, "a", "b",
    ]  # fmt: skip


def test_a_milder_finding_does_not_use_up_the_entry_of_another() -> None:
    baseline = accepting(found(0.5), found(0.9))
    result = match_findings([found(0.6, expected=1.0), found(0.5, expected=1.0)], baseline)
    assert [f.measured for f in result.known] == [0.5]
    assert [f.measured for f in result.new] == [0.6]


def audit_of(*paths: str) -> Audit:
    return Audit(tuple(FileAudit(path, "torch-zip", 1, (), ()) for path in paths))


def test_what_a_run_did_not_judge_is_not_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"x")
    baseline = accepting(
        found(), found(path="b.pt"), found(path="gone.pt"), found(code="LA301"), found(module="dec")
    )

    def stale(audit: Audit, policy: Policy, layers: tuple[str, ...] = ()) -> set[str]:
        judged = could_find(audit, policy, str(tmp_path), layers)
        assert set(update(baseline, [], judged).entries) == set(baseline.entries) - {
            e.key for e in match_findings([], baseline, judged).stale
        }
        return {e.key for e in match_findings([], baseline, judged).stale}

    everything = set(baseline.entries)
    assert stale(audit_of("a.pt", "b.pt"), Policy()) == everything
    assert stale(audit_of("./a.pt"), Policy()) == everything - {"LA101:b.pt:m:l0"}
    assert stale(audit_of("a.pt", "b.pt"), Policy(), ("dec",)) == {
        "LA101:gone.pt:m:l0",
        "LA101:a.pt:dec:l0",
    }
    some = read_policy({"select": ["LA1"], "override": [{"files": "b.pt", "ignore": ["LA1"]}]}, "p")
    assert stale(audit_of("a.pt", "b.pt"), some) == everything - {
        "LA301:a.pt:m:l0",
        "LA101:b.pt:m:l0",
    }


def test_an_update_replaces_what_was_judged_and_keeps_the_rest() -> None:
    old = accepting(found(), found(module="n"), found(path="b.pt"))
    new = update(old, [found(3.0)], lambda entry: entry.path == "a.pt")
    assert {key: entry.measured for key, entry in new.entries.items()} == {
        "LA101:a.pt:m:l0": (3.0,),
        "LA101:b.pt:m:l0": (2.0,),
    }


def test_the_same_keys_on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    for machine, path in (
        ("here", "../runs/a.pt"),
        ("there", "{root}/runs/a.pt"),
        ("ci", "runs/../../runs/a.pt"),
    ):
        root = tmp_path / machine
        (root / "ci").mkdir(parents=True)
        monkeypatch.chdir(root / "ci")
        finding = found(path=path.format(root=root))
        save_baseline(update(empty_baseline("../ci/base.json"), [finding]), "base.json")
        texts.append((root / "ci" / "base.json").read_bytes())
        assert (
            match_findings([replace(finding, path="../runs/a.pt")], load_baseline("base.json")).new
            == ()
        )
    assert texts[0] == texts[1] == texts[2]
    assert b'"LA101:../runs/a.pt:m:l0"' in texts[0]


FINDINGS = st.lists(
    st.builds(
        found,
        measured=st.none() | st.floats() | st.text(max_size=4),
        path=st.sampled_from(["a.pt", "x/b.pt", "\udcff.pt", "é.pt"]),
        code=st.sampled_from(["LA101", "LA301"]),
        module=st.text(max_size=3),
    ),
    max_size=8,
)


@given(FINDINGS, st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_file_is_the_same_in_any_order_and_knows_what_it_accepts(
    findings: list[Finding], random: Any
) -> None:
    baseline = update(empty_baseline("base.json"), findings)
    text = baseline_text(baseline)
    assert text.isascii()
    shuffled = list(findings)
    random.shuffle(shuffled)
    assert baseline_text(update(empty_baseline("base.json"), shuffled)) == text
    assert json.loads(text)["schema"] == BASELINE_SCHEMA
    result = match_findings(shuffled, baseline)
    assert (result.new, result.stale) == ((), ())


@given(findings=FINDINGS)
@settings(max_examples=30, deadline=None)
def test_a_file_reads_back(
    findings: list[Finding], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("baseline") / "base.json"
    baseline = update(empty_baseline(str(path)), findings)
    save_baseline(baseline, str(path))
    again = load_baseline(str(path))
    assert set(again.entries) == set(baseline.entries)
    assert (match_findings(findings, again).new, match_findings(findings, again).stale) == ((), ())
    assert baseline_text(again) == path.read_text()


def text_of(**entry: Any) -> bytes:
    values = {"code": "LA101", "path": "a.pt", "address": "m:l0", "measured": [2.0], **entry}
    kept = {k: v for k, v in values.items() if v is not ...}
    return json.dumps({"schema": BASELINE_SCHEMA, "entries": {"LA101:a.pt:m:l0": kept}}).encode()


def test_the_text_of_a_good_entry(tmp_path: Path) -> None:
    (tmp_path / "base.json").write_bytes(text_of())
    assert load_baseline(str(tmp_path / "base.json")).entries == {
        "LA101:a.pt:m:l0": Accepted("LA101", "a.pt", "m:l0", (2.0,))
    }


def test_a_path_that_is_no_utf8_comes_back(tmp_path: Path) -> None:
    name, path = "caf\udce9.pt", str(tmp_path / "base.json")
    entry = Accepted("LA101", name, "m:l0", (2.0,))
    written = Baseline(str(tmp_path), {entry.key: entry})
    save_baseline(written, path)
    assert load_baseline(path) == written


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\xfd", "not UTF-8"),
        (b"[]", "expected a table, found a list"),
        (b"{}", "no baseline"),
        (b'{"schema": "lstm-audit/baseline/2"}', "no baseline"),
        (b'{"schema": "lstm-audit/baseline/1"}', "expected a table"),
        (b'{"schema": "lstm-audit/baseline/1", "entries": {}, "x": 1}', "x: no such key"),
        (b'{"schema": "a", "schema": "lstm-audit/baseline/1", "entries": {}}', "twice"),
        (b'{"schema": NaN}', "not JSON"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"schema": "lstm-audit/baseline/1", "entries": {"a": 1, "a": 1}}', "twice"),
        (b" " * (MAX_SIZE + 1), "at most"),
        (b"[" + b"0," * 1_600_000, "steps"),
        (b"[" * 100_000, "nested too deeply"),
        (text_of(code=1), "expected a string"),
        (text_of(code=""), "empty"),
        (text_of(address=None), "expected a string"),
        (text_of(measured=2.0), "expected a list"),
        (text_of(measured=[]), "expected a list"),
        (text_of(measured=[True]), "found true"),
        (text_of(measured=[[1]]), "found a list"),
        (text_of(measured=[10**400]), "a double"),
        (text_of(measured=...), "an entry has the keys"),
        (text_of(extra=1), "an entry has the keys"),
        (text_of(path="b.pt"), "edited by hand"),
    ],
)
def test_a_file_that_is_not_to_be_believed(tmp_path: Path, data: bytes, part: str) -> None:
    (tmp_path / "base.json").write_bytes(data)
    with pytest.raises(BadPolicy, match=r"base\.json: ") as caught:
        load_baseline(str(tmp_path / "base.json"))
    assert part in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    value=JSON
    | st.fixed_dictionaries(
        {
            "schema": st.just(BASELINE_SCHEMA),
            "entries": JSON
            | st.dictionaries(
                st.just("LA1:a:"),
                st.fixed_dictionaries(
                    {"code": JSON, "path": JSON, "address": JSON, "measured": JSON}
                )
                | JSON,
            ),
        }
    )
)
@settings(max_examples=150, deadline=None)
def test_any_json_is_a_baseline_or_is_refused(
    value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    try:
        loaded = load_baseline(str(path))
    except BadPolicy:
        return
    baseline_text(loaded)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(BadPolicy, match="--update-baseline"):
        load_baseline(str(tmp_path / "gone.json"))
    with pytest.raises(BadPolicy, match="cannot read"):
        load_baseline(str(tmp_path))
    with pytest.raises(BadPolicy, match="cannot write"):
        save_baseline(Baseline(str(tmp_path)), str(tmp_path / "no" / "base.json"))
    with pytest.raises(BadPolicy, match="cannot write"):
        save_baseline(Baseline(str(tmp_path)), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "base.json").symlink_to("real.json")
    save_baseline(Baseline(str(tmp_path)), str(tmp_path / "base.json"))
    assert (tmp_path / "base.json").is_symlink()
    assert load_baseline(str(tmp_path / "base.json")).entries == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.json", "real.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path, call: str) -> None:
    path = tmp_path / "base.json"
    save_baseline(Baseline(str(tmp_path)), str(path))
    old = path.read_bytes()
    code = (
        "import os, sys; from lstm_audit.policy.baseline import *;"
        f"os.{call} = lambda *given: os._exit(9);"
        "save_baseline(Baseline('/', {'k': Accepted('LA1', 'a', '', (1.0,))}), sys.argv[1])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=False, env={"PYTHONPATH": str(Path.cwd())}
    )
    assert ended.returncode == 9
    assert path.read_bytes() == old
