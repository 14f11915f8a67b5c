"""Mutants of HDF5 files that know the format: fields are poked, structures swapped, transplanted, cut.

Comes in: a valid file and a random generator. Goes out: its mutant. Run as a script it is h5py's side of a
comparison: it reads paths from its input and answers, for each, a hash of every dataset that h5py reads; a crash or
a hang of the C library ends this process, not the test.
"""

import hashlib
import random
import sys

SIGNATURES = (b"TREE", b"HEAP", b"SNOD", b"OHDR", b"OCHK", b"FRHP", b"FHIB", b"FHDB", b"BTHD", b"BTIN", b"BTLF",
              b"GCOL", b"FAHD", b"FADB")  # fmt: skip
SPECIAL = (0, 1, 2, 8, 0xFF, 0xFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1, 1 << 40)


def places(data: bytes) -> list[int]:
    """Where structures begin: the superblock, every signature, and what looks like a version 1 header."""
    found = [0]
    for signature in SIGNATURES:
        at = data.find(signature)
        while at >= 0:
            found.append(at)
            at = data.find(signature, at + 1)
    found += [
        at
        for at in range(0, len(data) - 16, 8)
        if data[at : at + 2] == b"\1\0" and data[at + 4 : at + 8] == b"\1\0\0\0"
    ]
    return sorted(found)


def mutant(data: bytes, rng: random.Random) -> bytes:
    """One to four changes, most of them within 300 bytes behind the start of a structure."""
    out, starts = bytearray(data), places(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = min(rng.choice(starts) + rng.randrange(300), len(out) - 9)
        kind = rng.randrange(7)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.randrange(256)
        elif kind == 2:  # an address or a length
            at -= at % 8
            value = rng.choice((*SPECIAL, rng.choice(starts), rng.randrange(len(out)), len(out)))
            out[at : at + 8] = (value & (1 << 64) - 1).to_bytes(8, "little")
        elif kind == 3:  # a count or a size
            out[at : at + 2] = (rng.choice(SPECIAL) & 0xFFFF).to_bytes(2, "little")
        elif kind == 4:  # one structure over another
            source, size = rng.choice(starts), rng.randrange(8, 200)
            target = rng.choice(starts)
            piece = out[source : source + size][: len(out) - target]
            out[target : target + len(piece)] = piece
        elif kind == 5:  # a message's type
            at -= at % 8
            out[at] = rng.choice((0, 1, 2, 3, 5, 6, 7, 8, 11, 12, 16, 17, 21))
        elif len(out) > 600 and rng.random() < 0.3:
            del out[rng.randrange(512, len(out)) :]
    return bytes(out)


def _answers() -> None:
    import h5py
    import numpy as np

    for line in sys.stdin:
        found: dict[str, str] = {}

        def visit(name: str, item: object, found: dict[str, str] = found) -> None:
            if (
                isinstance(item, h5py.Dataset)
                and item.dtype.kind in "fiu"
                and item.size * item.dtype.itemsize <= 1 << 20
            ):
                try:
                    raw = np.asarray(item[()], item.dtype).tobytes()
                    found[name] = f"{item.shape} {hashlib.sha1(raw).hexdigest()}"
                except (OSError, RuntimeError, ValueError, TypeError):
                    pass

        try:
            with h5py.File(line.strip(), "r") as file:
                file.visititems(visit)
        except Exception as error:  # noqa: BLE001 - whatever it does not read is not compared
            found = {"!": type(error).__name__}
        print(repr(found), flush=True)


if __name__ == "__main__":
    _answers()
