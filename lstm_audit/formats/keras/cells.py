"""Recurrent cells among the datasets of a Keras file.

Comes in: the paths, shapes and names of an HDF5 file. Goes out: a `Claim` for every folder that
holds a cell's tensors. Promise: a cell is known by its two matrices; what is like an LSTM's but
does not say so, and what has terms of its own, gets a claim that forbids a judgement.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from ...errors import Skipped
from ...raw.tensors import Shape
from ...ways import DIRECTION_UNKNOWN
from .. import Claim
from .config import Config, DifferentCells, find_activation, find_class
from .ways import find_ways

# 0.2 x + 0.5 between 0 and 1; since Keras 3 it is relu6(x + 3) / 6, which is called hard_sigmoid.
KERAS_2_HARD_SIGMOID = "hard_sigmoid(0.2, 0.5)"

ASSUMED = "recurrent_activation is not in the file: assumed sigmoid"
OLD_DEFAULT = ", though Keras before 2.3 had hard_sigmoid by default"
CONVOLUTION_DEFAULT = ", though a ConvLSTM of Keras 2 has hard_sigmoid by default"
PEEPHOLES = "has peepholes, which add nothing while the memory is empty"

_NAMED = ("kernel", "recurrent_kernel", "bias")
_ROLES = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}
# What some name on the path of a recurrent layer contains.
_RECURRENT = ("lstm", "rnn", "cell", "gru")

# Where a layer of Keras runs a cell of TensorFlow 1: it is called by its class, in an RNN's folder.
_OF_TENSORFLOW_1 = r"(?:^|/)[^/]*rnn[^/]*/(?:basic_)?lstm_cell(?:_\d+)?$"

Shapes = Mapping[str, Shape]
# The model's own name of the layer in a folder, "" where the file does not tell (before Keras 3).
NameCells = Callable[[str], str]


class Cell(NamedTuple):
    """The tensors of one folder that are named as a cell's: role to path."""

    folder: str
    members: dict[str, str]


def claim_cells(
    shapes: Shapes, config: Config, names: NameCells, scopes: int = 2
) -> dict[str, Claim]:
    """Folder to claim, for every recurrent cell among the datasets; `scopes` is the least number of
    folders above a layer in a named one: in an HDF5 file the layer's group and its own scope.
    """
    cells = [cell for cell in _gather(shapes) if _plausible(cell, shapes)]
    vectors = _vectors_below({_home(cell.folder) for cell in cells}, shapes)
    claims = {cell.folder: _claim(cell, shapes, config, names, vectors) for cell in cells}
    ways = find_ways(shapes.keys(), claims, config, scopes)
    for folder, reverse in ways.known.items():
        claims[folder] = claims[folder]._replace(facts={"reverse": reverse})
    for folder in ways.doubted:
        claims[folder] = claims[folder]._replace(notes=(*claims[folder].notes, DIRECTION_UNKNOWN))
    return claims | {
        folder: _claim_keras_1(folder, config)._replace(facts={"bidirectional": ways - 1})
        for folder, ways in _keras_1(shapes).items()
    }


# The cells of TensorFlow 1 have such tensors too; a checkpoint of objects, and Keras's own files,
# hold layers that somebody wrote, in the order of their author's.
def doubt_fused(shapes: Shapes) -> dict[str, Claim]:
    """Folder to claim, for every kernel over the input and the hidden state (in + H, 4H) beside one
    bias of 4H: whose class it is, and so the order of its gates, is not in the file.
    """
    claims = {}
    for path, shape in shapes.items():
        folder, _, name = path.rpartition("/")
        bias = f"{folder}/{name.replace('kernel', 'bias')}"
        if name.partition(":")[0] != "kernel" or f"{folder}/recurrent_{name}" in shapes:
            continue
        if re.search(_OF_TENSORFLOW_1, folder):
            continue
        if len(shape) == 2 and shapes.get(bias) == shape[1:] and shape[0] > shape[1] // 4:
            said = "a cell of its author's own class, which says in which order its gates are"
            claims[folder] = Claim("", trouble=Skipped(folder, "ambiguous", said))
    return claims


def _gather(shapes: Iterable[str]) -> Iterable[Cell]:
    """Folders with a recurrent kernel, by name or by number."""
    cells: dict[str, Cell] = {}
    for path in shapes:
        folder, _, name = path.rpartition("/")
        name = name.partition(":")[0]  # Keras 2 ends every name with `:0`
        if name in _NAMED:
            role = name
        elif name.isdecimal() and _is_numbered(folder):
            role = _ROLES.get(name, name)
        else:
            continue
        cells.setdefault(folder, Cell(folder, {})).members[role] = path
    return [cell for cell in cells.values() if "recurrent_kernel" in cell.members]


