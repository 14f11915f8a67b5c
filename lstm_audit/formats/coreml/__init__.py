"""Core ML models: the envelope, its networks of layers, its programs, and their numbers.

Comes in: nothing. Goes out: the reader, registered. Promise: see `read_coreml`.
"""

from . import model

__all__ = ["model"]
