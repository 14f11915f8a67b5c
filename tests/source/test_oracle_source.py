"""The linter against execution: torch runs each module, the audit judges what it built, and the
linter, which only reads the text, must say the same.
"""

import pytest
from corpus import Case, audit_executed, codes, lint_source, read_cases

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_linter_says_what_the_audit_of_the_built_model_says(case: Case) -> None:
    assert codes(lint_source(case.source)) == audit_executed(case.source)


def test_corpus_is_large_and_mixed() -> None:
    said = [code for case in CASES for code in codes(lint_source(case.source))]
    assert len(CASES) >= 200
    assert len({case.name for case in CASES}) == len(CASES)
    for code in ("LA101", "LA102", "LA103", "LA104", "LA105", "LA106", "LA107", "LA111", "LA504"):
        assert said.count(code) >= 2, code
    assert sum(not codes(lint_source(case.source)) for case in CASES) >= 50


def test_every_finding_has_a_line_of_its_source() -> None:
    for case in CASES:
        count = case.source.count("\n") + 1
        for finding in lint_source(case.source).findings:
            assert finding.line is not None
            assert 1 < finding.line <= count
            assert finding.column is not None
