"""Which LSTM is the averaged copy of which."""

from pathlib import Path

import pytest
import torch
from command import run
from torch import nn

from lstm_audit.lstm.copies import find_averages
from lstm_audit.lstm.layer import GATES, Lstm


def lstm(module: str, layer: int = 0, hidden: int = 8, direction: str = "forward") -> Lstm:
    return Lstm(module, layer, direction, "torch", hidden, "float32", dict.fromkeys(GATES, ()))


@pytest.mark.parametrize(
    ("copy", "own"),
    [
        ("ema.lstm", "lstm"),
        ("state_dict_ema.enc.lstm", "state_dict.enc.lstm"),
        ("swa_model.module.lstm", "model.lstm"),
        ("shadow.lstm", "_orig_mod.lstm"),
        ("mean_teacher.enc.lstm", "student.enc.lstm"),
    ],
)
def test_a_copy_is_known_by_its_name(copy: str, own: str) -> None:
    assert find_averages([lstm(own), lstm(copy)]) == {lstm(copy).identity: lstm(own).identity}


@pytest.mark.parametrize(
    "others",
    [
        [lstm("encoder.lstm"), lstm("decoder.lstm")],
        [lstm("ema.lstm"), lstm("swa.lstm")],
        [lstm("ema.lstm"), lstm("lstm", hidden=16)],
        [lstm("ema.lstm"), lstm("lstm", layer=1)],
        [lstm("ema.lstm"), lstm("lstm", direction="reverse")],
        [lstm("ema.lstm"), lstm("a.lstm"), lstm("b.lstm")],
        [lstm("ema.enc.lstm"), lstm("dec.lstm")],
        [lstm("schema.lstm"), lstm("lstm")],
    ],
    ids=lambda others: " ".join(one.module for one in others),
)
def test_what_is_no_copy(others: list[Lstm]) -> None:
    assert find_averages(others) == {}


def test_an_encoder_and_a_decoder_are_no_copies(tmp_path: Path) -> None:
    model = nn.ModuleDict({f"{name}.lstm".replace(".", "_"): nn.LSTM(4, 8) for name in ("a", "b")})
    state = {name.replace("_lstm", ".lstm"): value for name, value in model.state_dict().items()}
    path = tmp_path / "m.pt"
    torch.save(state, path)
    done = run("patch", "--forget-bias", 1, "--layers", "a.lstm", "--dry-run", path)
    assert done.exit_code == 0
    assert "cop" not in done.stderr
    torch.save({name.replace("a.", "ema.").replace("b.", ""): v for name, v in state.items()}, path)
    done = run("patch", "--forget-bias", 1, "--layers", "lstm", "--dry-run", path)
    assert "ema.lstm:l0 looks like an averaged copy" in done.stderr
    done = run("patch", "--forget-bias", 1, "--layers", "ema.lstm", "--dry-run", path)
    assert "only an averaged copy (EMA) is patched: lstm:l0" in done.stderr
