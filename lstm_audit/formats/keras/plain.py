"""Layers of a Keras file that are no recurrence by their class, whatever they are called.

Comes in: the paths of the file, and the configuration. Goes out: the folders of such layers.
Promise: only Keras's own classes count, and only where every layer of the name is of one; a layer
whose class is a user's own may be a cell.
"""

import re
from collections.abc import Collection

from .config import Config, find_layer_classes

# Keras's own layers that have a `kernel` and no state. (LocallyConnected: Keras 1 and 2.)
PLAIN = frozenset(
    {"Dense", "EinsumDense", "Embedding", "Conv1D", "Conv2D", "Conv3D", "Convolution1D",
     "Convolution2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "DepthwiseConv1D",
     "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "LocallyConnected1D",
     "LocallyConnected2D", "BatchNormalization", "LayerNormalization", "GroupNormalization"}
)  # fmt: skip

# Names that a row of conventions, or a look at unknown tensors, could take for a cell's.
TEMPTING = r"(?i)lstm|rnn|gru|cell"


def find_plain(paths: Collection[str], config: Config) -> set[str]:
    """The folders with a kernel that a plain layer has under a name that sounds like a cell's."""
    folders = {path.rpartition("/")[0] for path in paths if "/kernel" in path}
    recurrent = {path.rpartition("/")[0] for path in paths if "recurrent_kernel" in path}
    tempting = {folder for folder in folders - recurrent if re.search(TEMPTING, folder)}
    if not tempting or not config.text:
        return set()
    said = {folder: find_layer_classes(config, folder) for folder in tempting}
    return {folder for folder, classes in said.items() if classes and classes <= PLAIN}
