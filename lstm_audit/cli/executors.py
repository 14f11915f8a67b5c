"""`--dask ADDRESS`: the workers of a dask cluster as an executor.

Comes in: what was given on the command line. Goes out: a `concurrent.futures.Executor`, or None.
Promise: a scheduler that does not answer, and a package that is missing, are usage errors.
"""

from concurrent.futures import Executor

from ..errors import BadPolicy
from ..extras import pip_line
from .forms import GivenOptions

PATIENCE = 10
"""Seconds in which a scheduler must answer."""

RETRIES = 2
"""Times that a file is given to another worker when the one that had it was lost."""


def executor_of(given: GivenOptions) -> Executor | None:
    """The executor that was asked for."""
    if given.dask is None:
        return None
    try:
        from distributed import Client  # an extra
    except ImportError:
        raise BadPolicy(f"--dask needs lstm-audit[fleet]: `{pip_line('fleet')}`") from None
    try:
        client = Client(given.dask, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise BadPolicy(
            f"no dask scheduler answers at {given.dask}: {type(error).__name__}"
        ) from None
    executor: Executor = client.get_executor(pure=False, retries=RETRIES)
    return executor
