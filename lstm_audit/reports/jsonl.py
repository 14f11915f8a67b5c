"""`jsonl`: one LSTM a line, or of source one finding, for programs that read as they go.

Comes in: an `Audit`. Goes out: lines of strict JSON in ASCII. Promise: a line is the row of the
`json` report behind its file's path and format, `init` included, or of a source the finding; the
findings of checkpoints, and what was skipped or could not be read, are in `json`.
"""

from ..fact_json import as_json
from ..facts import SOURCE_FORMATS, Audit, FileAudit
from . import STREAMS, Look, Streamed, report
from .words import dumps


@report("jsonl")
def jsonl(audit: Audit, look: Look) -> str:
    """Nothing is rounded or shortened."""
    return "".join(map(_lines, audit.files))


def _lines(file: FileAudit) -> str:
    found = as_json(file.findings if file.format in SOURCE_FORMATS else file.rows)
    lines = ({"path": file.path, "format": file.format, **row} for row in found)
    return "".join(dumps(line) + "\n" for line in lines)


STREAMS["jsonl"] = Streamed("", _lines)
