"""The page's style sheet.

Comes in: nothing. Goes out: CSS. Promise: no url(), no @import, no font but the reader's own; every
line and text that means something has a contrast of 3 to 1 at least, in light and dark.
"""

CSS = """
:root { color-scheme: light dark; --ground: #f7f7f5; --card: #fff; --ink: #1c1d20; --muted: #5b5d64; --line: #dcdcd8;
  --grid: #7b7d84; --blue: #2f66c4; --pale: #5a84cd; --allowed: #d9efdc; --error: #b3261e; --warning: #8a5a00;
  --info: #2f66c4; --passed: #1e6b34; --code: #f1f1ee; }
@media (prefers-color-scheme: dark) { :root { --ground: #141518; --card: #1d1f23; --ink: #e9e9ec; --muted: #a8aab2;
  --line: #34363c; --grid: #85888f; --blue: #7ea8f0; --pale: #6b8dcb; --allowed: #1f3a28; --error: #ff8f86;
  --warning: #f0b950; --info: #8ab4f8; --passed: #7fd69a; --code: #282a2f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 20px clamp(12px, 3vw, 32px) 48px; }
h1 { font-size: 26px; margin: 0; }
h2, h2.path { font-size: 18px; margin: 0 0 4px; } h3.path { font-size: 13px; margin: 0; font-weight: 600; }
p { margin: 0 0 8px; } section { margin-top: 32px; }
.muted, summary { color: var(--muted); font-size: 13px; } summary { cursor: pointer; }
summary:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; border-radius: 3px; }
.path { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .92em; overflow-wrap: anywhere; }
.verdict { margin: 12px 0; padding: 10px 14px; border-radius: 8px; border: 1px solid var(--tone);
  border-left: 6px solid var(--tone); background: var(--card); font-weight: 600; overflow-wrap: anywhere; }
.failed { --tone: var(--error); } .not { --tone: var(--warning); } .passed { --tone: var(--passed); }
.overview, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.overview { display: grid; grid-template-columns: fit-content(32em) minmax(16em, 1fr) auto; gap: 0 16px;
  align-items: center; }
.group { grid-column: 1 / -1; padding-top: 12px; font-weight: 600; } .group:first-child { padding-top: 0; }
.label { font: 13px/1.35 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.label:target { outline: 2px solid var(--blue); } .label .badge { margin: 0 0 0 8px; }
.faint { color: var(--muted); }
.num { text-align: right; font-variant-numeric: tabular-nums; font-size: 13px; white-space: nowrap; }
.axis { color: var(--muted); font-size: 11px; line-height: 15px; padding-top: 4px; }
.axis.label { text-align: right; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 14px;
  align-items: start; margin-top: 12px; }
.card > .plot { margin: 4px 0 0; } .init { font-weight: 600; margin: 0 0 4px; }
.times { color: var(--muted); font-weight: 400; }
.plot { display: block; overflow: visible; }
.bar { fill: var(--blue); } .ground, .extent { stroke: var(--muted); stroke-width: 1; }
.count { fill: var(--muted); font-size: 9px; text-anchor: middle; }
.extent { stroke-width: 1.5; } .bulk { stroke: var(--pale); stroke-width: 9; }
.median { stroke: var(--ink); stroke-width: 2; }
.mean { fill: var(--blue); stroke: var(--card); stroke-width: 1.5; }
.beyond { fill: var(--ink); font-size: 15px; font-weight: 700; }
.allowed { fill: var(--allowed); }
.band { fill: var(--pale); fill-opacity: .35; stroke: var(--pale); stroke-width: 1; } .run { fill: none; stroke: var(--blue); stroke-width: 2; }
.moment { stroke: var(--warning); stroke-width: 1.5; stroke-dasharray: 4 2; }
.way { stroke: var(--pale); stroke-width: 2.5; } circle.was { fill: var(--card); stroke: var(--ink); stroke-width: 1.5; }
.bar.was { fill: var(--grid); }
.mark { stroke: var(--grid); stroke-width: 1; stroke-dasharray: 1 3; } .bound { stroke: var(--passed); stroke-width: 1; } .zero { stroke: var(--grid); stroke-width: 1; stroke-dasharray: 3 3; }
.card, .axis.lane { container-type: inline-size; }
.from320, .from440, .from600 { display: none; }
@container (min-width: 320px) { .from320 { display: inline; } }
@container (min-width: 440px) { .from440 { display: inline; } }
@container (min-width: 600px) { .from600 { display: inline; } }
.tick, .none { fill: var(--muted); font-size: 11px; }
dl { display: grid; grid-template-columns: 1fr 1fr; gap: 4px 12px; margin: 10px 0 6px; }
dt { color: var(--muted); font-size: 12px; }
dd { margin: 0; white-space: nowrap; font-variant-numeric: tabular-nums; font-weight: 600; }
small { color: var(--muted); font-weight: 400; font-size: 11px; }
.counts { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 6px 16px;
  margin-top: 8px; } .counts table { font-size: 13px; } .counts th, .counts td { padding: 5px 6px; }
.counts tbody tr:last-child > * { border-bottom: 0; } .counts tbody th { color: var(--ink); }
.bars td:nth-child(2) { width: 60%; } .counts .badge { display: inline-block; min-width: 92px; margin: 0; }
.file { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; margin-top: 8px; }
.file { overflow-wrap: anywhere; } .file > summary .path, p.file .path { color: var(--ink); font-weight: 600; }
.findings { list-style: none; margin: 10px 0 0; padding: 0; display: grid; gap: 10px; }
.findings > li { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--tone);
  border-radius: 8px; padding: 10px 14px 4px; overflow-wrap: anywhere; }
.error { --tone: var(--error); } .warning { --tone: var(--warning); } .info { --tone: var(--info); }
.badge { color: var(--tone); font: 600 13px system-ui, sans-serif; margin-right: 10px; white-space: nowrap; }
.badge i { display: inline-block; width: 17px; height: 17px; line-height: 17px; margin-right: 5px; border-radius: 50%;
  background: var(--tone); color: var(--card); text-align: center; font-style: normal; font-size: 11px; }
.fix { background: var(--code); border-radius: 6px; padding: 8px 10px; margin: 0 0 8px; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, Menlo, Consolas, monospace; user-select: all; }
details { margin-top: 6px; } details p, details li { font-size: 13px; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 6px 0; font-size: 12px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 2px 4px; border-bottom: 1px solid var(--line); } th { font-weight: 500; }
th:first-child { text-align: left; } th { color: var(--muted); }
@media (max-width: 760px) { .overview { grid-template-columns: 1fr auto; grid-auto-flow: row dense; gap: 0 10px;
  padding: 12px; } .label, .overview .num { margin-top: 8px; } .lane { grid-column: 1 / -1; }
  .axis.label, .axis.num { display: none; } }
@media print { body { background: none; } .card, .findings > li { break-inside: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; } summary { list-style: none; } }
"""
