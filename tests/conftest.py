"""Options and fixtures that several test modules share."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """--mutations: how many mutants of every fixture the hostile tests try."""
    parser.addoption("--mutations", type=int, default=60, help="mutants of every fixture in tests/test_hostile.py")


@pytest.fixture
def mutations(request: pytest.FixtureRequest) -> int:
    """How many mutants of every fixture."""
    return int(request.config.getoption("--mutations"))
