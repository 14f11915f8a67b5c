"""The names of the package, as an editor, a type checker, `help` and TAB know them."""

import inspect
import pydoc
import rlcompleter
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_audit

ROOT = Path(__file__).parents[2]

# For each environment its own: runs that write one cache beside each other make mypy fail now and
# then ("database is locked", https://github.com/python/mypy/issues/21136).
CACHE = ROOT / ".mypy_cache" / Path(sys.prefix).name


def mypy(code: str, folder: Path) -> str:
    """What mypy says of a module of a user's."""
    path = folder / "theirs.py"
    path.write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent",
         f"--cache-dir={CACHE}", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_every_name_is_offered_and_nothing_else() -> None:
    assert dir(lstm_audit) == sorted(lstm_audit.__all__)
    for name in lstm_audit.__all__:
        assert hasattr(lstm_audit, name), name


def test_tab_completes() -> None:
    completer = rlcompleter.Completer({"lstm_audit": lstm_audit})
    completer.use_main_ns = False
    offered = {completer.complete("lstm_audit.a", k) for k in range(4)}
    assert {name and name.rstrip("(") for name in offered} >= {
        "lstm_audit.audit",
        "lstm_audit.assert_forget_gate",
    }


def test_jedi_completes_names_and_keywords() -> None:
    """What IPython and language servers without a type checker ask; jedi is of the references."""
    jedi = pytest.importorskip("jedi")
    script = jedi.Interpreter("lstm_audit.", [{"lstm_audit": lstm_audit}])
    offered = {one.name for one in script.complete()}
    assert offered >= {name for name in lstm_audit.__all__ if not name.startswith("_")}
    static = jedi.Script("import lstm_audit\nlstm_audit.", project=jedi.Project(ROOT))
    assert {"audit", "patch", "Audit"} <= {one.name for one in static.complete()}


def test_help_lists_every_name() -> None:
    text = pydoc.render_doc(lstm_audit, renderer=pydoc.plaintext)
    for name in lstm_audit.__all__:
        value = getattr(lstm_audit, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert name in text, name
    assert "Audit checkpoints, or a live object." in text


def test_every_name_has_a_docstring() -> None:
    for name in lstm_audit.__all__:
        value = getattr(lstm_audit, name)
        if callable(value):
            assert (value.__doc__ or "").strip(), name


def test_mypy_knows_every_name(tmp_path: Path) -> None:
    names = [name for name in lstm_audit.__all__ if name != "__version__"]
    lines = ["import lstm_audit", *(f"reveal_type(lstm_audit.{name})" for name in names)]
    said = mypy("\n".join(lines) + "\n", tmp_path)
    notes = [line for line in said.splitlines() if "note: Revealed type" in line]
    assert len(notes) == len(names), said
    assert not [note for note in notes if '"Any"' in note]
    assert ": error:" not in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('lstm_audit.adit("x")', 'Module has no attribute "adit"'),
        ("from lstm_audit import Adit", 'Module "lstm_audit" has no attribute "Adit"'),
        ('lstm_audit.audit("x", layer="a")', 'Unexpected keyword argument "layer"'),
        ('lstm_audit.audit("x").rovs', '"Audit" has no attribute "rovs"'),
    ],
)
def test_mypy_refuses_what_is_misspelled(line: str, said: str, tmp_path: Path) -> None:
    assert said in mypy(f"import lstm_audit\n{line}\n", tmp_path)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'adit'"):
        lstm_audit.adit  # type: ignore[attr-defined]  # noqa: B018  # that is the test


def test_importing_the_package_imports_none_of_it() -> None:
    code = "import sys, lstm_audit; print(len([m for m in sys.modules if m.startswith('lstm_')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 2
