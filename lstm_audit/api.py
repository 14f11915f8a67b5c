"""What the command has besides `audit`, `check`, `lint`, `patch` and `undo`, from Python.

Comes in: paths or live objects. Goes out: results, which print as the command's tables. Promise:
the same answers as those of the command; what the command tells and exits with is raised.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .catalogue import find_rules
from .compare import Comparison, compare
from .errors import AuditError, BadPolicy, MalformedFile, UnknownFormat, Unreadable
from .facts import Audit, FileError
from .fleet import AuditTarget, audit
from .history import Trend, follow
from .lstm.presets import PRESETS, Chosen, parse_preset, summarise_preset
from .policy.convention import MANUAL
from .reports.terminal import fold
from .rules import every_rule


def diff(
    a: AuditTarget,
    b: AuditTarget,
    *,
    layers: str | Iterable[str] = (),
    match: str | Sequence[str] = (),
    download: bool = False,
) -> Comparison:
    """Two checkpoints or models, gate by gate; the result is true when something differs.

    `a` and `b` are whatever `audit` takes, one checkpoint each: a path, a live model, a state dict.
    LSTMs are matched by module, layer and direction, else by their numbers, or as `match` says,
    "lstm_1=encoder.rnn" or several. `layers` and `download` are as in `audit`.

    Raises `BadPolicy` for a side that is several checkpoints, or a match that names nothing, and
    the error of a side that cannot be read.
    """
    sides = [
        audit(side, layers=layers, numbers_only=True, units=True, download=download)
        for side in (a, b)
    ]
    for side in sides:
        if side.errors:
            raise exception_of(side.errors[0])
        if len(side.files) > 1:
            path = side.files[0].path
            raise BadPolicy(f"diff compares two checkpoints; {path} is one of {len(side.files)}")
    left, right = sides
    return compare(left, right, (match,) if isinstance(match, str) else tuple(match))


# The kinds of error that are not those of a malformed file.
FAULTS: dict[type[AuditError], tuple[str, ...]] = {
    UnknownFormat: ("unknown-format", "lfs-pointer", "html", "empty"),
    Unreadable: ("io", "changed", "interrupted-patch"),
}


def exception_of(error: FileError) -> AuditError:
    """What reading a file would have raised."""
    kind = next((k for k, words in FAULTS.items() if error.kind in words), MalformedFile)
    return kind(f"{error.path}: {error.message}", error.at, error.kind)


def trend(
    target: AuditTarget,
    *,
    layers: str | Iterable[str] = (),
    jobs: int = 1,
    exclude: str | Iterable[str] = (),
    download: bool = False,
) -> Trend:
    """The checkpoints of one run in training order: what each forget gate did.

    `target` is a folder, a glob or a list of paths; or a mapping from steps to models or state
    dicts, {0: before, 100: after}. Files are ordered by what they count themselves (global_step,
    step, epoch), else by the numbers in their names. What cannot be read stands in `Trend.errors`.

    Raises `MissingFile` for a path that is not there, `BadPolicy` for a pattern that matches
    nothing.
    """
    if isinstance(target, dict) and target and all(isinstance(key, int) for key in target):
        return follow(_audit_steps(target, layers))
    return follow(
        audit(
            target,
            layers=layers,
            numbers_only=True,
            jobs=jobs,
            exclude=exclude,
            download=download,
        )
    )


def _audit_steps(states: dict[int, object], layers: str | Iterable[str]) -> Audit:
    """Live objects as if each were a file that counts its own step."""
    files = []
    for step, state in states.items():
        (file,) = audit(state, layers=layers, numbers_only=True).files
        counters = {**file.counters, "global_step": step}
        files.append(file._replace(path=f"{file.path} at step {step}", counters=counters))
    return Audit(tuple(files))


class PresetFacts(NamedTuple):
    """A named initialisation: how it is written, with the arguments that it is shown with; its
    formula of the effective bias, and where it is from; the mean activation and the median time
    scale, in steps, that a forget gate then starts at; whether it needs a seed, and whether it sets
    the input gate too.
    """

    syntax: str
    example: str
    formula: str
    source: str
    activation: float
    time_scale: float
    random: bool
    couples: bool

    def __repr__(self) -> str:
        start = f"activation {self.activation:.4g}, time scale {self.time_scale:.4g}"
        return f"<PresetFacts {self.example}: {start}>"


def presets(name: str = "", *, hidden_size: int = 256) -> tuple[PresetFacts, ...]:
    """The named initialisations that `patch` and a policy understand; one of them, if it is named
    ("chrono", or with its arguments, "chrono:784").

    Raises `BadPolicy` for a name that there is not.
    """
    if not name:
        chosen = [Chosen(preset, preset.example) for preset in PRESETS.values()]
    elif name.strip() in PRESETS:
        chosen = [Chosen(PRESETS[name.strip()], PRESETS[name.strip()].example)]
    else:
        chosen = [parse_preset(name)]
    return tuple(_preset(one, hidden_size) for one in chosen)


def _preset(chosen: Chosen, hidden_size: int) -> PresetFacts:
    row, start = chosen.preset, summarise_preset(chosen, hidden_size)
    source = str(row.citation or row.source)
    return PresetFacts(
        row.syntax, str(chosen), row.formula, source, start.activation, start.time_scale,
        row.random, row.couples,
    )  # fmt: skip


def explain(word: str = "") -> str:
    """A rule's manual, by its code (LA101) or name; the rules that a word means, one a line, where
    it means several (LA1, doubled) or none is given. "convention" is how to declare one of one's
    own.

    Raises `BadPolicy` for a word that means no rule.
    """
    if word.strip().lower() == "convention":
        return MANUAL
    found = find_rules(word) if word.strip() else every_rule()
    if len(found) > 1:
        return "\n".join(f"{rule.code} {rule.name} [{rule.severity}]" for rule in found)
    (rule,) = found
    return f"{rule.code} {rule.name} [{rule.severity}]\n\n{fold(rule.manual, WIDTH)}"


# Columns of a manual, as those of a terminal.
WIDTH = 80
