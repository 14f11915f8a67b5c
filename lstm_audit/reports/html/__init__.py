"""`html`: one page with plots, to be opened from a disk, mailed, printed, or kept as a build's
artifact.

Comes in: an `Audit`, and through the `Look` the verdict, the command, the policy and its bounds.
Goes out: one self-contained document: the verdict; all LSTMs on one axis, forward and reverse
beside each other; a card for each kind of LSTM; then findings and whatever was not judged. Promise:
it loads nothing and runs nothing (its own Content-Security-Policy forbids both), every name is
escaped and whole, and it is readable from 390 pixels up, in light and dark, and on paper.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...facts import Audit, FileAudit, Row
from ...lstm.forensics.schemes import short
from ...lstm.layer import GATES
from ...version import __version__
from .. import Look, report
from ..listings import group_findings, summarise_run, tally, worst_of
from ..remedies import commands, shell
from ..words import (
    PATH_LIMIT,
    counted,
    describe_convention,
    describe_error,
    digits,
    fraction,
    markup,
    shown_address,
    shown_module,
    shown_place,
    size,
)
from . import plots
from .style import CSS

LANES = 500  # rows of the overview; a page with more helps nobody
CARDS = 60  # cards, alike LSTMs counted once
LISTED = 200  # findings, skips or errors that are written out
NAMED = 12  # names that a card or a finding lists before "and N more"
SIGNS = {"error": "✕", "warning": "!", "info": "i"}
ARROWS = {"forward": "→", "reverse": "←"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Drawn(NamedTuple):
    """What every plot of a page shares."""

    scale: plots.Scale
    bounds: plots.AxisRange


@report("html")
def html(audit: Audit, look: Look) -> str:
    """A document in HTML 5: pictures first, text behind."""
    rows = audit.rows
    drawn = Drawn(plots.scale_of(rows, look.bounds), look.bounds)
    body = [*_head(audit, look), *_overview(audit, drawn), *_cards(rows, drawn, look.rows or CARDS)]
    for file in audit.files:
        body += _file(file)
    body += _unreadable(audit)
    return "\n".join([*_opening(), *body, "</main>", "</body>", "</html>", ""])


def _opening() -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en">'
    yield '<head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>lstm-audit</title>\n<style>{CSS}</style></head>\n<body>\n<main>"


def _head(audit: Audit, look: Look) -> Iterator[str]:
    """The verdict first, where the run has one; what was run, and what it amounts to."""
    yield f"<header><h1>Forget gates{' at the start' if _is_fresh(audit.rows) else ''}</h1>"
    if look.closing:
        state = look.closing.split(":")[0].split(" ")[0].lower()
        yield f'<p class="verdict {markup(state)}">{markup(look.closing)}</p>'
    yield f'<p class="muted">{markup(" · ".join(summarise_run(audit)))}</p>'
    if look.command:
        yield f'<pre class="fix">{markup(look.command, PATH_LIMIT)}</pre>'
    yield f'<p class="muted">lstm-audit {markup(__version__)}</p></header>'


def _is_fresh(rows: Sequence[Row]) -> bool:
    """Whether every LSTM is as its initialiser left it."""
    return bool(rows) and all(row.init and row.init.state == "fresh" for row in rows)


# ---- all LSTMs on one axis


def _overview(audit: Audit, drawn: Drawn) -> Iterator[str]:
    """What a person compares: where the units of each forget gate stand between shut and open."""
    if not audit.rows:
        return
    yield "<section><h2>All LSTMs</h2>"
    yield (
        '<p class="muted">The effective forget bias of every unit, with the activation f and the '
        f"time scale τ in steps that it gives at x = 0 and h = 0. {plots.LEGEND} "
        "Dashed: a bias of 0, where nothing was set."
        f"{' Shaded: what the policy allows.' if _has_bounds(drawn.bounds) else ''}</p>"
    )
    yield '<div class="overview">'
    k = 0
    for file in audit.files:
        if len(audit.files) > 1 and file.rows and k < LANES:
            yield f'<div class="group path">{markup(file.path, PATH_LIMIT)}</div>'
        worst = worst_of(file.findings)
        for row in file.rows[: max(LANES - k, 0)]:
            severity = worst.get(row.lstm.identity)
            mark = _badge(severity, "") if severity else ""
            yield f'<div class="label" id="l{k}">{_label(row)}{mark}</div>'
            yield f'<div class="lane">{plots.lane(row.measures, *drawn)}</div>'
            yield f'<div class="num">f {markup(fraction(row.measures.activation.mean))}</div>'
            k += 1
    yield '<div class="axis label">bias<br>f<br>τ</div>'
    yield f'<div class="axis lane">{plots.axis(drawn.scale)}</div>'
    yield '<div class="axis num">mean</div></div>'
    rest = len(audit.rows) - k
    yield f'<p class="muted">{counted(rest, "more LSTM")} not drawn.</p>' if rest else ""
    yield "</section>"


def _has_bounds(bounds: plots.AxisRange) -> bool:
    return any(abs(end) != float("inf") for end in bounds)


def _label(row: Row) -> str:
    """The name whole; a reverse direction follows its forward one, so its name is said faintly."""
    lstm = row.lstm
    faint = ' class="faint"' if lstm.direction == "reverse" else ""
    name = f"{shown_module(lstm.module)}:l{lstm.layer}"
    return f"<span{faint}>{markup(name, PATH_LIMIT)}</span> {ARROWS[lstm.direction]}"


# ---- a card for each kind of LSTM


def _cards(rows: Sequence[Row], drawn: Drawn, most: int) -> Iterator[str]:
    """LSTMs that look alike in every number share a card."""
    kinds: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        kinds.setdefault(_look_of(row), []).append(row)
    if not kinds:
        return
    yield '<section><div class="cards">'
    for alike in list(kinds.values())[:most]:
        yield from _card(alike, drawn)
    yield "</div>"
    rest = len(kinds) - most
    yield (
        f'<p class="muted">{counted(rest, "more kind")} of LSTM not drawn.</p>' if rest > 0 else ""
    )
    yield "</section>"


def _look_of(row: Row) -> tuple[object, ...]:
    """What a card shows of an LSTM, but for its name."""
    bias = row.measures.gates["f"]
    said = short(row.init) if row.init else ""
    numbers = [digits(value) for value in bias]
    return (row.lstm.hidden_size, describe_convention(row.lstm), said, *numbers)


def _card(rows: Sequence[Row], drawn: Drawn) -> Iterator[str]:
    row = rows[0]
    lstm, measures = row.lstm, row.measures
    times = f' <span class="times">×{len(rows)}</span>' if len(rows) > 1 else ""
    yield f'<article class="card"><h3 class="path">{_names(rows)}{times}</h3>'
    facts = [f"{lstm.hidden_size} units", lstm.dtype, describe_convention(lstm)]
    yield f'<p class="muted">{markup(" · ".join(filter(None, facts)))}</p>'
    if row.init:
        yield f'<p class="init">{markup(_in_words(short(row.init)))}</p>'
    yield plots.histogram(row, *drawn)
    yield "<dl>"
    bias = measures.gates["f"]
    numbers = {
        "Forget bias": f"{digits(bias.mean)} <small>± {digits(bias.std)}</small>",
        "Activation": markup(fraction(measures.activation.mean)),
        "Half-life": f"{digits(measures.half_life.p50)} <small>steps</small>",
        "Time scale": f"{digits(measures.time_scale.p50)} <small>steps</small>",
    }
    for name, value in numbers.items():
        yield f"<div><dt>{name}</dt><dd>{value}</dd></div>"
    yield "</dl>"
    yield from _more(row)
    yield "</article>"


def _names(rows: Sequence[Row]) -> str:
    names = [markup(shown_address(row.lstm, None), PATH_LIMIT) for row in rows[:NAMED]]
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return "<br>".join(names) + more


def _in_words(verdict: str) -> str:
    """`chrono T ≈ 784`: what was estimated is not said as if it had been read."""
    return verdict.replace("T=", "T ≈ ").replace("~", " ≈ ")


def _more(row: Row) -> Iterator[str]:
    """What one looks up: all gates, the evidence for the initialiser, the names in the file."""
    yield "<details><summary>Gates and names</summary>"
    columns = ("mean", "std", "min", "max")
    yield f"<table><tr><th>bias</th>{''.join(f'<th>{c}</th>' for c in columns)}</tr>"
    for gate in GATES:
        cells = "".join(
            f"<td>{markup(digits(getattr(row.measures.gates[gate], c)))}</td>" for c in columns
        )
        yield f"<tr><th>{gate}</th>{cells}</tr>"
    yield "</table>"
    lines = [row.init.evidence] if row.init else []
    lines += [
        *row.lstm.notes,
        *_listed("Read from", row.lstm.bias_tensors),
        *_listed("Also", row.lstm.aliases),
    ]
    yield f"{''.join(f'<p>{markup(line, PATH_LIMIT)}</p>' for line in lines)}</details>"


def _listed(title: str, names: Sequence[str]) -> list[str]:
    return [f"{title} {', '.join(names)}"] if names else []


# ---- the text of a file


def _file(file: FileAudit) -> Iterator[str]:
    if not file.findings and not file.skipped and file.rows:
        return
    yield f'<section><h2 class="path">{markup(file.path, PATH_LIMIT)}</h2>'
    facts = [
        markup(file.format),
        size(file.bytes),
        counted(len(file.rows), "LSTM"),
        *tally(file.findings),
    ]
    yield f'<p class="muted">{" · ".join(facts)}</p>'
    yield from _findings(file)
    yield from _skipped(file)
    yield "</section>"


def _findings(file: FileAudit) -> Iterator[str]:
    if not file.findings:
        return
    yield '<ul class="findings">'
    groups = group_findings(file.findings)
    for group in groups[:LISTED]:
        places = list(filter(None, map(shown_place, group.findings)))
        more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
        named = ", ".join(places[:NAMED]) + more
        place = f' <span class="path">{markup(named, PATH_LIMIT)}</span>' if places else ""
        times = f" ×{len(group.findings)}" if len(group.findings) > 1 else ""
        yield f'<li class="{group.severity}"><p>{_badge(group.severity)}<b>{markup(group.code)}</b>{times} {markup(group.name)}{place}</p>'
        yield f"<p>{markup(group.message, PATH_LIMIT)}</p>"
        mending = (finding.fix for finding in group.findings)
        for words, safe in commands(file.path, mending, [row.lstm for row in file.rows]):
            risk = "" if safe else '<p class="muted">Overwrites whatever was learned:</p>'
            yield f'{risk}<pre class="fix">{markup(shell(words))}</pre>'
        yield "</li>"
    yield "</ul>"
    rest = sum(len(group.findings) for group in groups[LISTED:])
    yield f'<p class="muted">{counted(rest, "more finding")} not shown.</p>' if rest else ""


def _skipped(file: FileAudit) -> Iterator[str]:
    if not file.skipped:
        return
    yield f"<details><summary>{len(file.skipped)} not judged</summary><ul>"
    for s in file.skipped[:LISTED]:
        why = markup(s.detail or s.reason, PATH_LIMIT)
        yield f'<li><span class="path">{markup(shown_module(s.module), 200)}</span>: {why} ({markup(s.reason)})</li>'
    yield "</ul></details>"


def _unreadable(audit: Audit) -> Iterator[str]:
    """Equal errors (a folder of pointers that were not pulled) are said once."""
    if not audit.errors:
        return
    yield f"<section><h2>{counted(len(audit.errors), 'input')} could not be read</h2>"
    yield '<ul class="findings">'
    paths: dict[str, list[str]] = {}
    for error in audit.errors:
        paths.setdefault(describe_error(error), []).append(error.path)
    for message, alike in list(paths.items())[:LISTED]:
        more = f" and {len(alike) - NAMED} more" if len(alike) > NAMED else ""
        named = markup(", ".join(alike[:NAMED]), PATH_LIMIT) + more
        head = f'{_badge("error")}<span class="path">{named}</span>'
        yield f'<li class="error"><p>{head}</p><p>{markup(message, PATH_LIMIT)}</p></li>'
    yield "</ul></section>"


def _badge(severity: str, word: str | None = None) -> str:
    """A sign and a word: colour alone tells nothing to some."""
    text = severity if word is None else word
    name = f' title="{severity}"' if not text else ""
    return f'<span class="badge {severity}"{name}><i>{SIGNS[severity]}</i>{text}</span>'
