"""The generated parts of the README and of the documentation, and the commands in them.

python tests/pages.py        rewrites the pages: generated parts, and the output of `console` blocks
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def exit_codes() -> str:
    """The table of exit codes, from the code."""
    from lstm_audit.cli.exits import MEANING

    return "\n".join(
        [
            "| code | means |",
            "|--:|---|",
            *(f"| {code} | {text} |" for code, text in MEANING.items()),
        ]
    )


def rules() -> str:
    """The table of rules, from their registry."""
    from lstm_audit.rules import RULES

    rows = [
        f"| {rule.code} | {rule.name} | {rule.severity} | {' '.join(rule.sections[''].split())} |"
        for rule in sorted(RULES.values(), key=lambda rule: rule.code)
    ]
    return "\n".join(["| code | name | severity | what it sees |", "|---|---|---|---|", *rows])


def manuals() -> str:
    """Every rule's manual, from its docstring."""
    from lstm_audit.rules import RULES

    parts = []
    for rule in sorted(RULES.values(), key=lambda rule: rule.code):
        parts.append(f"## {rule.code} {rule.name}\n\n{rule.sections['']}")
        for head, text in list(rule.sections.items())[1:]:
            parts.append(f"**{head}.**\n\n{_markdown(text)}")
    return "\n\n".join(parts)


def _markdown(text: str) -> str:
    """A section of a manual: code is indented in it, and fenced on a page."""
    out, code = [], False
    for line in text.strip("\n").splitlines():
        indented = line.startswith("    ")
        if indented != code and (indented or line.strip()):
            out.append("```text" if indented else "```")
            code = indented
        out.append(line[4:] if code else line)
    return "\n".join([*out, *(["```"] if code else [])])


