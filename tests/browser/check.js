// What axe would say of one of our pages, and what it would not: each problem is a sentence. Run in the page by
// tests/browser/test_pages.py; `return` gives the list.
const problems = [];
const say = (what, element) => problems.push(`${what}: <${element.tagName.toLowerCase()} class="${
  element.getAttribute("class") || ""}"> ${(element.textContent || "").trim().slice(0, 60)}`);
const seen = e => { const b = e.getBoundingClientRect(); return b.width > 0 && b.height > 0 &&
  e.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true }); };

// ---- WCAG 2.2, 1.4.3 and 1.4.11: contrast

const channels = text => { const m = /rgba?\(([^)]+)\)/.exec(text); if (!m) return null;
  const [r, g, b, a = "1"] = m[1].split(/[\s,/]+/); return [+r, +g, +b, +a]; };
const over = (top, below) => { const a = top[3]; return [0, 1, 2].map(k => a * top[k] + (1 - a) * below[k]).concat(1); };
const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255).map(v =>
  v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
const ground = e => { const layers = [];
  for (let at = e; at; at = at.parentElement) { const c = channels(getComputedStyle(at).backgroundColor);
    if (c && c[3] > 0) layers.push(c); }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]); };

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const holders = new Set();
while (texts.nextNode()) if (texts.currentNode.data.trim()) holders.add(texts.currentNode.parentElement);
for (const e of holders) {
  if (!seen(e) || e.tagName === "TITLE" || e.tagName === "STYLE") continue;
  const style = getComputedStyle(e), inside = e instanceof SVGElement;
  const ink = channels(inside ? style.fill : style.color);
  if (ink && contrast(over(ink, ground(e)), ground(e)) < 4.5) say("text below 4.5 to 1", e);
}
for (const e of document.querySelectorAll("svg.plot :is(line, circle, polyline, polygon, rect:not(.allowed))")) {
  const style = getComputedStyle(e), below = ground(e);
  const inks = [style.fill, style.stroke].map(channels).filter(c => c && c[3] > 0);
  if (inks.length && !inks.some(ink => contrast(over(ink, below), below) >= 3)) say("mark below 3 to 1", e);
}

// ---- nothing wider than the window, nothing clipped, no two labels on one another

if (document.documentElement.scrollWidth > innerWidth) say(
  `the page is ${document.documentElement.scrollWidth} wide in a window of ${innerWidth}`, document.documentElement);
for (const e of document.querySelectorAll("body *")) {
  if (e instanceof SVGElement || !seen(e)) continue;
  const style = getComputedStyle(e);
  const clips = [style.overflowX, style.overflowY].some(o => o === "hidden" || o === "clip");
  if (style.textOverflow === "ellipsis") say("text is cut by an ellipsis", e);
  if (clips && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)) say("its content is clipped", e);
  const box = e.getBoundingClientRect();
  if (box.left < -1 || box.right > innerWidth + 1) say("it reaches beyond the window", e);
}
for (const svg of document.querySelectorAll("svg.plot")) {
  if (!seen(svg)) continue;
  const boxes = [...svg.querySelectorAll("text:not(.beyond)")].filter(seen).map(e => [e, e.getBoundingClientRect()]);
  for (const [e, b] of boxes) if (b.left < 0 || b.right > innerWidth) say("a label reaches beyond the window", e);
  boxes.forEach(([e, a], k) => boxes.slice(k + 1).forEach(([other, b]) => {
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 2 && down > 4) say(`a label lies on "${other.textContent}"`, e);
    else if (across > -2 && down > 6) say(`a label touches "${other.textContent}"`, e);
  }));
}

// ---- structure

if (!document.documentElement.lang) say("no language", document.documentElement);
if (!document.title) say("no title", document.documentElement);
if (document.querySelectorAll("h1").length !== 1) say("not one h1", document.body);
let level = 0;
for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
  const now = +h.tagName[1];
  if (now > level + 1) say(`h${now} follows h${level}`, h);
  level = now;
}
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
for (const e of document.querySelectorAll("[id]")) if (ids.filter(id => id === e.id).length > 1) say("its id is there twice", e);
for (const e of document.querySelectorAll("svg")) if (!e.getAttribute("aria-label") && e.getAttribute("aria-hidden") !== "true")
  say("a picture without words", e);
for (const e of document.querySelectorAll("th")) if (!e.scope) say("a heading of a table without scope", e);
for (const e of document.querySelectorAll("[aria-label]")) if (!e.getAttribute("role")) say("a label without a role", e);
for (const e of document.querySelectorAll("ul, ol")) for (const c of e.children) if (c.tagName !== "LI") say("no li in a list", c);

return problems;
