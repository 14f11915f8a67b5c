"""The line that brings an extra names what the project's file has under it."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from lstm_audit.extras import pip_line

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OF_USERS = ("torch", "remote", "hub", "s3", "gcs", "azure", "fleet")


# An editable installation that is older than the file knows the extras of its day.
def requirements(name: str) -> list[str]:
    """What pip wrote of this package when it was installed, from the file as it stands."""
    return [f"{one}; extra == '{extra}'" for extra, of in EXTRAS.items() for one in of]


@pytest.mark.parametrize("extra", OF_USERS)
def test_the_packages_of_an_extra(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", requirements)
    assert pip_line(extra) == f"pip install {' '.join(f'{one!r}' for one in EXTRAS[extra])}"


def test_all_is_every_extra_of_users() -> None:
    assert EXTRAS["all"] == [f"lstm-audit[{','.join(OF_USERS)}]"]


def test_both_quotes_of_a_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        metadata, "requires", lambda name: ['s3fs>=2024.2; extra == "s3"', "click>=8.1"]
    )
    assert pip_line("s3") == "pip install 's3fs>=2024.2'"


def test_a_package_that_was_never_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", absent)
    assert pip_line("s3") == "pip install 'lstm-audit[s3]'"
