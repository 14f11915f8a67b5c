"""The page's style sheet.

Comes in: nothing. Goes out: CSS. Promise: no url(), no @import, no font but the reader's own.
"""

CSS = """
:root { color-scheme: light dark; --ground: #f7f7f5; --card: #fff; --ink: #1c1d20; --muted: #63656c; --line: #e0e0dc;
  --blue: #2f66c4; --pale: #b9cdee; --error: #b3261e; --warning: #8a5a00; --info: #2f66c4; --code: #f1f1ee; }
@media (prefers-color-scheme: dark) { :root { --ground: #141518; --card: #1d1f23; --ink: #e9e9ec; --muted: #a0a2aa;
  --line: #34363c; --blue: #7ea8f0; --pale: #3b5585; --error: #ff8f86; --warning: #f0b950; --info: #8ab4f8;
  --code: #282a2f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 20px clamp(12px, 3vw, 32px) 48px; }
h1 { font-size: 26px; margin: 0; }
h2, h2.path { font-size: 18px; margin: 0 0 4px; } h3.path { font-size: 14px; margin: 0; }
p { margin: 0 0 8px; } section { margin-top: 32px; }
.muted, summary { color: var(--muted); font-size: 13px; } summary { cursor: pointer; }
.path { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .92em; overflow-wrap: anywhere; }
a { color: inherit; text-decoration-color: var(--muted); text-underline-offset: 3px; }
.overview, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.group { padding-top: 10px; font-weight: 600; } .group:first-child { padding-top: 0; }
.lane { display: grid; grid-template-columns: minmax(0, 24em) 1fr 4.2em; gap: 0 16px; align-items: center; }
.label { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; display: flex; gap: 8px; font-size: 13px; }
.label a { overflow: hidden; text-overflow: ellipsis; font-family: ui-monospace, Menlo, Consolas, monospace; }
.num { text-align: right; font-variant-numeric: tabular-nums; font-size: 13px; }
.axis .num { color: var(--muted); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 14px;
  align-items: start; margin-top: 12px; }
.card:target { outline: 2px solid var(--blue); } .card > .plot { margin: 6px 0 4px; }
.plot { display: block; overflow: visible; }
.bar { fill: var(--blue); } .ground, .extent { stroke: var(--muted); stroke-width: 1; }
.extent { stroke-width: 1.5; } .bulk { stroke: var(--pale); stroke-width: 9; }
.median { stroke: var(--ink); stroke-width: 2; }
.mean { fill: var(--blue); stroke: var(--card); stroke-width: 1.5; }
.mark { stroke: var(--line); stroke-width: 1.5; stroke-dasharray: 3 3; }
.tick, .none { fill: var(--muted); font-size: 11px; }
dl { display: grid; grid-template-columns: 1fr 1fr; gap: 4px 12px; margin: 8px 0 6px; }
dt { color: var(--muted); font-size: 12px; }
dd { margin: 0; white-space: nowrap; font-variant-numeric: tabular-nums; font-weight: 600; }
small { color: var(--muted); font-weight: 400; font-size: 11px; }
.chip { float: right; border: 1px solid var(--line); border-radius: 99px; padding: 0 9px; color: var(--ink); }
.findings { list-style: none; margin: 10px 0 0; padding: 0; display: grid; gap: 10px; }
.findings > li { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--tone);
  border-radius: 8px; padding: 10px 14px 4px; overflow-wrap: anywhere; }
.error { --tone: var(--error); } .warning { --tone: var(--warning); } .info { --tone: var(--info); }
.badge { color: var(--tone); font-weight: 600; font-size: 13px; margin-right: 10px; white-space: nowrap; }
.badge i { display: inline-block; width: 17px; height: 17px; line-height: 17px; margin-right: 5px; border-radius: 50%;
  background: var(--tone); color: var(--card); text-align: center; font-style: normal; font-size: 11px; }
.label .badge { margin: 0; }
.fix { background: var(--code); border-radius: 6px; padding: 8px 10px; margin: 0 0 8px; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, Menlo, Consolas, monospace; user-select: all; }
details { margin-top: 6px; } details p, details li { font-size: 13px; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 6px 0; font-size: 12px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 2px 4px; border-bottom: 1px solid var(--line); } th { font-weight: 500; }
th:first-child { text-align: left; } th { color: var(--muted); }
@media (max-width: 700px) { .lane { grid-template-columns: 1fr 4.2em; }
  .label { grid-column: 1 / -1; margin-top: 6px; } }
@media print { body { background: none; } .card, .findings > li { break-inside: avoid; } }
"""
