"""HDF5 files: weights and models of Keras, and the few others that hold LSTMs.

Comes in: a span over an HDF5 file. Goes out: a `Checkpoint` under the file's own paths, without the
`model_weights/` that stands before all of them in a saved model. Promise: an optimizer's branch is
not read, and no tensor is located before it is asked for.

keras-team/keras: saving/saving_lib.py (numbered variables), legacy/saving/legacy_h5_format.py
(named ones).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ...errors import MalformedFile, Skipped
from ...raw.dtypes import DTYPES, DType
from ...raw.span import Span
from ...raw.tensor import MAX_DIMS, Tensor, contiguous, view
from ...raw.tensors import Tensors
from ...wire.hdf5 import Dataset, Tree, is_hdf5, read_hdf5
from .. import Beside, Checkpoint, Format, reader
from .cells import claim_cells, doubt_fused
from .config import Config
from .folder import read_folder
from .plain import find_plain

# The group of a whole model's weights, in the files of `model.save`.
MODEL = "model_weights"

# The groups of an optimizer's slots: shaped like the weights, and in Keras 3 without names.
OPTIMIZERS = ("optimizer_weights", "optimizer")

# How MATLAB's files begin; the networks in them are objects, whatever HDF5 makes of them.
MATLAB = b"MATLAB 7.3 MAT-file"

MARKS = ("keras_version", "layer_names", "model_config")

# What Keras writes as bytes of no type; the attribute `dtype` says it.
OPAQUE = ("bfloat16", "float8_e4m3fn", "float8_e5m2")

# How weights of CLSTM (kraken, ocropus) end: column 0 of each is the gate's bias.
_CLSTM = ("lstm.WGI", "lstm.WGF", "lstm.WCI", "lstm.WGO")


class Weights(NamedTuple):
    """An HDF5 file of weights: its tree without the `model_weights/`, and the paths that an
    optimizer has.
    """

    tree: Tree
    optimizers: tuple[str, ...]


H5 = ("h5", "hdf5")


@reader("keras-h5", Format("keras-h5", H5, H5), Format("hdf5", H5, H5))
def read_h5(span: Span, beside: Beside) -> Checkpoint | None:
    """An HDF5 file, whatever it is called; None for other bytes."""
    if not is_hdf5(span) or span[: min(span.size, len(MATLAB))].read() == MATLAB:
        return None
    weights = read_objects(span)
    root = weights.tree.attributes[""]
    version = root.text("keras_version")
    if version is None and MODEL in weights.tree.attributes:
        version = weights.tree.attributes[MODEL].text("keras_version")
    if version is None and any(
        _name(weights.tree, path[:-5]) for path in _find_numbered(weights.tree)
    ):
        version = "3"  # only since then the layers' names stand beside their numbered variables
    config = Config(root.text("model_config") or "", version or "", span.budget)
    if not config.text:
        config = read_folder(span, beside) or config
    known = any(root.texts(mark) is not None for mark in MARKS)
    return checkpoint_of(weights, config, "keras-h5" if known else "hdf5")


def read_objects(span: Span) -> Weights:
    """The objects of a file, the optimizer's branches left out."""
    tree, left_out = _walk(span, OPTIMIZERS)
    layers = {path for path in left_out if _is_layer(path, tree)}
    if layers:
        tree, left_out = _walk(span, [path for path in OPTIMIZERS if path not in layers])
    prefix = f"{MODEL}/"
    datasets = {path.removeprefix(prefix): found for path, found in tree.datasets.items()}
    if len(datasets) < len(tree.datasets):
        message = "a layer stands in model_weights and beside it under one name"
        raise MalformedFile(message, span.at, "ambiguous")
    refused = {path.removeprefix(prefix): error for path, error in tree.refused.items()}
    return Weights(tree._replace(datasets=datasets, refused=refused), tuple(left_out))


def _walk(span: Span, optimizers: Sequence[str]) -> tuple[Tree, list[str]]:
    """All that the file holds but the given groups, and those of them that are there."""
    left_out: list[str] = []

    def enter(path: str) -> bool:
        if path in optimizers and path not in left_out:
            left_out.append(path)
        return path not in optimizers

    return read_hdf5(span, enter), left_out


