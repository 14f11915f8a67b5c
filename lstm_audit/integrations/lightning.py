"""A callback of Lightning that watches the forget gates.

Comes in: the events of a `Trainer`. Goes out: readings to the trainer's loggers, warnings. Promise:
the gates are checked before the first step; only the process of rank zero reads and writes.

    from lstm_audit.integrations.lightning import GateMonitor
    Trainer(callbacks=[GateMonitor(every=100)])

`lightning` and `pytorch_lightning` are two copies of one library: the callback is one of whichever
is imported already.
"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..monitoring import PATIENCE, Monitor, monitor
from ..policy.load import PolicyLike
from ..writers import list_places

if TYPE_CHECKING:
    from lightning.pytorch import Callback
elif "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    from pytorch_lightning import Callback
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        from pytorch_lightning import Callback


class GateMonitor(Callback):  # type: ignore[misc]  # Any, where Lightning is not installed
    """Watches the forget gates of the LightningModule that is trained.

    The arguments are those of `lstm_audit.monitor`; besides `to`, the readings go to every logger
    of the trainer. Steps are the optimizer's (`trainer.global_step`). `monitor` is the `Monitor`
    while training runs, and afterwards.
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
        super().__init__()
        self.to = list_places(to)
        self.every = every
        self.asked: dict[str, Any] = {
            "data": data, "policy": policy, "layers": layers, "strict": strict,
            "patience": patience,
        }  # fmt: skip
        self.monitor: Monitor | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Weights are restored, nothing was trained: the initial gate is checked."""
        if trainer.is_global_zero:
            places = [*self.to, *trainer.loggers]
            step = trainer.global_step
            self.monitor = monitor(pl_module, self.every, to=places, step=step, **self.asked)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Under accumulation of gradients several batches are one step."""
        if self.monitor is not None:
            self.monitor.step(trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close what was opened; the loggers are the trainer's."""
        if self.monitor is not None:
            self.monitor.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The same when training ends early."""
        self.on_train_end(trainer, pl_module)
