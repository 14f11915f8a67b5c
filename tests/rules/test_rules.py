"""Every rule: its flawed fixture trips it, the clean ones do not, its options and its manual do
what they say.
"""

import inspect
import math
import os
import re
import textwrap
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from fixes import fix
from safetensors.torch import save_file
from torch import nn

from lstm_audit import formats
from lstm_audit.errors import Skipped
from lstm_audit.facts import SEVERITIES, Finding
from lstm_audit.formats import Trailing
from lstm_audit.lstm import presets
from lstm_audit.lstm.find import find_lstms
from lstm_audit.lstm.forensics.fingerprint import identify
from lstm_audit.lstm.layer import Lstm
from lstm_audit.lstm.measure import measure, read_values
from lstm_audit.raw.source import FileSource
from lstm_audit.raw.span import Span, span_all
from lstm_audit.reports.remedies import pattern
from lstm_audit.rules import (
    RULES,
    SECTIONS,
    Case,
    Evidence,
    Rule,
    Setting,
    judge,
    subjects_of,
)  # fmt: skip
from lstm_audit.rules.bounds import Interval
from lstm_audit.rules.container import inert

FIXTURES = Path(__file__).parents[2] / "fixtures"
FLAWED = sorted(path for path in (FIXTURES / "flawed").rglob("*") if path.is_file())
SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
CLEAN = sorted(
    p for p in (FIXTURES / "clean").rglob("*") if p.is_file() and not SHARD.search(p.name)
)

CODES = sorted(RULES)
OF_WEIGHTS = [code for code in CODES if not code.startswith("LA5")]
"""The rules that a checkpoint can break; those of source code have fixtures of their own."""

POLICY: dict[str, dict[str, Any]] = {
    "LA201": {"target": 1.0},
    "LA202": {"min": 0.7},
    "LA203": {"stat": "p95", "min": 50.0},
    "LA204": {"preset": "unit"},
    "LA205": {"required": True},
}
"""What a policy must say before the rules of LA2 speak."""

TRUE_OF_CLEAN = {
    ("whole_module.pt", "LA901"),
    ("whole_module_legacy.pt", "LA901"),
    ("lightning.ckpt", "LA901"),
}
"""As they should be, but pickled with classes that an unsafe load would import: the rule is
right.
"""


def evidence_of(path: Path, opened: ExitStack) -> Evidence:
    """One file before the rules."""

    def span(name: str) -> Span:
        return span_all(opened.enter_context(FileSource(str(path.parent / name))))

    checkpoint = formats.read_checkpoint(span(path.name), span)
    found = find_lstms(checkpoint)
    return Evidence(
        str(path), checkpoint.format, tuple(map(case_of, found.lstms)), found.skipped, found.lookalikes,
        checkpoint.globals, checkpoint.trailing, around=checkpoint.around,
    )  # fmt: skip


def case_of(lstm: Lstm) -> Case:
    values = read_values(lstm)
    init = (
        identify(values.halves["ih"], values.halves["hh"], lstm.dtype) if lstm.two_halves else None
    )
    return Case(lstm, values, measure(lstm, values), init)


def findings(path: Path, options: Mapping[str, Mapping[str, Any]] | None = None) -> list[Finding]:
    """All rules over one file; `options` by code, the others at their defaults."""
    given = options or {}
    with ExitStack() as opened:
        return said(evidence_of(path, opened), given)


def said(
    evidence: Evidence, options: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Finding]:
    """What every rule says of the evidence."""
    settings = {code: Setting((options or {}).get(code, {})) for code in RULES}
    return list(judge(evidence, dict.fromkeys(subjects_of(evidence), settings)))


def codes(path: Path, **options: Mapping[str, Any]) -> set[str]:
    return {finding.code for finding in findings(path, options)}


def saved(path: Path, module: nn.Module) -> Path:
    torch.save(module.state_dict(), path)
    return path


