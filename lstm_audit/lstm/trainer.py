"""What a trainer keeps beside the weights: shaped like biases, never biases.

Comes in: a checkpoint's names. Goes out: the names that may be weights, and for each path that was
left out a `Skipped`. Promise: a path is left out for what lies under it, not for a word alone: an
optimizer has moments, and a learned optimizer, which has weights and none, is a model.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from ..errors import MalformedFile, Skipped
from ..formats import Checkpoint, Claim
from .conventions import (
    GATHERED,
    GATHERED_NAMES,
    HOLDERS,
    KEPT,
    MIRRORS,
    MODELS,
    MOMENTS,
    MOMENTS_BELOW,
    PLAIN,
)
from .kind import read_claimed_kind

OPTIMIZER = "an optimizer's tensors are not biases"
STATISTICS = "what training gathered about the weights (gradients, importance, masks) is no weight"

# A buffer that is called like a parameter and something; torch's own forms have one letter.
SUFFIXED = r"(?P<base>.*(?:bias|weight)_(?:ih|hh|hr)(?:_l\d+)?(?:_reverse)?)_+(?P<words>\w\w+)"

# Names up to which the answer is kept for all of them together: the checkpoints of a run repeat
# them.
REMEMBERED = 4096

# Different components, numbers at their ends left out, of all names of a file: of real ones there
# are hundreds. As many are kept, so that each is taken apart once.
MAX_COMPONENTS = 40_000

# Names whose components are looked for at a time.
CHUNK = 4096

DIGITS = "0123456789"

SplitName = Sequence[str]

_SPLIT = re.compile(r"[./:]").split
_HUMP, _BETWEEN = re.compile(r"(?<=[a-z])(?=[A-Z])"), re.compile(r"[_\W]+")

_NAMES = MOMENTS | HOLDERS | GATHERED_NAMES
_WORDS = GATHERED | MIRRORS | KEPT


def drop_trainer_state(checkpoint: Checkpoint) -> tuple[list[str], list[Skipped]]:
    """The names that may be weights, and what was left out, each path said once."""
    everything = tuple(checkpoint.tensors)
    if (_known_plain if len(everything) <= REMEMBERED else _plain)(everything):
        return list(everything), []
    split = {name: _SPLIT(name) for name in everything}
    ends, together = _ends(split), _together(checkpoint.tensors)
    optimizers = _optimizers(split.values())
    names: list[str] = []
    skipped: dict[Skipped, None] = {}
    for name, parts in split.items():
        found = _left_out(name, parts, optimizers, ends, checkpoint.claims)
        if found is None and "_" in parts[-1]:
            found = _beside_a_bias(parts, together)
        if found is None:
            names.append(name)
        elif "bias_" in name:
            skipped[found] = None
    return names, list(skipped)


def _plain(names: tuple[str, ...]) -> bool:
    """Whether no component of any name may be a trainer's."""
    components: set[str] = set()
    for at in range(0, len(names), CHUNK):  # so many that no list of components is long
        joined = "/".join(names[at : at + CHUNK]).replace(".", "/").replace(":", "/")
        components.update(joined.split("/"))
    # No word of a trainer's ends in a digit, and 180,000 numbered layers are one component without.
    numberless = {component.rstrip(DIGITS) for component in components}
    if len(numberless) > MAX_COMPONENTS:
        message = f"the names are made of over {MAX_COMPONENTS} different words"
        raise MalformedFile(message, kind="limit")
    return _NAMES.isdisjoint(components) and not any(map(_speaks, numberless))


_known_plain = lru_cache(maxsize=16)(_plain)  # the checkpoints of a run have the same names


@lru_cache(maxsize=MAX_COMPONENTS)
def _speaks(component: str) -> bool:
    """Whether a component may be a trainer's: by all of its words, or by one behind the name of a
    bias (`v_proj` has a word, and is none).
    """
    if component in _NAMES:
        return True
    words = _words(component)
    behind = "_hh" in component or "_ih" in component
    return not words.isdisjoint(_WORDS) and (behind or words <= _WORDS | PLAIN)


@lru_cache(maxsize=MAX_COMPONENTS)
def _words(component: str) -> frozenset[str]:
    """The words of a component: `fisherDict`, `fisher_dict` -> fisher, dict."""
    apart = _HUMP.sub("_", component)
    return frozenset(word.lower() for word in _BETWEEN.split(apart) if word)


@lru_cache(maxsize=MAX_COMPONENTS)
def _gathered(component: str) -> bool:
    """Whether a component is made of words for what training gathered."""
    if component in GATHERED_NAMES:
        return True
    words = _words(component)
    return not words.isdisjoint(GATHERED) and words <= GATHERED | MIRRORS | PLAIN


@lru_cache(maxsize=MAX_COMPONENTS)
def _mirrors(component: str) -> bool:
    """Whether a component is made of words that a model's may be as well."""
    words = _words(component)
    return not words.isdisjoint(MIRRORS) and words <= MIRRORS | PLAIN


def _kept(component: str) -> bool:
    """The same for the end of a buffer's name, which may be a copy as well."""
    words = _words(component)
    return not words.isdisjoint(MIRRORS | KEPT) and words <= MIRRORS | KEPT | PLAIN


def _together(names: Iterable[str]) -> frozenset[str]:
    """The names without what separates their parts: a buffer's may have no dots."""
    return frozenset(
        re.sub(r"[._/:]", "", name) for name in names if "_hh" in name or "_ih" in name
    )


def _beside_a_bias(parts: SplitName, together: frozenset[str]) -> Skipped | None:
    """A buffer called like a stored bias and a word: `lstm__bias_ih_l0_SI_omega`."""
    seen = re.fullmatch(SUFFIXED, parts[-1])
    if seen is None or seen["words"] == "mask":  # a factor of the bias, see `Slot`
        return None
    path = ".".join(parts[:-1])
    base = re.sub(r"[._/:]", "", "".join(parts[:-1]) + seen["base"])
    if _gathered(seen["words"]) or (_kept(seen["words"]) and base in together):
        return Skipped(path, "optimizer-state", STATISTICS)
    return None


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
    if claim is not None and read_claimed_kind(claim):
        return None
    for k, part in enumerate(parts):
        if part in MOMENTS or (part in HOLDERS and tuple(parts[: k + 1]) in optimizers):
            return Skipped(".".join(parts[: k + 1]), "optimizer-state", OPTIMIZER)
        if k == len(parts) - 1:
            break
        if part[-1:].isdigit():  # no word ends so
            continue
        if _gathered(part) or (_mirrors(part) and _below(parts[k + 1 :]) in ends):
            return Skipped(".".join(parts[: k + 1]), "optimizer-state", STATISTICS)
    return None


def _below(parts: SplitName) -> SplitName:
    """What stands below the last component that says that a whole model lies there."""
    at = max((k for k, part in enumerate(parts) if part in MODELS), default=-1)
    return tuple(parts[at + 1 :])


def _drop_numbered(parts: SplitName) -> list[str]:
    """The components but for those that end in a digit, as no word does."""
    return [part for part in parts if not part[-1:].isdigit()]


def _ends(split: Mapping[str, SplitName]) -> set[SplitName]:
    """The names within the model, of those under no word of `MIRRORS`: what such a word's contents
    repeat. Two branches of one model (`mask.lstm`, `speech.lstm`) repeat each other, not these.
    """
    marked = {
        name for name, parts in split.items() if any(map(_mirrors, _drop_numbered(parts[:-1])))
    }
    if not marked:
        return set()
    return {_below(parts) for name, parts in split.items() if name not in marked}
