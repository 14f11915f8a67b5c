"""What `diff` says of converted weights: order of gates, lost offsets, summed halves, names."""

import json
import re
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
    for wrong, said in {
        "enc=rn": "rn names no LSTM of B; the nearest is 'rnn:l0'",
        "enc": "A=B was expected",
        "=": "names no LSTM of A; the nearest is 'enc:l0'",
        "en:l0=rnn": "en:l0 names no LSTM of A; the nearest is 'enc:l0'",
    }.items():
        with pytest.raises(BadPolicy, match=re.escape(said)):
            related(a, b, wrong)


def test_a_bare_state_dict_is_named_as_reports_write_it() -> None:
    a, b = state(), named("rnn", state(2))
    for name in ("(root)", ":l0", "(root):l0", "(root):l0@torch"):
        (pair,) = related(a, b, f"{name}=rnn:l0")
        assert (pair.a.lstm.module, pair.b.lstm.module) == ("", "rnn")
    with pytest.raises(BadPolicy, match="names 4 LSTMs of A, rnn names 1 of B"):
        related(stacked(), b, "(root)=rnn")


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


def stacked(seed: int = 1) -> dict[str, torch.Tensor]:
    """Two layers of two directions."""
    torch.manual_seed(seed)
    return dict(torch.nn.LSTM(IN, H, 2, bidirectional=True).state_dict())


def renamed(tensors: dict[str, torch.Tensor], swap: dict[str, str]) -> dict[str, torch.Tensor]:
    """The biases of one end of a name under that of another."""
    found = dict(tensors)
    for ours, theirs in swap.items():
        for half in ("bias_ih", "bias_hh"):
            found[half + theirs] = tensors[half + ours].clone()
    return found


DIRECTIONS = {"_l0": "_l0_reverse", "_l0_reverse": "_l0"}
LAYERS = {"_l0": "_l1", "_l1": "_l0"}
ROUND = {"_l0": "_l1", "_l1": "_l0_reverse", "_l0_reverse": "_l0"}


@pytest.mark.parametrize(
    ("swap", "said"),
    [
        (DIRECTIONS, {"x:l0": "directions swapped: B has here what A has in x:l0:reverse",
                      "x:l0:reverse": "directions swapped: B has here what A has in x:l0"}),
        (LAYERS, {"x:l0": "layers swapped: B has here what A has in x:l1",
                  "x:l1": "layers swapped: B has here what A has in x:l0"}),
        (ROUND, {"x:l0": "directions swapped: B has here what A has in x:l0:reverse",
                 "x:l1": "layers swapped: B has here what A has in x:l0",
                 "x:l0:reverse": "LSTMs swapped: B has here what A has in x:l1"}),
    ],
)  # fmt: skip
def test_directions_and_layers_that_were_swapped(
    swap: dict[str, str], said: dict[str, str]
) -> None:
    pairs = related(named("x", stacked()), named("x", renamed(stacked(), swap)))
    assert len(pairs) == 4
    found = {p.a.lstm.address: p.relation for p in pairs}
    assert {where: one.text for where, one in found.items() if one.kind == "swapped"} == said
    assert {one.kind for one in found.values()} == {"swapped", "equal"}
    assert {p.a.lstm.address for p in pairs if p.changed} == set(said)


def test_a_swap_is_not_guessed() -> None:
    """Two equal layers may have been taken for each other, or one of them is copied twice."""
    a = named("x", stacked())
    copied = renamed(stacked(), {"_l0": "_l1"})
    assert {p.relation and p.relation.kind for p in related(a, named("x", copied))} == {
        "equal",
        None,
    }
    same = renamed(stacked(), {"_l0": "_l0_reverse", "_l1": "_l1_reverse"})
    moved = renamed(same, LAYERS | {"_l0_reverse": "_l1_reverse", "_l1_reverse": "_l0_reverse"})
    kinds = [p.relation and p.relation.kind for p in related(named("x", same), named("x", moved))]
    assert "swapped" not in kinds


def test_one_bias_in_both_halves_and_one_half_alone() -> None:
    whole = {name: value.clone() for name, value in state().items()}
    whole["bias_hh_l0"].zero_()
    both = {**whole, "bias_hh_l0": whole["bias_ih_l0"]}
    (pair,) = related(named("x", whole), named("x", both))
    assert (pair.relation.kind, pair.changed) == ("doubled", True)
    assert "written into both halves" in pair.relation.text
    (pair,) = related(named("x", both), named("x", whole))
    assert (pair.relation.kind, pair.changed) == ("doubled", True)
    assert "one was left out" in pair.relation.text
    split = {**whole, "bias_ih_l0": whole["bias_ih_l0"] / 2, "bias_hh_l0": whole["bias_ih_l0"] / 2}
    (pair,) = related(named("x", whole), named("x", split))
    assert (pair.relation.kind, pair.changed) == ("equal", False)


CONVERTED = Path(__file__).parents[2] / "fixtures" / "converted"


def test_directions_swapped_by_an_exporter_that_drops_names() -> None:
    """The pairs are found by their numbers, which are equal: that is no equal model."""
    pairs = related(CONVERTED / "both.pt", CONVERTED / "swapped.onnx")
    assert {p.relation.text for p in pairs} == {
        "directions swapped: what A runs forward, B runs reverse",
        "directions swapped: what A runs reverse, B runs forward",
    }
    assert all(p.changed for p in pairs)
    assert run("diff", CONVERTED / "both.pt", CONVERTED / "swapped.onnx", "--fail-on-change").exit_code == 1  # fmt: skip


def test_layers_swapped_under_other_names() -> None:
    whole = stacked()
    pairs = related(named("x", whole), named("y", renamed(whole, LAYERS)))
    found = {p.a.lstm.address: p.relation.text for p in pairs if p.changed}
    assert found == {
        "x:l0": "layers swapped: layer 0 of A is layer 1 of B",
        "x:l1": "layers swapped: layer 1 of A is layer 0 of B",
    }
    flat = {name: value for name, value in whole.items() if "l1" in name and "reverse" not in name}
    alone = {name.replace("_l1", "_l0"): value for name, value in flat.items()}
    forward = {name: value for name, value in whole.items() if "reverse" not in name}
    below = {name: value for name, value in forward.items() if "_l0" in name}
    pairs = related(named("x", forward), named("one", below) | named("two", alone))
    assert [p.changed for p in pairs] == [False, False]  # a module a layer, as in Keras


def test_torch_to_onnx_by_its_exporter() -> None:
    (pair,) = related(CONVERTED / "right.pt", CONVERTED / "exported.onnx")
    assert (pair.relation.kind, pair.changed) == ("equal", False)
