"""Results as a person meets them: printed, as the last line of a cell, in a list, in a loop."""

import copy
import pickle
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from command import CLEAN, DOUBLED, MODEL, TRUNCATED
from torch import nn

import lstm_audit
from lstm_audit.fixing import replacements_of
from lstm_audit.reports import REPORTS, Look
from lstm_audit.reports.html.notebook import scope
from lstm_audit.reports.html.style import CSS


def many(count: int = 64, hidden: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({f"l{k}": nn.LSTM(4, hidden) for k in range(count)})


# ---- print


def test_a_small_audit_prints_as_the_table() -> None:
    audit = lstm_audit.audit(MODEL)
    assert str(audit) == REPORTS["table"](audit, Look()).rstrip("\n")


@pytest.mark.parametrize("count", [1, 24, 25, 64, 500])
def test_print_takes_a_page_at_most(count: int) -> None:
    audit = lstm_audit.audit(many(count))
    lines = str(audit).splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 80 for line in lines)
    named = [k for k in range(count) if any(line.startswith(f"l{k}:l0 ") for line in lines)]
    said = re.search(r"(\d+) more LSTMs", str(audit))
    assert len(named) + (int(said[1]) if said else 0) == count
    assert named[-1] == count - 1
    assert f"{count} LSTM" in lines[-1]


def test_print_takes_a_page_at_most_whatever_is_found(tmp_path: Any) -> None:
    """Many files, many findings, many errors."""
    for k in range(30):
        lstm = nn.LSTM(3, 4 + k, num_layers=2)
        with torch.no_grad():
            for half in ("ih", "hh"):
                lstm.get_parameter(f"bias_{half}_l0")[4 + k : 8 + 2 * k] = 1.0 + k / 10
        torch.save(lstm.state_dict(), tmp_path / f"m{k}.pt")
        (tmp_path / f"broken{k}.pt").write_bytes(TRUNCATED.read_bytes()[: 200 + k])
    for target in (tmp_path, sorted(tmp_path.glob("m*.pt"))[:4], sorted(tmp_path.glob("b*.pt"))):
        audit = lstm_audit.audit(target)
        assert len(str(audit).splitlines()) <= 40
        assert len(audit.to().splitlines()) >= len(str(audit).splitlines())


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    audit = lstm_audit.audit(many(3))
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, str(audit).splitlines())) <= 50


def test_the_fix_of_a_live_model_is_a_call_and_mends_it() -> None:
    """`lstm-audit patch '<LSTM>'` would be no command."""
    model = nn.ModuleDict({"a": nn.LSTM(3, 4), "b": nn.LSTM(3, 4)})
    for name, parameter in model["a"].named_parameters():
        if "bias" in name:
            parameter.data.zero_()
            parameter.data[4:8].fill_(1.0)
    audit = lstm_audit.audit(model)
    assert "LA101" in {finding.code for finding in audit.findings}
    for name in ("table", "markdown", "html", "junit"):
        text = audit.to(name)
        assert "lstm-audit patch" not in text, name
        assert "lstm_audit.patch(model, forget_bias=1.0" in text, name
    for line in audit.to(width=200).splitlines():
        if "lstm_audit.patch(" in line:
            exec(line.split("fix: ")[1], {"lstm_audit": lstm_audit, "model": model})
    assert "LA101" not in {finding.code for finding in lstm_audit.audit(model).findings}


# ---- repr


def test_reprs_are_short_and_say_what_it_is() -> None:
    audit = lstm_audit.audit(many(), units=True)
    assert repr(audit) == "<Audit: files 1, LSTMs 64, findings 64>"
    row = audit[0]
    assert re.fullmatch(
        r"<Row 'l0:l0': forget bias [-\d.]+, activation 0\.\d+, pytorch-default>", repr(row)
    )
    checked = lstm_audit.check(many())
    every = [
        row, row.lstm, row.measures, row.measures.activation, row.units, row.init, audit.files[0],
        audit.findings[0], checked.policy, checked.outcome, lstm_audit.probe(many(1))[0],
    ]  # fmt: skip
    for one in every:
        assert len(repr(one)) <= 260, one
        assert "\n" not in repr(one)


def test_no_repr_obeys_a_name() -> None:
    """Names are a file's: an escape sequence in one is spelled out, and a long one is cut."""
    for name in ("a\x1b[31mb", "a\u202eb", "x" * 3000):
        state = {f"{name}.{key}": value for key, value in nn.LSTM(3, 4).state_dict().items()}
        audit = lstm_audit.audit(state)
        for one in (audit, audit[0], audit[0].lstm, audit.findings[0]):
            assert repr(one).isprintable()
            assert len(repr(one)) < 300
        assert str(audit).replace("\n", "").isprintable()


# ---- a sequence of rows


def test_an_audit_is_a_sequence_of_its_lstms() -> None:
    audit = lstm_audit.audit(many(5))
    assert len(audit) == 5
    assert [*audit] == [*audit.rows]
    assert audit[-1] is audit.rows[-1] or audit[-1] == audit.rows[-1]
    assert audit["l3:l0"].lstm.module == "l3"
    assert audit["l3"].lstm.module == "l3"
    assert audit[1:3] == audit.rows[1:3]
    assert audit[::-1][0] == audit[-1]
    assert audit[2] in audit
    assert audit
    assert not isinstance(audit, tuple)
    with pytest.raises(KeyError, match="'l9' means 0 LSTMs; there are l0:l0"):
        audit["l9"]


