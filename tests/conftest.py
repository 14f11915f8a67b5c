"""Options and fixtures that several test modules share."""

import random
import sys
import zlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """--mutations: how many mutants of every fixture the hostile tests try."""
    parser.addoption("--mutations", type=int, default=60, help="mutants of every fixture in tests/test_hostile.py")


@pytest.fixture
def mutations(request: pytest.FixtureRequest) -> int:
    """How many mutants of every fixture."""
    return int(request.config.getoption("--mutations"))


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Every test draws the same numbers in every run, whatever ran before it."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
