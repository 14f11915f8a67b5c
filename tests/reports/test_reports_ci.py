"""The reports that other programs show (sarif, junit, github, html), and findings in the reports
for people.

`LSTM_AUDIT_UPDATE_SNAPSHOTS=1 pytest tests/reports/test_reports_ci.py` writes the snapshots anew; read
their diff. SARIF is checked against `data/sarif-2.1.0-subset.json`, which was written from the text
of the standard.
"""

import base64
import json
import math
import os
import re
import shlex
import subprocess
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no stubs
import pytest
from fixes import fix
from hypothesis import example, given, settings
from hypothesis import strategies as st
from report_cases import CASES as PLAIN
from report_cases import (
    ERRORS,
    KERAS,
    ROOT,
    SEQ2SEQ,
    SNAPSHOTS,
    audits,
    hostile,
    lstm,
    measured,
    spread,
    width_of,
)

from lstm_audit.facts import SEVERITIES, Audit, FileAudit, FileError, Finding, Fix, Row
from lstm_audit.lstm.forensics.fingerprint import Init
from lstm_audit.lstm.layer import Identity, Term
from lstm_audit.raw.dtypes import DTYPES
from lstm_audit.raw.source import BytesSource, FileSource, Source
from lstm_audit.raw.span import Span
from lstm_audit.raw.tensor import Block, contiguous
from lstm_audit.reports import REPORTS, Look, Replacement
from lstm_audit.reports import sarif as sarif_module
from lstm_audit.reports.listings import tally
from lstm_audit.reports.remedies import commands, quote_word, shell
from lstm_audit.reports.words import relative
from lstm_audit.rules import Hit, Rule
from lstm_audit.targets import target
from lstm_audit.version import __version__


def replace(fact: Any, **changes: Any) -> Any:
    """A named tuple with some fields changed."""
    return fact._replace(**changes)


PATH = SEQ2SEQ.path
SCHEMA = json.loads((ROOT / "tests" / "data" / "sarif-2.1.0-subset.json").read_text())


def finding(
    code: str, severity: str, module: str | None, layer: int | None = None, **more: Any
) -> Finding:
    given = {
        "direction": None if layer is None else "forward",
        "path": PATH,
        "name": "a-rule",
        "convention": None if layer is None else "torch",
        **more,
    }
    return Finding(code=code, severity=severity, module=module, layer=layer, **given)


DOUBLED = (
    "both halves of the forget bias hold 1 and add up to 2: keep 1 in bias_ih and write 0 into "
    "bias_hh"
)
LEFT = Init(
    "pytorch-default",
    None,
    "fresh",
    "certain",
    "the values lie on the generator's lattice (812 bits)",
)
TWICE = Init("doubled(1)", 1.0, "fresh", "certain", "both halves hold 1 in every unit")
CHRONO = Init("chrono", 784.0, "trained", "high", "b_f fits ln U(1, 783)")
ENCODER = "model.encoder.lstm"
ROWS = (
    replace(measured(lstm(ENCODER), [2.0] * 64), init=TWICE),
    replace(measured(lstm(ENCODER, 0, "reverse"), [2.0] * 64), init=TWICE),
    replace(measured(lstm(ENCODER, 1), spread(0.0, 0.17)), init=LEFT),
    replace(measured(lstm("model.decoder"), [math.log(k) for k in range(1, 784, 12)]), init=CHRONO),
    measured(lstm("model.head"), spread(1.0, 4.0)),
)
FINDINGS = (
    finding("LA108", "info", ENCODER, 1, message="every gate is as PyTorch drew it: f = 0.50"),
    finding(
        "LA101", "error", ENCODER, 0, message=DOUBLED, name="doubled-forget-bias", measured=2.0, expected=1.0,
        fix=fix("forget-bias", 1.0, f"{ENCODER}:l0"),
    ),
    finding(
        "LA101", "error", ENCODER, 0, message=DOUBLED, name="doubled-forget-bias", measured=2.0, expected=1.0,
        direction="reverse", fix=fix("forget-bias", 1.0, f"{ENCODER}:l0:reverse"),
    ),
    finding(
        "LA302", "warning", "model.decoder", 0, message="12 % of the units have f > 0.9999", measured=math.inf,
        fix=fix("init", "chrono:784", "model.decoder:l0", safe=False),
    ),
    finding("LA103", "error", ENCODER, message="l0 was set and l1 was left at the default", expected="1 in all"),
    finding("LA903", "info", None, message="the suffix says safetensors, the content is a torch zip"),
)  # fmt: skip
FILE = replace(SEQ2SEQ, rows=ROWS, findings=FINDINGS)
FOUND = Audit((FILE, KERAS), ERRORS, ignored=12)
EDITS = {
    FINDINGS[1].fingerprint: (
        Replacement(640, b"\0\0\x80?", b"\0\0\0\0"),
        Replacement(90, b"abcd", b"efgh", "runs/other half.bin"),
    )
}
CASES = {
    "found-40.txt": ("table", Look(width=40)),
    "found-80.txt": ("table", Look()),
    "found-120.txt": ("table", Look(width=120, color=True)),
    "found-ascii.txt": ("table", Look(ascii=True)),
    "found-quiet.txt": ("table", Look(quiet=True)),
    "found.md": ("markdown", Look()),
    "found.csv": ("csv", Look()),
    "found.sarif": ("sarif", Look(edits=EDITS)),
    "found.xml": ("junit", Look()),
    "found.github": ("github", Look()),
    "found.gitlab": ("gitlab", Look()),
    "found.html": ("html", Look()),
}


