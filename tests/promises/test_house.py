"""The house itself: what the file path imports, what it reads, and that it changes nothing."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from command import untraced
from hypothesis import HealthCheck, given, settings, strategies

from lstm_audit.fleet import audit
from lstm_audit.raw import source as raw_source
from lstm_audit.raw.source import FileSource

ROOT = Path(__file__).parents[2]
CLEAN = ROOT / "fixtures" / "clean"
FILES = sorted(path for path in CLEAN.rglob("*") if path.is_file())
FORBIDDEN = {"torch", "numpy", "pickle", "_pickle", "zipfile", "mmap", "tarfile", "ctypes"}

PROBE = """
import json, sys
sys.argv = ["lstm-audit", "audit", "--format", FORMAT, PATH]
from lstm_audit.cli.group import group
try:
    group()
finally:
    sys.stderr.write(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize("report", ["table", "json"])
def test_file_path_imports_no_framework(report: str) -> None:
    code = PROBE.replace("FORMAT", repr(report)).replace("PATH", repr(str(CLEAN)))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=untraced()
    )
    modules = set(json.loads(done.stderr.splitlines()[-1]))
    assert "lstm_audit" in modules
    assert not modules & FORBIDDEN


class Counted(FileSource):
    """A file source that notes what is read."""

    reads: list[tuple[int, int]]

    def read(self, at: int, n: int) -> bytes:
        type(self).reads.append((at, n))
        return super().read(at, n)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    Counted.reads = []
    monkeypatch.setattr(raw_source, "FileSource", Counted)
    return Counted


def _large(path: Path, kind: str, filler: int) -> None:
    """A checkpoint with one LSTM and `filler` bytes of other weights."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    state = {f"lstm.{name}": value for name, value in torch.nn.LSTM(8, 16).state_dict().items()}
    state["embedding.weight"] = torch.zeros(filler // 4)
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_cost_does_not_grow_with_the_file(
    kind: str, tmp_path: Path, counted: type[Counted]
) -> None:
    amounts = []
    for filler in (1 << 20, 64 << 20):
        path = tmp_path / f"{filler}.bin"
        _large(path, kind, filler)
        counted.reads = []
        assert len(audit(path).rows) == 1
        amounts.append((len(counted.reads), sum(n for _, n in counted.reads)))
        path.unlink()
    (small_reads, small), (large_reads, large) = amounts
    assert large_reads <= small_reads + 1
    assert large < 300_000
    assert large <= small + 70_000  # the end of a small file is read in one go with its directory


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CLEAN)))
def test_an_audit_changes_nothing(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes(), path.stat().st_mtime_ns, sorted(os.listdir(path.parent))
    audit(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(os.listdir(path.parent))) == before


def test_file_that_changes_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes((CLEAN / "lstm.pt").read_bytes())
    real = FileSource.settle

    def touched(self: FileSource) -> None:
        os.utime(path, ns=(1, 1))
        real(self)

    monkeypatch.setattr(FileSource, "settle", touched)
    result = audit(path)
    assert [error.kind for error in result.errors] == ["changed"]


def test_floors_are_kept() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_report_is_the_same_in_every_run() -> None:
    command = [sys.executable, "-m", "lstm_audit", "audit", "-f", "json", str(CLEAN)]
    runs = {
        subprocess.run(
            command, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_jobs_change_nothing_in_the_report() -> None:
    assert audit(CLEAN, jobs=2).to_dict() == audit(CLEAN).to_dict()


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing `lstm_audit.x` binds the module over a function of the same name."""
    import lstm_audit

    modules = {path.stem for path in Path(lstm_audit.__file__).parent.iterdir()}
    assert not modules & set(lstm_audit.__all__)


# ---- the measures of good houses (h11, pip-audit, packaging): what a change may not lose again

PACKAGE = ROOT / "lstm_audit"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Comment lines a code line; the models have 0.06 to 0.56.
LEAST_COMMENTS = 0.06

# Of a code line, without its indentation.
MOST_CHARACTERS = 38.5

