"""Policies: what is read, where it is found, which rule it puts where, and what fails."""

import pickle
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from command import untraced
from hypothesis import example, given, settings
from hypothesis import strategies as st
from policy_cases import LIKELY, PARTS, SELECTORS, SPEC, TREES, WORDS

from lstm_audit.cli.exits import FINDINGS, NOTHING, PASS, UNREADABLE, of_check
from lstm_audit.errors import BadPolicy, Skipped
from lstm_audit.facts import SEVERITIES, Audit, FileAudit, FileError, Finding, Row, facts_of
from lstm_audit.lstm.layer import GATES, Identity, Lstm
from lstm_audit.lstm.measure import Values, measure
from lstm_audit.policy.bounds import Bounds
from lstm_audit.policy.describe import describe_policy
from lstm_audit.policy.flags import with_flags
from lstm_audit.policy.globs import file_matches, matches, relative_to
from lstm_audit.policy.keys import set_by
from lstm_audit.policy.load import find_config, load_policy
from lstm_audit.policy.model import Policy, Settings
from lstm_audit.policy.table import selects, spell_out
from lstm_audit.policy.toml import read_policy
from lstm_audit.policy.verdict import fails, verdict
from lstm_audit.rules import RULES, Evidence, Hit, Rule, Subject, judge, subjects_of


def policy(text: str, folder: str = "", file: str = "p.toml", prefix: str = "") -> Policy:
    return read_policy(tomllib.loads(text), file, folder, prefix)


def lstm(module: str = "encoder", layer: int = 0, direction: str = "forward") -> Lstm:
    return Lstm(module, layer, direction, "torch", 2, "float32", dict.fromkeys(GATES, ()))


def none(subject: Any, **options: Any) -> Iterator[Hit]:
    yield from ()


def rule(code: str, scope: str = "lstm") -> Rule:
    return Rule(code, "a-rule", "error", scope, none)


def forget_of(settings: Settings) -> dict[str, Any]:
    """The keys under `forget`, without that."""
    return {name[7:]: value for name, value in settings.items() if name.startswith("forget.")}


def options(
    of: Policy, code: str, path: str = "a.pt", where: Lstm | None = None
) -> Mapping[str, Any] | None:
    one = where or lstm()
    subject = Subject(*one.identity)
    setting = spell_out(of, path, {subject: one.names})[subject].get(code)
    return None if setting is None else setting.options


def on_file(of: Policy, path: str, code: str) -> Mapping[str, Any] | None:
    """The options of a rule on a file as a whole."""
    setting = spell_out(of, path, {Subject(): ()})[Subject()].get(code)
    return None if setting is None else setting.options


def modules(of: Policy, path: str, code: str, names: list[str]) -> list[str]:
    """The modules on which a rule is on."""
    table = spell_out(of, path, {Subject(name): (name,) for name in names})
    return [name for name in names if code in table[Subject(name)]]


def names_match(address: str, patterns: list[str]) -> bool:
    """Whether patterns match the LSTM of an address."""
    module, _, rest = (
        address.rpartition(":l")
        if "reverse" not in address
        else (address.removesuffix(":reverse").rpartition(":l"))
    )
    direction = "reverse" if address.endswith(":reverse") else "forward"
    return matches(Identity(module, int(rest), direction, "torch").names, patterns)


def code_of(given: Audit, of: Policy, exit_zero: bool = False, **more: Any) -> int:
    return of_check(verdict(given, of, **more), exit_zero=exit_zero)


def finding(
    code: str = "LA101", severity: str = "error", path: str = "a.pt", module: str | None = "m"
) -> Finding:
    layer, direction = (None, None) if module is None else (0, "forward")
    return Finding(code, "a-rule", severity, path, module, layer, direction, "message", 2.0, 1.0)


def message(text: str, **more: Any) -> str:
    with pytest.raises(BadPolicy) as caught:
        policy(text, **more)
    return caught.value.message


# --- what is read


def test_the_example_of_the_contract() -> None:
    read = policy(SPEC)
    assert read.settings["select"] == ("LA",)
    assert read.settings["ignore"] == ("LA108",)
    assert (read.fail_on, read.require_lstm) == ("error", True)
    assert forget_of(read.settings) == {
        "activation": Bounds("mean", 0.70, 0.98),
        "bias": Bounds("mean", target=1.0, tolerance=0.05),
        "time-scale": Bounds("p95", 50.0),
        "init": "chrono:784",
    }
    (override,) = read.overrides
    assert (override.files, override.layers) == (("checkpoints/init/*.pt",), ("decoder.*",))
    assert override.settings == {"forget.bias": Bounds(min=0.5), "ignore": ("LA103",)}


