"""What an ONNX model costs beside a torch checkpoint: CPU time of whole processes, in turn.

    python tests/benchmarks/graphs.py [--rounds 15]

Needs torch and 300 MB in the temporary folder. Prints the fastest and the median of each, in ms.
"""

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import onnx_models as o

H = 256
PAYLOAD = 76_000_000


def write_model(path: Path, more: int) -> None:
    """Two bidirectional LSTMs, 76 MB of one other tensor, and `more` nodes that matter to nobody."""
    draw = random.Random(0).uniform
    nodes = [
        o.node("LSTM", ["X", f"W{k}", f"R{k}", f"B{k}"], [f"Y{k}"], "/l/LSTM" + ("_1" if k else ""), hidden_size=H, direction="bidirectional")
        for k in range(2)
    ]  # fmt: skip
    nodes += [
        o.node("MatMul", [f"a{k}", "W"], [f"m{k}"], f"/block.{k}/MatMul") for k in range(7 + more)
    ]
    tensors = []
    for k in range(2):
        tensors += [
            o.tensor(f"W{k}", (2, 4 * H, 8), [0.0] * 64 * H),
            o.tensor(f"R{k}", (2, 4 * H, H), [0.0] * 8 * H * H),
        ]
        tensors.append(o.tensor(f"B{k}", (2, 8 * H), [draw(-0.06, 0.06) for _ in range(16 * H)]))
    head = (
        o.number(1, PAYLOAD // 4)
        + o.number(2, 1)
        + o.block(8, "large")
        + o.varint(9 << 3 | 2)
        + o.varint(PAYLOAD)
    )
    head = o.varint(5 << 3 | 2) + o.varint(len(head) + PAYLOAD) + head
    body = o.graph(nodes, tensors)
    size = o.varint(len(body) + len(head) + PAYLOAD)
    with path.open("wb") as file:
        file.write(
            o.number(1, 8) + o.block(2, "pytorch") + o.varint(7 << 3 | 2) + size + body + head
        )
        file.write(bytes(PAYLOAD) + o.block(8, o.block(1, "") + o.number(2, 14)))


def write_checkpoint(path: Path) -> None:
    """The same LSTM with biases of the same kind, for what the forensics ask depends on them, and as
    many bytes, by torch.save.
    """
    code = f"""
import random, sys, torch
draw = random.Random(0).uniform
state = torch.nn.LSTM(8, {H}, 2, bidirectional=True).state_dict()
for name in state:
    if "bias" in name:
        state[name] = torch.tensor([draw(-0.06, 0.06) for _ in range(4 * {H})])
state["large"] = torch.zeros({PAYLOAD // 4})
torch.save(state, sys.argv[1])
"""
    subprocess.run([sys.executable, "-c", code, path], check=True)


def cpu(command: Sequence[str | Path]) -> float:
    """CPU time of one process, in ms."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("few.pt", "few.onnx", "many.onnx")}
        write_checkpoint(files["few.pt"])
        write_model(files["few.onnx"], 0)
        write_model(files["many.onnx"], 3000)
        audit = [sys.executable, "-m", "lstm_audit", "audit", "--format", "json"]
        commands = {"pass": [sys.executable, "-c", "pass"]} | {
            n: [*audit, p] for n, p in files.items()
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(cpu(command))
    for name, found in times.items():
        print(f"{name:10} {min(found):7.1f} {statistics.median(found):7.1f}")


if __name__ == "__main__":
    main()
