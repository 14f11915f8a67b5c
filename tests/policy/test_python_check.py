"""`lstm_audit.check` and `assert_forget_gate`, over files, models and state dicts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from command import CLEAN, DOUBLED, FLAWED, FROZEN, GRU, MODEL, ONE_SIDED, TRUNCATED, run

import lstm_audit
from lstm_audit import AuditError, assert_forget_gate
from lstm_audit.errors import BadPolicy, UnknownFormat
from lstm_audit.gate import check, make_policy
from lstm_audit.policy.describe import toml
from lstm_audit.policy.model import Policy


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def model(bias: float | None = 1.0, hidden: int = 6) -> torch.nn.LSTM:
    """An LSTM whose effective forget bias is `bias`; None: torch's default."""
    torch.manual_seed(3)
    lstm = torch.nn.LSTM(4, hidden, num_layers=2)
    if bias is not None:
        lstm_audit.patch(lstm, forget_bias=bias)
    return lstm


# ---- check


def test_a_file_a_folder_a_model_and_a_state_dict() -> None:
    for target in (
        MODEL,
        str(MODEL),
        [MODEL, CLEAN / "cell.pt"],
        CLEAN,
        model(),
        model().state_dict(),
    ):
        result = check(target)
        assert result.passed
        assert result.failures == ()
        assert result.incomplete == ""
        assert result.audit.rows


def test_a_failure_is_a_finding() -> None:
    result = check(DOUBLED)
    assert not result.passed
    assert [finding.code for finding in result.failures] == ["LA101"]
    assert result.policy.fail_on == "error"


def test_a_warning_is_a_failure_where_the_policy_says_so() -> None:
    assert check(ONE_SIDED).passed
    assert [finding.code for finding in check(ONE_SIDED, fail_on="warning").failures] == ["LA104"]


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ({"forget_bias": 2.0}, "LA201"),
        ({"forget_bias": 1.2, "tolerance": 0.1}, "LA201"),
        ({"min_activation": 0.8}, "LA202"),
        ({"max_activation": 0.7}, "LA202"),
        ({"min_time_scale": 10.0}, "LA203"),
    ],
)
def test_flags_are_those_of_the_command(flags: dict[str, Any], code: str) -> None:
    for target in (MODEL, model()):
        assert {finding.code for finding in check(target, **flags).failures} == {code}
        assert check(target, **flags, ignore=[code]).passed
        assert check(target, **flags, select=["LA1"]).passed


def test_a_policy_from_whatever_a_caller_holds(tmp_path: Path) -> None:
    demand: dict[str, Any] = {"forget": {"activation": {"min": 0.8}}}
    (tmp_path / "ci.toml").write_text("forget.activation = { min = 0.8 }\n")
    for policy in (demand, "ci.toml", tmp_path / "ci.toml", make_policy(demand)):
        assert [finding.code for finding in check(model(), policy).failures] == ["LA202", "LA202"]
    assert make_policy(None) == Policy()
    with pytest.raises(BadPolicy, match="did you mean 'activation'"):
        check(MODEL, {"forget": {"activatoin": {}}})
    with pytest.raises(BadPolicy):
        check(MODEL, "nowhere.toml")
    with pytest.raises(BadPolicy):
        check("nowhere.pt")


def test_no_configuration_of_the_folder_leaks_into_a_script(tmp_path: Path) -> None:
    (tmp_path / "lstm-audit.toml").write_text("forget.activation = { min = 0.8 }\n")
    assert check(MODEL).passed


def test_a_verdict_that_could_not_be_reached_is_no_pass() -> None:
    for target, word in ((TRUNCATED, "truncated.pt"), (FROZEN, "could not be judged")):
        result = check(target)
        assert not result.passed
        assert word in result.incomplete
    assert [finding.code for finding in check(GRU).failures] == ["LA205"]
    assert check(GRU, require_lstm=False).passed
    assert check(GRU, select=["LA1"]).incomplete == "no LSTM was found"


def test_the_reason_is_of_an_lstm_and_not_of_a_gru() -> None:
    assert "torch.jit.freeze" in check([GRU, FROZEN]).incomplete


def test_layers() -> None:
    assert len(check(model(), layers=["*:l1"]).audit.rows) == 1
    with pytest.raises(BadPolicy, match=r"'nothing' matches no LSTM; the nearest is"):
        check(model(), layers=["*:l1", "nothing"])