def test_nothing_set_is_the_defaults() -> None:
    assert policy("") == Policy(file="p.toml")
    assert describe_policy(Policy())[0] == ("select", '["LA"]', "default")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("selct = []", ["p.toml: selct", "did you mean 'select'"]),
        ("fail_on = 'error'", ["fail_on", "did you mean 'fail-on'"]),
        ("fail-on = 'errors'", ["fail-on", "'errors'", "did you mean 'error'"]),
        ("fail-on = 1", ["fail-on", "expected a string", "the number 1"]),
        ("require-lstm = 'yes'", ["require-lstm", "expected true or false", "the string 'yes'"]),
        ("select = 'LA'", ["select", "expected a list of strings", "the string 'LA'"]),
        ("select = [1]", ["select", "expected a string", "the number 1"]),
        ("select = []", ["select", "selects no rule"]),
        ("select = ['']", ["select", "empty"]),
        ("ignore = ['LB1']", ["ignore", "'LB1'", "did you mean 'LA1"]),
        ("ignore = ['la101']", ["ignore", "did you mean 'LA101'"]),
        ("ignore = ['doubled-forget-bias']", ["ignore", "did you mean 'LA101'"]),
        ("forget = 1", ["forget", "expected a table", "the number 1"]),
        ("forget.timescale = {min=1}", ["forget.timescale", "did you mean 'time-scale'"]),
        ("forget.bias = 1", ["forget.bias", "expected a table", "the number 1"]),
        ("forget.bias = true", ["forget.bias", "expected a table", "found true"]),
        ("forget.bias = {}", ["forget.bias", "sets no bound"]),
        ("forget.bias = {stat='p95'}", ["forget.bias", "sets no bound"]),
        (
            "forget.bias = {stat='median', min=1}",
            ["forget.bias.stat", "'median'", "did you mean 'mean'"],
        ),
        ("forget.bias = {min='1'}", ["forget.bias.min", "expected a number", "the string '1'"]),
        ("forget.bias = {min=true}", ["forget.bias.min", "expected a number", "found true"]),
        ("forget.bias = {min=nan}", ["forget.bias.min", "finite number"]),
        ("forget.bias = {max=inf}", ["forget.bias.max", "finite number"]),
        ("forget.bias = {max=1" + "0" * 400 + "}", ["forget.bias.max", "finite number"]),
        ("forget.bias = {min=2, max=1}", ["forget.bias", "min 2", "max 1"]),
        ("forget.bias = {min=1, tolerance=0.1}", ["forget.bias", "needs a target"]),
        ("forget.bias = {target=1, tolerance=-1}", ["forget.bias", "negative"]),
        ("forget.bias = {target=1, min=0}", ["forget.bias", "not both"]),
        ("forget.activation = {min=70}", ["forget.activation", "70", "between 0 and 1"]),
        ("forget.time-scale = {min=-1}", ["forget.time-scale", "-1"]),
        ("forget.activation = {target=0.7}", ["forget.activation.target", "no such key"]),
        ("forget.init = 'crono:784'", ["forget.init", "did you mean chrono"]),
        ("forget.init = 'chrono'", ["forget.init", "chrono:TMAX"]),
        ("forget.init = 1", ["forget.init", "preset", "the number 1"]),
        ("rules.LA1 = {}", ["rules.LA1", "no such rule", "did you mean 'LA1"]),
        ("rules.LA101 = 1", ["rules.LA101", "expected a table"]),
        ("rules.LA101.leest = 1", ["rules.LA101.leest", "did you mean 'least'"]),
        ("rules.LA101.least = '1'", ["rules.LA101.least", "expected a number"]),
        (
            "rules.LA101.severity = 'fatal'",
            ["rules.LA101.severity", "'fatal'", "error, warning, info"],
        ),
        ("override = 1", ["override", "expected tables"]),
        ("override = [1]", ["override #1", "expected a table"]),
        ("[[override]]\nignore = ['LA1']", ["override #1", "neither files nor layers"]),
        ("[[override]]\nfiles = '*.pt'", ["override #1", "changes nothing"]),
        ("[[override]]\nfiles = []\nignore = ['LA1']", ["override #1.files", "empty list"]),
        ("[[override]]\nfiles = ''\nignore = ['LA1']", ["override #1.files", "empty"]),
        (
            "[[override]]\nfile = 'a'\nignore = ['LA1']",
            ["override #1.file", "did you mean 'files'"],
        ),
        ("[[override]]\nfiles = 'a'\nfail-on = 'info'", ["override #1.fail-on", "no such key"]),
        (
            "[[override]]\nlayers = 'a'\nforget.bias = {min=2, max=1}",
            ["override #1.forget.bias", "min 2"],
        ),
        ("select = 2020-01-01", ["select", "found a date"]),
        ('"a\\nb" = 1', ["'a\\nb'", "no such key"]),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_its_place(text: str, parts: list[str]) -> None:
    said = message(text)
    assert said.startswith("p.toml: ")
    for part in parts:
        assert part in said
    assert "\n" not in said