SHARED_NAMES = {
    "run": "what a command does; each module of cli/ that is a command has one",
    "picture": "what a notebook shows of a result; each module of views/ has one",
    "units": "a line a unit; each module of views/ that has units",
    "statistics": "how a report shows a run of any size; each report that can has one",
    "GateMonitor": "the callback of a trainer; each module of integrations/ has one",
    "csv": "the function that writes a format bears the format's name",
    "html": "likewise",
    "json": "likewise",
    "table": "likewise",
    "diff": "Python's name for what the command does; views/ shows its result",
    "presets": "likewise, and what a shell completes",
    "undo": "likewise, of one file and of a checkpoint",
    "Formats": "the formats of a result; each module of views/ may have its own",
    "assert_forget_gate": "the plugin's fixture hands out the function of this name",
}

SUPPRESSION = re.compile(r"#\s*(noqa(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?|type: ignore(\[[^]]*\])?)(.*)")


def _comments(text: str) -> dict[int, str]:
    """By line, the comments of a source."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def _documented(tree: ast.Module) -> set[int]:
    """The lines of docstrings."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def measure_style(sources: Sequence[str]) -> tuple[float, float]:
    """Comment lines a code line, and characters of a code line without its indentation."""
    comments = code = characters = 0
    for text in sources:
        said, documented = _comments(text), _documented(ast.parse(text))
        comments += sum(not SUPPRESSION.fullmatch(one) for one in said.values())
        for number, line in enumerate(text.splitlines(), 1):
            plain = line.strip()
            if plain and not plain.startswith("#") and number not in documented:
                code += 1
                characters += len(plain)
    return comments / code, characters / code


def test_strategies_are_said_and_lines_are_short() -> None:
    comments, characters = measure_style([path.read_text() for path in SOURCES])
    assert comments >= LEAST_COMMENTS
    assert characters <= MOST_CHARACTERS


def sources_built(text: str) -> set[str]:
    """The sources of bytes that a module makes by their class."""
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    names = {func.id for func in calls if isinstance(func, ast.Name)}
    names |= {func.attr for func in calls if isinstance(func, ast.Attribute)}
    return {name for name in names if name.endswith("Source") or name == "Downloaded"}


def test_raw_alone_builds_a_source() -> None:
    assert sources_built("span_all(source.FileSource(path)), BytesSource(b'')") == {
        "FileSource",
        "BytesSource",
    }
    built = {
        path.relative_to(PACKAGE).parts[0]: sources_built(path.read_text())
        for path in SOURCES
        if sources_built(path.read_text())
    }
    assert set(built) == {"raw"}


