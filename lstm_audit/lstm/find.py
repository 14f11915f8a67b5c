"""Names, shapes and claims into LSTMs.

Comes in: a `Checkpoint`. Goes out: `Found`, the LSTMs in the order of a report, and what was
skipped. Promise: what cannot be decided is `Skipped` with its reason, never guessed; one stored
bias is one row, however many names it has.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import MalformedFile, Skipped
from ..formats import Checkpoint, Graph, shape_of
from ..raw.tensor import Tensor
from ..raw.tensors import Tensors
from ..tuples import NamedTuple
from .cut import FACTORS, MAX_BIAS, cut
from .extra import doubt_lookalikes, weigh_extras
from .kind import decide_kind, find_claim, read_claimed_kind
from .layer import Identity, Lookalike, Lstm, Term
from .match import ROWS, ConventionRow, Group, GroupKey, find_mirrored, match, paths, place
from .trainer import drop_trainer_state
from .unknown import find_unknown

if TYPE_CHECKING:
    from .own import Own

# Recurrences of one file: more is an attack, and the report would be of no use. Each takes about a
# millisecond.
MAX_LSTMS = 1024

# Characters of all names: 180,000 tensors, of which a header may have no more, with names of 90
# characters; those of the largest mixtures of experts have 60. Each name is looked through for some
# seventy hints.
MAX_TEXT = 16 << 20

# Groups of names that look recurrent, with those that are skipped.
MAX_OUTCOMES = 8192

# Rows of cells that a conversion made, in whose modules it leaves biases of the cell before.
CONVERTED = frozenset(row.convention.name for row in ROWS if row.convention.leftovers)

PACKED = (
    "its parameters are packed, and nothing shows them; save the module itself and audit the file"
)

# Tensors without a convention that are weighed against each other: 0.8 s. Mixtures of experts have
# more, and names that say of nearly all that they are none of a cell's.
MAX_LOOKED_AT = 16_000

# Words of recurrences, in lower case. One pattern for them and the gates took six seconds for names
# that a hostile file chose; words are looked for in a tenth of the time.
_TELLING = ("lstm", "rnn", "gru", "cell", "forget", "recur", "h2h", "hh", "hidden")
_GATE = re.compile(r"[wub]_?[ifgco](?:$|[._/])")
_FORGET_GATE = re.compile(r"[wub]_?f(?:$|[._/])")

GroupResult = Lstm | Skipped | Lookalike


class Found(NamedTuple):
    """What one checkpoint holds; `lookalikes` are also in `skipped`, which says why they are no
    LSTMs.
    """

    lstms: tuple[Lstm, ...]
    skipped: tuple[Skipped, ...]
    lookalikes: tuple[Lookalike, ...] = ()


def find_lstms(checkpoint: Checkpoint, declared: "tuple[Own, ...]" = ()) -> Found:
    """Every LSTM of a checkpoint; raises `MalformedFile` when a tensor that matters is broken.

    `declared` are the user's own conventions, which are asked first.
    """
    kept = checkpoint.worked_out
    if kept is None or declared:
        return find_anew(checkpoint, declared)
    if "met" not in kept:  # the only file, or the first of a run: it need not pay for others
        kept["met"] = True
        return find_anew(checkpoint)
    from .recall import recall, remember  # 0.5 ms that a single file need not wait for

    if "found" not in kept:
        found = find_anew(checkpoint)
        kept["found"] = remember(found, checkpoint)
        return found
    again = kept["found"] and recall(kept["found"], checkpoint)
    return again or find_anew(checkpoint)


# The order of the steps is the order of trust. Names of optimizers and averaged copies go first,
# since they repeat every name of the model. Then the rows of the table, each over what the rows
# before it left: a name has one meaning, and earlier rows are the narrower ones. What remains is
# weighed in three ways: does it enter the gate of an LSTM that was found (`extra`), is it a
# recurrence of no known convention (`unknown`), or was it something a reader had to give up on
# (`_relevant`). Only then are second names of one storage merged, because merging needs all rows.
def find_anew(checkpoint: Checkpoint, declared: "tuple[Own, ...]" = ()) -> Found:
    """The walk over all names; see `find_lstms`."""
    # Each row is first asked by one substring test over all names joined: most rows of the table
    # leave a file without having looked at a single name.
    if sum(map(len, checkpoint.tensors)) > MAX_TEXT:
        raise MalformedFile(f"the names have over {MAX_TEXT} characters in all", kind="limit")
    names, skipped = drop_trainer_state(checkpoint)
    outcomes: list[GroupResult] = []
    everything = "\n".join(names)
    for row in _rows(declared) if declared else ROWS:
        if row.convention.hint in everything:
            if row.convention.ways is not None:
                from .ways import claim_ways  # only what Keras saved through torch has such names

                checkpoint = claim_ways(row.convention, names, checkpoint)
            got, taken = _apply(row, names, checkpoint, outcomes)
            outcomes += got
            names = [name for name in names if name not in taken] if taken else names
    lstms = [outcome for outcome in outcomes if isinstance(outcome, Lstm)]
    if len(lstms) > MAX_LSTMS:
        raise MalformedFile(
            f"{len(lstms)} LSTMs in one file; at most {MAX_LSTMS} are read", kind="limit"
        )
    lookalikes = tuple(outcome for outcome in outcomes if isinstance(outcome, Lookalike))
    skipped += doubt_lookalikes(
        [outcome for outcome in outcomes if isinstance(outcome, Skipped)],
        lookalikes,
        names,
        checkpoint,
    )
    lstms, unsure = weigh_extras(lstms, names, checkpoint)
    skipped += unsure
    if names or checkpoint.claims:
        skipped += find_unknown(
            _worth_a_look(names), checkpoint, (outcome.module for outcome in outcomes)
        )
    said = {entry.module for entry in skipped}
    unread = list(_relevant(checkpoint, lstms))
    skipped += [entry for entry, _ in unread if entry.module not in said]
    skipped += _find_packed(checkpoint, {entry.module for entry in skipped})
    valueless = {key for _, key in unread}
    lstms = [lstm for lstm in lstms if (lstm.module, lstm.layer, lstm.direction) not in valueless]
    merged = tell_apart(_merge_aliases(lstms, checkpoint.tensors))
    found = Found(tuple(merged), tuple(skipped), lookalikes)
    return _with_graphs(found, checkpoint.graphs) if checkpoint.graphs else found


# Weighing unknown tensors against each other is linear in their number but slow a tensor; only
# files of mixtures of experts come near the limit, and their names are telling.
def _worth_a_look(names: Sequence[str]) -> Sequence[str]:
    """The names among which an LSTM of no known convention is looked for: all, or of a great many
    those with a word of recurrences in them.
    """
    if len(names) <= MAX_LOOKED_AT:
        return names
    kept = {*filter(_has_word, names)}
    gates = [name for name in names if _GATE.search(name.lower())]
    # `wi` and `wo` alone are the two layers of a transformer's experts, of which there are many.
    if any(_FORGET_GATE.search(name.lower()) for name in gates):
        kept.update(gates)
    telling = [name for name in names if name in kept]
    if len(telling) > MAX_LOOKED_AT:
        message = f"over {MAX_LOOKED_AT} tensors of one file look like gates of unknown cells"
        raise MalformedFile(message, kind="limit")
    return telling


def _has_word(name: str) -> bool:
    """Whether a tensor's name speaks of a recurrence."""
    lower = name.lower()
    return any(word in lower for word in _TELLING)


