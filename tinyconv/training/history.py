"""What a training remembers: the numbers of each epoch, and the running means within one."""

from collections.abc import Sequence

from tinyconv.callbacks import Callback, Logs, State


class History(Callback):
    """The numbers of each epoch, as `fit` returns them.

    Attributes:
        history: name → one value per epoch: loss, accuracy, val_loss, val_accuracy, …
        epoch: the epochs' numbers, counting from 0.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self) -> None:
        if self.starts_afresh:
            self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def get_state(self) -> State:
        return {"history": self.history, "epoch": self.epoch}

    def set_state(self, state: State) -> None:
        self.history, self.epoch = dict(state["history"]), list(state["epoch"])


class RunningMeans:
    """Means over samples, from means over batches: each batch weighs as many samples as it has.

    >>> means = RunningMeans(["loss"])
    >>> means.add([1.0], 3)
    >>> means.add([5.0], 1)
    >>> means.logs()
    {'loss': 2.0}
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.reset()

    def reset(self) -> None:
        """Begin a new mean."""
        self._sums = [0.0] * len(self.names)
        self._samples = 0

    def add(self, values: Sequence[float], samples: int) -> None:
        """Add the means of a batch of `samples`."""
        for i, value in enumerate(values):
            self._sums[i] += float(value) * samples
        self._samples += samples

    def logs(self) -> Logs:
        """The means so far, by name."""
        return {name: total / self._samples for name, total in zip(self.names, self._sums, strict=True)}
