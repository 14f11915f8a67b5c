"""What is met where a checkpoint was expected, recognised and refused with a message that helps.

Comes in: the first bytes of a file. Goes out: None, or an `UnknownFormat` that says what the file
is and what to do. Promise: a pointer or an error page is never called a corrupt checkpoint.
"""

from ..errors import UnknownFormat
from ..raw.span import Span
from . import Beside, Checkpoint, reader

HEAD = 1024

_LFS = b"version https://git-lfs.github.com/spec/"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ONNX_FIELDS = b"\x12\x1a\x22\x3a\x42\x72"
"""What follows the ir_version of a ModelProto: producer, domain, graph, opset or metadata
(onnx/onnx.proto).
"""


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
    return None


def _refuse_container(head: bytes) -> None:
    """Containers that are known but not read."""
    if head.startswith(_HDF5):
        raise UnknownFormat(
            "an HDF5 file (Keras); this version reads torch and safetensors", 0, "unsupported"
        )
    if _is_onnx(head):
        raise UnknownFormat(
            "an ONNX model, by its looks; this version reads torch and safetensors",
            0,
            "unsupported",
        )


def _is_onnx(head: bytes) -> bool:
    """A protobuf whose first field is an ir_version of 1 to 31, or the text of one."""
    if head.startswith(b"ir_version:"):
        return True
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 32 and head[2] in _ONNX_FIELDS