def _rows(declared: "tuple[Own, ...]") -> tuple[ConventionRow, ...]:
    """The rows in force, the user's own first."""
    from .own import rows_of  # 0.7 ms that only a policy with conventions needs

    return (*rows_of(declared), *ROWS)


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
    named = tell_apart(sorted(lstms, key=report_order))
    return found._replace(lstms=tuple(named), skipped=tuple(skipped))


# Biases without a weight in a module that an earlier row spoke of are one of two things. Quantising
# a model dynamically leaves the float cell's attribute names behind, and what was skipped is said
# already: such leftovers are taken silently, anything else would be reported twice. Beside an LSTM
# of another row they may enter its gates: they stay among the names, for `weigh_extras` to say so.
def _apply(
    row: ConventionRow,
    names: Sequence[str],
    checkpoint: Checkpoint,
    before: Sequence[GroupResult],
) -> tuple[list[GroupResult], set[str]]:
    """One row of the table over the names that no row before it took; `before` is what those rows
    found.
    """
    outcomes: list[GroupResult] = []
    taken: set[str] = set()
    read = {one.module: one.convention for one in before if isinstance(one, Lstm)}
    spoken = {outcome.module for outcome in before}
    for group in _announce(match(row, names, checkpoint), checkpoint.tensors):
        if group.module in spoken and "recurrent" not in group.first:
            if read.get(group.module) is None or read[group.module] in CONVERTED:
                taken.update(group.parts.values())
            continue
        outcome = _judge(group, checkpoint)
        if outcome is not None:
            outcomes.append(outcome)
            _bound(len(outcomes))
            if isinstance(outcome, Skipped) and outcome.reason in ("gru", "rnn"):
                outcomes += _lookalike(group, checkpoint.tensors, outcome.reason)
            taken.update(
                group.parts.values(), group.spare, find_mirrored(group, checkpoint.tensors)
            )
    return outcomes, taken


def _announce(groups: Iterator[Group], tensors: Mapping[str, Tensor]) -> Iterable[Group]:
    """The groups, once a reader that can fetch ahead was told whose biases will be asked for."""
    announce = tensors.announce if isinstance(tensors, Tensors) else None
    if announce is None:  # a local file
        return groups
    found = list(groups)
    announce(
        name
        for group in found
        for (_, key), name in group.parts.items()
        if group.convention.slots[key].role in ("bias", *FACTORS)
    )
    return found


def _bound(count: int) -> None:
    if count > MAX_OUTCOMES:
        raise MalformedFile(
            f"over {MAX_OUTCOMES} groups of names in one file look like recurrences", kind="limit"
        )


