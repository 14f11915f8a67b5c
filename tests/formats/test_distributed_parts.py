"""What a sharded run leaves in a single file is said for what it is, with what consolidates it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lstm_audit

SAVE = """
import sys
import torch
import torch.distributed as dist
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}/store", rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
state = {
    f"enc.{name}": distribute_tensor(value, mesh, [Shard(0)])
    for name, value in torch.nn.LSTM(3, 4).state_dict().items()
}
torch.save(state, f"{sys.argv[1]}/model.pt")
"""


def test_dtensors_of_a_real_run(tmp_path: Path) -> None:
    if not torch.distributed.is_available():
        pytest.skip("this torch was built without torch.distributed")
    subprocess.run([sys.executable, "-c", SAVE, tmp_path], check=True, capture_output=True)
    (file,) = lstm_audit.audit(tmp_path / "model.pt").files
    assert not file.rows
    assert {skip.reason for skip in file.skipped} == {"missing-data"}
    assert "dcp_to_torch" in file.skipped[0].detail


def test_placeholders_of_zero_3(tmp_path: Path) -> None:
    """DeepSpeed ZeRO-3 leaves empty tensors; the shapes are gone, the names are not."""
    state = {name: torch.empty(0) for name in torch.nn.LSTM(3, 4).state_dict()}
    path = tmp_path / "zero_pp_rank_0_mp_rank_00_model_states.pt"
    torch.save({"module": {f"enc.{name}": value for name, value in state.items()}}, path)
    (file,) = lstm_audit.audit(path).files
    assert not file.rows
    assert [skip.reason for skip in file.skipped] == ["missing-data"]
    assert "zero_to_fp32.py" in file.skipped[0].detail
