"""What `diff` says of converted weights: order of gates, lost offsets, summed halves, names."""

import json
from pathlib import Path

import pytest
import torch
from command import run
from safetensors.torch import save_file

import lstm_audit
from lstm_audit.compare import compare
from lstm_audit.errors import BadPolicy

H, IN = 6, 3


def state(seed: int = 1, **more: float) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {name: value.clone() for name, value in torch.nn.LSTM(IN, H).state_dict().items()}


def named(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def blocks(order: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The rows of every tensor rearranged, as by a converter that takes i,f,g,o for `order`."""
    return {
        name: torch.cat([value.chunk(4)["ifgo".index(gate)] for gate in order])
        for name, value in tensors.items()
    }


def related(a, b, *matches: str):
    sides = [lstm_audit.audit(side, units=True) for side in (a, b)]
    return compare(*sides, matches).pairs


def test_another_gate_order() -> None:
    a = named("lstm", state())
    (pair,) = related(a, named("lstm", blocks("ifog", state())))
    assert pair.relation.kind == "order"
    assert "B's g holds A's o, B's o holds A's g" in pair.relation.text
    assert pair.changed


@pytest.mark.parametrize(("by", "word"), [(1.0, "added twice"), (-1.0, "was lost")])
def test_a_run_time_offset(by: float, word: str) -> None:
    b = state()
    b["bias_ih_l0"][H : 2 * H] += by
    (pair,) = related(named("x", state()), named("x", b))
    assert pair.relation.kind == "offset"
    assert word in pair.relation.text


def test_equal_within_the_dtype() -> None:
    half = {name: value.half() for name, value in state().items()}
    (pair,) = related(named("x", state()), named("x", half))
    assert (pair.relation.kind, pair.changed) == ("equal", False)
    moved = {name: value + 0.01 for name, value in state().items()}
    (pair,) = related(named("x", state()), named("x", moved))
    assert (pair.relation, pair.changed) == (None, True)


def test_halves_that_were_summed() -> None:
    whole = state()
    mlx = {
        "Wx": whole["weight_ih_l0"],
        "Wh": whole["weight_hh_l0"],
        "bias": whole["bias_ih_l0"] + whole["bias_hh_l0"],
    }
    (pair,) = related(named("x", whole), named("x", mlx))
    assert (pair.relation.kind, pair.changed) == ("summed", False)
    assert "two halves of A" in pair.relation.text


def test_another_name_is_found_by_the_numbers() -> None:
    a = named("enc", state(1)) | named("dec", state(2))
    b = named("lstm_1", blocks("ifog", state(2))) | named("lstm", state(1))
    pairs = related(a, b)
    assert {(p.a.lstm.module, p.b.lstm.module, p.relation.kind) for p in pairs} == {
        ("enc", "lstm", "equal"),
        ("dec", "lstm_1", "order"),
    }


def test_a_choice_is_not_made() -> None:
    a = named("enc", state(1)) | named("dec", state(1))
    assert related(a, named("x", state(1)) | named("y", state(1))) == ()


def test_names_given_by_hand() -> None:
    a, b = named("enc", state(1)), named("rnn", state(5))
    (pair,) = related(a, b, "enc=rnn")
    assert (pair.a.lstm.module, pair.b.lstm.module, pair.relation) == ("enc", "rnn", None)
    for wrong in ("enc=rn", "enc", "=", "en=rnn"):
        with pytest.raises(BadPolicy, match="addresses or modules were expected"):
            related(a, b, wrong)


def test_the_command_says_it(tmp_path: Path) -> None:
    save_file(named("enc", state()), tmp_path / "a.safetensors")
    save_file(named("rnn", blocks("ifog", state())), tmp_path / "b.safetensors")
    files = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    done = run("diff", "--fail-on-change", *files)
    assert done.exit_code == 1
    assert "enc:l0 = rnn:l0: the same numbers in another gate order" in done.stdout
    assert "looks like i,f,o,g" in done.stdout
    (pair,) = json.loads(run("diff", "--json", *files).stdout)["pairs"]
    assert (pair["other"], pair["relation"]["kind"]) == ("rnn:l0", "order")
    assert run("diff", "--match", "enc=nothing", *files).exit_code == 2
