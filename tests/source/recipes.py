"""The recipes of docs/lint.md, and what the page says of each: computed here, compared by a test.

python tests/source/recipes.py        writes the computed blocks into the page
"""

import re
import sys
from pathlib import Path
from typing import Any

import torch

import lstm_audit
from lstm_audit.policy.model import Policy
from lstm_audit.source.mend import make_diff, mend_text
from lstm_audit.source.runs import LintRequest

PAGE = Path(__file__).parents[2] / "docs" / "lint.md"
BLOCK = re.compile(r"^```(python|text|diff) (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REQUEST = LintRequest(Policy().having("require-lstm", False))


def blocks(text: str) -> dict[tuple[str, str], str]:
    """The named blocks of the page, by kind and name."""
    return {(kind, name): body for kind, name, body in BLOCK.findall(text)}


def build(source: str) -> Any:
    """The model that a recipe makes; torch runs it."""
    names: dict[str, Any] = {}
    torch.manual_seed(7)
    exec(compile(source, "recipe.py", "exec"), names)
    return names["build"]()


def say_lint(source: str, name: str) -> str:
    """What the linter says of a recipe."""
    found = lstm_audit.lint(source).findings
    return "".join(f"{name}.py:{f.line}: {f.code} {f.severity}\n" for f in found) or "no finding\n"


def say_audit(source: str) -> str:
    """What the forget gates of the model start at."""
    result = lstm_audit.audit(build(source), policy=Policy().having("require-lstm", False))
    lines = []
    for row in result.rows:
        bias = row.measures.gates["f"]
        low, high = f"{bias.min:.2f}", f"{bias.max:.2f}"
        span = low if low == high else f"{low} to {high}"
        name = "reverse" if row.lstm.direction == "reverse" else "forward"
        lines.append(
            f"l{row.lstm.layer} {name}: forget bias {span}, activation {row.measures.activation.mean:.3f}\n"
        )
    return "".join(lines)


def mend(source: str, fixed: str | None, name: str) -> str:
    """The mended recipe: by `--fix`, or as the page has it."""
    return fixed if fixed is not None else mend_text(source, f"{name}.py", REQUEST)[0]


def render(text: str) -> str:
    """The page with its computed blocks computed anew."""
    found = blocks(text)

    def one(match: "re.Match[str]") -> str:
        kind, name, _ = match.groups()
        recipe, _, what = name.partition("_")
        if kind == "python":
            return match[0]
        source = found["python", recipe]
        fixed = mend(source, found.get(("python", f"{recipe}_fixed")), recipe)
        new = {
            "finding": lambda: say_lint(source, recipe),
            "before": lambda: say_audit(source),
            "fix": lambda: make_diff(f"{recipe}.py", source.encode(), fixed.encode()) + "\n",
            "after": lambda: say_audit(fixed) + say_lint(fixed, recipe),
        }[what]()
        return f"```{kind} {name}\n{new}```"

    return BLOCK.sub(one, text)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
    sys.exit(0)
