"""The graph fixtures, copied with what lies beside them."""

from pathlib import Path

from lstm_audit.errors import AuditError
from lstm_audit.pipeline import audit_file

GRAPHS = Path(__file__).parents[1] / "fixtures" / "graphs"


def copied(name: str, folder: Path) -> Path:
    """A fixture, with the file beside it."""
    for file in GRAPHS.glob(Path(name).stem + ".*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder / name


def kind_of(data: bytes, name: str, folder: Path) -> str:
    """What reading it says: the kind of an error, or `read`."""
    path = folder / name
    path.write_bytes(data)
    try:
        audit_file(str(path))
    except AuditError as error:
        return error.kind
    return "read"
