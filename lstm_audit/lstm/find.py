"""Names, shapes and claims into LSTMs.

Comes in: a `Checkpoint`. Goes out: `Found`, the LSTMs in the order of a report, and what was
skipped. Promise: what cannot be decided is `Skipped` with its reason, never guessed; one stored
bias is one row, however many names it has.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..errors import MalformedFile, Skipped
from ..formats import Checkpoint, Claim, Graph, shape_of
from ..raw.tensor import Tensor
from .build import FACTORS, MAX_BIAS, build, mirrored
from .conventions import CONVENTIONS, OPTIMIZER_WORDS, Convention
from .evidence import Verdict, weigh_shape
from .group import UNKNOWN, Group, Key, grouped, placed
from .layer import Lookalike, Lstm, Term

MAX_LSTMS = 1024
"""Recurrences of one file: more is an attack, and the report would be of no use. Each takes about a
millisecond.
"""

MAX_OUTCOMES = 8192
"""Groups of names that look recurrent, with those that are skipped."""

Outcome = Lstm | Skipped | Lookalike


class Found(NamedTuple):
    """What one checkpoint holds; `lookalikes` are also in `skipped`, which says why they are no
    LSTMs.
    """

    lstms: tuple[Lstm, ...]
    skipped: tuple[Skipped, ...]
    lookalikes: tuple[Lookalike, ...] = ()


def find_lstms(checkpoint: Checkpoint) -> Found:
    """Every LSTM of a checkpoint; raises `MalformedFile` when a tensor that matters is broken."""
    names, skipped = _without_optimizers(checkpoint)
    outcomes: list[Outcome] = []
    everything = "\n".join(names)
    for convention in CONVENTIONS:
        if convention.hint in everything:
            got, taken = _apply(
                convention, names, checkpoint, {outcome.module for outcome in outcomes}
            )
            outcomes += got
            names = [name for name in names if name not in taken] if taken else names
    lstms = [outcome for outcome in outcomes if isinstance(outcome, Lstm)]
    if len(lstms) > MAX_LSTMS:
        raise MalformedFile(
            f"{len(lstms)} LSTMs in one file; at most {MAX_LSTMS} are read", kind="limit"
        )
    skipped += [outcome for outcome in outcomes if isinstance(outcome, Skipped)]
    said = {entry.module for entry in skipped}
    unread = list(_relevant(checkpoint.skipped))
    skipped += [entry for entry, _ in unread if entry.module not in said]
    valueless = {key for _, key in unread}
    lstms = [lstm for lstm in lstms if (lstm.module, lstm.layer, lstm.direction) not in valueless]
    lookalikes = tuple(outcome for outcome in outcomes if isinstance(outcome, Lookalike))
    found = Found(tuple(_merge_aliases(lstms, checkpoint.tensors)), tuple(skipped), lookalikes)
    return _with_graphs(found, checkpoint.graphs) if checkpoint.graphs else found


def _with_graphs(found: Found, graphs: Sequence[Graph]) -> Found:
    """What the graphs hold beside what has names."""
    from .unfold import unfold  # 4 ms of imports that no checkpoint of names needs

    lstms, skipped = list(found.lstms), list(found.skipped)
    for graph in graphs:
        unfolded = unfold(graph)
        lstms += unfolded.lstms
        skipped += unfolded.skipped
    if len(lstms) > MAX_LSTMS:
        message = f"{len(lstms)} LSTMs in one file; at most {MAX_LSTMS} are read"
        raise MalformedFile(message, kind="limit")
    return found._replace(lstms=tuple(sorted(lstms, key=report_order)), skipped=tuple(skipped))


def _without_optimizers(checkpoint: Checkpoint) -> tuple[list[str], list[Skipped]]:
    """The names that may be weights; the paths under which an optimizer keeps its own copies are
    said once.

    A module that says by its class what it is, is none of an optimizer's, whatever it is called.
    """
    tensors, claims = checkpoint.tensors, checkpoint.claims
    names: list[str] = []
    paths: dict[str, None] = {}
    everything = "\n".join(tensors)
    if not any(word in everything for word in OPTIMIZER_WORDS):
        return list(tensors), []
    for name in tensors:
        parts = re.split(r"[./:]", name)
        found = next((k for k, part in enumerate(parts) if part in OPTIMIZER_WORDS), None)
        if found is None or name.rpartition(".")[0] in claims:
            names.append(name)
        elif "bias_" in name:
            paths[".".join(parts[: found + 1])] = None
    return names, [
        Skipped(path, "optimizer-state", "an optimizer's tensors are not biases") for path in paths
    ]


def _apply(
    convention: Convention, names: Sequence[str], checkpoint: Checkpoint, settled: Collection[str]
) -> tuple[list[Outcome], set[str]]:
    """One row of the table over the names that no row before it took; `settled` are the modules
    that one spoke of.

    Biases without a weight in such a module are what conversion left behind: a dynamically
    quantised cell keeps the attributes of the one it was made from.
    """
    outcomes: list[Outcome] = []
    taken: set[str] = set()
    for group in grouped(convention, names, checkpoint):
        if group.module in settled and "recurrent" not in group.first:
            continue
        outcome = _tried(convention, group, checkpoint)
        if outcome is not None:
            outcomes.append(outcome)
            _bound(len(outcomes))
            if isinstance(outcome, Skipped) and outcome.reason in ("gru", "rnn"):
                outcomes += _lookalike(convention, group, checkpoint.tensors, outcome.reason)
            taken.update(group.parts.values(), mirrored(convention, group, checkpoint.tensors))
    return outcomes, taken


def _bound(count: int) -> None:
    if count > MAX_OUTCOMES:
        raise MalformedFile(
            f"over {MAX_OUTCOMES} groups of names in one file look like recurrences", kind="limit"
        )


def _tried(convention: Convention, group: Group, checkpoint: Checkpoint) -> Outcome | None:
    """One group judged; what is stored in a way that is not read is said of this group alone."""
    try:
        return _resolve(convention, group, checkpoint)
    except MalformedFile as error:
        if error.kind != "unsupported":
            raise
        return Skipped(group.module, "unsupported-dtype", error.message)


def _resolve(convention: Convention, group: Group, checkpoint: Checkpoint) -> Outcome | None:
    """One group judged: an LSTM, something else that is said, or None when it is no recurrence at
    all.
    """
    tensors = checkpoint.tensors
    if convention.mirror and not mirrored(convention, group, tensors):
        return None
    claim = _claim_of(convention, group, checkpoint)
    if convention.claimed and claim is None:
        return None
    if claim is not None and claim.trouble is not None:
        return claim.trouble._replace(module=group.module)
    verdict = _verdict(convention, group, tensors, claim)
    if verdict is None:
        return None
    if verdict.kind != "lstm":
        return Skipped(group.module, verdict.kind, verdict.detail)
    if group.direction == UNKNOWN:
        return Skipped(
            group.module,
            "ambiguous",
            "input and hidden state are equally wide: one direction or two?",
        )
    known = not convention.formats or checkpoint.format.startswith(convention.formats)
    if not known or (
        convention.foreign and any(convention.foreign in name for name in group.parts.values())
    ):
        detail = f"{convention.name} and other frameworks use these names with another gate order"
        return Skipped(group.module, "ambiguous", detail)
    return build(convention, group, verdict.hidden_size, tensors, claim)


def _claim_of(convention: Convention, group: Group, checkpoint: Checkpoint) -> Claim | None:
    """What the container says of a group: of its module, or of the folder that its tensors
    are in.
    """
    if convention.claimed:
        folder = next(iter(group.parts.values())).rpartition("/")[0]
        return checkpoint.claims.get(folder)
    return checkpoint.claims.get(group.module)


def _lookalike(
    convention: Convention, group: Group, tensors: Mapping[str, Tensor], kind: str
) -> Iterator[Lookalike]:
    """The cell that is no LSTM, if its hidden size is known and it has biases that can be read."""
    recurrent = group.first.get("recurrent")
    names = [name for (_, key), name in group.parts.items() if convention.slots[key].role == "bias"]
    biases = {name: tensors[name] for name in names}
    if (
        recurrent
        and biases
        and all(
            t.dtype.decode and len(t.shape) == 1 and t.elements <= MAX_BIAS for t in biases.values()
        )
    ):
        hidden = shape_of(tensors, recurrent)[-2:][1 - convention.gate_axis]
        yield Lookalike(group.module, group.layer, group.direction, kind, hidden, biases)


def _verdict(
    convention: Convention, group: Group, tensors: Mapping[str, Tensor], claim: Claim | None
) -> Verdict | None:
    """Shapes and claims together: `lstm`, or one of the reasons of `Skipped`; None when nothing is
    recurrent.
    """
    recurrent, source = group.first.get("recurrent"), group.first.get("input")
    biased = "bias" in group.first or "refuse" in group.first
    if recurrent is None:
        return _verdict_of_biases(group, claim) if biased else None
    if not biased and source is None and claim is None:
        return None
    verdict = _verdict_of_shapes(convention, group, tensors, recurrent, source)
    if claim is not None and claim.kind != verdict.kind:
        detail = (
            f"its class {claim.class_name} says {claim.kind}, but "
            f"{verdict.detail or 'its shapes say lstm'}"
        )
        return Verdict("conflicting-evidence", detail=detail)
    return verdict


def _verdict_of_shapes(
    convention: Convention,
    group: Group,
    tensors: Mapping[str, Tensor],
    recurrent: str,
    source: str | None,
) -> Verdict:
    shape = shape_of(tensors, source) if source else ()
    rows = shape[convention.gate_axis] if len(shape) > 1 else None
    projected = "projection" in group.first
    verdict = weigh_shape(convention, shape_of(tensors, recurrent), group.separate, projected, rows)
    return verdict._replace(kind="ambiguous") if verdict.kind == "unclear" else verdict


def _verdict_of_biases(group: Group, claim: Claim | None) -> Verdict:
    """Without a recurrent weight the length of a bias decides nothing; the module's class may."""
    if claim is not None and claim.facts.get("hidden_size"):
        return Verdict(claim.kind, claim.facts["hidden_size"], f"its class is {claim.class_name}")
    names = ", ".join(sorted(group.parts.values()))
    detail = (
        f"only biases ({names}); without the recurrent weight this may be an LSTM, a GRU or an RNN"
    )
    return Verdict("ambiguous", detail=detail)