def test_the_place_of_a_key_in_pyproject_is_the_whole_way() -> None:
    assert message("forget.bias = 1", prefix="tool.lstm-audit").startswith(
        "p.toml: tool.lstm-audit.forget.bias: "
    )


@pytest.mark.parametrize(("code", "key"), [(c, k.name) for c, k in set_by().items()])
def test_rules_with_a_key_of_their_own_are_set_by_it(code: str, key: str) -> None:
    assert f"{code} is set by {key}" in message(f"rules.{code}.min = 1")
    read = policy(f"rules.{code}.severity = 'info'")
    assert read.settings[f"rules.{code}"] == {"severity": "info"}


def test_the_options_of_a_bound_are_those_of_its_rule() -> None:
    """What `forget.KEY` passes on, the rule takes."""
    for code, key in (("LA201", "bias"), ("LA202", "activation"), ("LA203", "time-scale")):
        assert set(PARTS[key]) <= set(RULES[code].options), code
    assert "preset" in RULES["LA204"].options
    assert "required" in RULES["LA205"].options


def test_options_of_a_file_rule_cannot_differ_between_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check(evidence: Any, *, at_most: int = 1) -> Iterator[Hit]:
        yield from ()

    monkeypatch.setitem(RULES._fill(), "LA999", Rule("LA999", "whole-file", "info", "file", check))
    assert "whole file" in message("[[override]]\nlayers = 'a'\nrules.LA999.at-most = 2")
    read = policy("[[override]]\nfiles = 'a.pt'\nrules.LA999.at-most = 2")
    assert on_file(read, "a.pt", "LA999") == {"at_most": 2}
    assert on_file(read, "b.pt", "LA999") == {}
    assert "expected an integer" in message("rules.LA999.at-most = 2.5")
    assert "did you mean 'at-most'" in message("rules.LA999.at_most = 2")


# --- any tree


@given(st.dictionaries(WORDS | st.text(max_size=5), TREES, max_size=4) | TREES | LIKELY)
@settings(max_examples=400, deadline=None)
def test_any_tree_is_a_policy_or_is_refused(tree: Any) -> None:
    try:
        read = read_policy(tree, "p.toml")
    except BadPolicy as error:
        assert error.message.startswith("p.toml")  # noqa: PT017 - either way is right
        return
    assert pickle.loads(pickle.dumps(read)) == read
    for key, value, origin in describe_policy(read):
        assert origin == "default" or origin.startswith("p.toml: "), key
        tomllib.loads(f"value = {value}")
    for code in RULES:
        assert options(read, code) is None or isinstance(options(read, code), Mapping)


def spelled(demand: Any) -> Any:
    """A bound with the tolerance that holds where none is set: a description says it."""
    if isinstance(demand, Bounds) and demand.target is not None and demand.tolerance is None:
        return demand._replace(tolerance=RULES["LA201"].options["tolerance"])
    return demand


def demands(settings: Settings) -> dict[str, Any]:
    return {key: spelled(demand) for key, demand in forget_of(settings).items()}


def others(settings: Settings) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if not key.startswith("forget.")}


