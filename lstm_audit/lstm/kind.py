"""Step two, kind: what cell a group of names is, by shapes and claims, and how large.

Comes in: a `Group` and the checkpoint it is from. Goes out: a `RecurrenceKind`. Promise:
divisibility of a bias decides nothing; `nn.GRU` and `nn.RNN` use the very names of `nn.LSTM`, and
only the recurrent weight's two sizes, or the module's class, tell them apart. Evidence that
disagrees is said.
"""

import re

from ..formats import Checkpoint, Claim, shape_of
from ..tuples import NamedTuple
from .conventions import CLASS_HOMES, CLASS_KINDS, CLASS_WORDS, MODES, NO_GRU, Convention
from .match import UNKNOWN, Group, find_mirrored

# What is said of a weight of shape (0,), which is what a partitioned parameter leaves behind.
PLACEHOLDER = (
    "an empty placeholder: the values are partitioned over other files (DeepSpeed ZeRO-3, FSDP); "
    "consolidate them, DeepSpeed's by `python zero_to_fp32.py . OUTPUT` in the folder of the run"
)


# Gates of an LSTM with a weight a gate: four, or three where the input gate is coupled.
LEAST_GATES = 3


# Strategy. Two witnesses, shapes and claims, are heard one after the other.
#
# The shapes first: the recurrent weight multiplies the hidden state, so one of its sizes is H and
# the other is the number of gates times H. 4H x H is an LSTM, 3H x H a GRU, H x H a plain RNN. The
# bias is never asked: 12 elements are 4 gates of 3 units or 3 gates of 4.
#
# Then the claim, if the container has one (a class name, a mode, a config). It may agree, or turn a
# verdict into a conflict; it never turns a refusal into an LSTM, except where there is no recurrent
# weight at all. A class of the author's own (`worded_kind`) weighs less than a framework's class:
# MyLSTM may be a GRU by its shapes, and then somebody must look.
#
# Everything that is not certain gets a name (`ambiguous`, `conflicting-evidence`, `missing-data`)
# that ends in the report as a `Skipped` with its evidence in words.
class RecurrenceKind(NamedTuple):
    """`name` is lstm, or the reason of a `Skipped`; `hidden_size` holds for lstm; `detail` is the
    evidence in words.
    """

    name: str
    hidden_size: int = 0
    detail: str = ""


# The early answers None ("no recurrence at all, say nothing") are for groups whose names only look
# like it: mirrored names without the mirror, and biases joined to a longer word.
def decide_kind(group: Group, checkpoint: Checkpoint) -> RecurrenceKind | None:
    """The kind of a group; None when it is no recurrence at all."""
    if group.convention.mirror and not find_mirrored(group, checkpoint.tensors):
        return None
    claim = find_claim(group, checkpoint)
    if group.convention.claimed and claim is None:
        return None
    if group.convention.proven and not _is_projected(group, checkpoint):
        return None
    recurrent, source = group.first.get("recurrent"), group.first.get("input")
    biased = "bias" in group.first or "refuse" in group.first
    if recurrent is None:
        return _of_biases(group, claim) if biased and not group.joined else None
    alone = source is None and not (group.convention.joint or group.convention.convolution)
    if alone and not biased and claim is None:
        return None
    by_shapes = _of_shapes(group, checkpoint, recurrent, source)
    if by_shapes is None:
        return None
    kind = _of_claim(by_shapes, claim)
    if kind.name in ("gru", "rnn") and claim is None and re.search(NO_GRU, group.module):
        detail = f"its name says an LSTM without one of the gates, but {kind.detail}"
        return RecurrenceKind("conflicting-evidence", detail=detail)
    return _refuse_doubt(group, kind, checkpoint) if kind.name == "lstm" else kind


def _is_projected(group: Group, checkpoint: Checkpoint) -> bool:
    """Whether the projection fits one weight over x and h: (in + P, 4H) beside (H, P)."""
    weight, projection = (
        shape_of(checkpoint.tensors, group.first[role]) for role in ("recurrent", "projection")
    )
    return (
        len(weight) == len(projection) == 2
        and weight[1] == 4 * projection[0]
        and weight[0] > projection[1]
    )


def find_claim(group: Group, checkpoint: Checkpoint) -> Claim | None:
    """What the container says of a group: of its module, or of the folder that its tensors
    are in.
    """
    claim = checkpoint.claims.get(group.module)
    # a joint weight's module may be a folder above its tensors
    row = group.convention
    if row.claimed or row.ways is not None or (claim is None and row.joint):
        return checkpoint.claims.get(next(iter(group.parts.values())).rpartition("/")[0])
    return claim


