"""A pytest plugin: one fixture, off unless a test asks for it.

Comes in: a test that names `assert_forget_gate`. Goes out: the function of that name. Promise: a
run that does not use it imports nothing of this package but this file.
"""

from collections.abc import Callable

import pytest


@pytest.fixture
def assert_forget_gate() -> Callable[..., None]:
    """`lstm_audit.assert_forget_gate(model, activation=(0.7, 0.98), ...)`."""
    from .gate import assert_forget_gate as checked  # 14 ms that tests without the fixture spare

    return checked
