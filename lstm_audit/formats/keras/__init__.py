"""Keras: HDF5 files and `.keras` archives of Keras 1 to 3 and tf_keras, and HDF5 of other LSTMs.

Importing it registers its readers.
"""

from . import archive, h5

__all__ = ["archive", "h5"]