# ---- assert_forget_gate


@pytest.mark.parametrize("kind", ["model", "state dict", "file"])
def test_what_holds_is_silent_and_what_does_not_is_told(kind: str, tmp_path: Path) -> None:
    lstm = model()
    torch.save(lstm.state_dict(), tmp_path / "m.pt")
    target = {"model": lstm, "state dict": lstm.state_dict(), "file": tmp_path / "m.pt"}[kind]
    assert_forget_gate(target, activation=(0.7, 0.98))
    with pytest.raises(AssertionError, match=r"LA202 :l0: .*0\.731.*0\.9") as caught:
        assert_forget_gate(target, activation=(0.9, 0.98))
    assert len(str(caught.value).splitlines()) == 2


def test_bias() -> None:
    assert_forget_gate(model(), bias=1)
    assert_forget_gate(model(), bias=(0.5, 1.5))
    assert_forget_gate(model(1.05), bias=1.0, tolerance=0.1)
    for wrong in ({"bias": 1.0}, {"bias": (0.5, 1.0)}, {"bias": 1.0, "tolerance": 0.01}):
        with pytest.raises(AssertionError, match="LA201"):
            assert_forget_gate(model(1.05), **wrong)


def test_a_fresh_torch_lstm_fails() -> None:
    with pytest.raises(AssertionError, match="LA202"):
        assert_forget_gate(model(None), activation=(0.7, 0.98))


def test_time_scale() -> None:
    assert_forget_gate(model(), time_scale=(3, 4))
    with pytest.raises(AssertionError, match="LA203"):
        assert_forget_gate(model(), time_scale=(10, 100))
    with pytest.raises(AssertionError, match="LA203"):
        assert_forget_gate(model(), time_scale=(1, 2))


def test_init() -> None:
    lstm = model(None, hidden=32)
    lstm_audit.patch(lstm, init="chrono:100")
    assert_forget_gate(lstm, init="chrono:100")
    with pytest.raises(AssertionError, match="LA204"):
        assert_forget_gate(lstm, init="unit")
    with pytest.raises(BadPolicy):
        assert_forget_gate(lstm, init="cronho:100")


def test_a_statistic_or_every_unit() -> None:
    lstm = model()
    with torch.no_grad():
        lstm.get_parameter("bias_ih_l0")[6] = -3.0
    assert_forget_gate(lstm, activation=(0.6, 0.98))
    assert_forget_gate(lstm, activation=(0.6, 0.98), stat="p50")
    for stat in ("min", "each"):
        with pytest.raises(AssertionError, match="LA202 :l0"):
            assert_forget_gate(lstm, activation=(0.6, 0.98), stat=stat)
    assert_forget_gate(lstm, activation=(0.6, 0.98), stat="each", layers=[":l1"])
    with pytest.raises(BadPolicy, match="stat"):
        assert_forget_gate(lstm, activation=(0.6, 0.98), stat="median")


def test_not_a_number_is_never_fine() -> None:
    with pytest.raises(AssertionError, match="LA301"):
        assert_forget_gate(FLAWED / "LA301" / "overflowed.pt", activation=(0, 1))


def test_nothing_to_assert_on_is_no_pass() -> None:
    for target in (torch.nn.Linear(2, 3), torch.nn.GRU(2, 3), GRU, FROZEN, TRUNCATED):
        with pytest.raises(AssertionError):
            assert_forget_gate(target, activation=(0, 1))
    with pytest.raises(UnknownFormat):
        assert_forget_gate(object(), bias=1)
    with pytest.raises(AuditError):
        assert_forget_gate("nowhere.pt", bias=1)


@pytest.mark.parametrize(
    "bounds",
    [{"activation": (0.9, 0.1)}, {"activation": (0.5, float("nan"))}, {"bias": (1.0, 0.0)}, {"bias": float("inf")},
     {"bias": 1.0, "tolerance": -1.0}, {"time_scale": (-5.0, 3.0)}],
    ids=str,
)  # fmt: skip
def test_bounds_that_make_no_sense(bounds: dict[str, Any]) -> None:
    with pytest.raises(BadPolicy):
        assert_forget_gate(model(), **bounds)


def test_an_open_end() -> None:
    assert_forget_gate(model(), time_scale=(3, float("inf")))
    assert_forget_gate(model(), bias=(float("-inf"), 1.5))
    assert_forget_gate(model(), bias=[0.5, float("inf")])
    with pytest.raises(AssertionError, match="LA203"):
        assert_forget_gate(model(), time_scale=(5, float("inf")))


