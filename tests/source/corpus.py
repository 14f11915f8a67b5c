"""The corpus of `tests/source/cases`: modules with a `build()`, run by torch and read by the linter.

A file holds many modules, each under a line `#--- name`.
"""

import contextlib
import io
import warnings
from pathlib import Path
from typing import NamedTuple

import torch

import lstm_audit
from lstm_audit.policy.model import Policy
from lstm_audit.source.lint import Linted, lint_tree
from lstm_audit.source.syntax import parse_source

CASES = Path(__file__).parent / "cases"
COMPARED = {"LA101", "LA102", "LA103", "LA104", "LA105", "LA106", "LA107", "LA111"}


class Case(NamedTuple):
    """One module of the corpus."""

    name: str
    source: str


def read_cases() -> list[Case]:
    """Every case of every file."""
    found = []
    for path in sorted(CASES.glob("*.cases")):
        _, *parts = path.read_text().split("#--- ")
        for part in parts:
            name, _, source = part.partition("\n")
            found.append(Case(f"{path.stem}/{name.strip()}", source))
    return found


def audit_executed(source: str) -> set[str]:
    """What the audit says of the model that real torch builds; LA504 where torch refuses."""
    names: dict[str, object] = {"__name__": "case"}
    torch.manual_seed(20)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            exec(compile(source, "case.py", "exec"), names)
            model = names["build"]()  # type: ignore[operator]  # a function of the case
    except RuntimeError as error:
        if "leaf" not in str(error):
            raise
        return {"LA504"}
    finally:
        torch.set_grad_enabled(True)
    if isinstance(model, (list, tuple)):
        model = torch.nn.ModuleList(model)
    return {finding.code for finding in lstm_audit.audit(model).findings} & COMPARED


def lint_source(source: str, policy: Policy | None = None) -> Linted:
    """What the linter says."""
    tree = parse_source(source)
    return lint_tree(tree, "case.py", policy or Policy().having("require-lstm", False))


def codes(linted: Linted) -> set[str]:
    """The codes that the audit could say, too."""
    return {finding.code for finding in linted.findings} & (COMPARED | {"LA504"})
