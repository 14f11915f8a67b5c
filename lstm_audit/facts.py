"""The results: what an audit says, as plain values and as the JSON of `lstm-audit/report/1`.

Comes in: what was found and measured. Goes out: `Audit`, frozen, sorted, without timestamps.
Promise: a result holds no file, no array and no cache, so it can be pickled and kept by the
million; its JSON is strict, and equal byte for byte in two runs over the same files.

The JSON is written, and its schema derived (`schemas`), from the types below alone: a field is a
key. The tables of `fact_json` say where the two differ.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, overload

from .activations import PATTERN
from .errors import Skipped
from .fact_json import as_json
from .lstm.forensics.schemes import Init
from .lstm.layer import GATES, Direction, Identity, Layer, Lstm, halves_overlap
from .lstm.measure import ACTIVATIONS, Measures, Values, time_scale_of_bias
from .result import Result, quote_for_repr
from .targets import Target
from .tuples import NamedTuple
from .version import __version__

SCHEMA = "lstm-audit/report/1"
# Most severe first.
SEVERITIES = ("error", "warning", "info")

# Of files that are code: what they make of an LSTM has findings, but no numbers to show.
SOURCE_FORMATS = ("python", "notebook", "markdown")

ERROR_KINDS = (
    "malformed", "truncated", "ambiguous", "unknown-format", "lfs-pointer", "html", "empty",
    "unsupported", "limit", "changed", "interrupted-patch", "io",
)  # fmt: skip

Json = dict[str, Any]

# What JSON Schema says of a value beyond its type stands beside the type.
Word = Annotated[str, ("pattern", "^[a-z0-9]+([-_][a-z0-9]+)*$")]
Code = Annotated[str, ("pattern", "^LA[0-9]{3}$")]
Count = Annotated[int, ("minimum", 0)]
Severity = Annotated[str, ("enum", SEVERITIES)]
ErrorKind = Annotated[str, ("enum", ERROR_KINDS)]
ActivationName = Annotated[str, ("pattern", PATTERN)]
Scalar = Annotated[float | str | None, ("type", ("number", "string", "null"))]


class Location(NamedTuple):
    """Where stored bytes lie: `size` bytes from the absolute offset `at` of a file."""

    path: str
    at: int
    size: int


class Units(NamedTuple):
    """The numbers of each unit: the effective bias of i, f, g, o, the forget gate's activation at
    x=0, h=0, and its time scale in steps.
    """

    bias: Mapping[str, tuple[float, ...]]
    activation: tuple[float, ...]
    time_scale: tuple[float, ...]

    def __repr__(self) -> str:
        return f"<Units: {len(self.activation)}>"


# Facts are what a report, a rule's message or another process may still ask when the file is
# closed. `lstm.layer.Lstm` has the handles (terms, blocks, spans, a source); nothing here may, or a
# result would keep a file open and could not be pickled.
class LstmFacts(NamedTuple):
    """One LSTM, as far as it can be told without its file; see `lstm.layer.Lstm` for the terms.

    `tied` are the identities that its aliases would make. `two_halves`: there is a bias_ih and a
    bias_hh. `fixable`: it has a forget bias of its own that could be written. `locations` are the
    places of the stored parts of its forget bias, as far as they have one in a file.
    """

    identity: Identity
    hidden_size: Count
    dtype: str
    bias_tensors: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    offset: float = 0.0
    activation_function: ActivationName = "sigmoid"
    notes: tuple[str, ...] = ()
    tied: tuple[Identity, ...] = ()
    two_halves: bool = False
    fixable: bool = True
    locations: tuple[Location, ...] = ()

    def __repr__(self) -> str:
        kind = f"{self.hidden_size} units, {self.dtype}, {self.convention}"
        return f"<LstmFacts {quote_for_repr(self.address)}: {kind}>"

    @property
    def module(self) -> str:
        """The module's path, empty for a bare state dict."""
        return self.identity.module

    @property
    def layer(self) -> int:
        """The layer within the module, from 0."""
        return self.identity.layer

    @property
    def direction(self) -> str:
        """forward or reverse."""
        return self.identity.direction

    @property
    def convention(self) -> str:
        """The row of the naming table that the tensors fit."""
        return self.identity.convention

    @property
    def address(self) -> str:
        """How the identity is written: `MODULE:lK` or `MODULE:lK:reverse`."""
        return self.identity.address

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that a pattern may match, names of tied modules included."""
        return tuple(name for one in (self.identity, *self.tied) for name in one.names)


class Row(NamedTuple):
    """One LSTM of a report: the facts, what was measured, and which initialiser made it (None: not
    asked). `units` are there when they were asked for.
    """

    lstm: LstmFacts
    measures: Measures
    init: Init | None = None
    units: Units | None = None

    def __repr__(self) -> str:
        bias, active = self.measures.gates["f"].mean, self.measures.activation.mean
        init = f", {self.init.scheme}" if self.init else ""
        numbers = f"forget bias {bias:.4g}, activation {active:.4g}{init}"
        return f"<Row {quote_for_repr(self.lstm.address)}: {numbers}>"


# A fix is data: target and identities. The command line in a report, the replacement in SARIF,
# `--fix` and the button in HTML are four renderings of it. When it was a command line, two of them
# had to parse it back, and a name with a quote in it broke both.
class Fix(NamedTuple):
    """What mends a finding: a patch target for some LSTMs of its file. `safe`: nothing that was
    learned is lost. `ambiguous`: an address of theirs is also that of another LSTM.

    Commands, byte replacements and buttons are made from it; nobody reads one of those back.
    """

    target: Target
    identities: tuple[Identity, ...]
    safe: bool
    ambiguous: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """How the identities are written."""
        return tuple(one.full_address if self.ambiguous else one.address for one in self.identities)


class Finding(NamedTuple):
    """One rule's word on one LSTM, one module (`layer` None) or one file (`module` None too).

    `measured` and `expected` are numbers or short texts; the message says both, and what to do.
    `line` and `column` (from 1) are of source code, within the `cell` (from 1) of a notebook.
    `convention` is that of the one LSTM; `ambiguous`: another LSTM of the file has the same address
    under another convention.
    """

    code: Code
    name: Word
    severity: Severity
    path: str
    module: str | None
    layer: Layer | None
    direction: Direction | None
    message: str
    measured: Scalar = None
    expected: Scalar = None
    fix: Fix | None = None
    line: Count | None = None
    column: Count | None = None
    cell: Count | None = None
    convention: str | None = None
    ambiguous: bool = False

    def __repr__(self) -> str:
        place = quote_for_repr(self.address or self.path)
        return f"<Finding {self.code} {self.name} [{self.severity}] {place}>"

    @property
    def identity(self) -> Identity | None:
        """Of the one LSTM that it is about; None where it is about a module or the file."""
        if self.layer is None or self.convention is None:
            return None
        return Identity(self.module or "", self.layer, self.direction or "forward", self.convention)

    @property
    def fixable(self) -> bool:
        """Whether a patch can mend it."""
        return self.fix is not None

    @property
    def fingerprint(self) -> str:
        """The same in every run over the same file, whatever the numbers: the key of a baseline."""
        return f"{self.code}:{self.path}:{self.address}"

    @property
    def address(self) -> str:
        """`MODULE:lK[:reverse]`, `MODULE`, or nothing, as far as the finding has a place;
        `@CONVENTION` behind it where two LSTMs share that.
        """
        if self.layer is None:
            return self.module or ""
        at = Identity(self.module or "", self.layer, self.direction or "", self.convention or "")
        return at.full_address if self.ambiguous else at.address


# A result that is kept for a later run is of use only while its file is the same. Size and time are
# what a local file offers without reading it; a store offers better, and a version that is empty
# never equals another.
class Stamp(NamedTuple):
    """What tells a file from a later version of itself: its locator without credentials, its size,
    and its time of change in ns (local) or its ETag, generation or the like (elsewhere).
    """

    path: str
    size: Count
    version: str


class FileAudit(NamedTuple):
    """One checkpoint that could be read. `bytes` is its size on disk (all shards together).

    `left_out` are the addresses of LSTMs, and the modules of what was skipped, that lie outside of
    the layers that were asked for; `counters` say how far training had come, where the file does;
    `stamps` are of the files that it was read from, where these are several; `warnings` name what
    lies beside them and was left alone: the journal of another user, a link in the place of one.
    """

    path: str
    format: Word
    bytes: Count
    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]
    findings: tuple[Finding, ...] = ()
    left_out: tuple[str, ...] = ()
    counters: Mapping[str, int] = {}
    stamps: tuple[Stamp, ...] = ()
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        said = f"{len(self.rows)} LSTMs, {len(self.findings)} findings"
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"<FileAudit {quote_for_repr(self.path)}: {said}{skipped}>"


class FileError(NamedTuple):
    """One input that could not be read: the kind, what to do, and the byte at which it happened."""

    path: str
    kind: ErrorKind
    message: str
    at: Count | None = None


# Not a NamedTuple, since it is a sequence of its LSTMs and not of its five fields. What a tuple
# gives is written out: it is frozen, compares by value, can be pickled, and can be taken apart by
# `match`.
class Audit(Result, view="audited"):
    """The result of one run: of its LSTMs it is a sequence.

    `len(audit)` counts the LSTMs, iterating over it gives their `Row`s in the order of the report,
    `audit[0]` and `audit["encoder.lstm:l0"]` give one; it is true when there is any. `files` are
    the checkpoints that could be read, `errors` what could not. `ignored` counts the files in
    walked folders that are no checkpoints, `sources` what a run of the linter looked at.
    """

    __slots__ = __match_args__ = ("files", "errors", "ignored", "ignored_paths", "sources")

    files: tuple[FileAudit, ...]
    errors: tuple[FileError, ...]
    ignored: int
    ignored_paths: tuple[str, ...]
    sources: int

    def __init__(
        self,
        files: tuple[FileAudit, ...],
        errors: tuple[FileError, ...] = (),
        ignored: int = 0,
        ignored_paths: tuple[str, ...] = (),
        sources: int = 0,
    ) -> None:
        values = (files, errors, ignored, ignored_paths, sources)
        for name, value in zip(Audit.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an Audit is not changed; _replace makes another one")

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in Audit.__slots__)

    def _replace(self, **changed: Any) -> "Audit":
        """Another one, with other values for some attributes."""
        return Audit(**{**dict(zip(Audit.__slots__, self._values(), strict=True)), **changed})

    def __reduce__(self) -> tuple[Any, ...]:
        return Audit, self._values()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Audit) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]  # its rows hold mappings

    def __len__(self) -> int:
        return sum(len(file.rows) for file in self.files)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @overload
    def __getitem__(self, which: int | str) -> Row: ...
    @overload
    def __getitem__(self, which: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, which: int | str | slice) -> Row | tuple[Row, ...]:
        if not isinstance(which, str):
            return self.rows[which]
        found = [row for row in self.rows if which in row.lstm.names]
        if len(found) != 1:
            known = ", ".join(row.lstm.address for row in self.rows[:8])
            raise KeyError(f"{which!r} means {len(found)} LSTMs; there are {known or 'none'}")
        return found[0]

    def __repr__(self) -> str:
        said = f"files {len(self.files)}, LSTMs {len(self)}, findings {len(self.findings)}"
        return f"<Audit: {said}{f', unreadable {len(self.errors)}' if self.errors else ''}>"

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every LSTM of every file, in the order of the report."""
        return tuple(row for file in self.files for row in file.rows)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding of every file, in the order of the report."""
        return tuple(finding for file in self.files for finding in file.findings)

    def to_dict(self) -> Json:
        """The report as plain JSON values; non-finite numbers are the strings NaN, Infinity and
        -Infinity.
        """
        tool, summary = Tool("lstm-audit", __version__), total(self)
        report: Json = as_json(ReportDocument(SCHEMA, tool, summary, self.files, self.errors))
        return report


class Tool(NamedTuple):
    """Who wrote a report."""

    name: Annotated[str, ("const", "lstm-audit")]
    version: str


class Counts(NamedTuple):
    """How many findings there are of each severity."""

    error: Count
    warning: Count
    info: Count


class Totals(NamedTuple):
    """A run in numbers."""

    files: Count
    unreadable: Count
    ignored: Count
    lstms: Count
    skipped: Count
    findings: Counts


class ReportDocument(NamedTuple):
    """The document `lstm-audit/report/1`."""

    schema: Annotated[str, ("const", SCHEMA)]
    tool: Tool
    summary: Totals
    files: tuple[FileAudit, ...]
    errors: tuple[FileError, ...]


def total(audit: Audit) -> Totals:
    """An audit in numbers."""
    severities = [finding.severity for finding in audit.findings]
    return Totals(
        files=len(audit.files),
        unreadable=len(audit.errors),
        ignored=audit.ignored,
        lstms=len(audit.rows),
        skipped=sum(len(file.skipped) for file in audit.files),
        findings=Counts._make(map(severities.count, SEVERITIES)),
    )


# ---- handles into facts


def facts_of(lstm: Lstm) -> LstmFacts:
    """What stays of an LSTM when its file is closed."""
    spans = [hull for term in lstm.gates["f"] for hull in term.block.span.hulls]
    return LstmFacts(
        identity=lstm.identity,
        hidden_size=lstm.hidden_size,
        dtype=lstm.dtype,
        bias_tensors=lstm.bias_tensors,
        aliases=lstm.aliases,
        offset=lstm.offset,
        activation_function=lstm.activation_function,
        notes=lstm.notes,
        tied=lstm.tied,
        two_halves=lstm.two_halves,
        fixable=bool(spans)
        and None not in [span.at for span in spans]
        and not halves_overlap(lstm)
        and not _one_piece(lstm),
        locations=tuple([Location(s.source.name, s.at, s.size) for s in spans if s.at is not None]),
    )


def _one_piece(lstm: Lstm) -> bool:
    """Whether the forget gate's bias is stored as another gate's too: TFLite keeps equal constants
    once.
    """
    own = {term.block.place for term in lstm.gates["f"]}
    others = [term.block.place for gate in "igo" for term in lstm.gates[gate]]
    return not own.isdisjoint(others)


def units_of(lstm: Lstm, values: Values) -> Units:
    """The numbers of each unit, for keeps."""
    activate, function = ACTIVATIONS[lstm.activation_function], lstm.activation_function
    return Units(
        bias={gate: tuple(bias) for gate, bias in zip(GATES, values.effective, strict=True)},
        activation=tuple(map(activate, values.forget)),
        time_scale=tuple(time_scale_of_bias(bias, function) for bias in values.forget),
    )


def sort_skipped(skipped: Sequence[Skipped]) -> tuple[Skipped, ...]:
    """Skipped entries in the order of a report, each said once."""
    return tuple(sorted(set(skipped), key=lambda s: (s.module, s.reason, s.detail)))