def _judge(group: Group, checkpoint: Checkpoint) -> GroupResult | None:
    """Kind and cut of one group: an LSTM, something else that is said, or None when it is no
    recurrence at all. What is stored in a way that is not read is said of this group alone.
    """
    claim = find_claim(group, checkpoint)
    if claim is not None and claim.trouble is not None:
        return claim.trouble._replace(module=group.module)
    try:
        kind = decide_kind(group, checkpoint)
        if kind is None:
            return None
        if kind.name != "lstm":
            return Skipped(group.module, kind.name, kind.detail)
        return cut(group, kind.hidden_size, checkpoint.tensors, claim, checkpoint.twins)
    except MalformedFile as error:
        if error.kind != "unsupported":
            raise
        return Skipped(group.module, "unsupported-dtype", error.message)


def _lookalike(group: Group, tensors: Mapping[str, Tensor], kind: str) -> Iterator[Lookalike]:
    """The cell that is no LSTM, if its hidden size is known and it has biases that can be read."""
    slots = group.convention.slots
    recurrent = group.first.get("recurrent")
    names = [name for (_, key), name in group.parts.items() if slots[key].role == "bias"]
    biases = {name: tensors[name] for name in names}
    shape = shape_of(tensors, recurrent) if recurrent else ()
    if (
        (len(shape) == 2 or group.convention.kernel_first)
        and biases
        and all(
            t.dtype.decode and len(t.shape) == 1 and t.elements <= MAX_BIAS for t in biases.values()
        )
    ):
        hidden = shape[-2:][1 - group.convention.gate_axis]
        yield Lookalike(group.module, group.layer, group.direction, kind, hidden, biases)


# A reader that cannot read a tensor (a class it does not know, a quantised storage) does not know
# whether that tensor matters. It matters if a row would have placed it: then the recurrence that it
# belongs to must not be judged by the rest of its tensors.
def _relevant(
    checkpoint: Checkpoint, lstms: Sequence[Lstm]
) -> Iterator[tuple[Skipped, GroupKey | None]]:
    """Of what a reader could not read, that which a convention names, with the recurrence whose
    bias it is. Of a weight the shape is enough, where there is one; a bias without values is that
    of an LSTM only if the shapes made one of its module.
    """
    count = 0
    found = {(lstm.module, lstm.layer, lstm.direction) for lstm in lstms}
    read = {name for lstm in lstms for name in lstm.bias_tensors} if checkpoint.skipped else set()
    for entry in checkpoint.skipped:
        if entry.reason in ("frozen", "packed", "optimizer-state"):
            yield entry, None
        elif (placed := _first_placed(entry.module, checkpoint)) is not None:
            key, biased = placed
            shaped = entry.module in checkpoint.tensors
            if shaped and not (biased and (key in found or entry.module in read)):
                continue
            count += 1
            _bound(count)
            module = re.split(r"\.(?=[^.]*$)", entry.module)[0] if "." in entry.module else ""
            if "/" in entry.module:
                module = key[0]
            yield entry._replace(module=module), key if biased else None


def _find_packed(checkpoint: Checkpoint, said: Collection[str]) -> Iterator[Skipped]:
    """Recurrences by their class that show no tensor at all, the outermost of them."""
    claimed = [path for path, claim in checkpoint.claims.items() if read_claimed_kind(claim)]
    shown = {path for name in (checkpoint.tensors if claimed else ()) for path in paths(name)}
    hidden = {*said}
    for path in claimed:
        if path not in shown and hidden.isdisjoint(paths(path)):
            hidden.add(path)
            yield Skipped(path, "packed", PACKED)


def _first_placed(name: str, checkpoint: Checkpoint) -> tuple[GroupKey, bool] | None:
    """The recurrence to which the first row that fits a name assigns it, and whether the name is of
    its bias.
    """
    for row in ROWS:
        if (found := place(row, name, checkpoint)) is not None:
            key, (_, slot) = found
            return key, row.convention.slots[slot].role in ("bias", *FACTORS)
    return None


# Tied modules, and containers that list a module under two names, give one storage several names.
# Identity is that of the storage and of all factors: two LSTMs may share a bias and have masks of
# their own, and those are two facts.
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


# Several rows of the table may bear one convention's name (TensorFlow called its cells anew with
# each version), and then two cells of one scope would be one identity: a comparison would drop one
# of them, and a fix would find the other.
def tell_apart(lstms: Iterable[Lstm]) -> Iterator[Lstm]:
    """The LSTMs, each with an identity of its own: a second one of the same is called by the folder
    in which its bias stands, else by the bias itself.
    """
    seen: set[Identity] = set()
    for lstm in lstms:
        for name in lstm.bias_tensors if lstm.identity in seen else ():
            folder = re.split(r"[./](?=[^./]*$)", name)[0]
            for module in (folder, name):
                if lstm.identity in seen:
                    lstm = lstm._replace(module=module)
        seen.add(lstm.identity)
        yield lstm


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
