"""Modules that share one LSTM: one row, and every name of it, whatever they were saved as."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

import lstm_audit


def in_a_dictionary(shared: nn.LSTM) -> nn.Module:
    return nn.ModuleDict({"net": nn.ModuleList([nn.Linear(2, 2), shared, shared])})


def under_two_parents(shared: nn.LSTM) -> nn.Module:
    return nn.ModuleDict({"a": nn.Sequential(shared), "b": nn.ModuleDict({"x": shared})})


def thrice(shared: nn.LSTM) -> nn.Module:
    return nn.ModuleList([shared, nn.ModuleList([shared]), shared])


def saved(module: nn.Module, path: Path) -> object:
    torch.save(module, path)
    return path


def saved_long_ago(module: nn.Module, path: Path) -> object:
    torch.save(module, path, _use_new_zipfile_serialization=False)
    return path


def its_state(module: nn.Module, path: Path) -> object:
    torch.save(module.state_dict(), path)
    return path


def in_safetensors(module: nn.Module, path: Path) -> object:
    save_model(module, str(path.with_suffix(".safetensors")))
    return path.with_suffix(".safetensors")


def live(module: nn.Module, path: Path) -> object:
    return module


def names_of(module: nn.Module) -> Iterable[str]:
    for name, one in module.named_modules(remove_duplicate=False):
        if isinstance(one, nn.LSTM):
            yield name


@pytest.mark.parametrize("how", [saved, saved_long_ago, its_state, in_safetensors, live])
@pytest.mark.parametrize("build", [in_a_dictionary, under_two_parents, thrice])
def test_one_row_bears_every_name(
    build: Callable[[nn.LSTM], nn.Module], how: Callable[[nn.Module, Path], object], tmp_path: Path
) -> None:
    module = build(nn.LSTM(3, 4))
    (row,) = lstm_audit.audit(how(module, tmp_path / "model.pt")).rows
    found = {row.lstm.module, *(one.module for one in row.lstm.tied)}
    assert found == set(names_of(module))
