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
    """What the package offers: signatures and first sentences."""
    import inspect

    import lstm_audit

    parts = []
    for name in sorted(lstm_audit.__all__, key=str.lower):
        value = getattr(lstm_audit, name)
        if not callable(value):
            continue
        doc = (inspect.getdoc(value) or "").split("\n\n")
        if inspect.isfunction(value):
            parts.append(
                f"## `{name}`\n\n```python\n{name}{_signature(value)}\n```\n\n" + "\n\n".join(doc)
            )
        else:
            parts.append(f"## `{name}`\n\n" + "\n\n".join(doc))
    return "\n\n".join(parts)


def _signature(function: object) -> str:
    import inspect

    parameters = inspect.signature(function).parameters.values()
    words, star = [], False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        words.append(p.name if p.default is p.empty else f"{p.name}={p.default!r}")
    return "(" + ", ".join(words) + ")"


def formats() -> str:
    """The readers, each with what it says of itself."""
    from lstm_audit.formats import READERS

    rows = [
        (name, (READERS[name].__doc__ or "").strip().splitlines()[0]) for name in sorted(READERS)
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
