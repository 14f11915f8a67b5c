"""What was written, read back by the readers that users trust.

Comes in: a plan and the written files. Goes out: nothing, or `NotPatchable`. Promise: every LSTM
has exactly the biases of the plan, the untouched ones their old ones, and the reference safetensors
reader takes the file where it is one.
"""

import os
from collections.abc import Mapping, Sequence

from ..errors import NotPatchable
from ..lstm.find import find_lstms
from ..lstm.layer import Identity
from ..lstm.measure import read_values
from ..lstm.own import Own
from ..pipeline import open_checkpoint

# Bytes of a safetensors file that its own package checks in memory.
MAX_DESERIALIZED = 4 << 20

# The effective biases of i, f, g, o.
Biases = tuple[tuple[float, ...], ...]


def verify_checkpoint(
    expected: Mapping[Identity, Biases], path: str, declared: tuple[Own, ...] = ()
) -> None:
    """Read the checkpoint at `path` anew and hold it against the plan."""
    with open_checkpoint(path, despite_journal=True) as file:
        lstms = find_lstms(file.checkpoint, declared).lstms
        found = {
            lstm.identity: tuple(tuple(gate) for gate in read_values(lstm).effective)
            for lstm in lstms
        }
    # There may be more: away from the configuration of its model, which says what its cells are, a
    # copy shows cells that could not be judged.
    wrong = [one for one, biases in expected.items() if not _same(biases, found.get(one, ()))]
    if wrong:
        names = ", ".join(one.address for one in wrong[:3])
        raise NotPatchable(
            f"what was written does not read back as planned ({names}); it is not kept"
        )


def _same(expected: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> bool:
    """Equal unit by unit; NaN equals NaN."""
    return len(expected) == len(found) and all(
        len(a) == len(b) and all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))
        for a, b in zip(expected, found, strict=True)
    )


def verify_by_reference(path: str) -> None:
    """Open it with the safetensors package, without numpy where that can be: only a small file fits
    into memory.
    """
    # 10 ms and numpy, for its own files alone
    from safetensors import SafetensorError, deserialize, safe_open

    try:
        if os.path.getsize(path) <= MAX_DESERIALIZED:
            with open(path, "rb") as file:
                deserialize(file.read())  # type: ignore[no-untyped-call]  # Rust, without a stub
            return
        with safe_open(path, framework="numpy") as reference:
            reference.keys()
    except ModuleNotFoundError:
        # safe_open needs numpy, and a machine that only gates files may lack it: our reader has
        # read it back
        return
    except SafetensorError as error:
        raise NotPatchable(
            f"the reference safetensors reader refuses what was written: {error}"
        ) from None
