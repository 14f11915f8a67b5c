"""`lstm-audit presets`: the named initialisations."""

from ..lstm.presets import PRESETS, Chosen, parse_preset, summarise_preset
from ..reports.words import digits, fraction
from .exits import PASS
from .forms import GivenOptions
from .output import print_lines, say_indented, say_table

EPILOG = """\b
Exit codes:
  0  listed    2  usage

\b
Examples:
  lstm-audit presets --hidden-size 256
  lstm-audit presets chrono:784
  lstm-audit patch --init chrono:784 model.pt
"""


def run(given: GivenOptions) -> int:
    """List the named initialisations.

    Each with its formula, its paper, and the activation and time scale at which a forget gate then
    starts. PRESET is a name, or a name with its arguments (chrono:784).
    """
    chosen = [_parse(text) for text in given.names] or [
        Chosen(preset, preset.example) for preset in PRESETS.values()
    ]
    say_table([_row(one, given.hidden_size) for one in chosen], HEADS)
    print_lines("")
    for preset in dict.fromkeys(one.preset for one in chosen):
        print_lines(preset.syntax)
        say_indented(preset.formula)
        say_indented(str(preset.citation or preset.source))
    return PASS


HEADS = ("preset", "e.g.", "mean f", "median τ")


def _parse(text: str) -> Chosen:
    """A name alone is shown by its example."""
    preset = PRESETS.get(text.strip())
    return Chosen(preset, preset.example) if preset else parse_preset(text)


def _row(chosen: Chosen, hidden_size: int) -> list[str]:
    start = summarise_preset(chosen, hidden_size)
    return [
        chosen.preset.syntax,
        str(chosen),
        fraction(start.activation),
        digits(start.time_scale),
    ]
