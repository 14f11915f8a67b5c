"""Options and fixtures that several test modules share."""

import os
import random
import signal
import sys
import zlib
from collections.abc import Iterator

import hypothesis
import pytest

# No test asserts a time, and a build that was green stays green; what new examples would find is
# looked for on purpose: pytest --hypothesis-profile search.
hypothesis.settings.register_profile(
    "search",
    deadline=None,
    derandomize=False,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,  # it measures the machine
        hypothesis.HealthCheck.function_scoped_fixture,  # a folder that all examples write into
    ],
)
hypothesis.settings.register_profile(
    "house", hypothesis.settings.get_profile("search"), derandomize=True
)
hypothesis.settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    """--slow: also what takes half a minute; --mutations: how many mutants of every fixture the
    hostile tests try.
    """
    parser.addoption(
        "--slow", action="store_true", help="run the tests that take half a minute each, too"
    )
    parser.addoption(
        "--mutations",
        type=int,
        default=60,
        help="mutants of every fixture in tests/promises/test_hostile.py",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker of tests that only --slow runs; no terminal's wishes, which would change what the
    command prints in this process; and Ctrl-C, which a shell takes away from what it starts in the
    background, for the programs that tests start and interrupt.
    """
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TERM"):
        os.environ.pop(name, None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "slow: takes half a minute (builds, installs, browses); needs pytest --slow"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that is not run is said, with what would run it."""
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes half a minute: pytest --slow"))


@pytest.fixture
def mutations(request: pytest.FixtureRequest) -> int:
    """How many mutants of every fixture."""
    return int(request.config.getoption("--mutations"))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small models are trained faster, and always alike, by one thread of torch."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Every test draws the same numbers in every run, whatever ran before it."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
