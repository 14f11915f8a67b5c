"""Measured LSTMs before the forensics and the rules.

Comes in: one file's LSTMs with their values, the source still open, and a policy. Goes out: rows
with their `Init`, and the findings that stand. Promise: a rule sees what the report shows, and
nothing of it is computed twice.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .facts import Finding, Row, facts_of
from .formats import Checkpoint
from .lstm.find import Found
from .lstm.forensics.fingerprint import Init, identify, identify_together
from .lstm.layer import GATES, Lstm
from .lstm.measure import Measures, Values
from .policy.model import Policy
from .policy.table import spell_out
from .rules import Case, Evidence, judge, subjects_of

if TYPE_CHECKING:
    from .lstm.forensics.optimizer import Regime

# The policy of a report: every rule on, none of them asking for an LSTM.
REPORTING = Policy().having("require-lstm", False)


def judge_file(
    path: str,
    checkpoint: Checkpoint,
    found: Found,
    lstms: Sequence[Lstm],
    values: Sequence[Values],
    measures: Sequence[Measures],
    policy: Policy | None,
) -> tuple[tuple[Row, ...], tuple[Finding, ...]]:
    """The rows and findings of one file, under `policy` (None: the defaults of a report)."""
    inits = inits_of(lstms, values, checkpoint)
    parts = list(zip(lstms, values, measures, inits, strict=True))
    addresses = Counter(lstm.address for lstm in found.lstms)
    evidence = Evidence(
        path=path,
        format=checkpoint.format,
        cases=tuple(Case(*part) for part in parts),
        skipped=found.skipped,
        lookalikes=found.lookalikes,
        globals=checkpoint.globals,
        around=checkpoint.around,
        trailing=checkpoint.trailing,
        shared={address for address, count in addresses.items() if count > 1},
    )
    table = spell_out(policy or REPORTING, path, subjects_of(evidence))
    findings = tuple(judge(evidence, table))
    rows = tuple(Row(facts_of(lstm), measured, init) for lstm, _, measured, init in parts)
    return rows, findings


def inits_of(
    lstms: Sequence[Lstm], values: Sequence[Values], checkpoint: Checkpoint
) -> list[Init | None]:
    """Which initialiser made each; the recurrences of one module are asked together, since they
    were trained together, and with what the file's optimizer did.
    """
    inits: list[Init | None] = [None] * len(lstms)
    modules: dict[str, list[int]] = {}
    for place, lstm in enumerate(lstms):
        if lstm.two_halves:
            modules.setdefault(lstm.module, []).append(place)
        else:
            inits[place] = _init_of_single(lstm, values[place])
    for places in modules.values():
        biases = [(values[n].halves["ih"], values[n].halves["hh"], lstms[n].dtype) for n in places]
        regime = _regime_of(checkpoint, lstms[places[0]])
        for place, init in zip(places, identify_together(biases, regime), strict=True):
            inits[place] = init
    return inits


def _regime_of(checkpoint: Checkpoint, lstm: Lstm) -> "Regime | None":
    """What the optimizer in the file did to a module, if the file holds one and says it."""
    if not checkpoint.optimizers:
        return None
    from .lstm.forensics.optimizer import told  # 1.3 ms with the laws of what has moved

    return told(checkpoint.optimizers, lstm.hidden_size, checkpoint.counters.get("global_step"))


def init_of(lstm: Lstm, values: Values) -> Init | None:
    """Which initialiser made the biases; None where there are none."""
    if not lstm.two_halves:
        return _init_of_single(lstm, values)
    return identify(values.halves["ih"], values.halves["hh"], lstm.dtype)


def _init_of_single(lstm: Lstm, values: Values) -> Init | None:
    """The same of a bias without halves; None where a gate has none of its own."""
    if len(values.halves) != 1 or not all(lstm.gates[gate] for gate in GATES):
        return None
    from .lstm.forensics.single import identify_single  # 0.7 ms that two halves spare

    (gates,) = values.halves.values()
    return identify_single(gates, lstm.dtype)
