"""An HDF5 file's datasets and attributes, read in pure Python.

Comes in: the span of a file. Goes out: a `Tree`: every dataset by its path, with the place of its
bytes, and every object's attributes. Promise: whatever the bytes, an answer or `MalformedFile`,
within the budgets of `file.File`; nothing outside of the span is opened.

The C library is not asked: it crashes and hangs on damaged files, and it does not say where the
bytes lie that a patch must change, nor which checksums cover them.

What h5py, Keras, tf_keras, PyTables and MATLAB write is read: superblocks 0 to 3, object headers 1
and 2, old and new groups, dense storage, compact, contiguous and chunked data through deflate,
shuffle and fletcher32. Refused: links into other files, external storage, virtual datasets,
committed types, other filters, chunk indexes that can grow.
"""

from .dataset import Dataset
from .file import is_hdf5
from .walk import Tree, read_hdf5

__all__ = ["Dataset", "Tree", "is_hdf5", "read_hdf5"]