def commands() -> str:
    """What each command says of itself."""
    from lstm_audit.cli.group import COMMANDS

    parts = []
    for name in COMMANDS:
        words = [sys.executable, "-m", "lstm_audit", name, "--help"]
        done = subprocess.run(
            words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        parts.append(f"## `{name}`\n\n```text\n{done.stdout.rstrip()}\n```")
    return "\n\n".join(parts)


def presets() -> str:
    """The table of presets."""
    words = [sys.executable, "-m", "lstm_audit", "presets"]
    done = subprocess.run(
        words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return f"```text\n{done.stdout.rstrip()}\n```"


def conventions() -> str:
    """The rows of the table of conventions, each framework once."""
    from lstm_audit.lstm.conventions import CONVENTIONS

    rows = {}
    for row in CONVENTIONS:
        order = ", ".join(row.gate_words) if row.gate_words else " ".join(row.order)
        offset = f"+{row.offset:g}" if row.offset else ""
        rows.setdefault((row.name, order, offset), row.source)
    lines = [
        f"| {name} | {order} | {offset} | {source} |"
        for (name, order, offset), source in rows.items()
    ]
    return "\n".join(["| name | order | offset | source |", "|---|---|---|---|", *lines])


def fields() -> str:
    """The fields of the report, from its schema."""
    from lstm_audit.schemas import report_schema

    schema = report_schema()
    lines = ["| field | type |", "|---|---|"]
    for path, kind in _walk("", schema, schema):
        lines.append(f"| `{path}` | {kind} |")
    return "\n".join(lines)


def _walk(path: str, part: dict, schema: dict, depth: int = 0) -> Iterator[tuple[str, str]]:
    part = _resolved(part, schema)
    if part.get("type") == "array":
        yield from _walk(f"{path}[]", part.get("items", {}), schema, depth)
        return
    for name, inner in part.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        found = _resolved(inner, schema)
        yield here, _kind(found)
        if depth < 3:
            yield from _walk(here, found, schema, depth + 1)


def _resolved(part: dict, schema: dict) -> dict:
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    return part


def _kind(part: dict) -> str:
    if "enum" in part:
        return "one of " + ", ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    given = part.get("type") or [
        k for p in part.get("anyOf", part.get("oneOf", [])) for k in _types(p)
    ]
    return " or ".join([given] if isinstance(given, str) else given)


def _types(part: dict) -> list[str]:
    kind = part.get("type", "object")
    return [kind] if isinstance(kind, str) else list(kind)


def names() -> str:
    """What the package offers: functions first, then results, then errors; each with its
    signature, its docstring, and what it has.
    """
    import inspect

    import lstm_audit

    values = {name: getattr(lstm_audit, name) for name in lstm_audit.__all__}
    functions = {n: v for n, v in values.items() if inspect.isfunction(v)}
    errors = {n: v for n, v in values.items() if isinstance(v, type) and issubclass(v, Exception)}
    results = {n: v for n, v in values.items() if inspect.isclass(v) and n not in errors}
    parts = []
    for title, group in (("Functions", functions), ("Results", results), ("Errors", errors)):
        parts.append(f"## {title}")
        for name in sorted(group, key=str.lower):
            parts += _described(name, group[name])
    return "\n\n".join(parts)


def _described(name: str, value: object) -> Iterator[str]:
    import inspect

    yield f"### `{name}`"
    if inspect.isfunction(value):
        yield f"```python\n{name}{_signature(value)}\n```"
    elif issubclass(value, Exception):
        bases = [
            f"`{base.__name__}`" for base in value.__mro__[1:] if base.__module__ != "builtins"
        ]
        builtin = [
            f"`{base.__name__}`" for base in value.__bases__ if base.__module__ == "builtins"
        ]
        yield f"Is a {', '.join(bases + builtin)}."
    yield inspect.getdoc(value) or ""
    if inspect.isclass(value) and not issubclass(value, Exception):
        yield from _members(value)


def _members(value: type) -> Iterator[str]:
    """The fields of a result in a table, and its methods, those of every result too."""
    import inspect

    hints = {name: hint for name, hint in _hints(value).items() if not name.startswith("_")}
    lines = [f"| `{name}` | {hint} |" for name, hint in hints.items()]
    if lines:
        yield "\n".join(["| field | type |", "|---|---|", *lines])
    lines = []
    for name in [*vars(value), *(n for n in ("to", "to_dataframe") if n not in vars(value))]:
        member = getattr(value, name, None)
        if name.startswith("_") or name in hints or not (inspect.getdoc(member) or ""):
            continue
        call = (
            _signature(member).replace("(self, *, ", "(*, ").replace("(self", "(")
            if inspect.isfunction(member)
            else ""
        )
        first = " ".join((inspect.getdoc(member) or "").split("\n\n")[0].split())
        lines.append(f"- `{name}{call.replace('(, ', '(')}`: {first}")
    if lines:
        yield "\n".join(lines)


def _hints(value: type) -> dict[str, str]:
    """The annotations of a class as they are written."""
    import re as _re

    known = getattr(value, "__annotations__", {})
    texts = {
        n: h
        if isinstance(h, str)
        else getattr(h, "__name__", str(h))
        if isinstance(h, type) and not getattr(h, "__args__", ())
        else str(h)
        for n, h in known.items()
    }
    return {
        n: "`" + _re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", t).replace("|", "or") + "`"
        for n, t in texts.items()
    }


def _signature(function: object) -> str:
    import inspect

    parameters = inspect.signature(function).parameters.values()
    words, star = [], False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        name = f"**{p.name}" if p.kind is p.VAR_KEYWORD else p.name
        default = f'"{p.default}"' if isinstance(p.default, str) else repr(p.default)
        words.append(name if p.default is p.empty else f"{name}={default}")
    return "(" + ", ".join(words) + ")"


def formats() -> str:
    """The readers, each with what it says of itself."""
    from lstm_audit.formats import READERS

    rows = [
        (name, (READERS[name].read.__doc__ or "").strip().splitlines()[0])
        for name in sorted(READERS)
    ]
    return "\n".join(
        [
            "| reader | reads |",
            "|---|---|",
            *(f"| {name} | {text} |" for name, text in rows if name != "refused"),
        ]
    )


ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "PYTHONIOENCODING": "utf-8",
    "COLUMNS": "80",
    "PYTHONPATH": str(ROOT),
}
GENERATED = {
    "exit codes": exit_codes, "rules": rules, "manuals": manuals, "commands": commands, "presets": presets,
    "conventions": conventions, "fields": fields, "names": names, "formats": formats,
}  # fmt: skip


def with_tables(text: str) -> str:
    """The page with every generated table as the code has it now."""
    for name, make in GENERATED.items():
        pattern = rf"(<!-- {name}: generated[^\n]*-->\n).*?(<!-- end -->)"
        text = re.sub(
            pattern, lambda m, make=make: f"{m[1]}\n{make()}\n\n{m[2]}", text, flags=re.DOTALL
        )
    return text


def transcripts(text: str) -> Iterator[list[str]]:
    """The commands of each console block."""
    for block in CONSOLE.findall(text):
        yield [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def with_output(text: str) -> str:
    """The page with every console block's output as it is now; the blocks run one after the other,
    in a copy.
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "fixtures", Path(folder) / "fixtures")
        return CONSOLE.sub(lambda match: _ran(match[1], folder), text)


def _ran(block: str, folder: str) -> str:
    out = io.StringIO()
    for line in block.splitlines():
        if line.startswith("$ "):
            out.write(line + "\n" + _run(line[2:], folder))
    return f"```console\n{out.getvalue()}```"


def _run(command: str, folder: str) -> str:
    """One command's stdout and stderr, as a terminal of 80 columns would show them."""
    command = re.sub(r"^lstm-audit\b", f"{sys.executable} -m lstm_audit", command)
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def main() -> None:
    """Rewrite the pages."""
    for page in PAGES:
        page.write_text(with_output(with_tables(page.read_text())))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
