"""What a trainer keeps beside the weights: shaped like biases, never biases.

Comes in: a checkpoint's names. Goes out: the names that may be weights, and for each path that was
left out a `Skipped`. Promise: a path is left out for what lies under it, not for a word alone: an
optimizer has moments, and a learned optimizer, which has weights and none, is a model.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from ..errors import Skipped
from ..formats import Checkpoint, Claim
from .conventions import GATHERED, HOLDERS, MIRRORS, MOMENTS, MOMENTS_BELOW
from .kind import claimed_kind

TAIL = 6
"""Components by which two names are held against each other."""

OPTIMIZER = "an optimizer's tensors are not biases"
STATISTICS = "what training gathered about the weights (gradients, importance, masks) is no weight"

SplitName = Sequence[str]


def drop_trainer_state(checkpoint: Checkpoint) -> tuple[list[str], list[Skipped]]:
    """The names that may be weights, and what was left out, each path said once."""
    everything = "\n".join(checkpoint.tensors)
    words = {*MOMENTS, *HOLDERS, *GATHERED, *MIRRORS}
    if not any(word in everything for word in words):
        return list(checkpoint.tensors), []
    split = {name: re.split(r"[./:]", name) for name in checkpoint.tensors}
    ends = _ends(split)
    optimizers = _optimizers(split.values())
    names: list[str] = []
    skipped: dict[Skipped, None] = {}
    for name, parts in split.items():
        found = _left_out(name, parts, optimizers, ends, checkpoint.claims)
        if found is None:
            names.append(name)
        elif "bias_" in name:
            skipped[found] = None
    return names, list(skipped)


def _optimizers(names: Iterable[SplitName]) -> set[tuple[str, ...]]:
    """The paths named like an optimizer's state under which moments lie."""
    found: set[tuple[str, ...]] = set()
    for parts in names:
        for k, part in enumerate(parts):
            if part in HOLDERS and not MOMENTS_BELOW.isdisjoint(parts[k + 1 :]):
                found.add(tuple(parts[: k + 1]))
    return found


def _left_out(
    name: str,
    parts: SplitName,
    optimizers: set[tuple[str, ...]],
    ends: set[SplitName],
    claims: Mapping[str, Claim],
) -> Skipped | None:
    """Why a name is no weight's; a module that says by its class what it is, holds weights."""
    claim = claims.get(name.rpartition(".")[0])
    if claim is not None and claimed_kind(claim):
        return None
    for k, part in enumerate(parts):
        path = ".".join(parts[: k + 1])
        if part in MOMENTS or (part in HOLDERS and tuple(parts[: k + 1]) in optimizers):
            return Skipped(path, "optimizer-state", OPTIMIZER)
        if part in GATHERED or (part in MIRRORS and tuple(parts[k + 1 :][-TAIL:]) in ends):
            return Skipped(path, "optimizer-state", STATISTICS)
    if any(word in GATHERED for word in re.split(r"_+", parts[-1])):
        return Skipped(".".join(parts[:-1]), "optimizer-state", STATISTICS)
    return None


def _ends(split: Mapping[str, SplitName]) -> set[SplitName]:
    """The last components of every name under no word of `MIRRORS`: what such a word's contents
    repeat.
    """
    present = any(part in MIRRORS for parts in split.values() for part in parts)
    if not present:
        return set()
    plain = (parts for parts in split.values() if MIRRORS.isdisjoint(parts))
    return {tuple(parts[-n:]) for parts in plain for n in range(1, TAIL + 1)}
