"""The checkpoints that the benchmarks use.

Comes in: a path and a size. Goes out: the file. Promise: torch is imported in a process of its own;
a child's peak memory counts what its parent held when it was forked (getrusage(2), and Linux's exec
keeps the mark), so the process that measures must stay small.

    python tests/benchmarks/files.py PATH MEGABYTES
"""

import subprocess
import sys
from pathlib import Path


def write(path: Path, megabytes: int) -> None:
    """A two-layer bidirectional LSTM of H = 128, beside other weights of `megabytes` (0: the LSTM
    alone).
    """
    subprocess.run([sys.executable, __file__, str(path), str(megabytes)], check=True)


def _written(path: Path, megabytes: int) -> None:
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    lstm = torch.nn.LSTM(64, 128, num_layers=2, bidirectional=True)
    state = {f"lstm.{name}": value for name, value in lstm.state_dict().items()}
    blocks = max(1, megabytes // 20)
    if megabytes:
        state |= {
            f"blocks.{k}.weight": torch.randn(megabytes * 262144 // blocks) for k in range(blocks)
        }
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)


if __name__ == "__main__":
    _written(Path(sys.argv[1]), int(sys.argv[2]))
