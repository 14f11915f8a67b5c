"""Keras and TensorFlow: HDF5 files and `.keras` archives of Keras 1 to 3 and tf_keras, HDF5 of
other LSTMs, and TensorFlow's checkpoints.

Importing it registers its readers.
"""

from . import archive, bundle, h5, shards

__all__ = ["archive", "bundle", "h5", "shards"]
