"""A verdict as people look at it.

Comes in: a `Checked`. Goes out: the reports of its audit with the verdict at their end, as
`lstm-audit check` writes them, bounds drawn; the data frames of the audit.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from ..cli.check import describe_outcome
from ..cli.runs import find_allowed_biases
from ..gate import Checked
from ..reports import Look
from ..reports.html.notebook import fragment
from . import Columns, Render, View, audited


class Formats(audited.Formats):
    """The reports of an audit, each with the verdict."""

    def __getitem__(self, name: str) -> Render:
        return partial(_render, name)


def _render(name: str, checked: Checked, look: Look) -> str:
    return audited.render(name, checked.audit, _with_verdict(checked, look))


def _with_verdict(checked: Checked, look: Look) -> Look:
    return look._replace(
        closing=describe_outcome(checked.outcome, checked.policy, checked.audit.findings),
        bounds=find_allowed_biases(checked.policy),
        fail_on=checked.policy.fail_on,
    )


def _of_audit(render: Render) -> Render:
    return lambda checked, look: render(checked.audit, _with_verdict(checked, look))


def picture(checked: Checked) -> str:
    """The report's page without its frame."""
    return fragment(_render("html", checked, Look(rows=audited.CARDS)))


def _frame(of: Callable[[Any], Columns]) -> Callable[[Checked], Columns]:
    return lambda checked: of(checked.audit)


FRAMES = {name: _frame(of) for name, of in audited.FRAMES.items()}

VIEW = View(Formats(), tuple(map(_of_audit, audited.VIEW.short)), picture, FRAMES)
