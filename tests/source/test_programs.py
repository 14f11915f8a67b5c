"""Random initialisation programs, executed by torch and read by the linter."""

from corpus import audit_executed, codes, lint_source
from hypothesis import given, settings
from hypothesis import strategies as st

HEAD = """import torch
from torch import nn

def build():
    H = 32
    lstm = nn.LSTM(8, H, {layers}, bidirectional={both})
"""

CONDITIONS = (
    '"bias" in name',
    '"bias_ih" in name',
    'name.startswith("bias_hh")',
    'name.endswith("_l0")',
    '"reverse" not in name and "bias" in name',
    "p.dim() == 1",
    "p.ndim == 2",
    'name.split("_")[1] == "ih"',
)
SLICES = ("", "[H:2 * H]", "[:H]", "[2 * H:3 * H]", "[-H:]", "[p.shape[0] // 4:p.shape[0] // 2]")
FILLS = (
    "p.data{0}.fill_({1})",
    "nn.init.constant_(p{0}, {1})",
    "p.data{0}.zero_()",
    "p.data{0}.zero_().add_({1})",
)


@st.composite
def writes(draw: st.DrawFn, indent: int) -> str:
    """One write into the slice of a bias."""
    fill = draw(st.sampled_from(FILLS))
    part, value = (
        draw(st.sampled_from(SLICES)),
        draw(st.sampled_from(("1.0", "0.5", "0", "2"))),
    )
    return " " * indent + fill.format(part, value)


@st.composite
def loops(draw: st.DrawFn) -> str:
    """A loop over parameters with one or two guarded writes."""
    lines = ["    for name, p in lstm.named_parameters():"]
    for word in ("if", "elif")[: draw(st.integers(1, 2))]:
        lines.append(f"        {word} {draw(st.sampled_from(CONDITIONS))} and p.dim() == 1:")
        lines += draw(st.lists(writes(12), min_size=1, max_size=2))
    return "\n".join(lines)


@st.composite
def direct(draw: st.DrawFn) -> str:
    """Writes into parameters by name."""
    name = draw(st.sampled_from(("bias_ih_l0", "bias_hh_l0")))
    return f"    p = lstm.{name}\n{draw(writes(4))}"


@st.composite
def programs(draw: st.DrawFn) -> str:
    """A module with `build()`."""
    head = HEAD.format(layers=draw(st.integers(1, 2)), both=draw(st.booleans()))
    steps = draw(st.lists(st.one_of(loops(), direct()), min_size=1, max_size=4))
    return head + "\n".join(steps) + "\n    return lstm\n"


@given(programs())
@settings(max_examples=60, deadline=None)
def test_random_programs_are_read_as_they_run(source: str) -> None:
    assert codes(lint_source(source)) == audit_executed(source), source
