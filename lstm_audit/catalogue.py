"""Rules by what people call them.

Comes in: a code, the beginning of one, a severity, a name, or a part of one, in any case.
Goes out: the rules, or codes for a policy. Promise: a word that means no rule is an error that
names the nearest.
"""

from collections.abc import Sequence

from .errors import BadPolicy
from .rules import RULES, Rule, every_rule, starts_of_codes
from .spelling import nearest


def find_rules(word: str) -> list[Rule]:
    """The rules that a word means, an exact name before a part of one; raises `BadPolicy`."""
    code, name = word.strip().upper(), word.strip().lower()
    rules = every_rule()
    exact = [rule for rule in rules if rule.code == code or rule.name == name]
    begun = [rule for rule in rules if code and rule.code.startswith(code)]
    named = [rule for rule in rules if name and name in rule.name]
    severe = [rule for rule in rules if name == rule.severity]
    if found := exact or begun or severe or named:
        return found
    near = nearest(word, [text for rule in rules for text in (rule.code, rule.name)], 0.5)
    hint = f"did you mean {near}?" if near else "`lstm-audit rules` lists them"
    raise BadPolicy(f"no rule is called {word!r}; {hint}")


def as_codes(selectors: Sequence[str]) -> tuple[str, ...]:
    """`--select la101,doubled-chrono` as the codes of a policy; what is neither is left for the
    policy to refuse.
    """
    known = {rule.name: rule.code for rule in RULES.values()}
    known |= {word.lower(): word for word in starts_of_codes()}
    words = (part.strip() for value in selectors for part in value.split(","))
    return tuple(known.get(word.lower(), word) for word in words)
