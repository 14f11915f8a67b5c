"""ONNX models: the envelope, the tensors in it, and those in files beside it.

Comes in: nothing. Goes out: the reader, registered. Promise: see `read_onnx`.
"""

from . import model

__all__ = ["model"]
