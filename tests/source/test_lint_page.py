"""docs/lint.md: every recipe is linted, mended, executed by torch and audited."""

import recipes

import lstm_audit


def test_the_page_says_what_the_linter_and_the_audit_say() -> None:
    text = recipes.PAGE.read_text()
    assert recipes.render(text) == text, "run `python tests/source/recipes.py`"


def test_each_recipe_is_wrong_and_its_fix_is_right() -> None:
    found = recipes.blocks(recipes.PAGE.read_text())
    names = [name for kind, name in found if kind == "python" and "_" not in name]
    assert len(names) == 3
    for name in names:
        source = found["python", name]
        fixed = recipes.mend(source, found.get(("python", f"{name}_fixed")), name)
        assert lstm_audit.lint(source).findings
        assert not lstm_audit.lint(fixed).findings
        rows = lstm_audit.audit(recipes.build(fixed)).rows
        assert {row.measures.gates["f"].min for row in rows} == {
            row.measures.gates["f"].max for row in rows
        }