def names_of_two(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Classes, types and public functions that more than one module defines."""
    homes: dict[str, list[str]] = {}
    for module, text in sources.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):  # a type is a name in CamelCase
                ids = [target.id for target in node.targets if isinstance(target, ast.Name)]
                names = [name for name in ids if name[:1].isupper() and not name.isupper()]
            else:
                names = []
            for name in names:
                if not name.startswith("_"):
                    homes.setdefault(name, []).append(module)
    return {name: found for name, found in homes.items() if len({*found}) > 1}


def test_a_name_means_one_thing() -> None:
    sources = {str(path.relative_to(PACKAGE)): path.read_text() for path in SOURCES}
    shared = names_of_two(sources)
    assert {name: where for name, where in shared.items() if name not in SHARED_NAMES} == {}
    assert SHARED_NAMES.keys() <= shared.keys(), "an exception that nobody needs any more"


def unmeasured_imports(text: str) -> list[int]:
    """The lines of imports inside functions that give no reason, there or in the line above."""
    lines = text.splitlines()
    found = set()
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    own = lines[node.lineno - 1 : node.end_lineno]
                    above = lines[node.lineno - 2].strip()
                    if not any("#" in line for line in own) and not above.startswith("#"):
                        found.add(node.lineno)
    return sorted(found)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_inside_functions_say_what_they_buy(path: Path) -> None:
    assert unmeasured_imports(path.read_text()) == []


def undocumented(text: str) -> list[str]:
    """Public functions and classes of a module without a docstring of their own, or whose first
    words lean on another one's.
    """
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node) or ""
            if not node.name.startswith("_") and (not said or said.startswith(LEANING)):
                found.append(node.name)
    return found


# A docstring is read alone, in an editor: what it is the same as, it does not say.
LEANING = ("The same of", "The same as data", "The same for", "The same, ", "Likewise", "As above")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_names_are_explained(path: Path) -> None:
    assert undocumented(path.read_text()) == []


def bare_suppressions(text: str) -> list[int]:
    """The lines whose suppression gives no reason behind it."""
    said = {line: SUPPRESSION.search(comment) for line, comment in _comments(text).items()}
    return [line for line, found in said.items() if found and not found[5].strip(" #-")]


def test_suppressions_say_why() -> None:
    folders = (PACKAGE, ROOT / "tests", ROOT / "fixtures")
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    bare = {str(path): lines for path in paths if (lines := bare_suppressions(path.read_text()))}
    assert bare == {}


def shared_by(text: str) -> set[str]:
    """The modules that a source imports, by the first part of their names."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_every_test_file_runs_alone(path: Path) -> None:
    """What tests share stands in tests/ or in their own folder: another folder is only on the path
    while its tests run too, and importing a test module runs its skips and marks.
    """
    own = {file.stem: file.parent for file in TESTS}
    within = {ROOT / "tests", path.parent}
    borrowed = shared_by(path.read_text()) & own.keys()
    assert not {name for name in borrowed if name.startswith("test_")}
    assert not {name for name in borrowed if own[name] not in within}


def test_the_measures_measure() -> None:
    """Each sees what it is there to forbid."""
    two = {"a.py": "class Part: ...\nRead = int\n", "b.py": "class Part: ...\nRead = str\n"}
    assert names_of_two(two) == {"Part": ["a.py", "b.py"], "Read": ["a.py", "b.py"]}
    inside = "def f():\n    import json\n    import re  # 3 ms\n    # 4 ms\n    import csv\n"
    assert unmeasured_imports(inside) == [2]
    bare = "x = 1  # noqa: E741\ny = 2  # noqa: E741  # the gates\nz = 3  # type: ignore[misc]\n"
    assert bare_suppressions(bare) == [1, 3]
    plain = 'def f():\n    """A sum."""\ndef g(): ...\ndef _h(): ...\ndef i():\n    """The same of j."""\n'
    assert undocumented(plain) == ["g", "i"]
    assert shared_by("import test_a.b\ndef f():\n    from test_c import d\n") == {
        "test_a",
        "test_c",
    }
    text = '"""A file."""\n# why\nx = 1  # how\n\n\ndef f():\n    """It is."""\n    return 1\n'
    assert measure_style([text]) == (2 / 3, (len("x = 1  # how") + len("def f():return 1")) / 3)


def participles(tree: ast.Module) -> list[str]:
    """Functions that are called by what they have done (`judged`), not by what they do (`judge`).
    What answers yes or no may be (`aligned`), and what is a property; so may a rule, whose name is
    that of what it finds.
    """
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and re.match(r"_?[a-z]+ed(_|$)", node.name)
        and not (node.returns is not None and ast.unparse(node.returns) == "bool")
        and not any(re.search("property|rule|setter", ast.unparse(d)) for d in node.decorator_list)
    ]


# `named_parameters` and its kind are torch's, `masked_crc32c` is a number's name.
NO_PARTICIPLES = {
    *("_masked_fill", "_named_buffers", "_named_children", "_named_modules", "_named_parameters"),
    *("_signed", "_unsigned", "unsigned", "_sorted", "masked_crc32c", "named", "_heed"),
}


def test_functions_are_called_by_verbs() -> None:
    found = {name for path in SOURCES for name in participles(ast.parse(path.read_text()))}
    assert sorted(found - NO_PARTICIPLES) == []
    assert participles(ast.parse("def judged(x: int) -> int: ...")) == ["judged"]
    assert not participles(ast.parse("def aligned(x: int) -> bool: ..."))


def test_property_tests_draw_the_same_in_every_run() -> None:
    """And none fails because a machine is slow; new examples are for a profile of their own."""

    def draw() -> list[int]:
        drawn: list[int] = []

        @settings(settings.get_profile("house"), database=None)
        @given(strategies.integers())
        def take(number: int) -> None:
            drawn.append(number)

        take()
        return drawn

    assert draw() == draw()
    for name in ("house", "search"):
        profile = settings.get_profile(name)
        assert profile.deadline is None
        assert HealthCheck.too_slow in profile.suppress_health_check
