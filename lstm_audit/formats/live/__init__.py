"""Live objects: torch modules, and state dicts of torch tensors or numpy arrays.

Comes in: an object. Goes out: a `Checkpoint` of format "live". Promise: see `objects.py`.
"""

from .objects import MAX_DEPTH, read_mapping, read_module

__all__ = ["MAX_DEPTH", "read_mapping", "read_module"]
