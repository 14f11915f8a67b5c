"""A machine with the language plugged in.

Comes in: what is assumed. Goes out: a `Machine` that can run statements. Promise: the modules of
the language know each other only through the machine's two entry points, `run` and `call`.
"""

from collections.abc import Mapping
from functools import partial

from .calls import call_value
from .machine import Machine
from .statements import run_block


def new_machine(assumed: Mapping[str, bool] | None = None) -> Machine:
    """A machine, ready to run."""
    m = Machine(assumed)
    m.call = partial(call_value, m)
    m.run = partial(run_block, m)
    return m
