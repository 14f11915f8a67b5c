"""`jsonl`: one LSTM a line, or of source one finding, for programs that read as they go.

Comes in: an `Audit`. Goes out: lines of strict JSON in ASCII. Promise: a line is the row of the
`json` report behind its file's path and format, `init` included, or of a source the finding; the
findings of checkpoints, and what was skipped or could not be read, are in `json`.
"""

from ..facts import SOURCE_FORMATS, Audit
from . import Look, report
from .words import dumps


@report("jsonl")
def jsonl(audit: Audit, look: Look) -> str:
    """Nothing is rounded or shortened."""
    files = audit.to_dict()["files"]
    lines = [
        {"path": f["path"], "format": f["format"], **row}
        for f in files
        for row in f["findings" if f["format"] in SOURCE_FORMATS else "lstms"]
    ]
    return "".join(dumps(line) + "\n" for line in lines)
