"""Phantom recurrences as LSTMs over imaginary bytes, for the rules that judge checkpoints.

Comes in: the recurrences that a run has left. Goes out: `Evidence` for the rules, and what could
not be judged. Promise: the same forensics and the same rules as for a file; what is unknown in the
forget gate is not judged, what is unknown beside it silences the rules that compare gates.

This is the one module that knows how a `Recurrence` of a file is built.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from math import isclose
from typing import NamedTuple

from ..facts import Finding
from ..judge import init_of
from ..lstm.layer import GATES, Lookalike, Lstm, Term
from ..lstm.measure import measure, read_values
from ..policy.model import Policy
from ..policy.table import spell_out
from ..raw.dtypes import DTYPES
from ..raw.span import span_of
from ..raw.tensor import Block, contiguous
from ..raw.tensor import Tensor as StoredTensor
from ..rules import Case, Evidence, Remark, SettingsTable, judge, subjects_of
from .cells import CellValue, Draw, values_of
from .entries import HeldRecurrence
from .tensors import PhantomStorage, PhantomTensor, WrittenRun, cut_runs, read_runs
from .values import UNKNOWN, Instance, SourcePlace

# Units of one recurrence that are imagined; the gates of larger ones are cut to as many.
LARGEST_JUDGED = 4096

# Bias elements of one file that are imagined.
MOST_UNITS = 1 << 18

HALVES = ("ih", "hh")

# Rules that hold whatever stands in the other gates.
FORGET_ONLY = frozenset({"LA101", "LA103", "LA104", "LA106"})


# Rules for a function that is given an LSTM nobody has seen: what it leaves may be set elsewhere.
OF_ANY_LSTM = frozenset({"LA101", "LA102", "LA104", "LA106"})

# The rules that source is held against; LA108 only where it is selected by name.
SOURCE_RULES = frozenset(
    {"LA101", "LA102", "LA103", "LA104", "LA105", "LA106", "LA107", "LA111"}
    | {"LA501", "LA502", "LA503", "LA504"}
)


# Strategy. The rules know recurrences over bytes. Instead of writing a second set of rules for
# source, the cells that a run has left are drawn into a float32 vector in memory, and an `Lstm` is
# laid over it as over a file. Forensics then sees what torch itself would have written.
#
# What is lost on the way is certainty: a file's number is there, a phantom's may be one of many. So
# each finding is held against the cells once more (`CERTAIN`): it stands only if what it rests on
# is a number of the source, not a property of the sample that was drawn.
class LayerBiases(NamedTuple):
    """One layer and direction of a held recurrence: its biases, each as runs of 4H cells."""

    held: HeldRecurrence
    module: str
    layer: int
    direction: str
    hidden_size: int
    ih: tuple[WrittenRun, ...]
    hh: tuple[WrittenRun, ...]
    ih_storage: PhantomStorage
    hh_storage: PhantomStorage

    def gate(self, half: str, gate: int) -> list[WrittenRun]:
        """The runs of one gate (0 to 3) of one half."""
        size = self.hidden_size
        return cut_runs(self.ih if half == "ih" else self.hh, gate * size, (gate + 1) * size)


class Unjudged(NamedTuple):
    """A recurrence, or a part of one, that could not be followed: where, and why."""

    module: str
    place: SourcePlace
    reason: str


class FoundLayers(NamedTuple):
    """The LSTMs that can be judged, the GRUs beside them, and the rest."""

    lstms: tuple[LayerBiases, ...]
    grus: tuple[tuple[HeldRecurrence, str, PhantomTensor], ...]
    unjudged: tuple[Unjudged, ...]


def split_layers(held: Sequence[HeldRecurrence]) -> FoundLayers:
    """The parts of the recurrences that were found."""
    lstms: list[LayerBiases] = []
    grus: list[tuple[HeldRecurrence, str, PhantomTensor]] = []
    unjudged: list[Unjudged] = []
    for one in held:
        kind = one.module.kind.rpartition(".")[2]
        if kind in ("GRU", "GRUCell"):
            grus += [(one, name, bias) for name, bias in _biases(one.module)]
        elif kind in ("LSTM", "LSTMCell"):
            for part in _parts(one):
                if isinstance(part, LayerBiases):
                    lstms.append(part)
                elif not one.helper:
                    unjudged.append(part)
    return FoundLayers(tuple(lstms), tuple(grus), tuple(unjudged))


def _biases(module: Instance) -> list[tuple[str, PhantomTensor]]:
    return [
        (name, value)
        for name, value in module.attrs.items()
        if name.startswith(("bias_ih", "bias_hh")) and isinstance(value, PhantomTensor)
    ]


def _parts(held: HeldRecurrence) -> Iterable[LayerBiases | Unjudged]:
    biases = dict(_biases(held.module))
    for name, ih in biases.items():
        if not name.startswith("bias_ih"):
            continue
        tail = name.removeprefix("bias_ih")
        hh = biases.get("bias_hh" + tail)
        if hh is None:
            continue
        layer = int(tail.removeprefix("_l").partition("_")[0] or 0)
        direction = "reverse" if tail.endswith("_reverse") else "forward"
        yield _part(held, layer, direction, ih, hh)


def _part(
    held: HeldRecurrence, layer: int, direction: str, ih: PhantomTensor, hh: PhantomTensor
) -> LayerBiases | Unjudged:
    size, over = divmod(len(ih), 4)
    if over or len(ih) != len(hh) or not size:
        return Unjudged(held.name, held.module.place, "its biases have no four gates")
    part = LayerBiases(
        held, held.name, layer, direction, size, tuple(read_runs(ih)), tuple(read_runs(hh)),
        ih.storage, hh.storage,
    )  # fmt: skip
    for half in HALVES:
        for run in part.gate(half, 1):
            if run.cell is UNKNOWN:
                place = run.place or held.module.place
                return Unjudged(held.name, place, f"what bias_{half} holds is not known")
    return part


def is_default(part: LayerBiases) -> bool:
    """Whether both halves are as torch drew them, from the bound of this size."""
    bound = part.hidden_size**-0.5
    return all(_is_draw(run, bound) for run in (*part.ih, *part.hh))


def _is_draw(run: WrittenRun, bound: float) -> bool:
    cell = run.cell
    if not isinstance(cell, Draw) or cell.law != "uniform":
        return False
    return isclose(cell.b, bound, rel_tol=1e-6) and isclose(-cell.a, bound, rel_tol=1e-6)


def has_unknown(part: LayerBiases) -> bool:
    """Whether a gate beside the forget gate is not known."""
    return any(run.cell is UNKNOWN for run in (*part.ih, *part.hh))


# ---- over imaginary bytes


def judge_parts(
    path: str, format_name: str, parts: FoundLayers, remarks: tuple[Remark, ...], policy: Policy
) -> tuple[Finding, ...]:
    """The findings of the rules for checkpoints on what a run has left."""
    chosen = _worth_judging(parts, policy)
    lstms = list(_bound(chosen))
    lookalikes = tuple(_lookalikes(parts))
    if not lstms and not lookalikes and not remarks:
        return ()
    evidence = Evidence(
        path, format_name, tuple(map(_case, lstms)), lookalikes=lookalikes, remarks=remarks
    )
    findings = judge(evidence, _source_table(policy, path, evidence))
    return tuple(finding for finding in findings if _holds(finding, chosen))


def _holds(finding: Finding, parts: Sequence[LayerBiases]) -> bool:
    """Whether the cells themselves bear the finding out, not only the statistics of the rules; a
    rule that compares gates is silent where one of them is unknown.
    """
    group = [part for part in parts if part.module == finding.module]
    if finding.code not in OF_ANY_LSTM and any(part.held.helper for part in group):
        return False
    if finding.code == "LA103":
        return any(_forget_is_default(part) for part in group)
    one = [p for p in group if (p.layer, p.direction) == (finding.layer, finding.direction)]
    if not one or finding.code not in CERTAIN:
        return True
    if finding.code not in FORGET_ONLY and has_unknown(one[0]):
        return False
    return CERTAIN[finding.code](one[0])


def _is_number(part: LayerBiases, half: str, gate: int) -> bool:
    """Whether a gate of a half holds one number."""
    runs = part.gate(half, gate)
    return len({run.cell for run in runs}) == 1 and isinstance(runs[0].cell, float)


def _forget_is_default(part: LayerBiases) -> bool:
    bound = part.hidden_size**-0.5
    return all(_is_draw(run, bound) for half in HALVES for run in part.gate(half, 1))


# What must stand in the cells for a finding to be the text's, not the draws'.
CERTAIN: dict[str, Callable[[LayerBiases], bool]] = {
    "LA101": lambda part: all(_is_number(part, half, 1) for half in HALVES),
    "LA102": lambda part: any(_is_number(part, h, g) for h in HALVES for g in (0, 2, 3)),
    "LA104": lambda part: any(_is_number(part, half, 1) for half in HALVES),
    "LA105": lambda part: any(_is_number(part, half, 1) for half in HALVES),
    "LA106": lambda part: not any(_is_number(part, half, 1) for half in HALVES),
    "LA107": lambda part: all(_is_number(part, half, 1) for half in HALVES),
}


def _source_table(policy: Policy, path: str, evidence: Evidence) -> SettingsTable:
    """The policy's settings of the rules that source is held against; the others are off."""
    on = SOURCE_RULES | ({"LA108"} if wants_defaults(policy) else set())
    table = spell_out(policy, path, subjects_of(evidence))
    return {
        subject: {code: setting for code, setting in settings.items() if code in on}
        for subject, settings in table.items()
    }


