"""Audits that reports are made of: ordinary, hostile, empty, drawn."""

import math
import unicodedata
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from lstm_audit.errors import Skipped
from lstm_audit.facts import Audit, FileAudit, FileError, Row, facts_of
from lstm_audit.lstm.layer import GATES, Lstm
from lstm_audit.lstm.measure import Values, measure
from lstm_audit.reports import Look

ROOT = Path(__file__).parents[1]
SNAPSHOTS = ROOT / "tests" / "snapshots"


def lstm(module: str, layer: int = 0, direction: str = "forward", **facts: Any) -> Lstm:
    facts = {"convention": "torch", "hidden_size": 128, "dtype": "float32", **facts}
    return Lstm(
        module=module, layer=layer, direction=direction, gates=dict.fromkeys(GATES, ()), **facts
    )


def measured(of: Lstm, forget: list[float], other: float = 0.0) -> Row:
    rest = [other] * len(forget)
    effective = (rest, [b + of.offset for b in forget], rest, rest)
    return Row(facts_of(of), measure(of, Values({"b": effective}, effective)))


def spread(center: float, reach: float, n: int = 64) -> list[float]:
    """Evenly spaced biases around a center."""
    return [center + reach * (2 * k / (n - 1) - 1) for k in range(n)]


GATES_OF_A_CELL = "its biases have 3H rows: a GRU has no forget gate"
MISSING = "bias_hh is missing and counted as 0"
SEQ2SEQ = FileAudit(
    path="runs/seq2seq/epoch-3.pt",
    format="torch-zip",
    bytes=2_391_013,
    rows=(
        measured(lstm("model.encoder.lstm", aliases=("ema.encoder.lstm",)), spread(1.0, 0.17)),
        measured(lstm("model.encoder.lstm", 0, "reverse"), spread(0.003, 0.17)),
        measured(lstm("model.encoder.lstm", 1), [2.0] * 64, -0.25),
        measured(lstm("model.encoder.lstm", 1, "reverse", notes=(MISSING,)), spread(1, 4)),
        measured(
            lstm("model.decoder.cells.0.rnn", hidden_size=1024, dtype="bfloat16"), spread(-3.5, 0.5)
        ),
    ),
    skipped=(
        *(Skipped(f"decoder.gru{k}", "gru", GATES_OF_A_CELL) for k in range(7)),
        Skipped("", "packed", "int8 weights, and the biases are inside of a packed parameter"),
    ),
)
KERAS = FileAudit(
    path="exports/tf.safetensors",
    format="safetensors",
    bytes=812,
    rows=(
        measured(lstm("", convention="cntk", offset=1.0, hidden_size=8), [0.0] * 8),
        measured(
            lstm("head", convention="keras", activation_function="hard_sigmoid"), spread(0.0, 3.5)
        ),
        measured(lstm("broken", convention="keras"), [math.nan, 1.0]),
        measured(lstm("chrono"), [math.log(2.0**k) for k in range(1, 58)]),
        measured(lstm("shut"), [-800.0, -900.0]),
        measured(lstm("stuck"), [800.0]),
    ),
    skipped=(),
)
ERRORS = (
    FileError(
        "runs/cut.pt",
        "truncated",
        "the end record of the zip is missing; copy the file again",
        10_240,
    ),
    FileError("runs/a.bin", "lfs-pointer", "a git-LFS pointer: not pulled; run `git lfs pull`"),
    FileError("runs/b.bin", "lfs-pointer", "a git-LFS pointer: not pulled; run `git lfs pull`"),
)
CNN = FileAudit("runs/cnn.pt", "torch-zip", 40_000_000, (), ())
AUDIT = Audit((SEQ2SEQ, KERAS, CNN), ERRORS, ignored=12)
EMPTY = Audit(
    (FileAudit("gru.pt", "torch-zip", 5_000, (), (Skipped("rnn", "gru", GATES_OF_A_CELL),)),)
)

CASES = {
    "table-40.txt": ("table", AUDIT, Look(width=40)),
    "table-80.txt": ("table", AUDIT, Look()),
    "table-140.txt": ("table", AUDIT, Look(width=140)),
    "table-ascii.txt": ("table", AUDIT, Look(ascii=True)),
    "table-color.txt": ("table", AUDIT, Look(color=True)),
    "table-quiet.txt": ("table", AUDIT, Look(quiet=True)),
    "table-empty.txt": ("table", EMPTY, Look()),
    "report.json": ("json", AUDIT, Look()),
    "report.jsonl": ("jsonl", AUDIT, Look()),
    "report.csv": ("csv", AUDIT, Look()),
    "report.md": ("markdown", AUDIT, Look()),
    "report-empty.md": ("markdown", EMPTY, Look()),
}

hostile = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=("Cc", "Cf", "Cs", "Mn", "Zl", "Zp")),
        st.characters(min_codepoint=0x4E00, max_codepoint=0x4FFF),
        st.sampled_from(list("=+-@|`\\<>&*_[]\n\r\t\x1b\u202e\udc80. ")),
    ),
    max_size=60,
) | st.text(st.sampled_from("lstm._-中\u0301"), min_size=150, max_size=300)
biases = st.lists(st.floats(width=32), min_size=1, max_size=5)


@st.composite
def audits(draw: st.DrawFn) -> Audit:
    files = []
    for _ in range(draw(st.integers(0, 2))):
        modules = draw(st.lists(hostile, max_size=4))
        rows = tuple(
            measured(
                lstm(m, draw(st.integers(0, 12)), notes=(draw(hostile),), hidden_size=10**9),
                draw(biases),
            )
            for m in modules
        )
        skipped = tuple(
            Skipped(draw(hostile), "gru", draw(hostile)) for _ in range(draw(st.integers(0, 3)))
        )
        files.append(
            FileAudit(draw(hostile), "torch-zip", draw(st.integers(0, 2**60)), rows, skipped)
        )
    errors = tuple(
        FileError(draw(hostile), "io", draw(hostile)) for _ in range(draw(st.integers(0, 2)))
    )
    return Audit(tuple(files), errors)


def width_of(text: str) -> int:
    bases = [c for c in text if unicodedata.category(c) not in {"Mn", "Me"}]
    return len(bases) + sum(unicodedata.east_asian_width(c) in {"W", "F"} for c in bases)
