"""`lstm-audit presets`: the named initialisations."""

import click

from ..presets import PRESETS, Chosen, Preset, summary
from ..reports import digits, fraction

HIDDEN = 512
"""The hidden size at which the listing shows what a preset gives."""


@click.command("presets")
@click.option("--hidden-size", type=click.IntRange(1), default=HIDDEN, help="H at which activation and τ are shown.")
def command(hidden_size: int) -> None:
    """List the named initialisations: formula, paper, and the activation and time scale that they give."""
    from tabulate import tabulate

    rows = [_row(preset, hidden_size) for preset in PRESETS.values()]
    click.echo(tabulate(rows, headers=["preset", "e.g.", "mean f", "median τ"], disable_numparse=True))
    click.echo()
    for preset in PRESETS.values():
        click.echo(f"{preset.syntax}\n  {preset.formula}\n  {preset.citation or preset.source}")


def _row(preset: Preset, hidden_size: int) -> list[str]:
    shown = Chosen(preset, preset.example)
    start = summary(shown, hidden_size)
    return [preset.syntax, str(shown), fraction(start.activation), digits(start.time_scale)]
