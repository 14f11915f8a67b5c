"""The generated parts of the README, and the commands in it.

python tests/readme.py        rewrites README.md: generated tables, and the output of every `console` block
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


GENERATED = {"exit codes": exit_codes, "rules": rules}


def with_tables(text: str) -> str:
    """The page with every generated table as the code has it now."""
    for name, make in GENERATED.items():
        pattern = rf"(<!-- {name}: generated[^\n]*-->\n).*?(<!-- end -->)"
        text = re.sub(
            pattern, lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", text, flags=re.DOTALL
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
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "80",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def main() -> None:
    """Rewrite the page."""
    README.write_text(with_output(with_tables(README.read_text())))


if __name__ == "__main__":
    main()