def _relevant(skipped: Iterable[Skipped]) -> Iterator[tuple[Skipped, Key | None]]:
    """Of what a reader could not read, that which a convention names, with the recurrence whose
    bias it is.
    """
    count = 0
    for entry in skipped:
        if entry.reason in ("frozen", "packed", "optimizer-state"):
            yield entry, None
        elif (found := _first_placed(entry.module)) is not None:
            count += 1
            _bound(count)
            key, biased = found
            module = re.split(r"\.(?=[^.]*$)", entry.module)[0] if "." in entry.module else ""
            yield entry._replace(module=module), key if biased else None


def _first_placed(name: str) -> tuple[Key, bool] | None:
    """The recurrence to which the first row that fits a name assigns it, and whether the name is of
    its bias.
    """
    for convention in CONVENTIONS:
        if (found := placed(convention, name)) is not None:
            key, (_, slot) = found
            return key, convention.slots[slot].role in ("bias", *FACTORS)
    return None


def _merge_aliases(lstms: Iterable[Lstm], tensors: Mapping[str, Tensor]) -> Iterator[Lstm]:
    """One row for each stored bias: the first name in the report's order stands, the others are its
    aliases.
    """
    rows: dict[object, Lstm] = {}
    for lstm in sorted(lstms, key=report_order):
        key: tuple[object, ...] = tuple(tensors[name].identity for name in lstm.bias_tensors) or (
            id(lstm),
        )
        factors = [term for term in lstm.gates["f"] if term.mask or term.log_scale]
        key += tuple(tensor.identity for term in factors for tensor in _factors_of(term))
        kept = rows.get(key)
        if kept is None:
            rows[key] = lstm
        else:
            others = (
                name
                for name in (*lstm.bias_tensors, *lstm.aliases)
                if name not in kept.bias_tensors
            )
            rows[key] = kept._replace(
                aliases=tuple(dict.fromkeys((*kept.aliases, *others))),
                tied=(*kept.tied, lstm.identity, *lstm.tied),
            )
    return iter(rows.values())


def _factors_of(term: Term) -> Iterator[Tensor]:
    """What multiplies a term: two LSTMs may share a bias under masks of their own."""
    if term.mask is not None:
        yield term.mask.tensor
    if term.log_scale is not None:
        yield term.log_scale


def report_order(lstm: Lstm) -> tuple[object, ...]:
    """Modules in natural order (2 before 10), then layer, then forward before reverse."""
    return natural(lstm.module), lstm.layer, lstm.direction, lstm.bias_tensors


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sort key under which runs of digits compare as numbers."""
    parts = re.split(r"(\d+)", text)
    return [
        (1, int(part[:18]), part) if part.isascii() and part.isdigit() else (0, 0, part)
        for part in parts
    ]
