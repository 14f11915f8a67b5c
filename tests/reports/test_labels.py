"""Labels of a plot whose width is not known: those that would touch have no room."""

import re

import pytest

from lstm_audit.reports.html import plots
from lstm_audit.reports.html.labels import WIDTHS, Label, draw_labels
from lstm_audit.reports.html.statistics import in_words
from lstm_audit.reports.html.style import CSS


def shown(drawing: str, width: int) -> list[tuple[str, float, str]]:
    """Text, place in pixels and anchor of the labels of one line that a width shows."""
    found = re.findall(
        r'<text class="\w+(?: from(\d+))?" x="([\d.]+)%" y="27" text-anchor="(\w+)">([^<]*)<',
        drawing,
    )
    return sorted(
        ((text, float(x) / 100 * width, anchor) for least, x, anchor, text in found
         if int(least or 0) <= width),
        key=lambda label: label[1],
    )  # fmt: skip


@pytest.mark.parametrize("width", [*WIDTHS, 262, 300, 700])
@pytest.mark.parametrize("ends", [(-8, 12), (-2, 9), (-3, 6), (4, 10), (-7, 2)])
def test_no_two_activations_touch(width: int, ends: tuple[int, int]) -> None:
    """A digit of the widest usual font has 7 pixels at a size of 11."""
    labels = shown(plots.axis(plots.Scale(*map(float, ends))), width)
    assert len(labels) >= 2
    right = -100.0
    for text, at, anchor in labels:
        wide = 7.0 * sum(c.isdigit() for c in text) + 3.6 * sum(c in " .f" for c in text)
        left = at - wide * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        assert left > right + 2, text
        right = left + wide


def test_a_wide_plot_names_every_bias_and_a_narrow_one_every_second() -> None:
    scale = plots.Scale(-2.0, 10.0)
    drawing = plots.axis(scale)
    every = [f"f {plots.spell_activation(bias)}" for bias in plots.whole_biases(scale)]
    assert [text for text, _, _ in shown(drawing, 640)] == every
    assert 2 <= len(shown(drawing, 240)) < len(shown(drawing, 640))


def test_the_more_important_label_stays() -> None:
    first, second = Label("128", 50, 9, "count", 9), Label("127", 52, 9, "count", 9)
    assert draw_labels([first, second]).count("128") == 1
    assert "127" not in draw_labels([first, second])


def test_the_style_sheet_knows_every_width() -> None:
    for width in WIDTHS[1:]:
        assert f"@container (min-width: {width}px) {{ .from{width} {{ display: inline; }} }}" in CSS
        assert re.search(rf"\.from{width}\b[^{{}}]*{{ display: none; }}", CSS)


def test_what_was_drawn_by_no_listed_law_is_not_unknown() -> None:
    assert in_words("unknown (fresh)") == "no listed initialiser (fresh)"
    assert in_words("unknown") == "unknown"
    assert in_words("chrono T=784 (fresh)") == "chrono T ≈ 784 (fresh)"