def read_claimed_kind(claim: Claim) -> str:
    """lstm, gru or rnn, where a framework's own class, or its mode, says so; else "" """
    if claim.kind:
        return claim.kind
    for cls in (claim.class_name, *claim.bases):
        home, _, name = cls.rpartition(".")
        if name in CLASS_KINDS and any(known in home for known in CLASS_HOMES):
            return CLASS_KINDS[name]
    return MODES.get(claim.mode, "") if "hidden_size" in claim.facts else ""


def read_worded_kind(claim: Claim) -> str:
    """What the author's own name for a class says: lstm, gru, or nothing."""
    name = claim.class_name.rpartition(".")[2]
    return next((kind for words, kind in CLASS_WORDS if re.search(words, name)), "")


def _of_claim(kind: RecurrenceKind, claim: Claim | None) -> RecurrenceKind:
    """The shapes' word against that of the class."""
    if claim is None:
        return kind
    said, of_shapes = read_claimed_kind(claim), kind.detail or "its shapes say lstm"
    worded = read_worded_kind(claim)
    if said and said != kind.name:
        detail = f"its class {claim.class_name} says {said}, but {of_shapes}"
        return RecurrenceKind("conflicting-evidence", detail=detail)
    if worded == "gru" and kind.name == "lstm":
        return RecurrenceKind("gru", detail=f"its class {claim.class_name} says that it is no LSTM")
    if worded == "lstm" and not said and kind.name in ("gru", "rnn"):
        detail = f"its class {claim.class_name} says lstm, but {of_shapes}"
        return RecurrenceKind("conflicting-evidence", detail=detail)
    return kind


def _refuse_doubt(group: Group, kind: RecurrenceKind, checkpoint: Checkpoint) -> RecurrenceKind:
    """An LSTM by all evidence, unless something that the row itself names is in doubt."""
    row = group.convention
    if group.direction == UNKNOWN:
        detail = "input and hidden state are equally wide: one direction or two?"
        return RecurrenceKind("ambiguous", detail=detail)
    known = not row.formats or checkpoint.format.startswith(row.formats)
    foreign = row.foreign and any(row.foreign in name for name in group.parts.values())
    if not known or foreign:
        detail = f"{row.name} and other frameworks use these names with another gate order"
        return RecurrenceKind("ambiguous", detail=detail)
    return kind


# A state dict of biases alone is what `strict=False` loading and adapters leave. It is said, never
# guessed: the same four names are those of a GRU and an RNN.
def _of_biases(group: Group, claim: Claim | None) -> RecurrenceKind:
    """Without a recurrent weight the length of a bias decides nothing; the module's class may."""
    said = read_claimed_kind(claim) if claim is not None else ""
    if claim is not None and said and claim.facts.get("hidden_size"):
        return RecurrenceKind(said, claim.facts["hidden_size"], f"its class is {claim.class_name}")
    names = ", ".join(sorted(group.parts.values()))
    detail = (
        f"only biases ({names}); without the recurrent weight this may be an LSTM, a GRU or an RNN"
    )
    return RecurrenceKind("ambiguous", detail=detail)


def _recurrent_gates(group: Group) -> set[str]:
    """The gates that have a recurrent weight of their own."""
    slots = group.convention.slots
    return {gate for gate, key in group.parts if gate and slots[key].role == "recurrent"}


def _of_shapes(
    group: Group, checkpoint: Checkpoint, recurrent: str, source: str | None
) -> RecurrenceKind | None:
    tensors, axis = checkpoint.tensors, group.convention.gate_axis
    if group.separate and len(gates := _recurrent_gates(group)) < LEAST_GATES:
        said = f"a recurrent weight for {', '.join(sorted(gates))} alone"
        return RecurrenceKind("gru", detail=f"{said}: a cell of fewer gates than an LSTM")
    shape = shape_of(tensors, source) if source else ()
    if group.convention.kernel_first:
        shape = shape[-2:]
    rows = shape[axis] if len(shape) > 1 else None
    projected = "projection" in group.first
    of_h = shape_of(tensors, recurrent)
    # A few shapes are those of no LSTM, unless the module's name says one: a variant of its own.
    if not group.separate and not re.search(r"(?i)lstm", group.module):
        if few := _of_few_gates(group.convention, of_h, rows):
            return few
        if _is_of_another_rank(group.convention, of_h):
            return None  # convolutions under names for matrices: `unknown` says what they are
    return weigh_shape(group.convention, of_h, group.separate, projected, rows)


