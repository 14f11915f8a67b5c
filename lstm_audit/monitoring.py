"""A model's forget gates while it is trained.

Comes in: a live model, and where the readings go. Goes out: a `Monitor`, whose `step` the training
loop calls. Promise: the gates are checked before the first step; reading them changes nothing in
the model; an alarm is raised once, when something happens, not at every step.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from .activity import Activity, measure_calls
from .errors import UnknownFormat
from .facts import Audit, Row
from .fleet import audit
from .gate import Checked, check
from .history import CLOSED, SATURATED
from .lstm.layer import Identity
from .lstm.measure import of_sorted
from .policy.load import PolicyLike
from .recompute import Calls, lstms_of, read_call
from .writers import Alarm, Reading, Writer, open_writers

# Readings after which a gate that has not moved at all is reported.
PATIENCE = 10


class GateWarning(UserWarning):
    """A forget gate that starts wrong, or goes wrong while it is trained."""


def monitor(
    model: Any,
    every: int = 100,
    *,
    to: Any = None,
    data: bool = False,
    policy: PolicyLike = None,
    layers: str | Iterable[str] = (),
    strict: bool = False,
    patience: int = PATIENCE,
    step: int = 0,
) -> "Monitor":
    """Watch the forget gates of a model while it is trained.

    The gates are checked now, before the first step, against `policy` (as `check` takes it); what
    fails is a `GateWarning`, or under `strict` an AssertionError. The gates are read at once, and
    then every so many calls of `Monitor.step`. `to` says where the readings go: the path of a
    .jsonl file, a `SummaryWriter`, a run of wandb (or "wandb", the active one), a logger of
    Lightning, a function (step, readings, alarms), or a list of these. With `data` the gates are
    also recomputed on the last batch that the model saw before a reading: this takes hooks, which a
    compiled model does not like. `layers` are globs, as in `audit`; `step` is where a run that is
    resumed begins.

    An alarm, which is a `GateWarning` too, is raised when a gate saturates (its median unit keeps
    more than 0.9999), closes (mean activation below 0.3), is not a number, or has not moved after
    `patience` readings.

    Raises `UnknownFormat` for a model without an LSTM, `BadPolicy` for a policy, a pattern or a
    place that makes no sense.
    """
    return Monitor(model, every, open_writers(to), data, policy, layers, strict, patience, step)


class Monitor:
    """A model under watch; made by `monitor`.

    `initial` is the verdict before the first step. `readings` are the latest ones, `alarms` all
    that were raised. As a context manager it is closed at the end.
    """

    def __init__(
        self,
        model: Any,
        every: int,
        writers: Sequence[Writer],
        data: bool,
        policy: PolicyLike,
        layers: str | Iterable[str],
        strict: bool,
        patience: int,
        step: int,
    ) -> None:
        self.model, self.every, self.patience = model, max(every, 1), patience
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        self.initial: Checked = check(model, policy, layers=self.layers)
        if not self.initial.audit:
            raise UnknownFormat(self.initial.incomplete or "no LSTM was found", kind="unsupported")
        self._writers = writers
        self._count = self._last = step
        self._calls: list[Calls] = []
        self._hooks = list(self._listen()) if data else []
        self._standing: set[tuple[Identity, str]] = set()
        self._unmoved: dict[Identity, tuple[tuple[float, ...], int]] = {}
        self.alarms: tuple[Alarm, ...] = ()
        self.readings: tuple[Reading, ...] = ()
        self._refuse_bad_start(strict)
        self.read()

    def __repr__(self) -> str:
        said = f"{len(self.initial.audit)} LSTMs, step {self._count}, {len(self.alarms)} alarms"
        return f"<Monitor: {said}>"

    def _refuse_bad_start(self, strict: bool) -> None:
        if self.initial.passed:
            return
        lines = [f"{f.code} {f.address or '(root)'}: {f.message}" for f in self.initial.failures]
        text = "\n".join([*lines, *filter(None, [self.initial.incomplete])])
        if strict:
            self.close()
            raise AssertionError(text)
        warnings.warn(f"before the first step: {text}", GateWarning, stacklevel=4)

    # ---- in the training loop

    @property
    def due(self) -> bool:
        """Whether the next call of `step` reads the gates."""
        return self._count + 1 >= self._last + self.every

    def step(self, step: int | None = None) -> tuple[Reading, ...]:
        """Tell that a step of training was taken: the next one, or the one of this number. The
        readings, if it was time to take them.
        """
        self._count = self._count + 1 if step is None else step
        if self._count < self._last + self.every:
            return ()
        return self.read()

    def read(self) -> tuple[Reading, ...]:
        """Read the gates now, write the readings, and raise the alarms."""
        self._last = self._count
        found = audit(self.model, layers=self.layers, numbers_only=True, units=True)
        at_rest = [_reading(self._count, row) for row in found]
        self.readings = (*at_rest, *self._on_data(found))
        alarms = tuple(self._new_alarms())
        self.alarms += alarms
        for writer in self._writers:
            writer.write(self._count, self.readings, alarms)
        for alarm in alarms:
            warnings.warn(alarm.message, GateWarning, stacklevel=3)
        return self.readings

    def close(self) -> None:
        """Take the hooks off, and close what was opened."""
        for hook in self._hooks:
            hook.remove()
        for writer in self._writers:
            writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- on data

    def _listen(self) -> Iterator[Any]:
        """Hooks that keep the last call of each LSTM, when a reading is due."""
        self._calls, _ = lstms_of(self.model)
        for one in self._calls:
            yield one.part.register_forward_pre_hook(self._keep(one), with_kwargs=True)

    def _keep(self, calls: Calls) -> Any:
        def hook(part: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            if self.due:
                calls.made[:] = [read_call(inputs, keywords)]

        return hook

    def _on_data(self, found: Audit) -> Iterator[Reading]:
        """What the gates did on the batch, of the LSTMs that are watched."""
        called = [one for one in self._calls if one.made]
        rows = {row.lstm.identity[:3]: row for row in found}
        activity = Activity(measure_calls(called))
        for one in self._calls:
            one.made.clear()
        for layer in activity:
            row = rows.get(layer.identity[:3])
            if row is not None:
                yield Reading(
                    self._count, row.lstm.identity, "data", row.measures.gates["f"],
                    of_sorted(sorted(layer.activation)), of_sorted(sorted(layer.time_scale)),
                    layer.activation,
                )  # fmt: skip

    # ---- alarms

    def _new_alarms(self) -> Iterator[Alarm]:
        """Those that did not stand at the last reading."""
        now = {(a.identity, a.what): a for one in self.readings for a in self._alarms_of(one)}
        for key, alarm in now.items():
            if key not in self._standing:
                yield alarm
        self._standing = set(now)

    def _alarms_of(self, one: Reading) -> Iterator[Alarm]:
        where = one.identity.written
        active, on = one.activation, " on the data" if one.at == "data" else ""

        def alarm(what: str, message: str) -> Alarm:
            text = f"step {one.step}: {where} {message}"
            return Alarm(one.step, one.identity, what, text)

        if active.mean != active.mean:
            yield alarm("not a number", f"has a forget gate that is not a number{on}")
        elif active.p50 > SATURATED:
            kept = f"its median unit keeps {active.p50:.6f} of its memory a step"
            yield alarm("saturated", f"is saturated{on}: {kept}, and takes no gradient any more")
        elif active.mean < CLOSED:
            kept = f"it keeps {active.mean:.3f} of its memory a step"
            yield alarm("closed", f"has closed{on}: {kept} (mean over units)")
        if one.at == "rest" and self._still(one) >= self.patience:
            yield alarm(
                "never moved",
                f"has not moved in {self.patience} readings: no bit of its forget bias has "
                "changed; is it in the optimizer, does it require a gradient?",
            )

    def _still(self, one: Reading) -> int:
        """For how many readings the activations have been the same to the bit."""
        before, count = self._unmoved.get(one.identity, ((), -1))
        count = count + 1 if before == one.units else 0
        self._unmoved[one.identity] = (one.units, count)
        return count


def _reading(step: int, row: Row) -> Reading:
    measures, units = row.measures, row.units
    assert units is not None  # they were asked for
    return Reading(
        step, row.lstm.identity, "rest", measures.gates["f"], measures.activation,
        measures.time_scale, units.activation,
    )  # fmt: skip
