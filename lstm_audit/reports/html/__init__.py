"""`html`: one page with plots, to be opened from a disk, mailed, or kept as a build's artifact.

Comes in: an `Audit`. Goes out: one self-contained document: an overview of all LSTMs on one axis,
then each file with its findings and a card an LSTM. Promise: it loads nothing and runs nothing (its
own Content-Security-Policy forbids both), every name is escaped, and it is readable from 400 pixels
up, in light and dark.
"""

from collections.abc import Iterator, Sequence

from ...facts import Audit, FileAudit, Row
from ...lstm.forensics.schemes import short
from ...lstm.layer import GATES
from .. import Look, report
from ..listings import group_findings, summary, tally, worst_of
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

CARDS = 500  # about 1.5 MB; a page with more helps nobody
SIGNS = {"error": "✕", "warning": "!", "info": "i"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Numbered = list[tuple[str, Row]]  # an anchor and its row


@report("html")
def html(audit: Audit, look: Look) -> str:
    """A document in HTML 5."""
    files, k = [], 0
    for file in audit.files:
        rows = [(f"l{n}", row) for n, row in enumerate(file.rows, k)]
        files.append((file, rows[: max(CARDS - k, 0)]))
        k += len(rows)
    body = [*_head(audit), *_unreadable(audit), *_overview(files)]
    for file, rows in files:
        body += _file(file, rows)
    return "\n".join([*_opening(), *body, "</main>", "</body>", "</html>", ""])


def _opening() -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en">'
    yield '<head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>lstm-audit</title>\n<style>{CSS}</style></head>\n<body>\n<main>"


def _head(audit: Audit) -> Iterator[str]:
    yield f'<header><h1>Forget gates</h1><p class="muted">{markup(" · ".join(summary(audit)))}</p></header>'


def _unreadable(audit: Audit) -> Iterator[str]:
    if not audit.errors:
        return
    yield f"<section><h2>{counted(len(audit.errors), 'input')} could not be read</h2>"
    yield '<ul class="findings">'
    for e in audit.errors:
        head = f'{_badge("error")}<span class="path">{markup(e.path, PATH_LIMIT)}</span>'
        yield f'<li class="error"><p>{head}</p><p>{markup(describe_error(e), PATH_LIMIT)}</p></li>'
    yield "</ul></section>"


# ---- all LSTMs on one axis


def _overview(files: Sequence[tuple[FileAudit, Numbered]]) -> Iterator[str]:
    """What a person compares: where the units of each forget gate stand between shut and open."""
    if sum(len(rows) for _, rows in files) < 2:
        return
    yield "<section><h2>Activation of the forget gate at the start</h2>"
    yield (
        '<p class="muted">The share of memory that survives one step, at x = 0 and h = 0. '
        f"{plots.LEGEND} Dashed: 0.5, what a bias of 0 gives, and 0.731, what a bias of 1 "
        "gives.</p>"
    )
    yield '<div class="overview">'
    several = sum(bool(rows) for _, rows in files) > 1
    for file, rows in files:
        if several and rows:
            yield f'<div class="group path">{markup(file.path)}</div>'
        worst = worst_of(file.findings)
        for anchor, row in rows:
            name = shown_address(row.lstm)
            severity = worst.get(row.lstm.identity)
            mark = _badge(severity, "") if severity else ""
            label = f'<a href="#{anchor}" title="{markup(name)}">{markup(name, 60)}</a>{mark}'
            mean = f'<span class="num">{markup(fraction(row.measures.activation.mean))}</span>'
            yield f'<div class="lane"><span class="label">{label}</span>{plots.lane(row.measures)}{mean}</div>'
    yield f'<div class="lane axis"><span class="label"></span>{plots.axis()}<span class="num">mean</span></div>'
    yield "</div></section>"


# ---- a file


def _file(file: FileAudit, rows: Numbered) -> Iterator[str]:
    yield "<section>"
    yield f'<h2 class="path">{markup(file.path)}</h2>'
    facts = [
        markup(file.format),
        size(file.bytes),
        counted(len(file.rows), "LSTM"),
        *tally(file.findings),
    ]
    yield f'<p class="muted">{" · ".join(facts)}</p>'
    yield from _findings(file)
    if rows:
        yield '<div class="cards">'
        for anchor, row in rows:
            yield from _card(anchor, row)
        yield "</div>"
    if len(rows) < len(file.rows):
        yield f'<p class="muted">{counted(len(file.rows) - len(rows), "more LSTM")} not drawn.</p>'
    yield from _skipped(file)
    yield "</section>"


def _findings(file: FileAudit) -> Iterator[str]:
    if not file.findings:
        return
    yield '<ul class="findings">'
    groups = group_findings(file.findings)
    for group in groups[:CARDS]:
        places = ", ".join(filter(None, map(shown_place, group.findings)))
        place = f' <span class="path">{markup(places, PATH_LIMIT)}</span>' if places else ""
        times = f" ×{len(group.findings)}" if len(group.findings) > 1 else ""
        yield f'<li class="{group.severity}"><p>{_badge(group.severity)}<b>{markup(group.code)}</b>{times} {markup(group.name)}{place}</p>'
        yield f"<p>{markup(group.message, PATH_LIMIT)}</p>"
        for words, safe in commands(
            file.path, (f.fix for f in group.findings), [row.lstm for row in file.rows]
        ):
            risk = "" if safe else '<p class="muted">Overwrites whatever was learned:</p>'
            yield f'{risk}<pre class="fix">{markup(shell(words))}</pre>'
        yield "</li>"
    yield "</ul>"
    rest = sum(len(group.findings) for group in groups[CARDS:])
    yield f'<p class="muted">{counted(rest, "more finding")} not shown.</p>' if rest else ""


def _skipped(file: FileAudit) -> Iterator[str]:
    if not file.skipped:
        return
    yield f"<details><summary>{len(file.skipped)} not judged</summary><ul>"
    for s in file.skipped[:CARDS]:
        why = markup(s.detail or s.reason)
        yield f'<li><span class="path">{markup(shown_module(s.module), 200)}</span>: {why} ({markup(s.reason)})</li>'
    yield "</ul></details>"


# ---- an LSTM


def _card(anchor: str, row: Row) -> Iterator[str]:
    lstm, measures = row.lstm, row.measures
    yield f'<article class="card" id="{anchor}"><h3 class="path">{markup(shown_address(lstm))}</h3>'
    facts = [f"{lstm.hidden_size} units", lstm.dtype, describe_convention(lstm)]
    chip = f'<span class="chip">{markup(short(row.init))}</span>' if row.init else ""
    yield f'<p class="muted">{markup(" · ".join(filter(None, facts)))}{chip}</p>'
    yield plots.histogram(measures)
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
        *_named("Read from", row.lstm.bias_tensors),
        *_named("Also", row.lstm.aliases),
    ]
    yield f"{''.join(f'<p>{markup(line, PATH_LIMIT)}</p>' for line in lines)}</details>"


def _named(title: str, names: Sequence[str]) -> list[str]:
    return [f"{title} {', '.join(names)}"] if names else []


def _badge(severity: str, word: str | None = None) -> str:
    """A sign and a word: colour alone tells nothing to some."""
    text = severity if word is None else word
    name = f' title="{severity}"' if not text else ""
    return f'<span class="badge {severity}"{name}><i>{SIGNS[severity]}</i>{text}</span>'
