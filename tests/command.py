"""The real command, for tests: `python -m lstm_audit` in a process of its own, or click in this
one.
"""

import os
import subprocess
import sys
from pathlib import Path

import click.testing

from lstm_audit.cli.group import group
from lstm_audit.errors import AuditError

FIXTURES = Path(__file__).parent.parent / "fixtures"
CLEAN = FIXTURES / "clean"
FLAWED = FIXTURES / "flawed"
HOSTILE = FIXTURES / "hostile"
MIXED = FIXTURES / "mixed"
MODEL = CLEAN / "lstm.pt"
DOUBLED = FLAWED / "LA101" / "zeroed_first.pt"
ONE_SIDED = FLAWED / "LA104" / "bias_hh.pt"
TRUNCATED = HOSTILE / "truncated.pt"
FROZEN = MIXED / "frozen.pt"
GRU = MIXED / "gru.pt"

FORMATS = (
    "csv", "github", "gitlab", "html", "json", "jsonl", "junit", "markdown", "sarif", "table",
)  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what changes how a report looks."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PYTHON", "COV_", "GITHUB_", "COLUMNS", "LC_"))
    }
    kept.pop("NO_COLOR", None)
    return kept | {"PYTHONPATH": str(FIXTURES.parent), "LC_ALL": "C.UTF-8"} | more


def untraced(**more: str) -> dict[str, str]:
    """The same for a process whose imports are looked at: a tracer of coverage would add its
    own.
    """
    return {k: v for k, v in environment(**more).items() if not k.startswith("COVERAGE")}


def real(
    *arguments: object, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[bytes]:
    """The command as a shell runs it."""
    words = [os.fspath(word) if isinstance(word, os.PathLike) else str(word) for word in arguments]
    return subprocess.run(
        [sys.executable, "-m", "lstm_audit", *words],
        capture_output=True,
        env=environment(**more),
        cwd=cwd,
        check=False,
    )


def run(*arguments: object, **more: str) -> click.testing.Result:
    """The command in this process, quicker; an expected error has the exit code and the message
    that `main` gives.
    """
    result = click.testing.CliRunner().invoke(
        group, [str(word) for word in arguments], env=dict(more)
    )
    if isinstance(result.exception, AuditError):
        result.exit_code = 2
        result.stderr_bytes = (
            result.stderr_bytes or b""
        ) + f"Error: {result.exception.message}\n".encode()
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


SHADOWS = (
    "ast", "calendar", "click", "code", "concurrent", "csv", "ctypes", "gc", "glob", "inspect", "json", "logging",
    "multiprocessing", "numbers", "pickle", "queue", "random", "resource", "select", "selectors", "shutil", "signal",
    "site", "socket", "string", "struct", "subprocess", "tempfile", "threading", "token", "types", "venv", "weakref",
)  # fmt: skip
"""Names of modules that a downloaded folder may hold, none of which may ever be imported from it."""


def shadow(folder: Path) -> None:
    """Put modules of these names into a folder; whichever is imported leaves a file RAN there."""
    for name in SHADOWS:
        text = f"open({str(folder / 'RAN')!r}, 'a').write({name!r} + chr(10))\nraise ImportError"
        (folder / f"{name}.py").write_text(text)
