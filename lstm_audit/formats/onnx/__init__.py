"""ONNX models: the envelope, scopes and nodes, the tensors in it, and those in files beside it.

Comes in: nothing. Goes out: the reader, registered. Promise: see `read_onnx`.
"""

from . import model

__all__ = ["model"]