@given(LIKELY)
@example({"forget": {"bias": {"target": 0}}, "override": [{"forget": {"bias": {"target": 1}}}]})
@settings(max_examples=100, deadline=None)
def test_a_description_reads_back_as_the_same_policy(tree: Any) -> None:
    try:
        read = read_policy(tree, "p.toml")
    except BadPolicy:
        return
    again: dict[str, Any] = {"override": [{} for _ in read.overrides]}
    for key, text, _ in describe_policy(read):
        *way, last = key.split(".")
        target = again
        if way and way[0].startswith("override"):
            target = again["override"][int(way.pop(0)[10:]) - 1]
        for step in way:
            target = target.setdefault(step, {})
        target[last] = tomllib.loads(f"v = {text}")["v"]
    same = read_policy(again, "p.toml")
    for name in ("select", "ignore", "fail-on", "require-lstm"):
        assert same.settings[name] == read.settings[name]
    for one, other in zip(same.overrides, read.overrides, strict=True):
        assert demands(one.settings) == demands(other.settings)
        assert one._replace(settings=others(one.settings)) == other._replace(
            settings=others(other.settings)
        )
    assert {k: v for k, v in demands(same.settings).items() if v} == {
        k: v for k, v in demands(read.settings).items() if v
    }
    assert same.settings.get("rules.LA101", {}).get("severity") == read.settings.get(
        "rules.LA101", {}
    ).get("severity")


# --- where it is found


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_nearest_folder_wins_and_the_own_file_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    top = write(tmp_path / "pyproject.toml", "[tool.lstm-audit]\nfail-on = 'info'")
    assert find_config(str(deep)) == str(top)
    own = write(tmp_path / "lstm-audit.toml", "fail-on = 'warning'")
    assert find_config(str(deep)) == str(own)
    write(tmp_path / "a" / "pyproject.toml", "[project]\nname = 'other'\n[tool.ruff]")
    assert find_config(str(deep)) == str(own), "a pyproject without our table is passed over"
    near = write(tmp_path / "a" / "pyproject.toml", "[tool.lstm-audit]")
    assert find_config(str(deep)) == str(near)
    assert load_policy(start=str(deep)).fail_on == "error", "the nearest file decides alone"
    assert load_policy(start=str(tmp_path)).fail_on == "warning"


def test_the_search_ends_at_the_repository(tmp_path: Path) -> None:
    write(tmp_path / "lstm-audit.toml", "fail-on = 'info'")
    inner = tmp_path / "repo" / "src"
    inner.mkdir(parents=True)
    assert load_policy(start=str(inner)).fail_on == "info"
    write(tmp_path / "repo" / ".git", "gitdir: elsewhere")  # a worktree has a file there
    assert find_config(str(inner)) is None


def test_no_config_and_a_named_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "lstm-audit.toml", "fail-on = 'info'")
    assert load_policy().fail_on == "info"
    assert load_policy(use_config=False) == Policy()
    for name, text in [
        ("other.toml", "fail-on = 'warning'"),
        ("table.toml", "[tool.lstm-audit]\nfail-on = 'warning'"),
        ("x/pyproject.toml", "[tool.lstm-audit]\nfail-on = 'warning'\n[project]"),
    ]:
        write(tmp_path / name, text)
        read = load_policy(name)
        assert read.fail_on == "warning"
        assert read.folder == str((tmp_path / name).parent)
        assert describe_policy(read)[2][2].startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.toml", b"= 1", "not valid TOML"),
        ("a.toml", b"\xff\xfe", "not valid TOML"),
        ("a.toml", b"a = " + b"[" * 5000, "nested too deeply"),
        ("a.toml", b"a = " + b"9" * 5000, "not valid TOML"),
        ("a.toml", b"[tool.ruff]", "has no table [tool.lstm-audit]"),
        ("a.toml", b"#" * (1 << 20) + b"#", "no configuration"),
        ("pyproject.toml", b"[project]", "has no table [tool.lstm-audit]"),
        ("pyproject.toml", b"[tool.lstm_audit]", "did you mean 'tool.lstm-audit'"),
        ("pyproject.toml", b"tool = 1", "has no table"),
        ("pyproject.toml", b"[tool]\nlstm-audit = 1", "expected a table"),
    ],
)
def test_a_named_file_that_is_no_policy(tmp_path: Path, name: str, text: bytes, part: str) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(BadPolicy, match=part.replace("[", r"\[")):
        load_policy(str(tmp_path / name))


