"""Fixes as commands that one can copy.

Comes in: the fixes of a file's findings. Goes out: commands, joined where one will do. Promise: a
shell, whatever the names are, takes each word for what it was.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from ..facts import FileAudit, Finding, Fix, LstmFacts
from ..targets import TARGETS, Target
from ..tuples import NamedTuple
from .words import utf8

# Characters of a command; one that is longer is nothing that a person would copy.
MOST_TYPED = 8192

PATCH = ["lstm-audit", "patch"]


class PythonCall(str):
    """A call of Python, which no shell must quote."""


class Command(NamedTuple):
    """The words of a `lstm-audit patch`, or the one `PythonCall` that mends a live model; `safe`:
    nothing that was learned is lost by it.
    """

    words: list[str]
    safe: bool


def commands(
    path: str,
    fixes: Iterable[Fix | None],
    lstms: Sequence[LstmFacts] = (),
    left_out: Sequence[str] = (),
) -> Iterator[Command]:
    """What mends a file: one command for all fixes that differ in nothing but their LSTMs, safe
    ones first. With all `lstms` of the file at hand, and the names of those that were `left_out`,
    few patterns stand for many addresses.
    """
    addresses: dict[tuple[bool, tuple[str, ...]], dict[str, None]] = {}
    targets: dict[tuple[bool, tuple[str, ...]], Target] = {}
    for fix in sorted(filter(None, fixes), key=lambda fix: not fix.safe):
        mine = addresses.setdefault((fix.safe, fix.target.words), {})
        mine.update(dict.fromkeys(fix.addresses))
        targets[fix.safe, fix.target.words] = fix.target
    file = f"./{path}" if path.startswith("-") else path
    for (safe, words), names in addresses.items():
        globs = patterns(list(names), lstms, left_out)
        chosen = [word for glob in globs for word in ("--layers", glob)]
        line = [*PATCH, file, *words, *chosen]
        if path.startswith("<") and path.endswith(">"):  # `<LSTM>`: a live model, which has no file
            line = [call_of(targets[safe, words], globs)]
        if sum(map(len, line)) <= MOST_TYPED:
            yield Command(line, safe)


# Rules whose findings follow from the numbers alone, whatever bounds a command line sets: `check`
# with no option but this finds them again.
OF_NUMBERS_ALONE = "LA1"


def commands_for(file: FileAudit, findings: Sequence[Finding], path: str = "") -> Iterator[Command]:
    """What mends findings of a file. Where one rule's need several values, and so several patches,
    `check --fix` writes them all.
    """
    lstms = [row.lstm for row in file.rows]
    fixes = [finding.fix for finding in findings if finding.fix]
    found = list(commands(path or file.path, fixes, lstms, file.left_out))
    codes = {finding.code for finding in findings}
    for safe in (True, False):
        alike = [command for command in found if command.safe is safe]
        code = min(codes)
        several = len(alike) > 1 and len(codes) == 1 and code.startswith(OF_NUMBERS_ALONE)
        if several and alike[0].words[:2] == PATCH:
            names = [name for fix in fixes if fix.safe is safe for name in fix.addresses]
            globs = patterns(list(dict.fromkeys(names)), lstms, file.left_out)
            chosen = [word for glob in globs for word in ("--layers", glob)]
            how = "--fix" if safe else "--unsafe-fixes"
            line = ["lstm-audit", "check", alike[0].words[2], how, "--select", code, *chosen]
            alike = [Command(line, safe)] if sum(map(len, line)) <= MOST_TYPED else alike
        yield from alike


def call_of(target: Target, globs: Sequence[str]) -> PythonCall:
    """`lstm_audit.patch(model, forget_bias=1.0)`: the same for a model in memory."""
    value = target.values[0] if len(target.values) == 1 else target.values
    words = [f"{TARGETS[target.name].keyword}={value!r}"]
    words += [f"layers={list(globs)!r}"] if globs else []
    words += [f"seed={target.seed}"] if target.seed else []
    words += [] if target.couple else ["couple=False"]
    return PythonCall(f"lstm_audit.patch(model, {', '.join(words)})")


def pattern(address: str) -> str:
    """The `--layers` glob that matches this address and no other; keys like `node['x']` hold glob's
    own signs.
    """
    return re.sub(r"([*?[])", r"[\1]", address)


# Addresses up to here are written out: nothing is plainer.
FEW_NAMES = 3

# Patterns that are tried, the most promising ones.
TRIED = 40


def patterns(
    addresses: Sequence[str], lstms: Sequence[LstmFacts], left_out: Sequence[str] = ()
) -> list[str]:
    """The `--layers` globs that match these LSTMs of a file and no other, not even one that was
    left out of the audit: none where it is all of them, few where a pattern can say it.
    """
    names: dict[str, Sequence[str]] = {lstm.address: lstm.names for lstm in lstms}
    if not names or not names.keys() >= set(addresses):
        return [pattern(address) for address in addresses]
    for other in left_out:
        names.setdefault(other, (other, other.rpartition(":l")[0]))
    if len(addresses) == len(names) and len(names) == len(lstms):
        return []
    left, chosen = dict.fromkeys(addresses), list[str]()
    wanted = set(addresses)
    while len(left) > FEW_NAMES:
        covers = {glob: _match_names(glob, names) for glob in _candidates(left)}
        fitting = {glob: found & left.keys() for glob, found in covers.items() if found <= wanted}
        best = max(fitting, key=lambda glob: len(fitting[glob]), default="")
        if not best or len(fitting[best]) < 2:
            break
        chosen.append(best)
        for address in fitting[best]:
            del left[address]
    return [*chosen, *(pattern(address) for address in left)]


def _match_names(glob: str, names: Mapping[str, Sequence[str]]) -> set[str]:
    return {
        address
        for address, known in names.items()
        if any(fnmatchcase(name, glob) for name in known)
    }


def _candidates(addresses: Iterable[str]) -> list[str]:
    """Patterns that may stand for several addresses: a star for the numbers, for the module, for
    what is below a module; those that come of most addresses first.
    """
    found: Counter[str] = Counter()
    for address in addresses:
        module, _, place = address.rpartition(":l")
        escaped = pattern(address)
        found[re.sub(r"(?<=\.)\d+(?=[.:])", "*", escaped)] += 1
        found[f"*:l{place}"] += 1
        found[pattern(module)] += 1
        parts = module.split(".")
        found.update(pattern(".".join(parts[:n])) + ".*" for n in range(1, len(parts)))
    return [glob for glob, times in found.most_common(TRIED) if times > 1]


PLAIN = "_@%+=:,./-"
"""Characters, beside letters and digits, that mean nothing to a shell (as in shlex.quote)."""


def quote_word(word: str, ascii: bool = False) -> str:
    """A word as a shell takes it; one that a terminal must not see is written in ANSI-C quoting,
    $'\\x1b'.
    """
    if isinstance(word, PythonCall):
        return word
    if word.isprintable() and (word.isascii() or not ascii):
        if word and word.isascii() and all(c.isalnum() or c in PLAIN for c in word):
            return word
        from shlex import quote  # 0.7 ms that a plain word need not wait for

        return quote(word)
    plain = "".join(
        c if c.isprintable() and (c.isascii() or not ascii) and c not in "'\\" else _bytewise(c)
        for c in word
    )
    return f"$'{plain}'"


def _bytewise(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in utf8(character))


def shell(words: Iterable[str], ascii: bool = False) -> str:
    """A command in one line."""
    return " ".join(quote_word(word, ascii) for word in words)


def remedy(command: Command) -> str:
    """`Fix: lstm-audit patch ...`, with a warning where there is reason for one."""
    return (
        f"{'Fix' if command.safe else 'Fix (overwrites whatever was learned)'}: "
        f"{shell(command.words)}"
    )
