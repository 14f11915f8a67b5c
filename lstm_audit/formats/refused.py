"""What is met where a checkpoint was expected, recognised and refused with a message that helps.

Comes in: the first bytes of a file. Goes out: None, or an `UnknownFormat` that says what the file
is and what to do. Promise: a pointer or an error page is never called a corrupt checkpoint.
"""

from ..errors import MalformedFile, UnknownFormat
from ..raw.span import Span
from ..wire.protobuf import Wire
from . import Beside, Checkpoint, reader

HEAD = 1024

_LFS = b"version https://git-lfs.github.com/spec/"


@reader("refused", weak=True)
def refuse(span: Span, beside: Beside) -> Checkpoint | None:
    """Never a checkpoint: raises `UnknownFormat`, or leaves the file to the other readers."""
    head = span[: min(span.size, HEAD)].read()
    if not head:
        raise UnknownFormat("the file is empty", 0, "empty")
    if head.startswith(_LFS):
        raise UnknownFormat(
            "a git-LFS pointer, the file itself was not pulled; run `git lfs pull`",
            0,
            "lfs-pointer",
        )
    if head.startswith(b"outs:") and b"md5:" in head:
        raise UnknownFormat(
            "a DVC pointer, the file itself was not pulled; run `dvc pull`", 0, "lfs-pointer"
        )
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise UnknownFormat(
            "an HTML page saved as a model; the download failed, fetch it again", 0, "html"
        )
    _refuse_container(head)
    _refuse_protobuf(span)
    return None


def _refuse_container(head: bytes) -> None:
    """Containers that are known but not read."""
    if head.lstrip().startswith(b"ir_version:"):
        message = (
            "an ONNX model written as protobuf text, which no runtime loads; parse it with "
            "google.protobuf.text_format and save it with onnx.save"
        )
        raise UnknownFormat(message, 0, "unsupported")
    if head.startswith(b"program(") or (head[:1] == b"{" and b"espresso" in head):
        message = (
            "a part of a compiled Core ML model (.mlmodelc); audit the .mlmodel or .mlpackage that "
            "it was compiled from"
        )
        raise UnknownFormat(message, 0, "unsupported")
    if head[4:8] == b"ORTM":
        message = (
            "an ONNX Runtime .ort file, which holds no ONNX; audit the .onnx model that it was "
            "made from"
        )
        raise UnknownFormat(message, 0, "unsupported")


def _refuse_protobuf(span: Span) -> None:
    """A SavedModel's message: 1 schema version, 2 graphs, and nothing else.

    It begins with the bytes of an ONNX model and of a Core ML model; those have been asked.
    """
    if span[: min(span.size, 3)].read() != b"\x08\x01\x12":
        return
    try:
        numbers = {field[0] for field in Wire(span).fields(0, span.size)}
    except MalformedFile:
        return
    if numbers == {1, 2}:
        message = (
            "a TensorFlow SavedModel's graph; its weights lie beside it: audit variables/, or "
            "the model's .h5 or .keras file"
        )
        raise UnknownFormat(message, 0, "unsupported")