def test_an_audit_without_an_lstm_is_false() -> None:
    assert not lstm_audit.audit(nn.Linear(2, 2))
    assert not lstm_audit.audit(TRUNCATED)
    assert len(lstm_audit.audit(TRUNCATED)) == 0
    assert "truncated.pt" in str(lstm_audit.audit(TRUNCATED))


def test_an_audit_stays_a_fact() -> None:
    audit = lstm_audit.audit(CLEAN)
    again = pickle.loads(pickle.dumps(audit))
    assert again == audit
    assert copy.deepcopy(audit) == audit
    assert audit != lstm_audit.audit(MODEL)
    assert audit._replace(ignored=7).ignored == 7
    with pytest.raises(AttributeError, match="not changed"):
        audit.files = ()
    with pytest.raises(TypeError):
        audit._replace(fils=())


# ---- reports


@pytest.mark.parametrize("name", [*REPORTS])
def test_every_report_is_there(name: str) -> None:
    audit = lstm_audit.audit(DOUBLED)
    edits = replacements_of(audit)  # what sarif carries; others leave it alone
    assert audit.to(name) == REPORTS[name](audit, Look(edits=edits))


def test_a_report_that_there_is_not_is_named() -> None:
    audit = lstm_audit.audit(MODEL)
    with pytest.raises(lstm_audit.BadPolicy, match="did you mean 'html'"):
        audit.to("htlm")
    assert len(audit.to(width=60, statistics=True)) < len(audit.to())


# ---- the picture


class Tags(HTMLParser):
    """Every tag, and whether they nest."""

    VOID = frozenset({"meta", "br", "line", "circle", "rect", "polyline", "polygon", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "li"):  # p may be closed by what follows
            while self.open and self.open[-1] == "p" and tag == "li":
                self.open.pop()
        assert self.open.pop() == tag


def test_a_notebook_shows_a_picture_that_leaves_the_notebook_alone() -> None:
    text = lstm_audit.audit(many(), units=True)._repr_html_()
    tags = Tags(text)
    assert not tags.open
    assert "svg" in tags.seen
    assert not {"html", "head", "body", "main", "script", "link", "iframe"} & {*tags.seen}
    assert len(text) < 120_000
    assert " id=" not in text


def test_every_rule_of_the_style_sheet_stays_within_its_cell() -> None:
    css = scope(CSS)
    heads = [head.strip() for head in re.findall(r"([^{}]+)\{(?=[^{}]*\})", css)]
    assert len(heads) > 50
    for head in heads:
        for selector in head.split(","):
            assert selector.strip().startswith(".lstm-audit"), selector
    assert css.count("{") == CSS.count("{")


# ---- data frames


def test_without_pandas_the_line_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(lstm_audit.MissingPackage, match="pip install pandas") as caught:
        lstm_audit.audit(MODEL).to_dataframe()
    assert isinstance(caught.value, ImportError)


def test_data_frames() -> None:
    """pandas is of the references."""
    pandas = pytest.importorskip("pandas")
    torch.manual_seed(0)
    lstm = nn.LSTM(4, 6, num_layers=2, bidirectional=True)
    audit = lstm_audit.audit(lstm, units=True)
    frame = audit.to_dataframe()
    assert list(frame.address) == [row.lstm.address for row in audit]
    assert list(frame.activation_mean) == [row.measures.activation.mean for row in audit]
    assert list(frame.init) == ["pytorch-default"] * 4
    units = audit.to_dataframe("units")
    assert len(units) == 4 * 6
    expected = torch.sigmoid((lstm.bias_ih_l1 + lstm.bias_hh_l1)[6:12].double())
    mine = units[units.address == ":l1"]
    assert list(mine.unit) == list(range(6))
    assert mine.activation.to_numpy() == pytest.approx(expected.detach().numpy(), abs=1e-6)
    assert list(mine.columns[-6:]) == [
        "bias_i",
        "bias_f",
        "bias_g",
        "bias_o",
        "activation",
        "time_scale",
    ]
    found = audit.to_dataframe("findings")
    assert set(found.code) == {"LA108"}
    assert isinstance(frame, pandas.DataFrame)
    with pytest.raises(lstm_audit.BadPolicy, match="did you mean 'units'"):
        audit.to_dataframe("unit")
    with pytest.raises(lstm_audit.BadPolicy, match="units=True"):
        lstm_audit.audit(lstm).to_dataframe("units")


def test_data_frames_of_nothing_have_their_columns() -> None:
    pytest.importorskip("pandas")
    empty = lstm_audit.audit(TRUNCATED)
    full = lstm_audit.audit(MODEL, units=True)
    for of in ("lstms", "units", "findings"):
        assert list(empty.to_dataframe(of).columns) == list(full.to_dataframe(of).columns)
        assert len(empty.to_dataframe(of)) == 0
