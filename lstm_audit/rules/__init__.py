"""What a rule sees, and the table of rules.

Comes in: `Evidence`, one file with its LSTMs measured and its source still open. Goes out:
`Finding`s. Promise: a rule's docstring is its manual, its keyword-only parameters are its options,
and nothing but arithmetic is an error by default.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any

from ..errors import BadPolicy, Skipped
from ..facts import Finding, Fix
from ..formats import Trailing
from ..lstm.forensics.bias import EPSILON
from ..lstm.forensics.schemes import Init, is_untouched
from ..lstm.layer import ROOT, Identity, Lookalike, Lstm, halves_overlap
from ..lstm.measure import Measures, Values
from ..registry import Registry
from ..targets import Target, target
from ..tuples import NamedTuple


class Case(NamedTuple):
    """One LSTM before the rules."""

    lstm: Lstm
    values: Values
    measures: Measures
    init: Init | None


class Remark(NamedTuple):
    """What the walk over a Python source noted for a rule: its code, the place, the module, and
    words for the message by name.
    """

    code: str
    line: int
    column: int
    module: str | None
    words: Mapping[str, str]
    severity: str | None = None


class Evidence(NamedTuple):
    """One file before the rules; its source is open, so that a rule may read what a bias span
    covers. `remarks` are there for Python source only. `shared` are the addresses that several
    LSTMs of the file bear.
    """

    path: str
    format: str
    cases: tuple[Case, ...]
    skipped: tuple[Skipped, ...] = ()
    lookalikes: tuple[Lookalike, ...] = ()
    globals: tuple[tuple[str, str], ...] = ()
    trailing: tuple[Trailing, ...] = ()
    remarks: tuple[Remark, ...] = ()
    shared: Set[str] = frozenset()
    around: tuple[tuple[str, str], ...] = ()


class Subject(NamedTuple):
    """What a rule speaks of: one LSTM (all four parts), a cell that is none (no convention), a
    module, or the file.
    """

    module: str | None = None
    layer: int | None = None
    direction: str | None = None
    convention: str | None = None


class Hit(NamedTuple):
    """What a rule says: the place, the numbers, the remedy. `severity` overrides the rule's own.

    Build one with `at(lstm, ...)` or with a module alone.
    """

    message: str
    measured: float | str | None = None
    expected: float | str | None = None
    module: str | None = None
    layer: int | None = None
    direction: str | None = None
    convention: str | None = None
    fix: Fix | None = None
    severity: str | None = None
    line: int | None = None
    column: int | None = None

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return Subject(self.module, self.layer, self.direction, self.convention)


def at(lstm: Lstm, message: str, **more: Any) -> Hit:
    """A hit on one LSTM; `more` are the other fields of `Hit`."""
    module, layer, direction, convention, *_ = lstm
    return Hit(
        message, module=module, layer=layer, direction=direction, convention=convention, **more
    )


def make_fix(case: Case, name: str, value: float | str) -> Fix | None:
    """The fix that patches this LSTM alone to a target; None where it has no bias of its own to
    write, or none gives what is wanted (an activation lies between 0 and 1).
    """
    if not case.lstm.gates["f"] or halves_overlap(case.lstm):
        return None
    try:
        return Fix(aim(name, value), (case.lstm.identity,), safe=is_untouched(case.init))
    except BadPolicy:
        return None


def aim(name: str, value: float | str) -> Target:
    """A target for a fix; a number is rounded to what its command says, so that all renderings of
    the fix write the same bytes.
    """
    return target(name, value if isinstance(value, str) else float(f"{value:.9g}"))


def coarsest_spacing(lstm: Lstm) -> float:
    """The relative spacing of the coarsest dtype among the biases (`float16+float32` when the
    halves differ).
    """
    return max(EPSILON.get(name, EPSILON["float32"]) for name in lstm.dtype.split("+"))


Check = Callable[..., Iterable[Hit]]

# The headings of a manual, in their order; each begins a line and ends with a colon.
SECTIONS = ("What it sees", "Why it hurts", "Example", "Fix", "References")


class Rule(NamedTuple):
    """A rule of the catalogue. `scope` is lstm (called with each `Case`) or file (called with the
    `Evidence`).
    """

    code: str
    name: str
    severity: str
    scope: str
    check: Check

    @property
    def manual(self) -> str:
        """The docstring, without its indentation."""
        from ..docstrings import read_docstring  # imports inspect, 8 ms

        return read_docstring(self.check)

    @property
    def sections(self) -> dict[str, str]:
        """The manual cut at its headings, the first line under ""; the texts are Markdown, code
        indented by four.
        """
        first, *rest = re.split(
            rf"^({'|'.join(SECTIONS)}):[ ]*\n?", self.manual, flags=re.MULTILINE
        )
        return {
            "": " ".join(first.split()),
            **{head: text.rstrip() for head, text in zip(rest[::2], rest[1::2], strict=True)},
        }

    @property
    def options(self) -> Mapping[str, Any]:
        """The rule's options and their defaults."""
        from inspect import signature  # 10 ms that only a schema needs

        parameters = signature(self.check).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