def doubled(case: object) -> Iterator[Hit]:
    """Both halves were set.

    What it sees: bias_ih and bias_hh alike.

    Fix:
        lstm-audit patch FILE --forget-bias 1
    """
    yield Hit("both halves")


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule, so that a snapshot does not change with every manual."""
    rules = {"LA101": Rule("LA101", "doubled-forget-bias", "error", "lstm", doubled)}
    monkeypatch.setattr(sarif_module, "RULES", rules)


@pytest.mark.usefixtures("catalogue")
@pytest.mark.parametrize("name", CASES)
def test_snapshot(name: str) -> None:
    report, look = CASES[name]
    text = REPORTS[report](FOUND, look)
    assert text == REPORTS[report](FOUND, look)
    text = text.replace(f'"version": "{__version__}"', '"version": "0"')
    if os.environ.get("LSTM_AUDIT_UPDATE_SNAPSHOTS"):
        (SNAPSHOTS / name).write_text(text, encoding="utf-8", newline="")
    assert text == (SNAPSHOTS / name).read_bytes().decode("utf-8")


def test_every_report_has_a_snapshot() -> None:
    assert set(REPORTS) == {report for report, *_ in (*CASES.values(), *PLAIN.values())}


# ---- whatever the names

words = st.text(
    st.one_of(
        st.characters(), st.sampled_from(list("%:,\r\n\t\0\x1b\ufffe\ud800\udc80\"'&<>](`$\\ "))
    )
)


@st.composite
def troubled(draw: st.DrawFn) -> Audit:
    """An audit with hostile names, and findings on its LSTMs, modules and files."""
    audit = draw(audits())
    files = []
    for file in audit.files:
        found = []
        for row in (*file.rows, None):
            module, layer, way = (
                (row.lstm.module, row.lstm.layer, row.lstm.direction) if row else (None, None, None)
            )
            lstms = words.map(lambda word: (Identity(word, 0, "forward", "torch"),))
            mended = st.builds(Fix, st.just(target("shift", 1)), lstms, st.booleans())
            remedy = draw(st.none() | mended)
            for _ in range(draw(st.integers(0, 2))):
                code, severity = (
                    draw(st.sampled_from(["LA101", "LA999"])),
                    draw(st.sampled_from(SEVERITIES)),
                )
                said = draw(words), 1.0, draw(words), remedy
                found.append(
                    Finding(
                        code,
                        "a-rule",
                        severity,
                        file.path,
                        module,
                        layer,
                        way,
                        *said,
                        convention=row.lstm.convention if row else None,
                    )
                )
        files.append(replace(file, findings=tuple(found)))
    return replace(audit, files=tuple(files))


def is_word_of_command(line: str) -> bool:
    """One word, which a shell would take for two if it were cut."""
    word = line.strip().removesuffix(" \\")
    quoted = word.startswith(("'", "$'")) and word.endswith("'")
    return line.startswith(" ") and (quoted or " " not in word)


@settings(max_examples=40, deadline=None)
@given(troubled(), st.sampled_from([40, 80, 140]), st.booleans())
def test_no_line_of_the_table_is_wider_than_the_terminal(
    audit: Audit, width: int, ascii: bool
) -> None:
    text = REPORTS["table"](audit, Look(width=width, ascii=ascii))
    wide = [line for line in text.split("\n") if width_of(line) > width]
    assert all(map(is_word_of_command, wide)), wide
    assert all(c.isprintable() or c == "\n" for c in text)
    assert text.isascii() or not ascii


@settings(max_examples=30, deadline=None)
@given(troubled())
def test_markdown_keeps_its_cells(audit: Audit) -> None:
    text = REPORTS["markdown"](audit, Look())
    assert all(c.isprintable() or c == "\n" for c in text)
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


@settings(max_examples=40, deadline=None)
@given(troubled(), st.integers(0, 3))
def test_sarif_is_valid_and_what_github_wants(audit: Audit, edits: int) -> None:
    replacements = [Replacement(k, b"old", bytes([k] * 3)) for k in range(edits)]
    look = Look(edits={f.fingerprint: replacements for f in audit.findings})
    log = json.loads(REPORTS["sarif"](audit, look))
    jsonschema.validate(log, SCHEMA)
    run = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert "security-severity" not in json.dumps(rules)
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert 0 < len(rule["fullDescription"]["text"]) <= 1024
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
    assert len(run["results"]) == len(audit.findings)
    hashes = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
    assert len(set(hashes)) == len(hashes)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert "](" not in result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert {"startLine", "startColumn", "endLine", "endColumn"} <= set(place["region"])
        assert re.fullmatch(r"(file://)?[A-Za-z0-9_.~/%-]+", place["artifactLocation"]["uri"])
        assert len(result.get("fixes", [])) == min(edits, 1)
    ranks = [["error", "warning", "note"].index(result["level"]) for result in run["results"]]
    assert ranks == sorted(ranks)
    assert run["invocations"][0]["executionSuccessful"] is not bool(audit.errors)
    assert all(not isinstance(value, float) or math.isfinite(value) for value in leaves(log))


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


@settings(max_examples=40, deadline=None)
@given(troubled())
def test_junit_parses_and_counts(audit: Audit) -> None:
    root = ET.fromstring(REPORTS["junit"](audit, Look()))
    suites = root.findall("testsuite")
    assert len(suites) == len(audit.files) + len(audit.errors)
    for node in (root, *suites):
        cases = list(node.iter("testcase"))
        assert int(node.attrib["tests"]) == len(cases)
        for attribute, tag in {
            "failures": "failure",
            "errors": "error",
            "skipped": "skipped",
        }.items():
            assert int(node.attrib[attribute]) == sum(case.find(tag) is not None for case in cases)
    for file, suite in zip(audit.files, suites, strict=False):
        assert len(suite.findall("testcase")) == len(file.rows) + 1 + len(file.skipped)
        told = "\n".join(
            text
            for tag in ("failure", "system-out")
            for n in suite.iter(tag)
            for text in n.itertext()
        )
        assert len(re.findall(r"^(?:error|warning|info) LA", told, re.MULTILINE)) == len(
            file.findings
        )
        failed = any(f.severity == "error" for f in file.findings)
        assert (suite.attrib["failures"] != "0") is failed


@settings(max_examples=60, deadline=None)
@given(troubled())
def test_annotations_are_ten_lines_at_most(audit: Audit) -> None:
    text = REPORTS["github"](audit, Look())
    lines = text.split("\n")[:-1]
    assert len(lines) <= 10
    assert bool(lines) is bool(audit.findings or audit.errors)
    for line in lines:
        level, _, rest = line.removeprefix("::").partition(" ")
        assert level in ("error", "warning", "notice")
        properties = rest.partition("::")[0]
        assert all(part.partition("=")[0] in ("title", "file") for part in properties.split(","))
        assert all(c.isprintable() for c in line)
        assert not re.search("%(?!25|0A|0D|3A|2C)", line)


class Page(HTMLParser):
    """Notes what a page loads and whether its tags close."""

    VOID = frozenset({"meta", "br", "line", "circle", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            assert name != "style"
            if name in ("href", "src", "xlink:href", "srcset", "action", "data"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open
    return page


@settings(max_examples=30, deadline=None)
@given(troubled())
def test_html_loads_and_runs_nothing(audit: Audit) -> None:
    text = REPORTS["html"](audit, Look())
    page = parsed(text)
    assert page.tags.isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    )
    assert len(page.ids) == len(set(page.ids)) == len(audit.rows)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert "url(" not in text.partition("</style>")[0]
    assert "@import" not in text.partition("</style>")[0]
    assert all(c.isprintable() or c == "\n" for c in text)


# ---- the parts


def test_html_has_no_address_of_another_machine() -> None:
    text = REPORTS["html"](FOUND, Look())
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert "//" not in text
    assert parsed(text).tags >= {"svg", "line", "circle", "table"}


def test_html_stays_small() -> None:
    rows = (measured(lstm("m"), [1.0]),) * 1200
    text = REPORTS["html"](Audit((FileAudit("f.pt", "pickle", 1, rows, ()),) * 2), Look())
    assert text.count("<article") == 1
    assert "×2400" in text
    assert "1900 more LSTMs not drawn" in text
    other = tuple(measured(lstm("m", k), [k / 100]) for k in range(300))
    text = REPORTS["html"](Audit((FileAudit("f.pt", "pickle", 1, other, ()),)), Look())
    assert text.count("<article") == 60
    assert "240 more kinds of LSTM not drawn" in text
    assert len(text) < 1_000_000


def stored(source: Source) -> Row:
    """An LSTM of 4 units whose single bias lies at byte 100 of a source."""
    tensor = contiguous(DTYPES["float32"], (16,), Span(source, 100, 64))
    term = (Term("b", "lstm.bias", Block(tensor, 0, 4, 8)),)
    return measured(lstm("lstm")._replace(gates=dict.fromkeys("ifgo", term)), [1.0] * 4)


def test_sarif_says_where_the_bias_lies(tmp_path: Any) -> None:
    path = str(tmp_path / "a b.pt")
    (tmp_path / "a b.pt").write_bytes(bytes(200))
    mine = finding("LA101", "error", "lstm", 0, path=path, message="m")
    with FileSource(path) as source:
        file = FileAudit(path, "pickle", 200, (stored(source),), (), (mine,))
    region, uri = located(REPORTS["sarif"](Audit((file,)), Look(root=str(tmp_path))))
    assert (region["byteOffset"], region["byteLength"]) == (116, 16)
    assert uri == "a%20b.pt"
    elsewhere = replace(file, path="index.json", findings=(replace(mine, path="index.json"),))
    assert "byteOffset" not in located(REPORTS["sarif"](Audit((elsewhere,)), Look()))[0]
    region, uri = located(REPORTS["sarif"](Audit((file,)), Look(root=str(tmp_path / "deeper"))))
    assert urllib.parse.unquote(uri) == f"file://{path}"
    computed = replace(file, rows=(stored(BytesSource(bytes(200), path)),))
    assert "byteOffset" not in located(REPORTS["sarif"](Audit((computed,)), Look()))[0]


def located(text: str) -> tuple[dict[str, int], str]:
    log = json.loads(text)
    jsonschema.validate(log, SCHEMA)
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    return place["region"], place["artifactLocation"]["uri"]


def test_sarif_hash_does_not_depend_on_the_checkout() -> None:
    found = [
        replace(FINDINGS[1], path=f"{root}/runs/m.pt") for root in ("/a/repo", "/b/elsewhere/repo")
    ]
    texts = []
    for root, one in zip(("/a/repo", "/b/elsewhere/repo"), found, strict=True):
        file = FileAudit(one.path, "pickle", 1, (), (), (one,))
        texts.append(REPORTS["sarif"](Audit((file,)), Look(root=root)))
    assert texts[0] == texts[1]


def test_sarif_fixes_are_bytes() -> None:
    log = json.loads(REPORTS["sarif"](FOUND, Look(edits=EDITS)))
    fixed = [result for result in log["runs"][0]["results"] if "fixes" in result]
    assert len(fixed) == 1
    changes = {
        c["artifactLocation"]["uri"]: c["replacements"]
        for c in fixed[0]["fixes"][0]["artifactChanges"]
    }
    assert set(changes) == {PATH, "runs/other%20half.bin"}
    replacement = changes[PATH][0]
    assert replacement["deletedRegion"] == {"byteOffset": 640, "byteLength": 4}
    assert base64.b64decode(replacement["insertedContent"]["binary"]) == bytes(4)


def test_sarif_is_bounded() -> None:
    mild = tuple(finding("LA108", "info", "m", 0, message=str(k)) for k in range(5003))
    file = FileAudit(PATH, "pickle", 1, (), (), (*mild, FINDINGS[1]))
    errors = tuple(FileError(f"{k}.pt", "io", "cannot open") for k in range(1005))
    edits = {FINDINGS[1].fingerprint: [Replacement(0, b"", bytes((1 << 21) + 1))]}
    run = json.loads(REPORTS["sarif"](Audit((file,), errors), Look(edits=edits)))["runs"][0]
    assert len(run["results"]) == 5000
    assert run["results"][0]["ruleId"] == "LA101"
    assert "fixes" not in run["results"][0]
    told = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert len(told) == 1002
    assert told[-2] == "4 more findings are not listed; GitHub keeps 5000"
    assert told[-1] == "5 more inputs or modules were not judged"


@pytest.mark.parametrize(
    ("fail_on", "failed"),
    [("error", {"LA101", "LA103"}), ("warning", {"LA101", "LA103", "LA302"}), ("never", set())],
)
def test_junit_fails_where_the_run_fails(fail_on: str, failed: set[str]) -> None:
    root = ET.fromstring(REPORTS["junit"](FOUND, Look(fail_on=fail_on)))
    assert {node.attrib["type"] for node in root.iter("failure")} == failed
    passed = root.find(".//testcase[@name='model.head:l0']")
    assert passed is not None
    properties = {
        node.attrib["name"]: float(node.attrib["value"]) for node in passed.iter("property")
    }
    assert properties == {
        "f_mean": ROWS[4].measures.activation.mean,
        "tau_p50": ROWS[4].measures.time_scale.p50,
    }
    errors = root.findall(".//error")
    assert [node.attrib["type"] for node in errors] == ["truncated", "lfs-pointer", "lfs-pointer"]


def test_annotations_end_with_the_rest() -> None:
    many = tuple(
        finding(f"LA{k}", SEVERITIES[k % 3], "m", 0, message="100% sure\n") for k in range(100, 130)
    )
    lines = REPORTS["github"](
        Audit((FileAudit("a,b:c.pt", "pickle", 1, (), (), many),)), Look()
    ).splitlines()
    assert len(lines) == 10
    assert all(line.startswith("::error title=lstm-audit (LA1") for line in lines[:9])
    assert lines[9].startswith("::error title=lstm-audit::21 more: 1 error, 10 warnings, 10 info.")
    assert "100%25 sure" in lines[0]
    file = FileAudit(
        "f.pt",
        "pickle",
        1,
        (),
        (),
        (finding("LA1", "info", "m", 0, path="a,b:c%.pt", message="m"),),
    )
    assert "file=a%2Cb%3Ac%25.pt::" in REPORTS["github"](Audit((file,)), Look())


def test_annotations_speak_once_for_a_file_and_rule() -> None:
    many = tuple(replace(FINDINGS[1], layer=k) for k in range(5))
    lines = REPORTS["github"](
        Audit((FileAudit(PATH, "pickle", 1, (), (), many),)), Look()
    ).splitlines()
    assert len(lines) == 1
    assert " and 2 more: " in lines[0]


@settings(max_examples=25, deadline=None)
@given(
    hostile.map(lambda name: os.fsdecode(name.encode("utf-8", "replace").replace(b"\0", b"\x80")))
)
@example("a\udc80\x1b'\\\n中")
def test_a_shell_reads_back_what_was_quoted(word: str) -> None:
    for ascii in (False, True):
        line = f"printf %s {quote_word(word, ascii)}"
        assert line.isprintable()
        assert line.isascii() or not ascii
        done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
        assert done.stdout == os.fsencode(word)


def test_one_command_mends_what_differs_only_in_layers() -> None:
    fixes = [
        fix("forget-bias", 1.0, "b:l0", safe=False),
        fix("forget-bias", 1.0, "a:l0"),
        None,
        fix("forget-bias", 1.0, "c d:l0", "a:l0"),
        fix("shift", 1.0, "a:l0"),
    ]
    found = [(shell(words), safe) for words, safe in commands("-x.pt", fixes)]
    assert found == [
        ("lstm-audit patch ./-x.pt --forget-bias 1 --layers a:l0 --layers 'c d:l0'", True),
        ("lstm-audit patch ./-x.pt --shift 1 --layers a:l0", True),
        ("lstm-audit patch ./-x.pt --forget-bias 1 --layers b:l0", False),
    ]


def test_a_fix_of_the_table_can_be_pasted() -> None:
    names = [f"encoder.block {k}.lstm:l0" for k in range(9)]
    found = tuple(
        finding(
            "LA101",
            "error",
            name,
            message="m",
            fix=fix("forget-bias", 1.0, name),
        )
        for name in names
    )
    text = REPORTS["table"](Audit((FileAudit(PATH, "pickle", 1, (), (), found),)), Look())
    command = text[text.index("lstm-audit patch") :].partition("\n\n")[0]
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True
    )
    expected = [
        "lstm-audit",
        "patch",
        PATH,
        "--forget-bias",
        "1",
        *(w for n in names for w in ("--layers", n)),
    ]
    assert done.stdout.splitlines() == expected == shlex.split(command.replace("\\\n", ""))


def test_the_heading_comes_back_once_a_screen() -> None:
    files = tuple(FileAudit(f"{k}.pt", "pickle", 1, (ROWS[0],), ()) for k in range(25))
    text = REPORTS["table"](Audit(files), Look())
    assert text.count("activation") == 3
    assert text.count(".pt  pickle") == 25


def test_findings_are_counted() -> None:
    assert tally(FINDINGS) == ["3 errors", "1 warning", "2 info"]
    assert "11 LSTMs · 3 errors · 1 warning · 2 info · 8 skipped" in REPORTS["table"](
        FOUND, Look(width=200)
    )


@pytest.mark.parametrize(
    ("path", "root", "shown"),
    [("a/b.pt", "", "a/b.pt"), ("/r/a.pt", "/r", "a.pt"), ("/r/../x.pt", "/r", None), ("/rr/a", "/r", None),
     ("/r/..a", "/r", "..a")],
)  # fmt: skip
def test_relative(path: str, root: str, shown: str | None) -> None:
    assert relative(path, root) == shown


def test_sarif_messages_hold_no_links() -> None:
    """SARIF 3.11.6: `[text](target)` would be one."""
    found = (finding("LA101", "error", "[evil](0)", 0, message="see [this](http://a.b)"),)
    error = FileError("a.pt", "io", "[x](1)")
    log = json.loads(
        REPORTS["sarif"](Audit((FileAudit(PATH, "pickle", 1, (), (), found),), (error,)), Look())
    )
    assert [text for text in leaves(log["runs"][0]["results"]) if "](" in str(text)] == [
        "[evil](0):l0"
    ] * 2
    assert "](" not in json.dumps(log["runs"][0]["invocations"])