def wants_defaults(policy: Policy) -> bool:
    """Whether LA108 was selected by its name."""
    return "LA108" in policy.settings["select"]


def _worth_judging(parts: FoundLayers, policy: Policy) -> list[LayerBiases]:
    """The modules of which at least one part is not as torch drew it."""
    grouped: dict[str, list[LayerBiases]] = {}
    for part in parts.lstms:
        grouped.setdefault(part.module, []).append(part)
    defaults_too = wants_defaults(policy)
    kept = [g for g in grouped.values() if defaults_too or not all(map(is_default, g))]
    return [part for group in kept for part in group]


def _case(lstm: Lstm) -> Case:
    values = read_values(lstm)
    return Case(lstm, values, measure(lstm, values), init_of(lstm, values))


def _bound(parts: Sequence[LayerBiases]) -> Iterable[Lstm]:
    left = MOST_UNITS
    for part in parts:
        left -= 8 * min(part.hidden_size, LARGEST_JUDGED)
        if left < 0:
            return
        yield imagine(part)


def imagine(part: LayerBiases) -> Lstm:
    """The part as a file would have it."""
    size = min(part.hidden_size, LARGEST_JUDGED)
    ih = _store(part, "ih", size)
    hh = ih if part.ih_storage is part.hh_storage else _store(part, "hh", size)
    tail = f"_l{part.layer}{'_reverse' if part.direction == 'reverse' else ''}"
    names = [f"{part.module}.bias_{half}{tail}" for half in ("ih", "hh")]
    gates = {
        gate: tuple(
            Term(half, name, Block(tensor, 0, k * size, (k + 1) * size))
            for half, name, tensor in zip(("ih", "hh"), names, (ih, hh), strict=True)
        )
        for k, gate in enumerate(GATES)
    }
    return Lstm(
        part.module, part.layer, part.direction, "torch", size, "float32", gates, tuple(names)
    )