def test_the_model_is_left_alone() -> None:
    lstm = model()
    before = {name: value.clone() for name, value in lstm.state_dict().items()}
    flags = [parameter.requires_grad for parameter in lstm.parameters()]
    assert_forget_gate(lstm, activation=(0.7, 0.98), bias=1.0, time_scale=(3, 4))
    assert all(torch.equal(before[name], value) for name, value in lstm.state_dict().items())
    assert [parameter.requires_grad for parameter in lstm.parameters()] == flags


def test_an_assertion_of_nothing_is_refused() -> None:
    with pytest.raises(BadPolicy, match="nothing is asserted"):
        assert_forget_gate(model())


@pytest.mark.parametrize(
    "bounds",
    ["12", b"12", (1,), (1, 2, 3), ("a", "b"), {}, {"a": 1, "b": 2}, object(), 0.5],
)
def test_bounds_are_two(bounds: Any) -> None:
    for name in ("activation", "time_scale", *(["bias"] if bounds != 0.5 else [])):
        with pytest.raises(BadPolicy, match="two numbers"):
            assert_forget_gate(model(), **{name: bounds})


@pytest.mark.parametrize("word", [b"LA1", 3, float("nan"), object()])
@pytest.mark.parametrize("name", ["select", "ignore", "layers", "exclude"])
def test_what_is_no_text_is_refused(name: str, word: Any) -> None:
    with pytest.raises(BadPolicy, match=r"is a string, or several|are codes"):
        lstm_audit.check(MODEL, **{name: word})


def test_a_bias_of_several_numbers_is_refused() -> None:
    with pytest.raises(BadPolicy, match="bias: a number, or two, are expected"):
        assert_forget_gate(model(), bias=torch.tensor([1.0, 2.0, 3.0]))


# ---- the same verdict as the command


POLICIES: list[dict[str, Any]] = [
    {},
    {"fail-on": "never"},
    {"fail-on": "info"},
    {"fail-on": "never", "ignore": ["LA205"]},
    {"rules": {"LA205": {"severity": "warning"}}},
    {"select": ["LA1"]},
    {"require-lstm": False},
]


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("file", [MODEL, DOUBLED, ONE_SIDED, GRU, FROZEN, TRUNCATED], ids=str)
def test_python_and_the_command_agree(
    file: Path, policy: dict[str, Any], allow: bool, tmp_path: Path
) -> None:
    """Passed where the command exits 0, true where it passed."""
    config = tmp_path / "ci.toml"
    lines = [f"{key} = {toml(value)}" for key, value in policy.items() if key != "rules"]
    lines += [f"rules.{k}.severity = 'warning'" for k in policy.get("rules", {})]
    config.write_text("\n".join(lines))
    flags = ["--allow-skipped"] if allow else []
    done = run("check", "-q", "--config", str(config), *flags, str(file))
    result = check(file, policy, allow_skipped=allow)
    assert (done.exit_code == 0) == result.passed == bool(result), done.output
    assert {"passed": 0, "failed": 1, "unread": 3, "empty": 4}[result.outcome.state] == (
        done.exit_code
    )


def test_a_gru_is_no_pass_whatever_fails_a_run() -> None:
    for policy in ({"fail-on": "never"}, {"rules": {"LA205": {"severity": "warning"}}}):
        result = check(GRU, policy)
        assert not result.passed
        assert [finding.code for finding in result.failures] == ["LA205"]


def test_what_lies_outside_of_the_layers_is_not_judged(tmp_path: Path) -> None:
    """`dec` has biases and no weights, so it cannot be judged; `enc` can."""
    state = {f"enc.{name}": value for name, value in model().state_dict().items()}
    half = {f"dec.bias_{part}_l0": torch.zeros(24) for part in ("ih", "hh")}
    torch.save(state | half, tmp_path / "m.pt")
    assert check(tmp_path / "m.pt").outcome.state == "unread"
    for layers in ("enc*", ["enc"], "enc:l*"):
        assert check(tmp_path / "m.pt", layers=layers).passed, layers
    assert run("check", "--layers", "enc*", tmp_path / "m.pt").exit_code == 0
    for layers in ("dec", "dec:l0", "*"):
        assert check(tmp_path / "m.pt", layers=layers).outcome.state == "unread", layers
