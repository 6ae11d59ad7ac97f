"""Callbacks: what may watch a training and steer it, with Keras's names and arguments.

`fit` calls the hooks of each callback in the order of the list; what one adds to `logs` at the end of an epoch is seen
by those after it.  What a callback remembers goes through `get_state` and `set_state`, so that a resumed training
decides exactly as an uninterrupted one would: a fit that starts at epoch 0 begins afresh, one with `initial_epoch` > 0
continues from the state there is.
"""

import json
import math
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.checks import number, whole_number
from tinyconv.errors import ArgumentError
from tinyconv.schedules import Schedule

if TYPE_CHECKING:
    from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]
Logs = dict[str, float]
State = dict[str, Any]


class Callback:
    """Base of all callbacks: every hook does nothing.

    Attributes that `fit` sets before the first hook:
        model: the model in training; `model.stop_training = True` ends it after the current step or epoch.
        params: epochs, initial_epoch, steps (batches per epoch), batch_size, samples, and metrics: the names in `logs`.
    """

    model: "Sequential"
    params: dict[str, Any]

    def on_train_begin(self) -> None:
        """Before the first epoch."""

    def on_train_end(self) -> None:
        """After the last epoch, and also after an interruption or a divergence."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch; epochs count from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation; `logs` has the epoch's means, "val_…" for the validation data."""

    def on_train_batch_begin(self, batch: int) -> None:
        """Before a training step; batches count from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """After a training step; `logs` has the means of the epoch so far."""

    def get_state(self) -> State:
        """What a resumed training must know: JSON values, arrays, and lists of arrays."""
        return {}

    def set_state(self, state: State) -> None:
        """Become what `get_state` described."""

    @property
    def starts_afresh(self) -> bool:
        """Whether this training starts at epoch 0, so that nothing is to be remembered."""
        return int(self.params["initial_epoch"]) == 0


class CallbackList(Callback):
    """Several callbacks as one: each hook is passed on in order."""

    def __init__(self, callbacks: Iterable[Callback], model: "Sequential", params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.model = model
            callback.params = params

    def on_train_begin(self) -> None:
        with ExitStack() as begun:
            for callback in self.callbacks:
                callback.on_train_begin()
                begun.callback(callback.on_train_end)
            begun.pop_all()  # only if one cannot begin, the training ends here for those before it

    def on_train_end(self) -> None:
        for callback in self.callbacks:
            callback.on_train_end()

    def on_epoch_begin(self, epoch: int) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)


class Monitor(Callback):
    """Base of the callbacks that compare one number with the best so far.

    Arguments:
        monitor: the name of a number in the epoch's logs.
        min_delta: how much better than the best it must be to count as better.
        mode: "min", "max", or "auto": "max" for accuracies, "min" for the rest.
        verbose: 1 to say in a line what was done.
    """

    def __init__(
        self, monitor: str = "val_loss", *, min_delta: float = 0.0, mode: str = "auto", verbose: int = 0
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f'mode must be "auto", "min" or "max", but got {mode!r}.')
        self.monitor = monitor
        self.min_delta = abs(number(min_delta, "min_delta"))
        self.verbose = verbose
        self.maximize = mode == "max" or (mode == "auto" and monitor.endswith(("acc", "accuracy", "auc")))
        self.best = self.worst

    @property
    def worst(self) -> float:
        """A value that everything but NaN improves on."""
        return -math.inf if self.maximize else math.inf

    def improves(self, current: float, reference: float | None = None) -> bool:
        """Whether `current` beats the best so far, or `reference`, by more than `min_delta`; NaN never does."""
        best = self.best if reference is None else reference
        return current > best + self.min_delta if self.maximize else current < best - self.min_delta

    def tell(self, epoch: int, sentence: str) -> None:
        """Say what was done, if `verbose`."""
        if self.verbose:
            print(f"epoch {epoch + 1}: {sentence}", flush=True)

    def on_train_begin(self) -> None:
        if self.monitor not in self.params["metrics"]:
            advice = " pass validation_split or validation_data, or" if self.monitor.startswith("val_") else ""
            raise ArgumentError(
                f"{type(self).__name__} watches {self.monitor!r}, but this training logs only "
                f"{', '.join(self.params['metrics'])}:{advice} choose another monitor."
            )
        if self.starts_afresh:
            self.reset()

    def reset(self) -> None:
        """Forget what earlier trainings did."""
        self.best = self.worst


class EarlyStopping(Monitor):
    """Stop when `monitor` has not become better for `patience` epochs.

    Arguments:
        min_delta: changes up to this much do not count as better.
        patience: epochs without improvement to wait through.
        baseline: what must be beaten, too, for the waiting to begin anew.
        restore_best_weights: end with the weights of the best epoch instead of the last.
        start_from_epoch: epochs to train before anything is compared.
    """

    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0, verbose: int = 0,
        mode: str = "auto", baseline: float | None = None, restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, min_delta=min_delta, mode=mode, verbose=verbose)
        self.patience = whole_number(patience, "patience")
        self.baseline = None if baseline is None else number(baseline, "baseline")
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = whole_number(start_from_epoch, "start_from_epoch")
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.wait = 0
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.best_weights: list[Array] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if epoch < self.start_from_epoch:
            return
        current = logs[self.monitor]
        self.wait += 1
        if self.improves(current):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.improves(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            self.tell(epoch, f"{self.monitor} has not become better than {self.best:.4f}: stopping")

    def on_train_end(self) -> None:
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    def get_state(self) -> State:
        return {
            "best": self.best, "wait": self.wait, "best_epoch": self.best_epoch, "stopped_epoch": self.stopped_epoch,
            "best_weights": self.best_weights,
        }

    def set_state(self, state: State) -> None:
        self.best, self.wait, self.best_epoch = state["best"], state["wait"], state["best_epoch"]
        self.stopped_epoch, self.best_weights = state["stopped_epoch"], state["best_weights"]


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` when `monitor` has not become better for `patience` epochs.

    After a reduction, `cooldown` epochs pass before waiting begins again; the rate never goes below `min_lr`.
    """

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0,
        mode: str = "auto", min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, min_delta=min_delta, mode=mode, verbose=verbose)
        self.factor = number(factor, "factor", above=0, below=1)
        self.patience = whole_number(patience, "patience")
        self.cooldown = whole_number(cooldown, "cooldown")
        self.min_lr = number(min_lr, "min_lr", minimum=0)
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.wait = 0
        self.cooling = 0  # epochs of the cooldown that are left

    def on_train_begin(self) -> None:
        super().on_train_begin()
        refuse_schedule(self)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        optimizer = self.model.optimizer
        rate = logs["learning_rate"] = optimizer.current_learning_rate()
        if self.cooling > 0:
            self.cooling -= 1
            self.wait = 0
        if self.improves(logs[self.monitor]):
            self.best, self.wait = logs[self.monitor], 0
        elif self.cooling == 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.cooling, self.wait = self.cooldown, 0
                self.tell(epoch, f"the learning rate is now {optimizer.current_learning_rate():g}")

    def get_state(self) -> State:
        return {"best": self.best, "wait": self.wait, "cooling": self.cooling}

    def set_state(self, state: State) -> None:
        self.best, self.wait, self.cooling = state["best"], state["wait"], state["cooling"]


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of each epoch: `schedule(epoch, learning_rate)` returns the new one."""

    def __init__(self, schedule: Callable[[int, float], float]) -> None:
        self.schedule = schedule

    def on_train_begin(self) -> None:
        refuse_schedule(self)

    def on_epoch_begin(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        rate = self.schedule(epoch, optimizer.current_learning_rate())
        optimizer.learning_rate = number(rate, "the learning rate of LearningRateScheduler", minimum=0)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        logs["learning_rate"] = self.model.optimizer.current_learning_rate()


def refuse_schedule(callback: Callback) -> None:
    """Raise ArgumentError when the optimizer follows a schedule: two cannot steer the learning rate."""
    schedule = callback.model.optimizer.learning_rate
    if isinstance(schedule, Schedule):
        raise ArgumentError(
            f"{type(callback).__name__} changes the learning rate, but the optimizer already follows "
            f"{type(schedule).__name__}: drop the callback, or give the optimizer a plain number."
        )


class ModelCheckpoint(Monitor):
    """Save the model after each epoch, or after each epoch that is the best so far.

    Arguments:
        filepath: where to; `{epoch:02d}` is filled with the number of the epoch (the first is 1), `{val_loss:.2f}` and
            the like with the epoch's numbers.  A name without fields is overwritten each time.
        save_best_only: save only epochs in which `monitor` became better.
        save_weights_only: leave out the architecture and the optimizer.
    """

    def __init__(
        self, filepath: str | Path, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
        save_weights_only: bool = False, mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode=mode, verbose=verbose)
        self.filepath = str(filepath)
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only

    def on_train_begin(self) -> None:
        if self.save_best_only:
            super().on_train_begin()
        self.path(0, dict.fromkeys(self.params["metrics"], 0.0))  # a field that will be missing is told of now

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.save_best_only:
            if not self.improves(logs[self.monitor]):
                return
            self.best = logs[self.monitor]
        path = self.path(epoch, logs)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        self.tell(epoch, f"saved {path}")

    def path(self, epoch: int, logs: Logs) -> Path:
        """`filepath` with its fields filled; raises ArgumentError for a field that the logs do not have."""
        try:
            return Path(self.filepath.format(epoch=epoch + 1, **logs))
        except (KeyError, IndexError, ValueError) as problem:
            raise ArgumentError(
                f"ModelCheckpoint cannot fill the file name {self.filepath!r} ({problem}); "
                f"its fields may be epoch, {', '.join(logs)}."
            ) from problem

    def get_state(self) -> State:
        return {"best": self.best}

    def set_state(self, state: State) -> None:
        self.best = state["best"]


class JSONLogger(Callback):
    """Append one line of JSON per epoch to a file: epoch (the first is 1), seconds, and the epoch's numbers.

    The file is complete after each epoch.  A training from epoch 0 starts it anew unless `append`; a resumed one goes
    on behind its first `initial_epoch` epochs, whatever a killed run wrote after them.  NaN and infinity become null.
    """

    def __init__(self, filename: str | Path, append: bool = False) -> None:
        self.path = Path(filename)
        self.append = append
        self._began = 0.0

    def on_train_begin(self) -> None:
        from tinyconv.saving.atomic import replacing_file

        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        if not self.append:
            lines = [line for line in lines if self._is_earlier(line)]
        with replacing_file(self.path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def _is_earlier(self, line: str) -> bool:
        """Whether a line of the log tells of an epoch before this training's first."""
        try:
            return bool(json.loads(line)["epoch"] <= self.params["initial_epoch"])
        except (ValueError, KeyError, TypeError):
            return False  # the half line of a killed run

    def on_epoch_begin(self, epoch: int) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        from tinyconv.saving.atomic import writing

        numbers = {name: value if math.isfinite(value) else None for name, value in logs.items()}
        seconds = round(time.perf_counter() - self._began, 3)
        with writing(self.path), self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"epoch": epoch + 1, "seconds": seconds, **numbers}) + "\n")