# `optimizer_weights` stands beside `model_weights`, `optimizer` beside numbered variables; files of
# weights alone list their layers, and may have layers of these names.
def _is_layer(path: str, tree: Tree) -> bool:
    """Whether a group that is called as an optimizer's is a layer's."""
    root = tree.attributes[""]
    lists = [root.texts("layer_names"), *(root.texts(f"layer_names{k}") for k in range(64))]
    if any(path in names for names in lists if names):
        return True
    numbered = next(_find_numbered(tree), None) is not None
    return path == "optimizer_weights" and numbered and MODEL not in tree.attributes


def checkpoint_of(weights: Weights, config: Config, format: str) -> Checkpoint:
    """Tensors, claims, and what could not be read."""
    tree = weights.tree
    _split_columns(tree)
    for path in [path for path, found in tree.datasets.items() if len(found.shape) > MAX_DIMS]:
        del tree.datasets[path]
    plain = find_plain(tree.datasets, config)
    for path in [path for path in tree.datasets if path.rpartition("/")[0] in plain]:
        del tree.datasets[path]
    shapes = {path: found.shape for path, found in tree.datasets.items()}
    claims = claim_cells(shapes, config, lambda folder: _name(tree, folder))
    if format == "hdf5" and claims:
        format = "keras-h5"
    if format != "hdf5":
        claims |= doubt_fused(shapes)
    tensors = Tensors(tree.datasets, partial(_build, tree), _shape)
    return Checkpoint(format, tensors, claims, tuple(_find_skipped(weights, set(claims))))


def _name(tree: Tree, folder: str) -> str:
    found = tree.attributes.get(f"{folder}/vars")
    return "" if found is None else found.text("name") or ""


def _find_numbered(tree: Tree) -> Iterator[str]:
    """The folders of numbered variables."""
    return (path for path in tree.attributes if path.endswith("/vars"))


def _find_skipped(weights: Weights, folders: set[str]) -> Iterator[Skipped]:
    """An optimizer, and the datasets of cells that cannot be read."""
    for path in weights.optimizers:
        yield Skipped(path, "optimizer-state", "an optimizer's tensors are not biases")
    for path, error in weights.tree.refused.items():
        folder = path.rpartition("/")[0]
        if folder in folders or "recurrent_kernel" in path or "cell/vars" in path:
            yield Skipped(path, "missing-data", f"{path}: {error.message}")


def _shape(name: str, dataset: Dataset) -> tuple[int, ...]:
    return dataset.shape


def _build(tree: Tree, name: str, dataset: Dataset) -> Tensor:
    if name.endswith(_COLUMNS):
        return _column(tree, name, dataset)
    tensor = contiguous(_dtype(tree, name, dataset), dataset.shape, dataset.locate())
    return tensor._replace(big_endian=dataset.datatype.big_endian)


def _dtype(tree: Tree, name: str, dataset: Dataset) -> DType:
    kind = dataset.datatype
    if kind.name == "opaque":
        found = tree.attributes.get(name) or tree.attributes.get(f"{MODEL}/{name}")
        said = found.text("dtype") if found is not None else None
        if said in OPAQUE and DTYPES[said].itemsize == kind.itemsize:
            return DTYPES[said]
    known = DTYPES.get(kind.name)
    return known if known is not None and known.decode else DType(kind.name, kind.itemsize)


# How the parts of a CLSTM weight are called: its bias, and the rest.
_COLUMNS = ("[:,0]", "[:,1:]")


def _split_columns(tree: Tree) -> None:
    """Weights of CLSTM under two names each: column 0 and the others."""
    for path in [path for path in tree.datasets if path.endswith(_CLSTM)]:
        whole = tree.datasets[path]
        if len(whole.shape) == 2 and whole.shape[1] > 1:
            rows, columns = whole.shape
            del tree.datasets[path]
            tree.datasets[path + _COLUMNS[0]] = whole._replace(shape=(rows,))
            tree.datasets[path + _COLUMNS[1]] = whole._replace(shape=(rows, columns - 1))


def _column(tree: Tree, name: str, dataset: Dataset) -> Tensor:
    """A part of a matrix of rows x (1 + columns), of which the name says which."""
    path, _, part = name.rpartition("[")
    rows, rest = tree.datasets[f"{path}[:,1:]"].shape
    dtype, span = _dtype(tree, path, dataset), dataset.locate()
    if f"[{part}" == _COLUMNS[0]:
        tensor = view(dtype, (rows,), (1 + rest,), span)
    else:
        tensor = view(dtype, (rows, rest), (1 + rest, 1), span, 1)
    return tensor._replace(big_endian=dataset.datatype.big_endian)
