"""A callback of Hugging Face's `Trainer` that watches the forget gates.

Comes in: the events of a `Trainer`. Goes out: readings to a file and to what the trainer reports
to, warnings. Promise: the gates are checked before the first step; only the main process reads and
writes.

    from lstm_audit.integrations.transformers import GateMonitor
    Trainer(..., callbacks=[GateMonitor(every=100)])
"""

import os
from collections.abc import Iterable
from typing import Any

from transformers import TrainerCallback

from ..monitoring import PATIENCE, Monitor, monitor
from ..policy.load import PolicyLike
from ..writers import list_places

# In the trainer's output folder.
FILE = "gates.jsonl"


class GateMonitor(TrainerCallback):  # type: ignore[misc]  # Any, where it is not installed
    """Watches the forget gates of the model that is trained.

    The arguments are those of `lstm_audit.monitor`. Besides `to`, the readings go to `gates.jsonl`
    in the output folder, and to TensorBoard and wandb where the trainer reports to these
    (`report_to`). Steps are the optimizer's (`state.global_step`). `monitor` is the `Monitor` while
    training runs, and afterwards.
    """

    def __init__(
        self,
        every: int = 100,
        *,
        to: Any = None,
        data: bool = False,
        policy: PolicyLike = None,
        layers: str | Iterable[str] = (),
        strict: bool = False,
        patience: int = PATIENCE,
    ) -> None:
        self.to = list_places(to)
        self.every = every
        self.asked: dict[str, Any] = {
            "data": data, "policy": policy, "layers": layers, "strict": strict,
            "patience": patience,
        }  # fmt: skip
        self.monitor: Monitor | None = None
        self._boards: list[Any] = []

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        """Weights are restored, nothing was trained: the initial gate is checked."""
        if state.is_world_process_zero:
            places = [*self.to, *self._places(args)]
            step = state.global_step
            self.monitor = monitor(model, self.every, to=places, step=step, **self.asked)

    def _places(self, args: Any) -> list[Any]:
        places: list[Any] = [os.path.join(args.output_dir, FILE)]
        if "tensorboard" in args.report_to:
            from torch.utils.tensorboard import SummaryWriter  # 2 s, where it is asked for

            folder = getattr(args, "logging_dir", None) or os.path.join(args.output_dir, "runs")
            self._boards.append(SummaryWriter(folder))
        if "wandb" in args.report_to:
            import wandb  # the trainer reports to it

            places += [wandb.run] if wandb.run is not None else []
        return [*places, *self._boards]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A step of the optimizer was taken."""
        if self.monitor is not None:
            self.monitor.step(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close what was opened."""
        if self.monitor is not None:
            self.monitor.close()
        for board in self._boards:
            board.close()
