"""torch's containers: one pickle dialect in several envelopes.

Comes in: a span over a file. Goes out: a `Checkpoint`, or None. Promise: no torch, no pickle; the
tensors are those that `torch.load` would give, located in the file byte for byte.

    storage.py   torch's names for dtypes and storages
    archive.py   the zip of torch.save and of TorchScript
    legacy.py    the five-pickle file, before torch 1.6
    tar.py       the tar of torch 0.1
    package.py   torch.package
    distributed.py  torch.distributed.checkpoint
    dialect.py   pickled values into named tensors
    tensor_calls.py  which calls make a tensor, and whether its numbers can be told
    rebuild.py   such a call as a view of a storage
    export.py    torch.export's .pt2
    readers.py   which envelope a file is
"""

from . import readers as readers