# IndRNN (Li et al. 2018) keeps torch's names, a vector for weight_hh; minimal gated units (Zhou et
# al. 2016) and light GRUs (Ravanelli et al. 2018) have two gates; ConvGRUs are written with pairs
# of convolutions. Their shapes leave no room for the four gates of an LSTM.
def _of_few_gates(
    row: Convention, shape: tuple[int, ...], input_rows: int | None
) -> RecurrenceKind | None:
    """A recurrent weight that has fewer gates than an LSTM for certain."""
    if row.joint or row.kernel_first or row.vouched or input_rows is None or 0 in shape:
        return None
    if shape == (input_rows,):
        return RecurrenceKind("rnn", detail="a recurrent weight of one number a unit: no gates")
    if len(shape) < 2 or shape[row.gate_axis] != input_rows:
        return None
    times, rest = divmod(input_rows, shape[1 - row.gate_axis])
    words = {1: ("rnn", "no gates"), 2: ("gru", "two gates"), 3: ("gru", "three gates")}
    if rest or times not in words or (len(shape) == 2 and times != 2):
        return None
    name, gates = words[times]
    size = " x ".join(map(str, shape))
    return RecurrenceKind(name, detail=f"a recurrent weight of {size}: {gates}")


def _is_of_another_rank(row: Convention, shape: tuple[int, ...]) -> bool:
    """A convolution under a row of matrices, or a matrix under a row of convolutions."""
    if row.convolution and row.kernel_first:
        return len(shape) == 2
    plain = not (row.convolution or row.kernel_first or row.vouched)
    return plain and 3 <= len(shape) <= 5 and shape[0] in (4 * shape[1], 5 * shape[1])


# The order of the tests matters: placeholders first (they have the shape (0,)), then what the row
# itself vouches for, then one weight a gate, a joint weight, and last the usual stacked one.
def weigh_shape(
    convention: Convention,
    shape: tuple[int, ...],
    separate: bool,
    projected: bool,
    input_rows: int | None,
) -> RecurrenceKind:
    """What a recurrent weight of `shape` belongs to.

    `separate`: each gate has a weight of its own. `projected`: a projection weight stands beside
    it. `input_rows`: the size of the input weight's gate axis, where there is one.
    """
    convolved = convention.convolution and 3 <= len(shape) <= 5
    if convention.kernel_first and len(shape) <= 5:
        shape = shape[-2:]
    if shape == (0,):
        return RecurrenceKind("missing-data", detail=PLACEHOLDER)
    if convention.vouched and len(shape) <= 5:
        shape = shape[:2]
    if 0 in shape or not (convolved if convention.convolution else len(shape) == 2):
        return RecurrenceKind("ambiguous", detail=f"a recurrent weight of shape {shape}")
    rows, columns = shape[convention.gate_axis], shape[1 - convention.gate_axis]
    if separate:
        return RecurrenceKind("lstm", rows)  # (H, H), or (H, P) under a projection
    if convention.vouched and rows == 4 * columns:
        return RecurrenceKind("lstm", columns)
    if convention.joint or (convention.convolution and input_rows is None):
        return _joint(rows, columns, shape, projected)
    return _decide_fused(convention, rows, columns, projected, input_rows)


def _joint(rows: int, columns: int, shape: tuple[int, ...], projected: bool) -> RecurrenceKind:
    """(4H, in + H): the input's share must be positive; under a projection it is (4H, in + P)."""
    if rows % 4 or (columns <= rows // 4 and not projected):
        return RecurrenceKind(
            "ambiguous", detail=f"a weight of shape {shape} is not (4H, in + H, ...)"
        )
    return RecurrenceKind("lstm", rows // 4)


# With a projection (LSTMP, Sak et al. 2014) the recurrent weight is (4H, P) and H is a quarter of
# the rows. P may be anything up to H, so (4H, P) without the projection's weight beside it cannot
# be told from something else: it is said to be missing.
def _decide_fused(
    convention: Convention, rows: int, columns: int, projected: bool, input_rows: int | None
) -> RecurrenceKind:
    """R rows over C columns: 4C LSTM, 3C GRU, C RNN, more than 4C an LSTM whose output is projected
    to C < H.
    """
    said = f"a recurrent weight of {rows} x {columns}"
    if projected and rows % 4 == 0:
        return RecurrenceKind("lstm", rows // 4)
    if rows % columns == 0 and rows // columns in convention.blocks:
        return RecurrenceKind("lstm", columns)
    if rows == 3 * columns:
        return RecurrenceKind("gru", detail=f"{said}: three gates")
    if rows == columns:
        return RecurrenceKind("rnn", detail=f"{said}: no gates")
    if rows > 4 * columns and rows % 4 == 0 and input_rows == rows:
        return RecurrenceKind(
            "ambiguous",
            detail=f"{said} would be an LSTM with a projection, but the projection is missing",
        )
    return RecurrenceKind("ambiguous", detail=f"{said} fits no LSTM, GRU or RNN")
