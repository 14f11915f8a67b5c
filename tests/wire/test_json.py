"""JSON as two parsers would read it alike, and as deep and large as a real one."""

import ast
import json
from pathlib import Path

import pytest

from lstm_audit.errors import MalformedFile
from lstm_audit.raw.budget import Budget
from lstm_audit.wire import json as wire_json
from lstm_audit.wire.json import MAX_DEPTH, parse_json


def refusal(raw: bytes, at: int | None = 0) -> MalformedFile:
    with pytest.raises(MalformedFile) as caught:
        parse_json(raw, Budget(), "it", at)
    return caught.value


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * levels + closing * levels).encode()


@pytest.mark.parametrize("shape", [("[", "]"), ('{"a":', "}"), ('[{"]":', "}]")])
def test_the_last_level_is_the_last(shape: tuple[str, str]) -> None:
    opening, closing = shape
    step = opening.count("[") + opening.count("{")
    most = MAX_DEPTH // step
    body = f"{opening * most}0{closing * most}".encode()
    assert parse_json(body, Budget(), "it") == json.loads(body)
    body = f"{opening * (most + 1)}0{closing * (most + 1)}".encode()
    assert "nested too deeply" in refusal(body).message


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "' + b"[" * 200 + b'"}',
        b'{"a": "\\\\", "b": "' + b"[" * 200 + b'"}',
        b'{"a": "\\"' + b"{" * 200 + b'\\""}',
        b'{"a\\n": ["' + b"[" * 200 + b'", "]"]}',
        b"[" + b",".join([nested(100)] * 50) + b"]",
    ],
)
def test_brackets_in_strings_and_beside_each_other_are_no_depth(body: bytes) -> None:
    assert parse_json(body, Budget(), "it") == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"a:": 1, "b": {"c": 1, "c": 2}}',
        b'{"b": [{"c": 1, "c": 2}], "d:": 0}',
        b'{"a": {"x": 1, "x": 1, "y::": 1}}',
        b'[{"a": 1, "\\u0061": 1}]',
    ],
)
def test_a_key_twice_is_ambiguous(body: bytes) -> None:
    assert refusal(body).kind == "ambiguous"


@pytest.mark.parametrize("body", [b"NaN", b"[Infinity]", b'"\xff"', b'"\\ud800"', b"[1] x", b"["])
def test_what_is_no_json_says_so(body: bytes) -> None:
    assert refusal(body).kind == "malformed"


def test_places_are_those_of_the_file_or_none() -> None:
    assert refusal(b'{"a": 1, "a": 2}', 100).at == 109
    assert refusal(b'{"a": 1, "a": 2}', None).at is None
    assert refusal(b"[x]", None).at is None


def test_what_is_too_much_is_paid_for_before_it_is_built() -> None:
    budget = Budget()
    budget.steps = 10
    with pytest.raises(MalformedFile) as caught:
        parse_json(b"[" + b"0," * 10 + b"0]", budget, "it")
    assert caught.value.kind == "limit"
    budget = Budget()
    budget.held = 10
    with pytest.raises(MalformedFile) as caught:
        parse_json(b'"' + b"a" * 20 + b'"', budget, "it")
    assert caught.value.kind == "limit"


# Everything else is read strictly. A notebook's outputs are none of ours to refuse, a result line
# and a report's text were written by this program.
LENIENT = {"source/texts.py", "results.py", "patching/api.py"}


def decodes(text: str) -> bool:
    """Whether a module decodes JSON by the standard library."""
    tree = ast.parse(text)
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return not calls.isdisjoint({"json.loads", "json.load", "json.JSONDecoder", "loads"})


def test_json_is_decoded_in_one_place() -> None:
    assert decodes("import json\njson.load(file)")
    package = Path(wire_json.__file__).parents[1]
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if decodes(path.read_text())
    }
    assert found == {"wire/json.py", *LENIENT}
