"""What one checkpoint may cost, with all its files, records and nested files together.

Comes in: a charge, before the work that it stands for is done. Goes out: nothing, or
`MalformedFile` of kind `limit`. Promise: what the readers build of one checkpoint, whatever its
bytes, takes less than 512 MiB and 2 s, because all of them draw on one account.

Every source carries the account of its checkpoint: a shard and an inflated record have the one of
the file that led to them. The amounts, measured on the machine where 2 s were fixed: three million
of the costliest steps take about 1.2 s and 250 MB, 128 MiB are inflated in 0.3 s and read in 0.1 s.
"""

from ..errors import MalformedFile

# Values built and visited: pickle opcodes, JSON values (twice), zip entries. 60,000 tensors of a
# torch file, 180,000 of a safetensors one.
MAX_STEPS = 3_000_000

# Bytes that are inflated, or decoded as a whole: they stay in memory while the file is open.
MAX_HELD = 128 << 20

# Bytes read. Of most files it is under 0.3 MB.
MAX_READ = 256 << 20


class Budget:
    """What is left of a checkpoint's allowance."""

    __slots__ = ("held", "read", "steps")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.held = MAX_HELD
        self.read = MAX_READ

    def step(self, count: int, what: str) -> None:
        """Pay for `count` values that are about to be built or visited."""
        self.steps -= count
        if self.steps < 0:
            raise _refuse_spent(f"{what}: with it the checkpoint takes over {MAX_STEPS} steps")

    def hold(self, size: int, what: str) -> None:
        """Pay for `size` bytes that are about to be made and kept."""
        self.held -= size
        if self.held < 0:
            raise _refuse_spent(
                f"{what}: with it over {MAX_HELD >> 20} MiB are inflated or decoded"
            )

    def load(self, size: int) -> None:
        """Pay for `size` bytes that are about to be read."""
        self.read -= size
        if self.read < 0:
            raise _refuse_spent(f"over {MAX_READ >> 20} MiB of it are read, which no audit needs")


def _refuse_spent(message: str) -> MalformedFile:
    return MalformedFile(f"{message}; it is beyond what is read", kind="limit")