def _plausible(cell: Cell, shapes: Shapes) -> bool:
    """Whether the numbered tensors of a layer are a recurrent cell's: two matrices (or kernels)
    with one last axis, of which the second has as many rows as there are units.

    By their names alone they are: only a recurrent layer has a `recurrent_kernel`.
    """
    if not _is_numbered(cell.folder):
        return True
    source, recurrent = (
        shapes.get(cell.members.get(role, "")) for role in ("kernel", "recurrent_kernel")
    )
    if source is None or recurrent is None or len(source) != len(recurrent) or len(source) < 2:
        return False
    gates = _gates(recurrent)
    return source[-1] == recurrent[-1] and (
        gates > 1 or (gates == 1 and "cell" in _home(cell.folder))
    )


def _is_numbered(folder: str) -> bool:
    return folder == "vars" or folder.endswith("/vars")


def _gates(recurrent: Shape) -> int:
    """How many gates a recurrent weight (..., H, gates H) has; 0 where it is none."""
    if len(recurrent) < 2 or 0 in recurrent or recurrent[-1] % recurrent[-2]:
        return 0
    return {1: 1, 3: 3, 4: 4}.get(recurrent[-1] // recurrent[-2], 0)


def _home(folder: str) -> str:
    """The folder of a cell's parts: what stands above its `vars`."""
    return folder.removesuffix("/vars") if folder.endswith("/vars") else folder


def _vectors_below(homes: set[str], shapes: Shapes) -> dict[str, list[tuple[str, int]]]:
    """Path and size of every vector somewhere below each of the folders."""
    found: dict[str, list[tuple[str, int]]] = {}
    for path, shape in shapes.items():
        if len(shape) == 1:
            for home in _ancestors(path):
                if home in homes:
                    found.setdefault(home, []).append((path, shape[0]))
    return found


def _ancestors(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def _claim(
    cell: Cell,
    shapes: Shapes,
    config: Config,
    names: NameCells,
    vectors: Mapping[str, list[tuple[str, int]]],
) -> Claim:
    recurrent = shapes[cell.members["recurrent_kernel"]]
    kind, class_name = {4: ("lstm", "LSTM"), 3: ("gru", "GRU"), 1: ("rnn", "SimpleRNN")}.get(
        _gates(recurrent), ("lstm", "LSTM")
    )
    if kind != "lstm" or not _gates(recurrent):  # the shapes speak for themselves
        return Claim(class_name, kind)
    known = (
        [*cell.members.values()]
        if not _is_numbered(cell.folder)
        else [cell.members.get("bias", "")]
    )
    if trouble := _trouble(cell, recurrent, known, names, vectors.get(_home(cell.folder), [])):
        return Claim(class_name, kind, trouble=trouble)
    peepholes = {"3", "4", "5"} <= cell.members.keys() or any(
        "peephole" in path for path, _ in vectors.get(_home(cell.folder), [])
    )
    claim = _judge(cell, shapes, config, names)
    return claim._replace(notes=(*claim.notes, PEEPHOLES)) if peepholes else claim


def _trouble(
    cell: Cell, recurrent: Shape, known: list[str], names: NameCells, vectors: list[tuple[str, int]]
) -> Skipped | None:
    """Why an LSTM's shapes are not enough."""
    chain = ("/".join(_chain(cell.folder, names)) + cell.folder).lower()
    if _is_numbered(cell.folder) and not any(word in chain for word in _RECURRENT):
        said = "two weights have the shapes of an LSTM's, but no name says that they are one's"
        return Skipped(cell.folder, "ambiguous", said)
    extra = [path for path, size in vectors if size == recurrent[-1] and path not in known]
    if extra:
        said = f"{extra[0]} is as long as the bias of four gates and may enter them too"
        return Skipped(cell.folder, "extra-terms", said)
    return None


def _judge(cell: Cell, shapes: Shapes, config: Config, names: NameCells) -> Claim:
    """The claim of an LSTM with its activation, and what a reader of the numbers must know."""
    recurrent, bias = (
        shapes[cell.members["recurrent_kernel"]],
        shapes.get(cell.members.get("bias", "")),
    )
    chain = _chain(cell.folder, names)
    notes = _name_layer(cell.folder, chain)
    if own := find_class(config, cell.folder, chain):
        notes.append(
            f"its class {own[:80]!r} is a user's own: assumed to compute what Keras's does"
        )
    if bias == (2 * recurrent[-1],):  # CuDNNLSTM has no other activation
        return Claim("CuDNNLSTM", "lstm", notes=tuple(notes))
    activation = name_activation(find_activation(config, cell.folder, chain), config, cell.folder)
    if isinstance(activation, Skipped):
        return Claim("LSTM", "lstm", trouble=activation)
    if activation is None:
        notes.append(_assumption(config, len(recurrent) > 2))
    class_name = f"ConvLSTM{len(recurrent) - 2}D" if len(recurrent) > 2 else "LSTM"
    return Claim(class_name, "lstm", activation=activation or "sigmoid", notes=tuple(notes))


def _name_layer(folder: str, chain: list[str]) -> list[str]:
    """The layer's own name, unless the path has it, or it is a number for the class as well."""
    parts = folder.split("/")
    if not chain or chain[-1] in parts:
        return []
    outer = [parts[k + 1] for k in range(len(parts) - 1) if parts[k] == "layers"]
    if _strip_number(chain[-1]) == _strip_number(outer[-1]):
        return []
    return [f"the model calls it {'/'.join(chain)!r}"]


def _strip_number(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _chain(folder: str, names: NameCells) -> list[str]:
    """The model's own names of the layers on the way to a numbered folder, outermost first."""
    parts = folder.split("/")
    homes = ("/".join(parts[: k + 1]) for k in range(1, len(parts)) if parts[k - 1] == "layers")
    chain = [names(home) for home in homes]
    return chain if all(chain) else []


def name_activation(
    found: str | DifferentCells | None, config: Config, where: str
) -> str | Skipped | None:
    """An activation of Keras under the name that its formula has here."""
    if found is None or found == "sigmoid":
        return found
    if isinstance(found, DifferentCells):
        return Skipped(where, "ambiguous", f"the activation of its gates is unknown: {found.why}")
    if found == "hard_sigmoid":
        if config.before_3 is None:
            said = "hard_sigmoid is another function since Keras 3, and no version is in the file"
            return Skipped(where, "ambiguous", said)
        return KERAS_2_HARD_SIGMOID if config.before_3 else "hard_sigmoid"
    said = f"the activation of its gates is {found[:80]!r}; sigmoid and hard_sigmoid are judged"
    return Skipped(where, "unsupported-activation", said)


def _assumption(config: Config, convolution: bool) -> str:
    if convolution and config.before_3 is not False:
        return ASSUMED + CONVOLUTION_DEFAULT
    old = re.match(r"1\.|2\.[0-2]\.\d+$", config.version)
    return ASSUMED + (OLD_DEFAULT if old else ", the default")


def claim_cell(
    folder: str, shapes: Shapes, activation: str | Skipped | None, class_name: str
) -> Claim:
    """The claim of a live cell, whose own layer says what it does; `shapes` are by role."""
    recurrent = shapes["recurrent_kernel"]
    kind = {4: "lstm", 3: "gru", 1: "rnn"}.get(_gates(recurrent), "lstm")
    if kind == "lstm" and isinstance(activation, Skipped):
        return Claim(class_name, kind, trouble=activation)
    said = activation if isinstance(activation, str) else "sigmoid"
    return Claim(class_name, kind, activation=said)


def _keras_1(shapes: Iterable[str]) -> dict[str, int]:
    """Folders with the twelve tensors of Keras 1: W, U and b of i, c, f and o (`lstm_1_U_f`), and
    how many such cells are in each: 2 in a Bidirectional's.
    """
    cells: dict[str, dict[str, set[str]]] = {}
    for path in shapes:
        folder, _, name = path.rpartition("/")
        layer, u, gate = name.partition(":")[0].rpartition("_U_")
        if u:
            cells.setdefault(folder, {}).setdefault(layer, set()).add(gate)
    whole = {
        folder: [layer for layer, gates in found.items() if gates >= set("icfo")]
        for folder, found in cells.items()
    }
    return {
        folder: 2 if len({layer.partition("_")[0] for layer in layers}) == len(layers) == 2 else 1
        for folder, layers in whole.items()
        if layers
    }


def _claim_keras_1(folder: str, config: Config) -> Claim:
    activation = name_activation(find_activation(config, folder, ()), config, folder)
    if isinstance(activation, Skipped):
        return Claim("LSTM", "lstm", trouble=activation)
    notes = () if activation else (ASSUMED + OLD_DEFAULT,)
    return Claim("LSTM", "lstm", activation=activation or "sigmoid", notes=notes)
