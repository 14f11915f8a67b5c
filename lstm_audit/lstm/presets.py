"""The named initialisations, with their papers: a name and a layer into the biases that the paper
asks for.

Comes in: text such as `chrono:784`, then a layer's size and address. Goes out: `Initial`, effective
biases unit by unit. Promise: the same (seed, module, layer, direction) gives the same numbers in
every process and Python version, and a random preset draws once for the effective bias, never once
for each half.

A preset is one function, `(uniform, hidden_size, *arguments)` to a forget bias for each unit, under
`@preset`, which puts it into `PRESETS`; the command line, the documentation and the tests read that
table.
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..decay import bias_of_decay, logit
from ..errors import BadPolicy
from ..spelling import nearest
from .gamma import gamma_quantile
from .measure import of_sorted, sigmoid, time_scale

# The next n numbers, strictly between 0 and 1.
Uniform = Callable[[int], Sequence[float]]

DrawLaw = Callable[..., list[float]]

# The largest bias that may be asked for; σ is 0 or 1 in float64 well before it.
LIMIT = 1000.0


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a preset was published; `arxiv` is empty for what is not there."""

    authors: str
    year: int
    venue: str
    arxiv: str = ""

    def __str__(self) -> str:
        return f"{self.authors} {self.year}, {self.venue}" + (
            f", arXiv {self.arxiv}" if self.arxiv else ""
        )


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of the table.

    `formula` is of the effective bias. `parameters` are the arguments' names, the last ones with
    `defaults`; they obey `domain`, which `holds` tests. `random`: needs the seed. `couples`: sets
    the input gate's bias to −b_f. `per_half`: a draw for bias_ih and another for bias_hh.
    `example`: arguments to show it with. `source`: for what no paper stands behind, where the value
    is from. `scheme`: the family as which forensics know it in a trained model, if they do.
    """

    name: str
    formula: str
    citation: Citation | None
    law: DrawLaw
    parameters: tuple[str, ...] = ()
    defaults: tuple[float, ...] = ()
    domain: str = ""
    holds: Callable[..., bool] = lambda: True
    example: tuple[float, ...] = ()
    random: bool = False
    couples: bool = False
    per_half: bool = False
    source: str = ""
    scheme: str = ""

    @property
    def required(self) -> int:
        """How many arguments must be given."""
        return len(self.parameters) - len(self.defaults)

    @property
    def syntax(self) -> str:
        """How to write it: `chrono:TMAX[,TMIN]`."""
        needed = ",".join(self.parameters[: self.required])
        optional = "".join(f"[,{name}]" for name in self.parameters[self.required :])
        return f"{self.name}:{needed}{optional}" if self.parameters else self.name


@dataclass(frozen=True, slots=True)
class Chosen:
    """A preset with its arguments, the defaults filled in."""

    preset: Preset
    arguments: tuple[float, ...] = ()

    def __str__(self) -> str:
        """What `parse_preset` reads back as the same choice; arguments at their defaults are left
        out.
        """
        needed = self.preset.required
        given = (
            self.arguments
            if self.arguments[needed:] != self.preset.defaults
            else self.arguments[:needed]
        )
        return self.preset.name + (":" + ",".join(map(_spell, given)) if given else "")


@dataclass(frozen=True, slots=True)
class Initial:
    """The effective biases of one recurrence, a float64 for each unit.

    `input` is None where the preset leaves that gate alone. `halves` is (bias_ih, bias_hh) of the
    forget gate where the preset draws both, and then `forget` is their sum; else None: where the
    value is stored is the patch's choice.
    """

    forget: tuple[float, ...]
    input: tuple[float, ...] | None = None
    halves: tuple[tuple[float, ...], tuple[float, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a preset starts at: the mean activation and the median time scale in steps, over
    units.
    """

    activation: float
    time_scale: float


PRESETS: dict[str, Preset] = {}


def preset(
    name: str, formula: str, citation: Citation | None, **row: Any
) -> Callable[[DrawLaw], DrawLaw]:
    """Register a law under `name`; `row` holds the rest of `Preset`."""

    def register(law: DrawLaw) -> DrawLaw:
        PRESETS[name] = Preset(name, formula, citation, law, **row)
        return law

    return register


def parse_preset(text: str) -> Chosen:
    """`NAME` or `NAME:ARGUMENT,…` as a choice; raises `BadPolicy`, which says what was meant and
    how to write it.
    """
    name, colon, rest = text.strip().partition(":")
    if name not in PRESETS:
        raise BadPolicy(f"no preset is called {name!r}; {_hint(name)}")
    row = PRESETS[name]
    parts = rest.split(",") if colon else []
    if not row.required <= len(parts) <= len(row.parameters):
        raise BadPolicy(
            f"{text.strip()!r} has the wrong number of arguments; it is written {row.syntax}"
        )
    arguments = (
        tuple(_number(part, row) for part in parts) + row.defaults[len(parts) - row.required :]
    )
    if not row.holds(*arguments):
        raise BadPolicy(f"{text.strip()!r} is out of range: {row.syntax} needs {row.domain}")
    return Chosen(row, arguments)


