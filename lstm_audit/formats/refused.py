"""What is met where a checkpoint was expected, recognised and refused with a message that helps.

Comes in: the first bytes of a file. Goes out: None, or an `UnknownFormat` that says what the file
is and what to do. Promise: a pointer or an error page is never called a corrupt checkpoint.
"""

import re

from ..errors import AuditError, MalformedFile, UnknownFormat
from ..raw.span import Span
from ..wire.protobuf import Wire
from . import LFS_POINTER, NOT_PULLED, Beside, Checkpoint, reader

HEAD = 4096

# How a store of OCDBT begins, as orbax writes them.
MANIFEST = b"\x0c\xdb\x3a\x2a"

# By its _METADATA, or by the manifest of its store.
ORBAX = (
    'an orbax checkpoint, whose arrays are compressed by zstd; `python -c "import '
    "orbax.checkpoint as o, flax.serialization as s; open('model.msgpack', 'wb').write("
    "s.to_bytes(o.PyTreeCheckpointer().restore('FOLDER')))\"`, with the folder's absolute path, "
    "converts it"
)

MATLAB = (
    "a MATLAB .mat file, in which networks are objects that only MATLAB reads; there, "
    "exportONNXNetwork(net, 'model.onnx') makes a file that can be audited"
)

# What a container is known by, all of it at its beginning, and what to do with it.
CONTAINERS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    (
        (rb"\A\s*ir_version:",),
        "an ONNX model written as protobuf text, which no runtime loads; parse it with "
        "google.protobuf.text_format and save it with onnx.save",
    ),
    (
        (rb"\Aprogram\(|\A\{.*espresso",),
        "a part of a compiled Core ML model (.mlmodelc); audit the .mlmodel or .mlpackage that "
        "it was compiled from",
    ),
    (
        (rb"\A.{4}ORTM",),
        "an ONNX Runtime .ort file, which holds no ONNX; audit the .onnx model that it was "
        "made from",
    ),
    (
        (rb"\AMATLAB 5\.0 MAT-file",),
        f'{MATLAB}; arrays alone are made an .npz by `python -c "import numpy, scipy.io as s; '
        "numpy.savez('model.npz', **{k: v for k, v in s.loadmat('FILE').items() if "
        "k[:2] != '__' and v.dtype.kind == 'f'})\"`",
    ),
    (
        (rb"\AMATLAB 7\.3 MAT-file",),
        f'{MATLAB}; arrays alone are made an .npz by `python -c "import numpy, h5py as h; '
        "numpy.savez('model.npz', **{k: v[()].T for k, v in h.File('FILE').items() if "
        'isinstance(v, h.Dataset)})"`',
    ),
    (
        (
            rb"\A\s*\{",
            rb'"format"\s*:\s*"graph-model"|"modelTopology"\s*:\s*\{\s*"(?:node|library|versions)"',
        ),
        "a TensorFlow.js graph model, which nothing makes a Keras model of again; audit the "
        "SavedModel, or the .h5 or .keras file, that it was converted from",
    ),
    (
        (rb"\A\s*\{", rb'"(?:modelTopology|weightsManifest)"'),
        "a TensorFlow.js model, whose weights lie in the shards beside it; "
        "`tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras "
        "model.json model.h5` converts it",
    ),
    (
        (rb"\A\s*\{", rb'"filename"\s*:', rb'"shape"\s*:\s*\['),
        "the manifest of a deeplearn.js checkpoint, whose variables are raw float32 files beside "
        "it: numpy.fromfile(FILENAME, '<f4').reshape(SHAPE) for each of them into numpy.savez "
        "unpacks it",
    ),
    (
        (rb"\A\s*\{", rb'"architecture"\s*:\s*"LSTM"'),
        "a Neural Amp Modeler .nam model, one list of numbers for all weights (of each layer the "
        "rows of weight_ih beside weight_hh, the sum of both biases in the order i, f, g, o, and "
        "the initial state); the trainer's .ckpt, from which it was exported, can be audited",
    ),
    (
        (rb"\A\s*\{", rb'"(?:tree_metadata|use_ocdbt|use_zarr3)"'),
        ORBAX,
    ),
    ((rb"\A" + re.escape(MANIFEST),), ORBAX),
)


