"""Sources that would run away, break out or crash: a bounded number of steps, no execution."""

import json
import sys
from pathlib import Path

import pytest

import lstm_audit
from lstm_audit.errors import MalformedFile
from lstm_audit.policy.model import Policy
from lstm_audit.source import runs
from lstm_audit.source.entries import run_file
from lstm_audit.source.machine import ALL_STEPS, STEPS
from lstm_audit.source.runs import LintRequest, lint_paths
from lstm_audit.source.syntax import LARGEST_SOURCE, parse_source

HEAD = "from torch import nn\nimport re, os\nlstm = nn.LSTM(4, 8)\n"
HOSTILE = {
    "while_true": "while True:\n    x = 1\n",
    "nested_loops": "for a in range(10**9):\n    for b in range(10**9):\n        c = a * b\n",
    "loops": "".join(f"{' ' * n}for a{n} in range(60):\n" for n in range(8)) + " " * 8 + "pass\n",
    "recursion": "def f(x):\n    return f(x) + f(x)\nf(1)\n",
    "mutual": "def f(): return g()\ndef g(): return f()\nf()\n",
    "power": "x = 9 ** 9 ** 9 ** 9\n",
    "shift": "x = 1 << 10 ** 12\n",
    "long_text": "s = 'ab'\nfor i in range(200):\n    s = s + s\n",
    "long_list": "s = [1]\nfor i in range(200):\n    s = s + s\n",
    "repeat": "s = 'a' * 10**12\nt = [0] * 10**12\n",
    "format_spec": "s = '{:>1000000000}'.format(1)\nt = f'{1:>1000000000}'\nu = '%1000000000d' % 1\n",
    "regex": "re.match(r'(a+)+$', 'a' * 40 + 'b')\nre.match(r'(a|a)*$', 'a' * 60 + 'b')\n",
    "templates": "p = re.compile('b')\np.sub('\\\\9', 'b')\np.sub('\\\\g<x>', 'b')\nre.compile('b', re.I | re.M)\n",
    "raised": "try:\n    raise print\nexcept LookupError:\n    pass\n",
    "dict": "d = {}\nfor i in range(100000):\n    d[i] = dict(d)\n",
    "self_list": "l = []\nl.append(l)\nx = l + l\nimport copy\ny = copy.deepcopy(l)\n",
    "big_tensor": "import torch\nt = torch.zeros(10**9, 10**9)\nu = torch.rand(10**9)\nv = -u\n",
    "cells": "for i in range(3000):\n    lstm.bias_ih_l0.data[i % 32] = i\n",
    "wide": "l = nn.LSTM(4, 60000, 60, bidirectional=True)\nl.bias_ih_l0.data[::2] = 1\n",
    "modules": "def deep(n):\n    return nn.Sequential(deep(n - 1), deep(n - 1)) if n else nn.LSTM(2, 8)\ndeep(20)\n",
    "comprehension": "x = [a * b for a in range(4000) for b in range(4000)]\n",
    "generator": "def g():\n    while True:\n        yield 1\nfor x in g():\n    pass\n",
    "class_loop": "class A(A2): pass\nclass A2(A): pass\nA()\n",
    "getattr_loop": "class A:\n    def __getattr__(self, n):\n        return getattr(self, n + 'x')\nA().b\n",
    "property": "class A:\n    @property\n    def p(self):\n        return self.p\nA().p\n",
    "branches": "".join(f"if os.environ['{n}']:\n    lstm.bias_ih_l0.data[{n % 32}] = {n}\n" for n in range(2000)),
    "deep_calls": "x = " + "f(" * 80 + "1" + ")" * 80 + "\n",
    "surrogates": "x = '\\ud800' + '\\udfff'\ngetattr(lstm, x)\n",
    "bad_names": "getattr(lstm, '')\nsetattr(lstm, 'bias_ih_l0', 1)\ndel lstm.bias_hh_l0\n",
    "odd_slices": "lstm.bias_ih_l0.data[5:1:-1] = 1\nlstm.bias_ih_l0.data[::0] = 1\n",
    "odd_args": "nn.LSTM()\nnn.LSTM(-1, 0)\nnn.LSTM('a', None)\nnn.LSTM(4, 8, -3)\nnn.init.constant_()\n",
    "odd_calls": "range()\nlen()\nzip(1)\nsorted(3)\nisinstance(1)\nsuper()\nmax()\nnext(1)\ndict(3)\nint('x')\n",
    "odd_text": "'a'.join(3)\n'a'.split(1)\n'a'.replace('')\n'{'.format()\n'%s %s' % 1\n",
}  # fmt: skip


