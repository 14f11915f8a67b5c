"""Directions of the cells that Keras under torch keeps by the names of their layers' folders."""

import pytest
import torch

import lstm_audit
from lstm_audit.ways import DIRECTION_UNKNOWN

ROOT = "_torch_params.net/"


def layer(
    path: str, units: int, width: int = 3, cell: str = "lstm_cell"
) -> dict[str, torch.Tensor]:
    sizes = {"kernel": (width, 4 * units), "recurrent_kernel": (units, 4 * units)}
    sizes["bias"] = (4 * units,)
    return {f"{path}/{cell}/{name}": torch.randn(size) for name, size in sizes.items()}


def found(*layers: dict[str, torch.Tensor]) -> dict[tuple[str, int], tuple[str, bool]]:
    """Module and units to the direction, and whether the report says that it is not known."""
    tensors = {name: value for one in layers for name, value in one.items()}
    rows = lstm_audit.audit(tensors).rows
    return {
        (row.lstm.module, row.lstm.hidden_size): (
            row.lstm.direction,
            DIRECTION_UNKNOWN in row.lstm.notes,
        )
        for row in rows
    }


def test_two_layers_named_after_one_are_a_bidirectional() -> None:
    both = layer(ROOT + "bi/forward_a", 4), layer(ROOT + "bi/backward_a", 5)
    place = ROOT + "bi"
    assert found(*both) == {(place, 4): ("forward", False), (place, 5): ("reverse", False)}


def test_stacked_cells_in_a_bidirectional_have_its_directions() -> None:
    cells = [
        layer(f"{ROOT}bi/{way}_r/stacked_rnn_cells", units, cell=cell)
        for way, more in (("forward", 0), ("backward", 2))
        for cell, units in (("lstm_cell", 4 + more), ("lstm_cell_1", 5 + more))
    ]
    first, second = ROOT + "bi", ROOT + "bi/lstm_cell_1"
    assert found(*cells) == {
        (first, 4): ("forward", False),
        (second, 5): ("forward", False),
        (first, 6): ("reverse", False),
        (second, 7): ("reverse", False),
    }


def test_a_name_alone_is_no_direction() -> None:
    layers = layer(ROOT + "backward_a", 4), layer(ROOT + "backward_b", 5, 4)
    assert found(*layers) == {
        (ROOT + "backward_a", 4): ("forward", False),
        (ROOT + "backward_b", 5): ("forward", False),
    }
    more = layer(ROOT + "forward_a", 6), {ROOT + "d/kernel": torch.randn(6, 2)}
    directions = found(*layers[:1], *more)
    assert directions == {
        (ROOT + "backward_a", 4): ("forward", False),
        (ROOT + "forward_a", 6): ("forward", False),
    }


def test_a_backward_layer_of_its_own_name_is_said_to_be_unknown() -> None:
    layers = layer(ROOT + "bi/forward_a", 4), layer(ROOT + "bi/mine", 5)
    assert found(*layers) == {
        (ROOT + "bi/forward_a", 4): ("forward", True),
        (ROOT + "bi/mine", 5): ("forward", True),
    }
    # layers one after the other read inputs of different widths
    stack = layer(ROOT + "in/forward_a", 4), layer(ROOT + "in/mine", 5, 4)
    assert {said for _, said in found(*stack).values()} == {False}
    dense = layer(ROOT + "in/forward_a", 4), {ROOT + "in/mine/kernel": torch.randn(4, 2)}
    assert found(*dense) == {(ROOT + "in/forward_a", 4): ("forward", False)}


@pytest.mark.parametrize("prefix", ["", "head."])
def test_the_layers_attribute_tells_what_names_do_not(prefix: str) -> None:
    layers = [
        {f"{prefix}{attribute}{name}": value for name, value in tensors.items()}
        for way, tensors in (
            ("forward", layer("_torch_params.bi/forward_a", 4)),
            ("backward", layer("_torch_params.bi/mine", 5)),
        )
        for attribute in ("", f"{way}_layer.", f"{way}_layer.cell.")
    ]
    assert {key[1]: value for key, value in found(*layers).items()} == {
        4: ("forward", False),
        5: ("reverse", False),
    }


def test_the_attribute_alone_tells_it() -> None:
    """What safetensors keeps of several names for one tensor may be any of them."""
    kept = layer("bi.backward_layer.cell._torch_params.bi/backward_a", 5)
    assert set(found(kept).values()) == {("reverse", False)}
    kept = layer("bi.forward_layer.cell._torch_params.bi/backward_a", 5)
    assert set(found(kept).values()) == {("forward", False)}


def test_a_layer_in_very_many_folders_is_read_all_the_same() -> None:
    layers = [layer(f"_torch_params.{'forward_a/' * 300}{k}", 2) for k in range(30)]
    assert len(found(*layers)) == 30
