"""A policy key is one row: what reads, shows, describes and sets it follows from that."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command import MODEL, environment
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no stubs

import lstm_audit
from lstm_audit.cli.options import FORMS
from lstm_audit.errors import BadPolicy
from lstm_audit.policy.describe import describe_policy
from lstm_audit.policy.flags import with_flags
from lstm_audit.policy.keys import KEYS, PolicyKey, defaults, flags, rule_key, set_by
from lstm_audit.policy.model import Policy
from lstm_audit.policy.toml import read_policy
from lstm_audit.rules import RULES, every_rule
from lstm_audit.schemas import policy_schema

EXAMPLES: dict[str, Any] = {
    "select": ["LA1"],
    "ignore": ["LA108"],
    "fail-on": "info",
    "require-lstm": False,
    "forget.bias": {"target": 1.0, "tolerance": 0.1},
    "forget.activation": {"min": 0.5},
    "forget.time-scale": {"stat": "p95", "min": 3.0},
    "forget.init": "chrono:784",
}


def nested(name: str, value: Any) -> dict[str, Any]:
    group, _, part = name.partition(".")
    return {group: {part: value} if part else value}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_a_row_is_read_shown_and_in_the_schema(key: PolicyKey) -> None:
    table = nested(key.name, EXAMPLES[key.name])
    Draft202012Validator(policy_schema()).validate(table)
    read = read_policy(table, "p.toml")
    assert read.settings[key.name] != defaults().get(key.name)
    lines = {name: (value, origin) for name, value, origin in describe_policy(read)}
    text, origin = lines[key.name]
    assert origin == f"p.toml: {key.name}"
    again = read_policy(nested(key.name, tomllib.loads(f"v = {text}")["v"]), "p.toml")
    assert key.show(again.settings[key.name]) == text
    in_override = {"override": [{"files": "a", **table}]}
    assert Draft202012Validator(policy_schema()).is_valid(in_override) == key.layered
    if key.layered:
        assert read_policy(in_override, "p.toml").overrides[0].settings == {
            key.name: read.settings[key.name]
        }
    else:
        with pytest.raises(BadPolicy, match="no such key"):
            read_policy(in_override, "p.toml")


@pytest.mark.parametrize("code", sorted(RULES))
def test_a_rule_has_a_row(code: str) -> None:
    key = rule_key(RULES[code])
    value = read_policy({"rules": {code: {"severity": "info"}}}, "p.toml").settings[key.name]
    assert key.show(value) == '{ severity = "info" }'


def test_what_a_row_gives_to_a_rule_the_rule_takes() -> None:
    for code, key in set_by().items():
        settings = read_policy(nested(key.name, EXAMPLES[key.name]), "p.toml").settings
        options = key.options(settings[key.name]) or key.options(key.default)
        assert set(options or ()) <= set(RULES[code].options)


def test_flags_are_options_of_check_and_config_and_arguments_of_python() -> None:
    for command in ("check", "config"):
        options = {option.name: option for option in FORMS[command].options}
        for _, flag in flags():
            assert options[flag.name].spellings == (flag.spelling,)
            assert options[flag.name].help == flag.help
    with pytest.raises(BadPolicy, match=r"forget_bais: no such flag; did you mean 'forget_bias'\?"):
        with_flags(Policy(), forget_bais=1)
    with pytest.raises(BadPolicy, match="no such flag"):
        lstm_audit.check(MODEL, forget_bais=1)


def test_one_string_is_one_selector() -> None:
    for given in ("LA1,LA3", ["LA1", "LA3"], ["LA1,LA3"]):
        assert with_flags(Policy(), select=given).settings["select"] == ("LA1", "LA3")
    assert with_flags(Policy(), ignore="LA108").settings["ignore"] == ("LA108",)


def test_verify_is_said() -> None:
    lines = {name: origin for name, _, origin in describe_policy(with_flags(Policy(), verify=True))}
    assert lines["rules.LA902"] == "--verify"


START = """
import sys
import lstm_audit.policy.keys as keys
from lstm_audit.policy.kinds import read_number

keys.KEYS += (
    keys.PolicyKey(
        "most-layers",
        read_number,
        lambda: {"type": "number"},
        keys.toml,
        default=3.0,
        flags=(keys.Flag("most_layers", "--most-layers", "At most N.", "N", kind="number"),),
    ),
)
KEY = keys.bound_key(
    keys.Quantity("half-life", low=0.0),
    "LA203",
    keys.Flag("min_half_life", "--min-half-life", "Least half-life.", "N", "min", kind="number"),
)
keys.KEYS += (KEY,)
from lstm_audit.cli import main
main()
"""


def ask(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The command with two more rows among the keys."""
    return subprocess.run(
        [sys.executable, "-c", START, *map(str, words)],
        capture_output=True,
        text=True,
        env=environment(COLUMNS="300"),
        cwd=folder,
        check=False,
    )


def test_a_key_is_one_row(tmp_path: Path) -> None:
    """Nothing else knows the keys: TOML, the schema, the description, the flags and their help."""
    text = "most-layers = 2\n[forget]\nhalf-life = { min = 2 }\n"
    (tmp_path / "lstm-audit.toml").write_text(text)
    lines = [line.split(maxsplit=1) for line in ask(tmp_path, "config").stdout.splitlines()]
    shown = dict(line for line in lines if len(line) == 2)
    assert shown["most-layers"].split()[0] == "2.0"
    assert shown["forget.half-life"].startswith('{ stat = "mean", min = 2.0 }')
    assert ask(tmp_path, "check", MODEL).returncode == 0
    done = ask(tmp_path, "config", "--min-half-life", "5")
    assert "--min-half-life, lstm-audit.toml: forget.half-life" in done.stdout
    done = ask(tmp_path, "config", "--most-layers", "7")
    assert [line.split() for line in done.stdout.splitlines() if "most-layers" in line] == [
        ["most-layers", "7.0", "--most-layers"]
    ]
    assert "--min-half-life N" in ask(tmp_path, "check", "--help").stdout
    schema = json.loads(ask(tmp_path, "schema", "policy").stdout)
    Draft202012Validator(schema).validate(tomllib.loads(text))
    (tmp_path / "lstm-audit.toml").write_text("forget.halflife = { min = 2 }")
    assert "did you mean 'half-life'?" in ask(tmp_path, "check", MODEL).stderr


def test_the_catalogue_is_in_the_schema() -> None:
    table = policy_schema()["properties"]["rules"]["properties"]
    assert list(table) == [rule.code for rule in every_rule()]