# What programs that encrypt begin with: openssl enc, Python's Fernet, age, PGP, Ansible, git-crypt.
ENCRYPTED = re.compile(
    rb"Salted__|gAAAAA[\w-]{16}|age-encryption\.org/|-----BEGIN PGP MESSAGE|\$ANSIBLE_VAULT;"
    rb"|\0GITCRYPT\0"
)
# The names that exporters give the external data of an ONNX model.
EXTERNAL = re.compile(r"(?s:.*[/\\!])?(.+\.onnx)(?:\.data|_data(?:_\d+)?)")


@reader("refused", weak=True)
def refuse(span: Span, beside: Beside) -> Checkpoint | None:
    """Never a checkpoint: raises `UnknownFormat`, or leaves the file to the other readers."""
    head = span[: min(span.size, HEAD)].read()
    if not head:
        raise UnknownFormat("the file is empty", span.at, "empty")
    if head.startswith(LFS_POINTER):
        raise UnknownFormat(NOT_PULLED, span.at, "lfs-pointer")
    if head.startswith(b"outs:") and b"md5:" in head:
        raise UnknownFormat(
            "a DVC pointer, the file itself was not pulled; run `dvc pull`", span.at, "lfs-pointer"
        )
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise UnknownFormat(
            "an HTML page saved as a model; the download failed, fetch it again", span.at, "html"
        )
    if head[:4] == MANIFEST and _stands_below(beside):
        raise UnknownFormat("a part of an orbax checkpoint")
    if ENCRYPTED.match(head):
        raise UnknownFormat("an encrypted file; decrypt it first", span.at)
    _refuse_container(span, head)
    _refuse_external(span, beside)
    _refuse_protobuf(span)
    return None


def _stands_below(beside: Beside) -> bool:
    """Whether an orbax store is described by a _METADATA, which is answered for it."""
    for name in ("_METADATA", "../_METADATA"):
        try:
            return beside(name).size > 0
        except AuditError:
            continue
    return False


def _refuse_container(span: Span, head: bytes) -> None:
    """Containers that are known but not read."""
    for marks, message in CONTAINERS:
        if all(re.search(mark, head, re.DOTALL) for mark in marks):
            raise UnknownFormat(message, span.at, "unsupported")


def _refuse_external(span: Span, beside: Beside) -> None:
    """External data by itself: numbers without an index. Where the model lies beside it, that one
    is audited.
    """
    named = EXTERNAL.fullmatch(span.source.name)
    if named is None:
        return
    try:
        beside(named[1])
    except AuditError:
        message = (
            f"external data of an ONNX model, without the model: {named[1]} must lie beside it"
        )
        raise UnknownFormat(message, span.at, "unsupported") from None
    raise UnknownFormat(f"external data of an ONNX model; audit {named[1]}", span.at)


def _refuse_protobuf(span: Span) -> None:
    """TensorFlow's graphs. A SavedModel begins with the bytes of an ONNX model and of a Core ML
    model, a GraphDef with those of many a message; the others have been asked.
    """
    head = span[: min(span.size, 3)].read()
    if head == b"\x08\x01\x12" and _numbers(span) == {1, 2}:
        message = (
            "a TensorFlow SavedModel's graph; its weights lie beside it: audit variables/, or "
            "the model's .h5 or .keras file"
        )
        raise UnknownFormat(message, span.at, "unsupported")
    if head[:1] == b"\n" and _is_frozen(span):
        message = (
            "a frozen TensorFlow graph (GraphDef), whose variables became constants; `python -m "
            "tf2onnx.convert --graphdef FILE --output model.onnx --inputs NAMES --outputs NAMES` "
            "makes an ONNX file that can be audited"
        )
        raise UnknownFormat(message, span.at, "unsupported")


def _numbers(span: Span) -> set[int]:
    """The numbers of the fields of a message; none where it is no message."""
    try:
        return {field[0] for field in Wire(span).fields(0, span.size)}
    except MalformedFile:
        return set()


def _is_frozen(span: Span) -> bool:
    """GraphDef: 1 nodes{1 name, 2 operation, ...}, 2 functions, 3 and 4 versions."""
    wire = Wire(span)
    try:
        node = next(wire.fields(0, span.size))
        found = {part[0]: part for part in wire.message(node)}
        named = found.keys() >= {1, 2} and re.fullmatch(r"[A-Za-z]\w*", wire.text(found[2]))
    except MalformedFile:
        return False
    return bool(named) and _numbers(span) <= {1, 2, 3, 4}
