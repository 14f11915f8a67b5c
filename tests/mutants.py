"""Mutants of files: pickles, zips and JSON changed in their structure, and single bits turned."""

import pickletools
import random

import forge
from forge import BUILD, FALSE, NEWOBJ, NONE, ORDERED, REDUCE, TRUE, H

Rng = random.Random

NUMBERS = [0, 1, -1, 2, H, forge.GATES, 255, 256, 65535, (1 << 31) - 1, -(1 << 31)]
WIDE = [0, 1, 22, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]

BOMBS = [b")" + b"2\x86" * 40, b")" + b"\x85" * 3000, b"\x8a\x08" + b"\xff" * 7 + b"\x7f"]

PIECES = [
    NONE, TRUE, FALSE, BUILD, NEWOBJ, REDUCE, b"0", b"2", b"(", b"t", b"u", b"s", b"e", b"a", b"1",
    b")", b"]", b"}", b"\x85", b"\x86", b"\x87", b"\x8f", b"Q", b"h\x01", b"h\x05", b"q\x02", b".",
    ORDERED, forge.table(data=forge.tensor(forge.storage("seven"))), forge.view_of("seven"),
    forge.tensor(forge.storage("one")), forge.text("bias_ih_l0"), forge.number(H),
    forge.storage("one", 2 * forge.GATES, "HalfStorage"), forge.table(neg=FALSE),
    forge.tensor(forge.storage("seven")) + forge.view_of("one") + BUILD,
    forge.the("torch", "Tensor") + b")" + NEWOBJ,
    forge.group(forge.tensor(forge.storage("seven")), TRUE, NONE, TRUE, NONE) + BUILD,
    *BOMBS,
]  # fmt: skip


def opcodes(pkl: bytes) -> list[bytes]:
    """A pickle, opcode by opcode."""
    places = [place for _, _, place in pickletools.genops(pkl) if place is not None]
    return [pkl[a:b] for a, b in zip(places, [*places[1:], len(pkl)], strict=True)]


def mutate_pickle(pkl: bytes, rng: Rng) -> bytes:
    steps = opcodes(pkl)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(1, len(steps))
        kind = rng.randrange(6)
        if kind == 0:
            steps[at : at + rng.choice((1, 1, 2, 5))] = []
        elif kind == 1:
            steps.insert(at, rng.choice(PIECES))
        elif kind == 2:
            other = rng.randrange(1, len(steps))
            steps[at], steps[other] = steps[other], steps[at]
        elif kind == 3:
            steps[at] = _other_argument(steps[at], rng)
        elif kind == 4:
            start = rng.randrange(len(steps))
            steps[at:at] = steps[start : start + rng.randrange(1, 12)]
        else:
            steps[at] = rng.choice(PIECES)
        if len(steps) < 2:
            break
    return b"".join(steps)


def _other_argument(step: bytes, rng: Rng) -> bytes:
    code = step[:1]
    if code in (b"J", b"K", b"M"):
        return forge.number(rng.choice(NUMBERS))
    if code == b"X":
        words = ["bias_ih_l0", "bias_hh_l0", "one", "seven", "", "x" * 5000, "\ud800", "cpu", "0"]
        return forge.text(rng.choice(words))
    if code in (b"h", b"q") and len(step) > 1:
        return code + bytes([rng.randrange(32)])
    return step


def mutate_zip(raw: bytes, rng: Rng) -> bytes:
    """One or two fields of a directory entry, of a local header or of the end record."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2))):
        signature, fields = rng.choice(
            [
                (b"PK\1\2", ((4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2),
                             (30, 2), (32, 2), (34, 2), (38, 4), (42, 4), (46, 1), (50, 1))),
                (b"PK\3\4", ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2),
                             (30, 1))),
                (b"PK\5\6", ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
            ]
        )  # fmt: skip
        places = [k for k in range(len(data) - 3) if data[k : k + 4] == signature]
        at, size = rng.choice(fields)
        place = rng.choice(places) + at
        old = int.from_bytes(data[place : place + size], "little")
        new = rng.choice([*WIDE, old ^ 1 << rng.randrange(8 * size), old + 1, 0x10])
        data[place : place + size] = (new % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(data)


def flip(raw: bytes, rng: Rng) -> bytes:
    """A bit, anywhere."""
    data = bytearray(raw)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)