def answer(text: str) -> str | None:
    """The message of a refusal, if the text is refused."""
    try:
        lstm_audit.lint(text + "\n")
    except MalformedFile as error:
        return error.message
    return None


@pytest.mark.parametrize("name", HOSTILE)
def test_an_answer_comes_after_a_bounded_number_of_steps(name: str) -> None:
    left = run_file(parse_source(HEAD + HOSTILE[name]), "hostile.py")
    assert left.machine.steps <= 2 * STEPS
    assert ALL_STEPS - left.machine.left <= 2 * ALL_STEPS
    lstm_audit.lint(HEAD + HOSTILE[name])


@pytest.mark.parametrize(
    "text",
    [
        "LSTM = (" * 2000,
        "LSTM\0",
        "print 'LSTM'\n",
        "LSTM = " + "-" * 50_000 + "1\n",
        "LSTM = " + "(" * 500 + ")" * 500 + "\n",
        "if 1:\n" + "".join(" " * n + "if 1:\n" for n in range(1, 200)) + " " * 200 + "LSTM\n",
    ],
)
def test_what_is_no_python_is_said_with_its_line(text: str) -> None:
    message = answer(text)
    assert message is None or "line" in message


def test_long_chains_are_an_answer_too() -> None:
    for text in ("x = " + "+".join(["LSTM"] * 5000), "x = a" + ".b" * 3000 + "\n# LSTM"):
        message = answer(text)
        assert message is None or "line" in message


def test_too_large_a_source_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "large.py"
    path.write_text("# LSTM\n" + "x = 1\n" * (LARGEST_SOURCE // 6 + 1))
    assert [error.kind for error in lstm_audit.lint(path).errors] == ["limit"]


def test_boms_and_encodings(tmp_path: Path) -> None:
    body = "from torch import nn\nl = nn.LSTM(4, 8)\nl.bias_ih_l0.data[16:24] = 1\n"
    for name, data in {
        "bom.py": b"\xef\xbb\xbf" + body.encode(),
        "latin.py": b"# coding: latin-1\n# \xe9\n" + body.encode(),
        "cr.py": body.replace("\n", "\r").encode(),
        "crlf.py": body.replace("\n", "\r\n").encode(),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert [f.code for f in lstm_audit.lint(tmp_path / name).findings] == ["LA102"], name
    (tmp_path / "wrong.py").write_bytes(b"x = '\xff'  # LSTM\n")
    assert lstm_audit.lint(tmp_path / "wrong.py").errors[0].kind == "malformed"


CANARY = """
import os, sys, importlib
from torch import nn
open({path!r}, "w").write("executed")
os.system("touch " + {path!r})
exec("open({path!r}, 'w')")
eval("open({path!r}, 'w')")
__import__("subprocess").run(["touch", {path!r}])
importlib.import_module("canary_module")
import canary_module
class Meta(type):
    def __new__(cls, *a):
        open({path!r}, "w")
        return super().__new__(cls, *a)
class A(metaclass=Meta):
    x = open({path!r}, "w")
lstm = nn.LSTM(4, 8)
"""


def test_nothing_is_executed_or_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "canary_module.py").write_text(f"open({str(canary)!r}, 'w')\n")
    (tmp_path / "main.py").write_text(CANARY.format(path=str(canary)))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    result = lstm_audit.lint(tmp_path)
    assert not result.errors
    assert not canary.exists()
    assert not {name for name in set(sys.modules) - before if "canary" in name}


def test_sources_that_name_no_lstm_are_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(300):
        (tmp_path / f"m{n}.py").write_text("this is ( no Python\n")
    parsed: list[str] = []
    monkeypatch.setattr(runs, "lint_bytes", lambda *a, **k: parsed.append(a[1]))
    found = lint_paths([str(tmp_path)], LintRequest(Policy().having("require-lstm", False)))
    assert (parsed, found.sources, found.audit.ignored) == ([], 300, 300)


def test_a_hostile_notebook(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    for cells in (
        3,
        [3],
        [{}],
        [{"cell_type": "code"}],
        [{"cell_type": "code", "source": [1, None]}],
    ):
        path.write_text(json.dumps({"cells": cells, "x": "LSTM"}))
        assert not lstm_audit.lint(path).findings
    path.write_text("[" * 100_000 + "LSTM")
    assert lstm_audit.lint(path).errors[0].kind == "malformed"
