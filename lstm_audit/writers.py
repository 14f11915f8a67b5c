"""Where the readings of a training run go.

Comes in: what a user names: a file, a SummaryWriter, a run of wandb, a logger of Lightning, a
function. Goes out: a `Writer`. Promise: each kind is one row of `WRITERS`, known by what it can do,
so that nothing is imported that the user has not imported; a reading is never lost silently.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from .errors import BadPolicy, MissingPackage
from .fact_json import json_number
from .lstm.layer import Identity
from .lstm.measure import Stats
from .reports.words import dumps


class Reading(NamedTuple):
    """One LSTM's forget gate at one step of training.

    `at` is `rest` (x = 0, h = 0: the biases alone) or `data` (recomputed on the batch). Statistics
    over units: of the effective `bias`, the `activation`, and the `time_scale` in steps; on data
    these are of the units' means over the batch, and the bias is that at rest. `units` are the
    activations, one a unit.
    """

    step: int
    identity: Identity
    at: str
    bias: Stats
    activation: Stats
    time_scale: Stats
    units: tuple[float, ...]

    def __repr__(self) -> str:
        active = f"activation {self.activation.mean:.4g}"
        return f"<Reading {self.identity.address!r} at step {self.step}, {self.at}: {active}>"

    @property
    def scalars(self) -> dict[str, float]:
        """The numbers that are worth a curve, by the tag of each."""
        name = self.identity.address.replace(":", ".").lstrip(".")
        tag = f"lstm/{name}/{'' if self.at == 'rest' else 'data_'}"
        return {
            f"{tag}bias": self.bias.mean,
            f"{tag}activation": self.activation.mean,
            f"{tag}activation_p05": self.activation.p05,
            f"{tag}activation_p95": self.activation.p95,
            f"{tag}time_scale": self.time_scale.p50,
        }

    @property
    def histogram(self) -> str:
        """The tag of the distribution over units."""
        return f"{next(iter(self.scalars)).rpartition('bias')[0]}units"


class Alarm(NamedTuple):
    """What went wrong with an LSTM, at which step: `saturated`, `closed`, `never moved` or
    `not a number`; `message` says it with the numbers and what to do.
    """

    step: int
    identity: Identity
    what: str
    message: str


WriteReadings = Callable[[int, Sequence[Reading], Sequence[Alarm]], object]


class Writer(NamedTuple):
    """Called with a step, its readings and its alarms; closed at the end."""

    write: WriteReadings
    close: Callable[[], object] = lambda: None


class Kind(NamedTuple):
    """One kind of place: what it is called, whether something is one, and its writer."""

    name: str
    fits: Callable[[Any], bool]
    make: Callable[[Any], Writer]


def open_writers(to: Any) -> list[Writer]:
    """The writers of what a user names: one place, or several. Raises `BadPolicy` for what is no
    place.
    """
    return [_open(one) for one in list_places(to)]


def list_places(to: Any) -> list[Any]:
    """What a user names: nothing, one place, or several."""
    return list(to) if isinstance(to, (list, tuple)) else [] if to is None else [to]


def _open(place: Any) -> Writer:
    for kind in WRITERS:
        if kind.fits(place):
            return kind.make(place)
    known = ", ".join(kind.name for kind in WRITERS)
    raise BadPolicy(f"a {type(place).__name__} is no place for readings; there are: {known}")


# ---- jsonl


def _jsonl(path: Any) -> Writer:
    """A line a reading, and a line an alarm, as they come: what a killed run wrote is there."""
    folder = os.path.dirname(os.fspath(path))
    os.makedirs(folder or os.curdir, exist_ok=True)
    file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed by close()

    def write(step: int, readings: Sequence[Reading], alarms: Sequence[Alarm]) -> None:
        for line in _lines(readings, alarms):
            file.write(dumps(line) + "\n")

    return Writer(write, file.close)


def _lines(readings: Iterable[Reading], alarms: Iterable[Alarm]) -> Iterator[dict[str, Any]]:
    for one in readings:
        numbers = {
            name: {key: json_number(value) for key, value in getattr(one, name)._asdict().items()}
            for name in ("bias", "activation", "time_scale")
        }
        yield {"step": one.step, **_place(one.identity), "at": one.at, **numbers}
    for alarm in alarms:
        place = _place(alarm.identity)
        yield {"step": alarm.step, **place, "alarm": alarm.what, "message": alarm.message}


def _place(one: Identity) -> dict[str, Any]:
    return {"module": one.module, "layer": one.layer, "direction": one.direction}


# ---- TensorBoard, wandb, Lightning


def _tensorboard(board: Any) -> Writer:
    """A `SummaryWriter`: curves, the distribution over units, alarms as text."""
    return Writer(partial(_to_board, board), board.flush)


def _to_board(board: Any, step: int, readings: Sequence[Reading], alarms: Sequence[Alarm]) -> None:
    for one in readings:
        for tag, value in one.scalars.items():
            board.add_scalar(tag, value, step)
        _add_histogram(board, one, step)
    for alarm in alarms:
        board.add_text("lstm/alarms", alarm.message, step)


def _add_histogram(board: Any, one: Reading, step: int) -> None:
    import torch  # a live model is being trained: it is there

    values = torch.tensor(one.units, dtype=torch.float64)
    if bool(values.isfinite().all()):  # TensorBoard has no bin for NaN
        board.add_histogram(one.histogram, values, step)


def _wandb(run: Any) -> Writer:
    """A run of wandb; the steps are an axis of our own, for those of a run may only grow."""
    run.define_metric("lstm/step")
    run.define_metric("lstm/*", step_metric="lstm/step")
    return Writer(partial(_to_run, run))


def _to_run(run: Any, step: int, readings: Sequence[Reading], alarms: Sequence[Alarm]) -> None:
    import wandb  # whoever has a run has it

    values: dict[str, Any] = {"lstm/step": step}
    for one in readings:
        values |= one.scalars
        if all(value == value for value in one.units):
            values[one.histogram] = wandb.Histogram(list(one.units))
    run.log(values)
    for alarm in alarms:
        run.alert(title=f"LSTM {alarm.what}", text=alarm.message, level=wandb.AlertLevel.WARN)


def _active_run(name: str) -> Writer:
    """`wandb`: the run that is active."""
    try:
        import wandb  # an extra of the user's
    except ImportError:
        raise MissingPackage("to='wandb' needs wandb: pip install wandb") from None
    if wandb.run is None:
        raise BadPolicy("to='wandb': no run is active; call wandb.init() first")
    return _wandb(wandb.run)


def _lightning(logger: Any) -> Writer:
    """A logger of Lightning; where it is TensorBoard's, the distributions too."""

    def write(step: int, readings: Sequence[Reading], alarms: Sequence[Alarm]) -> None:
        numbers = {tag: value for one in readings for tag, value in one.scalars.items()}
        logger.log_metrics(numbers, step=step)
        board: Any = getattr(logger, "experiment", None)
        if hasattr(board, "add_histogram"):
            for one in readings:
                _add_histogram(board, one, step)
            for alarm in alarms:
                board.add_text("lstm/alarms", alarm.message, step)

    return Writer(write)


WRITERS = (
    Kind(
        "the path of a .jsonl file",
        lambda place: isinstance(place, (str, os.PathLike)) and str(place).endswith(".jsonl"),
        _jsonl,
    ),
    Kind("'wandb'", lambda place: isinstance(place, str) and place == "wandb", _active_run),
    Kind("a SummaryWriter", lambda place: hasattr(place, "add_scalar"), _tensorboard),
    Kind("a run of wandb", lambda place: hasattr(place, "define_metric"), _wandb),
    Kind("a logger of Lightning", lambda place: hasattr(place, "log_metrics"), _lightning),
    Kind("a function (step, readings, alarms)", callable, Writer),
)
