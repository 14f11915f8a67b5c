"""torch.package: a zip of pickles and of the Python source that they need.

Comes in: an `Archive`. Goes out: one `Checkpoint` of all pickles in it, the names of each behind
its path. Promise: no source in it is looked at, let alone imported, and every pickle that an
importer may be asked for is gone through.

Source: torch/package/package_exporter.py save_pickle, package_importer.py load_pickle: storages are
`.data/N.storage` for all pickles together, and a resource may have any name. A scripted module is
a reference; its attributes are a pickle of TorchScript's, which spells its storages `N.storage`.
"""

from collections.abc import Iterator
from functools import partial

from ...errors import MalformedFile, Skipped
from ...raw.tensor import Tensor
from ...raw.tensors import Tensors
from ...wire.pickle import Call
from .. import Checkpoint, Claim
from .archive import Archive, open_pickle
from .dialect import contents
from .legacy import Envelope
from .rebuild import read_claimed_shape, rebuild
from .scan import GlobalPairs, imports_of

DATA = ".data"
SCRIPTS = f"{DATA}/ts_code/"
OPENING = 100  # steps of the budget that a pickle takes, however small it is

PackedPlace = tuple[Envelope, Call]


def read_package(archive: Archive) -> Checkpoint:
    """Every tensor of every pickle: `model/model.pkl/encoder.weight_ih_l0`."""
    tensors: dict[str, PackedPlace] = {}
    claims: dict[str, Claim] = {}
    skipped: list[Skipped] = []
    named: GlobalPairs = {}
    for path, opened in _pickles(archive):
        found = contents(opened)
        join = partial(_join, path)
        tensors |= {join(name): (opened, call) for name, call in found.tensors.items()}
        claims |= {join(name): claim for name, claim in found.claims.items()}
        skipped += [skip._replace(module=join(skip.module)) for skip in found.skipped]
        named |= imports_of(opened)
    return Checkpoint(
        format="torch-package",
        tensors=Tensors(tensors, _build, _shape),
        claims=claims,
        skipped=tuple(skipped),
        globals=tuple(named),
    )


def _pickles(archive: Archive) -> Iterator[tuple[str, Envelope]]:
    """The pickles by their paths. Text and sources may begin like one; only a name that says so
    makes an unreadable one an error.
    """
    for name in archive.members:
        scripted = name.startswith(SCRIPTS) and name.endswith("/data.pkl")
        if name.endswith(".py") or (name.startswith(f"{DATA}/") and not scripted):
            continue
        span = archive.record(name)
        if span.size < 4 or span[:1].read() != b"\x80":
            continue
        span.budget.step(OPENING, "a package's pickle")
        try:
            yield name, open_pickle(archive, name, DATA, "" if scripted else ".storage")
        except MalformedFile as error:
            if error.kind == "limit" or name.endswith(".pkl"):
                raise


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if name else path


def _build(name: str, place: PackedPlace) -> Tensor:
    opened, call = place
    return rebuild(call, opened)


def _shape(name: str, place: PackedPlace) -> tuple[int, ...] | None:
    return read_claimed_shape(place[1])
