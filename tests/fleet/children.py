"""The processes that a run starts: what they do, and whether they are there still."""

import os
from pathlib import Path

import pytest

from lstm_audit import worker as workers


def killed_by(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Children run `code` before every file."""
    start = workers.START.replace(
        "serve()",
        "import lstm_audit.pipeline as p; real = p.audit_input\n"
        f"def audit_input(given, request):\n    {code}\n    return real(given, request)\n"
        "p.audit_input = audit_input; serve()",
    )
    monkeypatch.setattr(workers, "START", start)


def children(pid: int) -> list[int]:
    """The processes that a process started, as Linux tells them."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += (thread / "children").read_text().split()
    except OSError:
        return []
    return sorted({int(child) for child in found})


def own_workers() -> list[int]:
    """The children of this process that read files: other tests have left servers and trackers."""
    found = []
    for pid in children(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"lstm_audit.worker" in command:
            found.append(pid)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