def bias(module: nn.Module, half: str) -> torch.Tensor:
    """The values of bias_ih_l0 or bias_hh_l0, to be written into."""
    return module.get_parameter(f"bias_{half}_l0").data


def lstm_with(forget: float, **options: Any) -> nn.LSTM:
    """H = 16; the effective forget bias is `forget`, all else as torch drew it."""
    module = nn.LSTM(4, 16, **options)
    for name, p in module.named_parameters():
        if name.startswith("bias_"):
            p.data[16:32] = forget if name.startswith("bias_ih") else 0.0
    return module


def test_catalogue_is_well_formed() -> None:
    """That README documents these rules, `tests/promises/test_readme.py` sees."""
    assert {rule.severity for rule in RULES.values()} <= set(SEVERITIES)
    assert all(re.fullmatch(r"LA\d{3}", code) for code in RULES)
    names = [rule.name for rule in RULES.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_code_is_never_given_twice() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        RULES.add("LA101", RULES["LA102"])


@pytest.mark.parametrize("code", OF_WEIGHTS)
def test_every_rule_has_a_flawed_fixture(code: str) -> None:
    files = [path for path in FLAWED if path.parent.name == code]
    assert files
    assert all(path.stat().st_size < 100_000 for path in files)


@pytest.mark.parametrize("path", FLAWED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_flawed_file_trips_its_rule(path: Path) -> None:
    code = path.parent.name
    hits = [
        finding
        for finding in findings(path, POLICY if code in POLICY else None)
        if finding.code == code
    ]
    assert hits
    for hit in hits:
        assert hit.severity == (
            "warning" if "trained" in path.name and code < "LA2" else RULES[code].severity
        )
        assert ";" in hit.message, "what was found; what to do"
        assert code in ("LA404", "LA903") or re.search(r"\d", hit.message)
        assert hit.measured is not None
        if hit.fix:
            assert hit.fix.target.words[0].startswith("--")
            assert hit.fix.identities


@pytest.mark.parametrize("path", CLEAN, ids=lambda path: str(path.relative_to(FIXTURES / "clean")))
def test_clean_file_trips_nothing(path: Path) -> None:
    found = {(path.name, code) for code in codes(path)}
    assert found <= TRUE_OF_CLEAN
    if path.name in {name for name, _ in TRUE_OF_CLEAN}:
        assert found


def test_policy_is_silent_until_it_is_asked() -> None:
    for code in POLICY:
        for path in (path for path in FLAWED if path.parent.name == code):
            assert not {found for found in codes(path) if found.startswith("LA2")}


@pytest.mark.parametrize("code", CODES)
def test_manual_is_complete(code: str) -> None:
    rule = RULES[code]
    sections = rule.sections
    assert list(sections) == ["", *SECTIONS]
    assert all(len(text) > 20 for text in sections.values())
    assert sections[""].endswith(".")
    assert "\n" not in sections[""]
    assert code == "LA502" or re.search(r"\d", sections["Example"])
    assert "lstm-audit" in sections["Fix"]
    assert rule.manual == inspect.getdoc(rule.check)


@pytest.mark.parametrize("code", CODES)
def test_options_have_defaults(code: str) -> None:
    parameters = list(inspect.signature(RULES[code].check).parameters.values())
    assert [p.kind for p in parameters[1:]] == [inspect.Parameter.KEYWORD_ONLY] * (
        len(parameters) - 1
    )
    assert all(p.default is not inspect.Parameter.empty for p in parameters[1:])
    assert dict(RULES[code].options) == {p.name: p.default for p in parameters[1:]}


def snippet(rule: Rule) -> str:
    """The Python of a manual: the last indented block of its Fix."""
    blocks = re.findall(r"(?m)(?:^    .*\n?)+", rule.sections["Fix"])
    return textwrap.dedent(blocks[-1])


@pytest.mark.parametrize("code", OF_WEIGHTS)
def test_three_lines_of_pytorch(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most four with the `with`; they run, and what they set is what they promise."""
    text = snippet(RULES[code])
    assert 3 <= len(text.strip().splitlines()) <= 4
    monkeypatch.chdir(tmp_path)
    lstm = nn.LSTM(4, 16, bias=code != "LA401")
    torch.save(lstm, "trusted.pt")
    for name in ("model.pt", "model.safetensors"):
        torch.save(lstm.state_dict(), name)
    scope = {
        "torch": torch, "nn": nn, "math": math, "H": 16, "lstm": lstm, "model": lstm, "gru": nn.GRU(4, 16),
        "ema_model": nn.LSTM(4, 16), "state": lstm.state_dict(), "build_model": lambda: nn.LSTM(4, 16),
        "biased": None,
    }  # fmt: skip
    exec(compile(text, code, "exec"), scope)
    if code in ("LA101", "LA102", "LA103", "LA105", "LA108", "LA201", "LA303", "LA401"):
        module = scope["biased"] or lstm
        assert isinstance(module, nn.LSTM)
        assert (bias(module, "ih") + bias(module, "hh"))[16:32].tolist() == [1.0] * 16


def test_equal_halves_of_half_a_target_are_a_split(tmp_path: Path) -> None:
    module = nn.LSTM(4, 16)
    for value, expected in ((0.5, False), (1.0, True)):
        for name in ("bias_ih_l0", "bias_hh_l0"):
            module.get_parameter(name).data[16:32] = value
        assert ("LA101" in codes(saved(tmp_path / "m.pt", module))) == expected
    assert "LA101" not in codes(tmp_path / "m.pt", LA101={"least": 1.5})


def test_fix_names_one_lstm_and_is_safe_only_on_proof() -> None:
    fresh = findings(FIXTURES / "flawed/LA101/zeroed_first.pt")[0]
    assert fresh.fix is not None
    assert fresh.fix == fix("forget-bias", 1.5, "encoder:l0")
    assert fresh.fix.safe
    assert (fresh.measured, fresh.expected) == (3.0, 1.5)
    half = findings(FIXTURES / "flawed/LA101/half_precision.pt")[0]
    assert half.fix is not None
    assert not half.fix.safe
    trained = findings(FIXTURES / "flawed/LA101/trained.pt")[0]
    assert trained.fix is None
    assert isinstance(trained.measured, float)
    assert isinstance(trained.expected, float)
    assert trained.measured == pytest.approx(2 * trained.expected, rel=1e-6)


@pytest.mark.parametrize("size", [50, 64])
def test_a_fix_is_safe_where_only_a_step_of_a_power_of_two_could_hide(tmp_path: Path, size) -> None:
    """Draws of a size that is a square are `fresh?`, and still no accident."""
    torch.manual_seed(0)
    module = nn.LSTM(4, size)
    for name in ("bias_ih_l0", "bias_hh_l0"):
        module.get_parameter(name).data[size : 2 * size] = 1.0
    found = [one for one in findings(saved(tmp_path / "m.pt", module)) if one.code == "LA101"]
    (doubled,) = found
    assert doubled.severity == "error"
    assert doubled.fix is not None
    assert doubled.fix.safe
    module.bias_hh_l0.data += 1e-5
    module.bias_ih_l0.data += 1e-5
    assert not any(one.fix and one.fix.safe for one in findings(saved(tmp_path / "m.pt", module)))


def test_address_with_glob_signs_is_escaped(tmp_path: Path) -> None:
    from fnmatch import fnmatchcase

    path = tmp_path / "m.pt"
    torch.save({"nodes['a*?']": nn.LSTM(4, 16).state_dict()}, path)
    with ExitStack() as opened:
        lstm = evidence_of(path, opened).cases[0].lstm
    assert fnmatchcase(lstm.address, pattern(lstm.address))
    assert not fnmatchcase("nodes['abc']:l0", pattern(lstm.address))


def test_closing_another_gate_is_no_mistake(tmp_path: Path) -> None:
    """A negative constant in the input or output gate is put there on purpose."""
    module = nn.LSTM(4, 16)
    bias(module, "ih")[:16], bias(module, "hh")[:16] = -2.0, 0.0
    assert codes(saved(tmp_path / "m.pt", module)) <= {"LA108"}
    bias(module, "ih")[:16] = 2.0
    assert "LA102" in codes(saved(tmp_path / "m.pt", module))


def test_missed_layers_are_named_and_mended_together() -> None:
    (hit,) = [f for f in findings(FIXTURES / "flawed/LA103/layer_0_only.pt") if f.code == "LA103"]
    assert (hit.module, hit.layer, hit.address) == ("model.lstm", None, "model.lstm")
    assert "2 of 3" in hit.message
    assert hit.fix is not None
    assert hit.fix == fix("forget-bias", 1.0, "model.lstm:l1", "model.lstm:l2", safe=hit.fix.safe)
    (back,) = [
        f
        for f in findings(FIXTURES / "flawed/LA103/reverse_forgotten.safetensors")
        if f.code == "LA103"
    ]
    assert ":l0:reverse, :l1:reverse" in back.message


def test_two_modules_are_not_compared(tmp_path: Path) -> None:
    both = nn.ModuleDict({"a": lstm_with(1.0), "b": nn.LSTM(4, 16)})
    assert codes(saved(tmp_path / "m.pt", both)) == {"LA108"}


def test_constants_that_are_no_forget_bias_are_left_alone(tmp_path: Path) -> None:
    module = nn.LSTM(4, 16)
    for name, p in module.named_parameters():
        if "bias" in name:
            nn.init.constant_(p, 0.01)
    assert codes(saved(tmp_path / "m.pt", module)) == set()
    assert codes(tmp_path / "m.pt", LA105={"least": 0.01}) == {"LA105"}


def test_halves_that_cancel_are_not_zeroed(tmp_path: Path) -> None:
    module = nn.LSTM(4, 16)
    bias(module, "ih").fill_(0.01)
    bias(module, "hh").fill_(-0.01)
    assert codes(saved(tmp_path / "m.pt", module)) == set()


def test_zero_under_a_runtime_offset_is_meant(tmp_path: Path) -> None:
    shapes = {
        "input_map.weight": (64, 4),
        "input_map.bias": (64,),
        "recurrent_map.weight": (64, 16),
    }
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "m.pt")
    (hit,) = findings(tmp_path / "m.pt")
    assert (hit.code, hit.measured, hit.expected) == ("LA110", 0.0, 1.0)
    cancelled = torch.zeros(64)
    cancelled[
        32:48
    ] = -1.0  # g, i, f, o: with the offset the forget gate's bias is 0, but what is stored is not
    state = torch.load(tmp_path / "m.pt", weights_only=True) | {"input_map.bias": cancelled}
    torch.save(state, tmp_path / "m.pt")
    assert codes(tmp_path / "m.pt") == {"LA110"}


def test_coupled_chrono_is_right(tmp_path: Path) -> None:
    module = nn.LSTM(4, 64)
    drawn = torch.log(torch.empty(64).uniform_(1, 500))
    bias(module, "ih")[64:128], bias(module, "ih")[:64], bias(module, "hh")[:128] = (
        drawn,
        -drawn,
        0.0,
    )
    assert codes(saved(tmp_path / "m.pt", module)) == set()
    bias(module, "ih")[:64] = 0.0
    (hit,) = findings(saved(tmp_path / "m.pt", module))
    assert hit.code == "LA109"
    assert hit.measured == 0.0


@pytest.mark.parametrize(
    ("hidden", "start", "stop", "value", "expected"),
    [
        (32, 24, 48, 1.0, True),  # n//4 : n//2
        (21, 15, 31, 1.0, True),  # 63 divides by neither
        (32, 32, 64, 1.0, False),  # the update gate, on purpose
        (32, 0, 96, 1.0, False),
        (32, 24, 48, 0.0, False),
        (32, 24, 49, 1.0, False),
    ],
)
def test_gru_slice(
    tmp_path: Path, hidden: int, start: int, stop: int, value: float, expected: bool
) -> None:
    module = nn.GRU(4, hidden)
    bias(module, "hh")[start:stop] = value
    assert (codes(saved(tmp_path / "m.pt", module)) == {"LA111"}) == expected


def test_rnn_is_no_gru(tmp_path: Path) -> None:
    module = nn.RNN(4, 32)
    bias(module, "hh")[8:16] = 1.0
    assert codes(saved(tmp_path / "m.pt", module)) == set()


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        (1.0, {"target": 1.0}, False),
        (1.04, {"target": 1.0}, False),
        (1.06, {"target": 1.0}, True),
        (1.06, {"target": 1.0, "tolerance": 0.1}, False),
        (0.7, {"min": 0.7}, False),  # 0.7 is stored as 0.699999988
        (0.7, {"max": 0.7}, False),
        (0.69, {"min": 0.7}, True),
        (0.71, {"max": 0.7}, True),
        (1.0, {"min": 0.5, "max": 1.5, "stat": "p95"}, False),
        (1.0, {"min": 2, "stat": "each"}, True),
        (1.0, {"stat": "std", "max": 0.0}, False),
        (math.nan, {"min": 0.0}, True),
        (math.inf, {"max": 5.0}, True),
    ],
)
def test_forget_bias_bounds(
    tmp_path: Path, value: float, options: dict[str, Any], expected: bool
) -> None:
    path = saved(tmp_path / "m.pt", lstm_with(value))
    assert ("LA201" in codes(path, LA201=options)) == expected


def test_each_unit_counts(tmp_path: Path) -> None:
    module = lstm_with(1.0)
    bias(module, "ih")[20] = -3.0
    path = saved(tmp_path / "m.pt", module)
    assert "LA201" not in codes(path, LA201={"min": 0.5})
    (hit,) = [
        f for f in findings(path, {"LA201": {"min": 0.5, "stat": "each"}}) if f.code == "LA201"
    ]
    assert "1 of 16 units" in hit.message
    assert (hit.measured, hit.expected) == (-3.0, "at least 0.5")
    for code, low in (("LA202", 0.5), ("LA203", 2.0)):
        (hit,) = [f for f in findings(path, {code: {"min": low, "stat": "each"}}) if f.code == code]
        assert "1 of 16 units" in hit.message
    assert hit.measured == pytest.approx(1 / math.log(1 + math.exp(3)))


def test_fix_of_a_bound_reaches_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pt", lstm_with(0.0))
    wanted = {"LA201": {"min": 0.5}, "LA202": {"min": 0.7}, "LA203": {"max": 1.0}}
    fixes = {f.code: f.fix.target.words for f in findings(path, wanted) if f.fix}
    assert fixes == {
        "LA201": ("--forget-bias", "0.5"), "LA202": ("--activation", "0.7"), "LA203": ("--time-scale", "1"),
    }  # fmt: skip
    unreachable = findings(path, {"LA202": {"min": 1.0}, "LA203": {"max": 0.0}})
    assert [(f.code, f.fix) for f in unreachable] == [("LA202", None), ("LA203", None)]


def test_bounds() -> None:
    bounds = Interval(0.5, 1.5, 0.01)
    assert bounds.outside([0.4, 0.4951, 1.0, 1.514, 1.6]) == [0.4, 1.6]
    assert len(bounds.outside([math.nan, math.inf, -math.inf])) == 3
    assert [bounds.nearest(v) for v in (0.4, 1.6, math.nan)] == [0.5, 1.5, 0.5]
    assert Interval(-math.inf, 1.5, 0.0).nearest(math.nan) == 1.5
    assert max((0.2, 1.6, 1.7), key=bounds.excess) == 0.2
    assert [str(Interval(low, high, 0.0)) for low, high in ((0.5, 1.5), (-math.inf, 2), (3, math.inf))] == [
        "from 0.5 to 1.5", "at most 2", "at least 3",
    ]  # fmt: skip


def preset_written(text: str, seed: int, hidden: int = 128) -> nn.LSTM:
    """An LSTM with a preset's biases, as a patch writes them: in bias_ih, bias_hh zero."""
    module = nn.LSTM(2, hidden)
    start = presets.initial(presets.parse_preset(text), hidden, seed, "", 0, "forward")
    ih, hh = start.halves or (start.forget, (0.0,) * hidden)
    bias(module, "ih")[hidden : 2 * hidden] = torch.tensor(ih)
    bias(module, "hh")[hidden : 2 * hidden] = torch.tensor(hh)
    if start.input:
        bias(module, "ih")[:hidden], bias(module, "hh")[:hidden] = torch.tensor(start.input), 0.0
    return module


WRITTEN = [
    f"{p.name}:{','.join(map(str, p.example))}".rstrip(":") for p in presets.PRESETS.values()
]


@pytest.mark.parametrize("text", WRITTEN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_preset_is_recognised(text: str, dtype: torch.dtype, tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pt", preset_written(text, 3).to(dtype))
    assert "LA204" not in codes(path, LA204={"preset": text})
    for other in WRITTEN:
        alike = {
            text.partition("-even")[0].partition(":")[0],
            other.partition("-even")[0].partition(":")[0],
        } == {"chrono"}
        if other != text and not alike:
            assert "LA204" in codes(path, LA204={"preset": other}), other


def test_right_draws_pass_and_wrong_ones_say_why(tmp_path: Path) -> None:
    for seed in range(20):
        path = saved(tmp_path / "m.pt", preset_written("chrono:784", seed))
        assert "LA204" not in codes(path, LA204={"preset": "chrono:784"})
    problems = {
        "chrono:300": "reach from", "chrono:5000": "spread otherwise", "unit": "a unit holds", "mts": "a unit holds",
    }  # fmt: skip
    for preset, words in problems.items():
        (hit,) = [f for f in findings(path, {"LA204": {"preset": preset}}) if f.code == "LA204"]
        assert words in hit.message
        assert hit.fix is not None
        assert hit.fix.target.words == ("--init", preset)
    uncoupled = preset_written("chrono:784", 1)
    bias(uncoupled, "ih")[:128] = 0.0
    (hit,) = [
        f
        for f in findings(saved(path, uncoupled), {"LA204": {"preset": "chrono:784"}})
        if f.code == "LA204"
    ]
    assert "input gate" in hit.message


def test_trained_model_remembers_its_preset() -> None:
    path = FIXTURES / "flawed/LA103/trained.pt"
    hits = [
        f.address for f in findings(path, {"LA204": {"preset": "pytorch"}}) if f.code == "LA204"
    ]
    assert hits == [":l0"]  # l1 was trained from the default, l0 was one-sided


def test_no_lstm_names_what_was_skipped(tmp_path: Path) -> None:
    (hit,) = findings(
        saved(tmp_path / "m.pt", nn.ModuleDict({"dec": nn.GRU(4, 5)})),
        {"LA205": {"required": True}},
    )
    assert "dec: gru" in hit.message
    assert (hit.measured, hit.expected, hit.module) == (0, 1, None)


def test_one_unit_not_finite(tmp_path: Path) -> None:
    module = lstm_with(1.0)
    bias(module, "hh")[3] = math.inf
    (hit,) = findings(saved(tmp_path / "m.pt", module))
    assert (hit.code, hit.measured) == ("LA301", 1)
    assert "1 in i" in hit.message


def test_saturation_share(tmp_path: Path) -> None:
    module = lstm_with(1.0)
    bias(module, "ih")[16] = 12.0
    path = saved(tmp_path / "m.pt", module)
    (hit,) = [f for f in findings(path) if f.code == "LA302"]
    assert hit.measured == 1 / 16
    assert "LA302" not in codes(path, LA302={"share": 0.0625})
    bias(module, "ih")[16] = 9.2  # σ = 0.99990
    assert "LA302" not in codes(saved(path, module))


def test_closed_option(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pt", lstm_with(-0.5))
    assert "LA303" not in codes(path)
    assert "LA303" in codes(path, LA303={"below": 0.4})


@pytest.mark.parametrize(
    ("own", "copy", "expected"),
    [
        ("state_dict.lstm", "state_dict_ema.lstm", True),
        ("model", "ema", True),
        ("net.rnn", "ema_model.module.rnn", True),
        ("module.rnn", "shadow.rnn", True),
        ("a.rnn", "averaged.b.rnn", False),  # another place in the model
        ("schema.rnn", "cinema.rnn", False),  # words are matched whole
    ],
)
def test_averaged_copies(tmp_path: Path, own: str, copy: str, expected: bool) -> None:
    path = tmp_path / "m.pt"
    torch.save({own: lstm_with(2.0).state_dict(), copy: lstm_with(1.0).state_dict()}, path)
    assert (codes(path) == {"LA304"}) == expected
    assert codes(path, LA304={"by": 0.2}) == set()


def test_average_of_two_candidates_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save(
        {
            n: lstm_with(b).state_dict()
            for n, b in {"g.rnn": 2.0, "d.rnn": 2.0, "ema.rnn": 1.0}.items()
        },
        path,
    )
    assert codes(path) == set()


def test_structure_rules_follow_the_reasons() -> None:
    skipped = tuple(
        Skipped("m", reason, "said") for reason in ("gru", "optimizer-state", "ambiguous", "limit")
    )
    evidence = Evidence("p.pt", "torch-zip", (), skipped)
    assert [(f.code, f.module) for f in said(evidence)] == [("LA404", "m")]


def test_one_finding_a_module(tmp_path: Path) -> None:
    state = {n: t for n, t in nn.LSTM(4, 16, 3).state_dict().items() if "bias" in n}
    torch.save({"m": state, "n": state}, tmp_path / "m.pt")
    hits = findings(tmp_path / "m.pt")
    assert [(f.code, f.address) for f in hits] == [("LA404", "m"), ("LA404", "n")]
    assert "and 2 more" in hits[0].message


def test_tied_halves_get_no_fix() -> None:
    found = findings(FIXTURES / "flawed/LA405/tied.pt")
    assert {(f.code, f.fix) for f in found} == {("LA101", None), ("LA405", None)}


def test_single_bias_is_not_half_of_one(tmp_path: Path) -> None:
    shapes = {"Wx": (64, 4), "Wh": (64, 16), "bias": (64,)}
    save_file(
        {name: torch.full(shape, 0.1) for name, shape in shapes.items()}, tmp_path / "m.safetensors"
    )
    assert codes(tmp_path / "m.safetensors") == set()


@pytest.mark.parametrize(
    "name",
    [
        "torch._utils._rebuild_tensor_v2", "torch.FloatStorage", "torch.float32", "torch.nn.modules.rnn.LSTM",
        "torch.nn.parameter.Parameter", "torch.ao.nn.quantizable.modules.rnn.LSTM", "collections.OrderedDict",
        "builtins.set", "__builtin__.set", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray.scalar",
        "numpy.dtype", "torch.storage.UntypedStorage", "torch._tensor._rebuild_from_type_v2",
    ],
)  # fmt: skip
def test_inert(name: str) -> None:
    assert inert(*name.rsplit(".", 1))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"), ("builtins", "getattr"), ("os", "system"), ("posix", "system"), ("mypkg", "Model"),
        ("torch", "load"), ("torch.hub", "load"), ("torch.nn.modules.module", "warnings.sys"),
        ("torch.nn.modules.rnn", "apply_permutation"), ("torch.nnx", "LSTM"), ("torch._utils", "ExceptionWrapper"),
        ("torch._utils", "_rebuild_x.y"), ("collections", "namedtuple"), ("numpy", "load"), ("torch", "a.bStorage"),
        ("argparse", "Namespace"),
    ],
)  # fmt: skip
def test_not_inert(module: str, name: str) -> None:
    assert not inert(module, name)


def test_globals_are_listed_once_and_shortly() -> None:
    names = (*(("pkg", f"C{k}") for k in range(9)), ("pkg", "x" * 500), ("pkg", "C0"))
    (hit,) = said(Evidence("p.pt", "torch-zip", (), globals=names))
    assert hit.measured == 10
    assert "and 5 more" in hit.message
    assert len(hit.message) < 400
    own = (("__torch__.pkg", "C0"), ("torch.jit._pickle", "restore_type_tag"))
    assert not said(Evidence("p.pt", "torchscript", (), globals=own))
    assert said(Evidence("p.pt", "torchscript", (), globals=(*own, ("os", "system"))))


def test_checksum_limit(tmp_path: Path) -> None:
    path = FIXTURES / "flawed/LA902/edited.pt"
    assert "LA902" not in codes(path, LA902={"limit": 511})  # 4 · 32 floats
    assert "LA902" in codes(path, LA902={"limit": 512})


@pytest.mark.parametrize(
    ("name", "format", "expected"),
    [
        ("m.pt", "torch-zip", False), ("m.PTH", "torch-legacy", False), ("m.pt", "safetensors", True),
        ("m.pth.tar", "torch-zip", False), ("m.pth.tar", "pickle", True), ("m.tar", "torch-zip", False),
        ("m.pkl", "torch-zip", True), ("m.nn", "pickle", False), ("model", "safetensors", False),
        ("m.safetensors", "pickle", True), ("m.h5", "torch-zip", True), ("m.index.json", "safetensors-sharded", False),
        ("v1.2/model", "torch-zip", False),
    ],
)  # fmt: skip
def test_extensions(name: str, format: str, expected: bool) -> None:
    found = said(Evidence(os.path.join("dir.safetensors", name), format, ()))
    assert [f.code for f in found] == ["LA903"] * expected


def test_trailing_bytes_are_counted() -> None:
    evidence = Evidence("p.nn", "pickle", (), trailing=(Trailing(7, "the pickle's end"),))
    assert [(f.code, f.measured) for f in said(evidence)] == [("LA904", 7)]


def test_rule_that_is_off_says_nothing() -> None:
    path = FIXTURES / "flawed/LA103/layer_0_only.pt"
    with ExitStack() as opened:
        evidence = evidence_of(path, opened)
        every = {code: Setting() for code in RULES}
        others = {code: Setting() for code in RULES if code != "LA103"}
        subjects = subjects_of(evidence)
        off = list(judge(evidence, dict.fromkeys(subjects, others)))
        last = list(judge(evidence, {s: every if s.layer == 2 else {} for s in subjects}))
    assert {f.code for f in off} == {"LA108"}
    assert [(f.code, f.layer) for f in last] == [("LA108", 2)]


def test_case_without_init_is_judged_by_its_numbers(tmp_path: Path) -> None:
    with ExitStack() as opened:
        evidence = evidence_of(saved(tmp_path / "m.pt", lstm_with(-4.0)), opened)
        cases = tuple(case._replace(init=None) for case in evidence.cases)
        assert [f.code for f in said(evidence._replace(cases=cases))] == ["LA303"]


FIXED = [p for p in FLAWED if any(f.fix for f in findings(p, POLICY) if f.code == p.parent.name)]


@pytest.mark.parametrize("path", FIXED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_fix_mends_its_finding(path: Path, tmp_path: Path) -> None:
    """What a finding proposes, run as it is written; a second look finds nothing of it."""
    from lstm_audit.cli.group import group
    from lstm_audit.reports.remedies import commands

    code, copy = path.parent.name, tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    policy = POLICY if code in POLICY else None
    for finding in findings(copy, policy):
        if finding.code == code and finding.fix:
            (command,) = commands(str(copy), [finding.fix])
            done = CliRunner().invoke(group, [*command.words[1:], "--no-undo"])
            assert done.exit_code == 0, done.output
    assert not {finding.code for finding in findings(copy, policy)} & {code, "LA902"}