# What other frameworks initialise the forget bias with.
ELSEWHERE = {"keras": "unit", "tensorflow": "unit", "flax": "zero", "torch": "pytorch"}


def _hint(name: str) -> str:
    if name and not name.strip("+-.0123456789"):
        return f"a constant is set by --forget-bias {name}"
    if name.lower() in ELSEWHERE:
        return f"{ELSEWHERE[name.lower()]} is what {name} starts at"
    near = nearest(name, PRESETS)
    return f"did you mean {PRESETS[near].syntax}?" if near else f"there are {', '.join(PRESETS)}"


def _number(text: str, row: Preset) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadPolicy(
            f"{text.strip()!r} is no number that {row.name} can take; it is written {row.syntax}"
        )
    return value


def _spell(value: float) -> str:
    return repr(value).removesuffix(".0")


# Each recurrence draws from a stream of its own, keyed by seed, layer, direction and module. So
# patching one layer gives it what patching all of them would have given it, and a model that gains
# a layer keeps the numbers of the others.
def initial(
    chosen: Chosen, hidden_size: int, seed: int, module: str, layer: int, direction: str
) -> Initial:
    """The effective biases that a preset gives one recurrence of `hidden_size` units.

    Layers and directions draw independently of each other, and of which others are patched along
    with them.
    """
    return _initial(chosen, hidden_size, _stream(seed, module, layer, direction))


def _initial(chosen: Chosen, hidden_size: int, uniform: Uniform) -> Initial:
    row = chosen.preset
    forget = tuple(row.law(uniform, hidden_size, *chosen.arguments))
    if row.per_half:
        hh = tuple(row.law(uniform, hidden_size, *chosen.arguments))
        return Initial(tuple(a + b for a, b in zip(forget, hh, strict=True)), halves=(forget, hh))
    return Initial(forget, tuple(-b for b in forget) if row.couples else None)


# Neither Python's nor torch's generator: both promise nothing across versions, and a patch with a
# seed must give the same bytes on every machine for years. SHAKE is a standard with test vectors.
def _stream(seed: int, module: str, layer: int, direction: str) -> Uniform:
    """Uniforms from SHAKE-256 (FIPS 202) of the key, 8 bytes each; longer outputs begin with the
    shorter ones.

    The module's name comes last, so no two keys spell alike, and may hold what a file put there,
    lone surrogates too.
    """
    key = f"lstm-audit/init/1\n{seed}\n{layer}\n{direction}\n{module}".encode(
        "utf-8", "surrogatepass"
    )
    drawn = 0

    def uniform(count: int) -> Sequence[float]:
        nonlocal drawn
        from hashlib import shake_256  # 4 ms that only random presets need

        raw = shake_256(key).digest(8 * (drawn + count))[8 * drawn :]
        drawn += count
        # 52 bits and one half: the 53 that a float holds, so neither 0 nor 1 can come out.
        return [
            ((int.from_bytes(raw[k : k + 8], "big") >> 12) + 0.5) * 2.0**-52
            for k in range(0, len(raw), 8)
        ]

    return uniform


# The table of presets shows what a preset means without a seed: the middles of equal shares stand
# for draws, which gives the law's own mean and median to within 1/H.
def summarise_preset(chosen: Chosen, hidden_size: int) -> Summary:
    """What a preset starts at, without a seed: a random one is shown by its evenly spaced
    quantiles.
    """
    forget = sorted(_initial(chosen, hidden_size, _even).forget)
    return Summary(
        of_sorted([sigmoid(b) for b in forget]).mean, of_sorted([time_scale(b) for b in forget]).p50
    )


def _even(count: int) -> Sequence[float]:
    """The middles of `count` equal parts of (0, 1)."""
    return [(k + 0.5) / count for k in range(count)]


_JOZEFOWICZ = Citation("Jozefowicz, Zaremba & Sutskever", 2015, "ICML, PMLR 37:2342")
_TALLEC = Citation("Tallec & Ollivier", 2018, "ICLR", "1804.11188")


@preset("unit", "b_f = 1", _JOZEFOWICZ, scheme="constant")
def _unit(_: Uniform, hidden_size: int) -> list[float]:
    return [1.0] * hidden_size


@preset("two", "b_f = 2", _JOZEFOWICZ, scheme="constant")
def _two(_: Uniform, hidden_size: int) -> list[float]:
    return [2.0] * hidden_size


@preset(
    "zero",
    "b_f = 0",
    None,
    source="common practice: half of the memory survives a step",
    scheme="zeros",
)
def _zero(_: Uniform, hidden_size: int) -> list[float]:
    return [0.0] * hidden_size