def _store(part: LayerBiases, half: str, size: int) -> StoredTensor:
    numbers: list[float] = []
    for gate in range(4):
        numbers += draw_numbers(part.gate(half, gate), size)
    return store_numbers(numbers)


def store_numbers(numbers: list[float]) -> StoredTensor:
    """A float32 vector in memory."""
    data = array("f", [_finite(number) for number in numbers]).tobytes()
    return contiguous(DTYPES["float32"], (len(numbers),), span_of(data))


def _finite(number: float) -> float:
    """As float32 holds it: beyond its range infinite."""
    return number if abs(number) < 3.4e38 or number != number else float("inf")


def draw_numbers(runs: Sequence[WrittenRun], size: int) -> list[float]:
    """The first `size` numbers of runs; an unknown cell gets a draw that no rule speaks about."""
    numbers: list[float] = []
    for run in runs:
        cell: CellValue = run.cell
        if cell is UNKNOWN:
            bound = size**-0.5
            cell = Draw("uniform", len(numbers) + 7, -bound, bound)
        numbers += values_of(cell, min(run.length, size - len(numbers)))
    return numbers


def _lookalikes(parts: FoundLayers) -> Iterable[Lookalike]:
    """GRUs in whose biases some number was written."""
    grouped: dict[tuple[str, str], dict[str, PhantomTensor]] = {}
    for held, name, bias in parts.grus:
        tail = name.removeprefix("bias_ih").removeprefix("bias_hh")
        grouped.setdefault((held.name, tail), {})[name] = bias
    for (module, tail), biases in grouped.items():
        runs = [run for bias in biases.values() for run in read_runs(bias)]
        size = min(len(bias) for bias in biases.values()) // 3
        known = not any(run.cell is UNKNOWN for run in runs) and 0 < size <= LARGEST_JUDGED
        if known and any(isinstance(run.cell, float) for run in runs):
            layer = int(tail.removeprefix("_l").partition("_")[0] or 0)
            stored = {
                name: store_numbers(draw_numbers(read_runs(bias), len(bias)))
                for name, bias in biases.items()
            }
            direction = "reverse" if tail.endswith("_reverse") else "forward"
            yield Lookalike(module, layer, direction, "gru", size, stored)
