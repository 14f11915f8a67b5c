"""The answers to "which initialiser made this": what an `Init` says, and how sure one must be to
say it.

In: what `fresh` or `trained` worked out. Out: a frozen `Init`. It promises that a name is only ever
said at certain, high or medium confidence; whatever is weaker leaves as `unknown`, the name
kept as a hint.
"""

from typing import Annotated

from ...tuples import NamedTuple

GATES = "ifgo"

State = Annotated[str, ("enum", ("fresh", "fresh?", "trained", "undetermined"))]
Confidence = Annotated[str, ("enum", ("certain", "high", "medium", "low"))]


class Init(NamedTuple):
    """One LSTM's initialisation.

    `scheme` is a family with its argument where it has one: `pytorch-default`, `zeros`,
    `constant(1)`, `doubled(1)`, `one-sided(hh=3)`, `all-ones`, `wrong-gate(g)`, `chrono`,
    `doubled-chrono`, `uniform-gate`, `linspace`, `unknown`. `value` is the number behind it
    (the constant; for `chrono` its T_max in steps). `state` is `fresh`, `fresh?`, `trained` or
    `undetermined`; `confidence` is certain, high, medium or low.
    """

    scheme: str
    value: float | None
    state: State
    confidence: Confidence
    evidence: str


def round_figures(x: float) -> str:
    """Three figures: more than training leaves of a constant (its mean is known to k/√(3H))."""
    return f"{x:.3g}"


def name_no_law(evidence: str, state: str = "undetermined", confidence: str = "low") -> Init:
    """No law is named. The state stays undetermined unless freshness was proven: an unlisted law
    looks moved.
    """
    return Init("unknown", None, state, confidence, evidence)


def settle(init: Init) -> Init:
    """A `low` answer was right 86 times in 92 when it was measured: not enough to print as a
    name.
    """
    if init.confidence != "low" or init.scheme == "unknown":
        return init
    return name_no_law(f"perhaps {init.scheme}: {init.evidence}")


def add_remark(init: Init, remark: str) -> Init:
    """The same scheme with a remark behind its evidence."""
    return init._replace(evidence=f"{init.evidence}; {remark}")


def family(init: Init) -> str:
    """The scheme without its argument: `one-sided(hh=3)` → `one-sided`."""
    return init.scheme.partition("(")[0]


def is_untouched(init: Init | None) -> bool:
    """Whether the bias is as its initialiser left it, as far as its values can tell: then nothing
    learned is in it. Where they cannot prove it (`fresh?`), draws on the generator's lattice still
    say so at `high`: all but steps of exactly 2^-n would have left it.
    """
    if init is None:
        return False
    return init.state == "fresh" or (init.state, init.confidence) == ("fresh?", "high")


def short(init: Init) -> str:
    """The word for a table: `default (fresh)`, `one-sided hh=3`, `doubled~1.8`, `chrono T=784`,
    `unknown`.

    The tilde: once trained, equal halves keep no trace of their common value, so the mean is only
    today's.
    """
    name, _, argument = init.scheme.removeprefix("pytorch-").rstrip(")").partition("(")
    if name == "doubled" and not init.state.startswith("fresh"):
        word = f"{name}~{argument}"
    elif name == "chrono" and init.value is not None:
        word = f"{name} T={round_figures(init.value)}"
    else:
        word = f"{name} {argument}".rstrip()
    return f"{word} ({init.state})" if init.state.startswith("fresh") else word