def test_files_that_cannot_be_read_or_obeyed_are_never_passed_over(tmp_path: Path) -> None:
    with pytest.raises(BadPolicy, match="no such file"):
        load_policy(str(tmp_path / "gone.toml"))
    with pytest.raises(BadPolicy, match="cannot read"):
        load_policy(str(tmp_path))
    write(tmp_path / "pyproject.toml", "[tool.lstm-audit\n")
    with pytest.raises(BadPolicy, match="not valid TOML"):
        load_policy(start=str(tmp_path))
    write(tmp_path / "pyproject.toml", "[project\n")
    (tmp_path / ".git").mkdir()
    assert load_policy(start=str(tmp_path)) == Policy(), (
        "a broken file that never names us is somebody else's trouble"
    )


def test_the_toml_parser_is_loaded_for_a_policy_only(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path / "pyproject.toml", "[project]\nname = 'x'")
    code = (
        "import sys; from lstm_audit.policy.load import load_policy; load_policy();"
        "assert not {'tomllib', 'difflib', 'json', 'lstm_audit.lstm.presets'} & set(sys.modules), "
        "sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=untraced())


# --- which rule, where


@pytest.mark.parametrize(
    ("select", "ignore", "on", "off"),
    [
        (["LA"], [], ["LA101", "LA901"], []),
        (["ALL"], ["LA108"], ["LA101", "LA107"], ["LA108"]),
        (["LA1"], ["LA10"], ["LA110"], ["LA101", "LA301"]),
        (["LA1", "LA101"], ["LA10"], ["LA101", "LA110"], ["LA102"]),
        (["LA101"], ["LA101"], [], ["LA101"]),
        (["LA101"], ["ALL"], ["LA101"], ["LA102"]),
        (["ALL"], ["LA"], [], ["LA101"]),
    ],
)
def test_the_longest_prefix_decides(
    select: list[str], ignore: list[str], on: list[str], off: list[str]
) -> None:
    read = read_policy({"select": select, "ignore": ignore}, "p")
    assert [code for code in on + off if selects(read.settings, code)] == on


def test_a_bound_that_is_not_set_turns_its_rule_off() -> None:
    assert [options(Policy(), code) for code in ("LA201", "LA202", "LA203", "LA204")] == [None] * 4
    assert options(Policy(), "LA205") == {"required": True}
    assert options(policy("require-lstm = false"), "LA205") is None
    read = policy(SPEC)
    assert options(read, "LA201") == {"stat": "mean", "target": 1.0, "tolerance": 0.05}
    assert options(read, "LA202") == {"stat": "mean", "min": 0.7, "max": 0.98}
    assert options(read, "LA203") == {"stat": "p95", "min": 50.0}
    assert options(read, "LA204") == {"preset": "chrono:784"}
    assert options(read, "LA108") is None
    assert options(policy(SPEC + "[rules.LA101]\nleast = 2"), "LA101") == {"least": 2.0}


def test_an_override_replaces_what_it_names_and_inherits_the_rest() -> None:
    read, there, decoder = policy(SPEC), "checkpoints/init/a.pt", lstm("decoder.rnn")
    assert options(read, "LA201", there, decoder) == {"stat": "mean", "min": 0.5}, (
        "forget.bias as one"
    )
    assert options(read, "LA202", there, decoder) == {"stat": "mean", "min": 0.7, "max": 0.98}
    assert options(read, "LA103", there, decoder) is None
    assert options(read, "LA108", there, decoder) == {}, "ignore as one"
    for path, where in [("other/a.pt", decoder), (there, lstm("encoder"))]:
        assert options(read, "LA201", path, where) == {
            "stat": "mean",
            "target": 1.0,
            "tolerance": 0.05,
        }
        assert options(read, "LA103", path, where) == {}


def test_the_last_override_wins_and_false_switches_off() -> None:
    read = policy(
        "forget.bias = "
        "{min=0}\n[[override]]\nlayers='*'\nforget.bias={min=1}\n[[override]]\nlayers='b*'\n"
        "forget.bias=false\n[[override]]\nlayers='b2*'\nforget.bias={min=2}"
    )
    found = [options(read, "LA201", where=lstm(module)) for module in ("a", "b1", "b2")]
    assert found == [{"stat": "mean", "min": 1.0}, None, {"stat": "mean", "min": 2.0}]


def test_layers_match_an_address_or_a_module() -> None:
    assert names_match("enc:l0", ["enc"])
    assert names_match("enc:l1:reverse", ["*:reverse"])
    assert names_match("enc.a.b:l0", ["enc.*"])
    assert names_match(":l0", ["(root)"])
    assert not names_match("enc:l10", ["enc:l1"])
    assert not names_match("encoder:l0", ["enc"])


@pytest.mark.parametrize(
    ("pattern", "paths", "others"),
    [
        (
            "checkpoints/init/*.pt",
            ["checkpoints/init/a.pt", "./checkpoints/init/a.pt"],
            ["checkpoints/init/x/a.pt"],
        ),
        (
            "**/init/*.pt",
            ["init/a.pt", "a/init/a.pt", "a/b/init/a.pt"],
            ["init/b/a.pt", "initial/a.pt"],
        ),
        ("runs/**", ["runs/a", "runs/a/b"], ["run/a"]),
        ("runs/", ["runs/a", "runs/a/b"], ["a/runs"]),
        ("runs/**/a.pt", ["runs/a.pt", "runs/x/y/a.pt"], ["a.pt"]),
        ("*.pt", ["a.pt", "x/y/a.pt"], ["a.pth"]),
        ("a[0-9].pt", ["a1.pt"], ["ax.pt"]),
        ("./a.pt", ["a.pt"], []),
    ],
)
def test_files_match_as_gitignore_does(pattern: str, paths: list[str], others: list[str]) -> None:
    assert all(file_matches(path, "", [pattern]) for path in paths)
    assert not any(file_matches(path, "", [pattern]) for path in others)


def test_a_pattern_of_many_stars_is_no_trap() -> None:
    pattern = "/".join(["**", "a"] * 200) + "/b"
    assert not file_matches("/".join(["a"] * 400), "", [pattern])


def test_files_are_seen_from_the_folder_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = policy("[[override]]\nfiles = 'runs/*.pt'\nignore = ['LA101']", folder=str(tmp_path))
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    assert options(read, "LA101", "x.pt") is None
    assert options(read, "LA101", str(tmp_path / "runs" / "x.pt")) is None
    assert options(read, "LA101", str(tmp_path / "x.pt")) == {}


def test_paths_read_the_same_through_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert relative_to(str(tmp_path / "link" / "a"), str(tmp_path)) == "link/a"
    assert relative_to(str(tmp_path / "link" / "a"), str(tmp_path / "real")) == "a"
    assert relative_to(str(tmp_path / "b"), str(tmp_path / "real")) == "../b"
    assert relative_to("<LSTM>", str(tmp_path)) == "<LSTM>"


# --- rules that see a whole file


def test_a_layer_is_spared_what_a_file_rule_found_there() -> None:
    read = policy(SPEC)
    there = "checkpoints/init/a.pt"
    assert on_file(read, there, "LA103") == {}
    assert modules(read, there, "LA103", ["decoder.rnn", "encoder"]) == ["encoder"]
    assert modules(read, "b.pt", "LA103", ["decoder.rnn"]) == ["decoder.rnn"]


def test_a_file_rule_that_is_on_for_some_layers_runs_and_counts_there_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = policy("ignore = ['LA103']\n[[override]]\nlayers = 'dec*'\nignore = []")
    assert on_file(read, "a.pt", "LA103") is None
    assert modules(read, "a.pt", "LA103", ["dec", "enc"]) == ["dec"]
    whole = policy("[[override]]\nfiles = 'b.pt'\nignore = ['LA103']")
    assert on_file(whole, "b.pt", "LA103") is None

    def check(evidence: Any) -> Iterator[Hit]:
        yield from (Hit("said", module=module) for module in ("dec", "enc", None))

    monkeypatch.setitem(RULES._fill(), "LA103", Rule("LA103", "a-rule", "info", "file", check))
    evidence = Evidence("a.pt", "pickle", (), tuple(Skipped(m, "gru", "") for m in ("dec", "enc")))
    table = spell_out(read, "a.pt", subjects_of(evidence))
    assert [f.module for f in judge(evidence, table) if f.code == "LA103"] == ["dec"]


def test_a_policy_sets_severities() -> None:
    read = policy(
        "rules.LA108.severity = 'error'\n[[override]]\nlayers = 'dec*'\nrules.LA108.severity = "
        "'warning'"
    )
    table = spell_out(read, "a.pt", {Subject(name): (name,) for name in ("enc", "dec")})
    assert [table[Subject(name)]["LA108"].severity for name in ("enc", "dec")] == [
        "error",
        "warning",
    ]
    assert table[Subject("enc")]["LA107"].severity is None, "the rule's own"
    assert options(read, "LA108") == {}, "the severity is no option of the rule"


# --- flags


def forget(of: Policy, key: str) -> Any:
    return of.settings.get(f"forget.{key}")


def test_flags_set_bounds_where_there_are_none() -> None:
    read = with_flags(
        Policy(),
        forget_bias=1,
        tolerance=0.05,
        min_activation=0.7,
        max_activation=0.9,
        min_time_scale=5,
    )
    assert forget(read, "bias") == Bounds(target=1.0, tolerance=0.05)
    assert forget(read, "activation") == Bounds(min=0.7, max=0.9)
    assert forget(read, "time-scale") == Bounds(min=5.0)
    assert {k: o for k, _, o in describe_policy(read)}[
        "forget.bias"
    ] == "--forget-bias, --tolerance"


def test_flags_replace_parts_and_never_loosen_the_rest() -> None:
    read = with_flags(policy(SPEC), min_activation=0.8, forget_bias=2)
    assert forget(read, "activation") == Bounds("mean", 0.8, 0.98)
    assert forget(read, "bias") == Bounds("mean", target=2.0, tolerance=0.05)
    assert forget(read, "time-scale") == Bounds("p95", 50.0)
    assert forget_of(read.overrides[0].settings) == {"bias": Bounds(target=2.0)}, (
        "everywhere, and what is inherited stays"
    )
    origins = {k: o for k, _, o in describe_policy(read)}
    assert origins["forget.activation"] == "--min-activation, p.toml: forget.activation"
    assert origins["override #1.forget.bias"] == "--forget-bias, p.toml: override #1.forget.bias"
    narrowed = with_flags(policy("forget.activation = {stat='p05', max=0.9}"), min_activation=0.5)
    assert forget(narrowed, "activation") == Bounds("p05", 0.5, 0.9)


def test_a_tolerance_needs_a_target() -> None:
    assert forget(with_flags(policy(SPEC), tolerance=0.5), "bias") == Bounds(
        "mean", target=1.0, tolerance=0.5
    )
    assert with_flags(policy(SPEC), tolerance=0.5).overrides[0].settings["forget.bias"] == Bounds(
        min=0.5
    )
    with pytest.raises(BadPolicy, match="--tolerance: needs --forget-bias"):
        with_flags(Policy(), tolerance=0.5)


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (
            {"min_activation": 0.99},
            "--min-activation, p.toml: forget.activation: min 0.99 is above max 0.98",
        ),
        ({"min_activation": 70}, "70"),
        ({"forget_bias": float("nan")}, "--forget-bias: expected a finite number"),
        ({"forget_bias": 1, "tolerance": -1}, "negative"),
        ({"fail_on": "errors"}, "--fail-on: 'errors'"),
        ({"select": ["LB"]}, "--select: no rule's code begins with 'LB'"),
        ({"ignore": ["LA1,LB"]}, "--ignore: no rule's code begins with 'LB'"),
        ({"select": ["LA1"], "ignore": ["LA1"]}, "--ignore: LA1 is selected by --select too"),
    ],
)
def test_flags_that_cannot_be_obeyed(flags: dict[str, Any], part: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        with_flags(policy(SPEC), **flags)
    assert part in caught.value.message


NUMBERS = st.none() | st.floats() | st.sampled_from([0, 0.5, 1, 10**400])


@given(
    tree=LIKELY,
    flags=st.fixed_dictionaries(
        dict.fromkeys(
            ("forget_bias", "tolerance", "min_activation", "max_activation", "min_time_scale"),
            NUMBERS,
        )
    ),
    select=SELECTORS,
    ignore=SELECTORS,
)
@settings(max_examples=150, deadline=None)
def test_any_flags_make_a_policy_or_are_refused(
    tree: Any, flags: Any, select: list[str], ignore: list[str]
) -> None:
    try:
        read = with_flags(read_policy(tree, "p.toml"), **flags, select=select, ignore=ignore)
    except BadPolicy:
        return
    bias = options(read, "LA201") or {}
    if flags["forget_bias"] is not None and selects(read.settings, "LA201") and not read.overrides:
        assert bias["target"] == flags["forget_bias"]
    given_keys = {"forget.bias": "forget_bias", "forget.time-scale": "min_time_scale"}
    for key, _, origin in describe_policy(read):
        if key in given_keys and flags[given_keys[key]] is not None:
            assert origin.startswith("--")


def test_selection_by_flags() -> None:
    read = with_flags(policy(SPEC), select=["LA103,LA108"], ignore=["LA9"])
    assert read.settings["select"] == ("LA103", "LA108")
    assert read.settings["ignore"] == ("LA9",), (
        "an equal --select beats the file's ignore; --ignore adds"
    )
    assert read.overrides[0].settings["ignore"] == ("LA9",)
    assert with_flags(policy(SPEC), ignore=["LA107"]).settings["ignore"] == ("LA108", "LA107")
    assert with_flags(policy(SPEC), select=["LA1"]).settings["ignore"] == ("LA108",)
    assert {k: o for k, _, o in describe_policy(read)}["select"] == "--select"
    overridden = with_flags(policy("[[override]]\nfiles='a'\nselect=[]"), select=["LA1"])
    assert overridden.overrides[0].settings["select"] == ("LA1",)


def test_the_other_flags() -> None:
    read = with_flags(policy(SPEC), fail_on="info", require_lstm=False)
    assert (read.fail_on, read.require_lstm) == ("info", False)
    origins = {k: o for k, _, o in describe_policy(read)}
    assert (origins["fail-on"], origins["require-lstm"]) == ("--fail-on", "--no-require-lstm")
    assert with_flags(policy(SPEC)) == policy(SPEC)


# --- the verdict


@pytest.mark.parametrize(
    ("fail_on", "failing"), [("error", 1), ("warning", 2), ("info", 3), ("never", 0)]
)
def test_fail_on(fail_on: str, failing: int) -> None:
    at = Policy().having("fail-on", fail_on)
    assert [s for s in SEVERITIES if fails(finding(severity=s), at)] == list(SEVERITIES[:failing])


VALUES = Values({"b": ([0.0],) * 4}, ([0.0],) * 4)
ROW = Row(facts_of(lstm()), measure(lstm(), VALUES))


def audit(
    *found: Finding, rows: int = 1, skipped: str = "", error: bool = False, files: int = 1
) -> Audit:
    skips = (Skipped("m", skipped, ""),) if skipped else ()
    file = FileAudit("a.pt", "torch-zip", 1, (ROW,) * rows, skips, found)
    return Audit((file,) * files, (FileError("b.pt", "io", ""),) if error else ())


LACK = finding("LA205", module=None)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (audit(), PASS),
        (audit(finding()), FINDINGS),
        (audit(finding(severity="warning")), PASS),
        (audit(finding(), error=True), UNREADABLE),
        (audit(LACK, error=True, rows=0), UNREADABLE),
        (audit(finding(), LACK), FINDINGS),
        (audit(LACK, rows=0), NOTHING),
        (audit(rows=0), NOTHING),
        (audit(files=0), NOTHING),
        (audit(skipped="frozen"), UNREADABLE),
        (audit(finding(), skipped="ambiguous"), UNREADABLE),
        (audit(skipped="gru"), PASS),
        (audit(skipped="rnn"), PASS),
        (audit(skipped="optimizer-state"), PASS),
    ],
)
def test_exit_codes_and_their_precedence(given: Audit, code: int) -> None:
    assert code_of(given, Policy()) == code