RULES: Registry[Rule] = Registry(__name__)


def rule(code: str, name: str, severity: str, scope: str = "lstm") -> Callable[[Check], Check]:
    """Register a rule; codes are never reused."""

    def register(check: Check) -> Check:
        RULES.add(code, Rule(code, name, severity, scope, check))
        return check

    return register


class Setting(NamedTuple):
    """A rule that is on: its options, and the severity that the policy gives it (None: its own)."""

    options: Mapping[str, Any] = {}
    severity: str | None = None


# What a policy says of one file: for each subject, code to setting; a code that is not there is
# off. It is complete before a rule runs.
SettingsTable = Mapping[Subject, Mapping[str, Setting]]


def subjects_of(evidence: Evidence) -> dict[Subject, tuple[str, ...]]:
    """Everything that a rule may speak of, and the names of it that a pattern may match."""
    lstms = [case.lstm for case in evidence.cases]
    subjects: dict[Subject, tuple[str, ...]] = {Subject(): ()}
    for module in (*(lstm.module for lstm in lstms), *(s.module for s in evidence.skipped)):
        subjects[Subject(module)] = (module or ROOT,)
    for remark in evidence.remarks:
        if remark.module is not None:
            subjects[Subject(remark.module)] = (remark.module or ROOT,)
    for cell in evidence.lookalikes:
        at = Identity(cell.module, cell.layer, cell.direction, cell.kind)
        subjects[Subject(cell.module, cell.layer, cell.direction)] = at.names
    for lstm in lstms:
        subjects[Subject(*lstm.identity)] = lstm.names
        if lstm.tied:
            tied = tuple(one.module or ROOT for one in lstm.tied)
            subjects[Subject(lstm.module)] = (*subjects[Subject(lstm.module)], *tied)
    return subjects


def every_rule() -> list[Rule]:
    """The catalogue, in the order of codes."""
    return sorted(RULES.values(), key=lambda rule: rule.code)


def starts_of_codes() -> list[str]:
    """What a selector may be: ALL, and every beginning of a code."""
    return ["ALL", *sorted({code[:length] for code in RULES for length in range(1, len(code) + 1)})]


def judge(evidence: Evidence, table: SettingsTable) -> Iterator[Finding]:
    """Every finding of every rule that is on, in the order of codes, then of the report."""
    told = [(case, table[Subject(*case.lstm.identity)]) for case in evidence.cases]
    anywhere = _settings_anywhere(table)
    for rule in every_rule():
        for hit in _hits(rule, evidence, anywhere, told):
            # A rule that sees the whole file may speak of a part of it where it is off.
            if setting := table[hit.subject].get(rule.code):
                yield _finding(rule, hit, setting, evidence)


def _settings_anywhere(table: SettingsTable) -> Mapping[str, Setting]:
    """By code the setting of the first place where a rule is on."""
    found: dict[str, Setting] = {}
    for settings in reversed([*table.values()]):
        found.update(settings)
    return found


def _hits(
    rule: Rule,
    evidence: Evidence,
    anywhere: Mapping[str, Setting],
    told: Iterable[tuple[Case, Mapping[str, Setting]]],
) -> Iterator[Hit]:
    """What one rule says; `told` are the LSTMs, each with what the table says of it."""
    if rule.scope == "file":
        # its options are the same everywhere, so those of the first place will do
        if setting := anywhere.get(rule.code):
            yield from rule.check(evidence, **setting.options)
        return
    for case, settings in told:
        if setting := settings.get(rule.code):
            yield from rule.check(case, **setting.options)


def _finding(rule: Rule, hit: Hit, setting: Setting, evidence: Evidence) -> Finding:
    """A hit as it is reported."""
    finding = Finding(
        code=rule.code,
        name=rule.name,
        severity=setting.severity or hit.severity or rule.severity,
        path=evidence.path,
        module=hit.module,
        layer=hit.layer,
        direction=hit.direction,
        message=hit.message,
        measured=hit.measured,
        expected=hit.expected,
        fix=hit.fix and hit.fix._replace(ambiguous=_is_shared(hit.fix, evidence.shared)),
        line=hit.line,
        column=hit.column,
        convention=hit.convention,
    )
    return finding._replace(ambiguous=True) if finding.address in evidence.shared else finding


def _is_shared(fix: Fix, shared: Set[str]) -> bool:
    return any(identity.address in shared for identity in fix.identities)