@preset(
    "pytorch",
    "b_f = U(−1/√H, 1/√H) + U(−1/√H, 1/√H), one draw in each half",
    None,
    source="torch/nn/modules/rnn.py, RNNBase.reset_parameters",
    scheme="pytorch-default",
    random=True,
    per_half=True,
)
def _pytorch(uniform: Uniform, hidden_size: int) -> list[float]:
    """One half, u·2k − k with torch's float32 k and its grid of 2^-24 for u, so an audit finds it
    as fresh as torch's.

    Exact here, it is rounded once, when it is stored, as where torch multiplies and adds in one
    step. Of the forget gate only: what another preset did to the input gate is `undo`'s to take
    back.
    """
    bound = struct.unpack("f", struct.pack("f", 1.0 / math.sqrt(max(hidden_size, 1))))[0]
    return [
        2.0 * bound * (math.floor(u * 2.0**24) * 2.0**-24) - bound for u in uniform(hidden_size)
    ]


@preset(
    "sutskever",
    "b_f = 5",
    Citation("Sutskever", 2013, "PhD thesis, University of Toronto"),
    scheme="constant",
)
def _sutskever(_: Uniform, hidden_size: int) -> list[float]:
    return [5.0] * hidden_size


@preset(
    "chrono",
    "b_f = ln U(TMIN − 1, TMAX − 1), b_i = −b_f",
    _TALLEC,
    parameters=("TMAX", "TMIN"),
    defaults=(2.0,),
    domain="2 ≤ TMIN < TMAX",
    scheme="chrono",
    holds=lambda tmax, tmin: 2.0 <= tmin < tmax,
    example=(784.0, 2.0),
    random=True,
    couples=True,
)
def _chrono(uniform: Uniform, hidden_size: int, tmax: float, tmin: float) -> list[float]:
    return [math.log((tmin - 1.0) + (tmax - tmin) * u) for u in uniform(hidden_size)]


@preset(
    "chrono-even",
    "b_f = ln(1 + (TMAX − 2)(k + ½)/H) for unit k = 0 … H − 1, b_i = −b_f",
    _TALLEC,
    parameters=("TMAX",),
    domain="2 < TMAX",
    scheme="chrono",
    holds=lambda tmax: tmax > 2.0,
    example=(784.0,),
    couples=True,
)
def _chrono_even(_: Uniform, hidden_size: int, tmax: float) -> list[float]:
    """The law of chrono without its luck: every unit at the middle of its share of the law."""
    return [math.log1p((tmax - 2.0) * u) for u in _even(hidden_size)]


@preset(
    "uniform-gate",
    "b_f = logit U(1/H, 1 − 1/H)",
    Citation("Gu et al.", 2020, "ICML", "1910.09890"),
    scheme="uniform-gate",
    random=True,
)
def _uniform_gate(uniform: Uniform, hidden_size: int) -> list[float]:
    """Below two units the interval is empty, and stands at the ½ that it shrinks to."""
    reach = max(0.5 - 1.0 / max(hidden_size, 1), 0.0)
    return [logit(0.5 + reach * (2.0 * u - 1.0)) for u in uniform(hidden_size)]


@preset(
    "mts",
    "b_f = −ln(e^(1/T) − 1), T from an inverse gamma law (0.56, scale 1) at k/H above for k = 1 … "
    "H, b_i = −b_f",
    Citation("Mahto, Vo, Turek & Huth", 2021, "ICLR", "2009.12727"),
    couples=True,
)
def _mts(_: Uniform, hidden_size: int) -> list[float]:
    """Unit k's time scale is exceeded with probability k/H, long ones first, as in the authors'
    code.

    There the last one, k = H, gets T = 0 and so b_f = −∞, b_i = +∞; here it gets the middle of its
    share, (H − ½)/H.
    """
    shares = [(k, hidden_size - k) for k in range(1, hidden_size)]
    last = [(hidden_size - 0.5, 0.5)] if hidden_size else []
    return [
        bias_of_decay(gamma_quantile(0.56, p / hidden_size, q / hidden_size))
        for p, q in shares + last
    ]


@preset(
    "linspace",
    "b_f = LO + (HI − LO) k/(H − 1) for unit k = 0 … H − 1",
    Citation("Beck et al.", 2024, "xLSTM (3 to 6 over the heads)", "2405.04517"),
    parameters=("LO", "HI"),
    domain=f"both within ±{LIMIT:g}",
    scheme="linspace",
    holds=lambda low, high: max(abs(low), abs(high)) <= LIMIT,
    example=(3.0, 6.0),
)
def _linspace(_: Uniform, hidden_size: int, low: float, high: float) -> list[float]:
    line = [low + (high - low) * k / (hidden_size - 1) for k in range(hidden_size - 1)]
    return [*line, high] if hidden_size > 1 else [low] * hidden_size