def test_what_softens_an_exit_code() -> None:
    assert code_of(audit(skipped="frozen"), Policy(), allow_skipped=True) == PASS
    assert code_of(audit(finding(), skipped="frozen"), Policy(), allow_skipped=True) == FINDINGS
    assert code_of(audit(finding()), Policy(), exit_zero=True) == PASS
    assert code_of(audit(error=True), Policy(), exit_zero=True, allow_skipped=True) == UNREADABLE
    assert code_of(audit(rows=0), Policy(), exit_zero=True) == NOTHING
    assert code_of(audit(LACK, rows=0), Policy().having("fail-on", "never")) == NOTHING
    assert code_of(audit(rows=0), Policy().having("require-lstm", False)) == PASS
    assert code_of(audit(rows=0), policy("ignore = ['LA205']")) == PASS
    assert (
        code_of(audit(rows=0), policy("[[override]]\nfiles = 'a.pt'\nignore = ['LA205']")) == PASS
    )
    assert code_of(audit(rows=0), policy("select = ['LA1']")) == NOTHING, "an empty run is no pass"


def test_findings_that_a_baseline_knows_do_not_count() -> None:
    assert code_of(audit(finding()), Policy(), new=()) == PASS
    assert code_of(audit(LACK, rows=0), Policy(), new=()) == PASS
    assert code_of(audit(finding()), Policy(), new=[finding()]) == FINDINGS
