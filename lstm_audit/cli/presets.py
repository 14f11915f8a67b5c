"""`lstm-audit presets`: the named initialisations."""

from ..lstm.presets import PRESETS, Chosen, Preset, summary
from ..reports.words import digits, fraction
from .exits import PASS
from .options import Given
from .output import say

EPILOG = """\b
Exit codes:
  0  listed    2  usage

\b
Examples:
  lstm-audit presets --hidden-size 256
  lstm-audit patch --init chrono:784 model.pt
"""


def run(given: Given) -> int:
    """List the named initialisations.

    Each with its formula, its paper, and the activation and time scale at which a forget gate then
    starts.
    """
    from tabulate import tabulate

    rows = [_row(preset, given.hidden_size) for preset in PRESETS.values()]
    say(tabulate(rows, headers=["preset", "e.g.", "mean f", "median τ"], disable_numparse=True))
    say("")
    for preset in PRESETS.values():
        say(f"{preset.syntax}\n  {preset.formula}\n  {preset.citation or preset.source}")
    return PASS


def _row(preset: Preset, hidden_size: int) -> list[str]:
    shown = Chosen(preset, preset.example)
    start = summary(shown, hidden_size)
    return [preset.syntax, str(shown), fraction(start.activation), digits(start.time_scale)]
