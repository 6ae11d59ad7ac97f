"""The steps of an epoch: one after the other from Python, or as a captured graph that the GPU repeats.

Both give the same training: the same batches, masks and learning rates.  A graph is told nothing when it is repeated:
what changes from step to step is kept on the device (see `kernels.cuda.step`), and nobody waits for the GPU before the
epoch is over, or the progress bar wants to be drawn again.
"""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tinyconv import metrics, random
from tinyconv.callbacks import Callback, Logs
from tinyconv.checks import host_array
from tinyconv.errors import ShapeError
from tinyconv.kernels.contract import PhiloxKey

from .data import Gatherer
from .history import RunningMeans
from .snapshot import Snapshot

if TYPE_CHECKING:
    from tinyconv.layers.base import Parameter
    from tinyconv.models import Sequential
    from tinyconv.regularizers import Regularizer

Array = np.ndarray[Any, Any]
Augmentation = Callable[[Array, PhiloxKey], Array]

SECONDS_BETWEEN_READINGS = 0.1  # of the loss, while a bar is watched


class Steps(Protocol):
    """Takes the steps of one epoch after the other."""

    def fits(self) -> bool:
        """Whether the model is still what it was when these steps were made; a callback may change it."""

    def begin(self, epoch: int, order: Array) -> None:
        """Get ready for an epoch that visits the examples in `order`."""

    def run(self, step: int) -> None:
        """Take one step; raises DivergedError, with the last good weights, if the loss turns out bad."""

    def tells(self) -> bool:
        """Whether the means may be asked for after this step."""

    def logs(self) -> Logs:
        """The means of the epoch so far."""

    def end(self) -> Logs:
        """The means of the epoch; raises DivergedError if weights are infinite or NaN."""


def steps_for(
    model: "Sequential", x: Array, y: Array, batch_size: int, augment: Augmentation | None,
    callbacks: Iterable[Callback], *, live: bool,
) -> Steps:
    """Graphs, where the backend, the model and the data allow it and no callback wants to see each step; else Python.

    `live` says whether the user watches a progress bar.
    """
    unseen = augment is None and not any(map(_watches_steps, callbacks))
    if model.backend.device.captures and unseen and GraphedSteps.possible(model):
        try:
            return GraphedSteps(model, x, y, batch_size, live=live)
        except MemoryError:  # the data and a step do not fit on the device: only batches go there then
            pass
    return PythonSteps(model, x, y, batch_size, augment)


class PythonSteps:
    """Each step is run from here, and its loss is looked at before the weights are changed."""

    def __init__(
        self, model: "Sequential", x: Array, y: Array, batch_size: int, augment: Augmentation | None
    ) -> None:
        self._model, self._batch_size, self._augment = model, batch_size, augment
        self._images, self._labels = Gatherer(x, batch_size, model.dtype), Gatherer(y, batch_size, y.dtype)
        self._shape = x.shape[1:]
        self._means, self._snapshot = RunningMeans(model.metrics_names), Snapshot(model)

    def fits(self) -> bool:
        return self._snapshot.fits()

    def begin(self, epoch: int, order: Array) -> None:
        self._epoch, self._order = epoch, order
        self._means.reset()

    def run(self, step: int) -> None:
        model = self._model
        rows = self._order[step * self._batch_size : (step + 1) * self._batch_size]
        room = None  # while `augment` runs, which may let the model predict, the plan's memory is not safe
        if self._augment is None:
            room = model.plan.tape_input((len(rows), *self._shape))
        x, y = self._images.gather(rows, room), self._labels.gather(rows)
        if self._augment is not None:
            key = random.key(model.seed, "augment", model.optimizer.iterations)
            x[...] = _same_shape(host_array(self._augment(x, key), "what augment made"), x.shape)
        values = model.loss_and_gradients(x, y)  # forward, loss, backward
        self._snapshot.check(values[0], self._epoch, step)
        model.optimizer.apply_gradients()  # update
        self._means.add(values, len(rows))

    def tells(self) -> bool:
        return True

    def logs(self) -> Logs:
        return self._means.logs()

    def end(self) -> Logs:
        self._snapshot.check_weights(self._epoch)
        return self.logs()


class GraphedSteps:
    """Data and order of the epoch lie on the device; a step is one launch of the graph for its number of examples.

    A graph keeps the memory and the numbers that it was captured with.  So the graphs go when the plan's memory is
    another (see `run`), and all of this does when the model is (see `fits`).
    """

    @staticmethod
    def possible(model: "Sequential") -> bool:
        """Whether a step of `model` is made of launches only, and its metrics can be counted on the device."""
        penalised = all(regularizer.only_launches for _, regularizer in model.penalties())
        counted = all(_counts_right(metric, model) for metric in model.metrics)
        return model.plan.only_launches and model.optimizer.capturable and penalised and counted

    def __init__(self, model: "Sequential", x: Array, y: Array, batch_size: int, *, live: bool) -> None:
        from tinyconv.kernels.cuda import step

        self._kernels, self._model, self._batch_size, self._live = step, model, batch_size, live
        self._snapshot, self._told, self._kept = Snapshot(model), 0.0, _kept_by_graphs(model)
        self._plan, self._optimizer = model.plan, model.optimizer
        self._seen: set[int] = set()  # numbers of examples that a step has had, in the memory that the plan has now
        self._graphs: dict[int, Callable[[], None]] = {}
        self._memory = -1  # the version of it
        device, size, count = model.backend.device, len(x), -(-len(x) // batch_size)
        shape = (size, *model.output_shape[1:])
        self._x = device.asarray(x if x.dtype.name in step.DTYPES else x.astype(model.dtype))
        self._targets = device.asarray(model.loss.targets(y, shape, model.dtype))
        self._classes = device.asarray(_classes(y, shape)) if model.metrics else None
        self._penalties: list[tuple[Parameter, Regularizer, slice]] = []  # with the place of its parts among all
        parts = 0
        for parameter, regularizer in model.penalties():
            first, parts = parts, parts + step.parts_of(parameter.value)
            self._penalties.append((parameter, regularizer, slice(first, parts)))
        self._parts = device.zeros(parts, np.float64) if parts else None
        numbers = len(model.optimizer.numbers(0))
        self._now = step.Clock(
            device.zeros(3, np.int64), device.empty((size,), np.int32), device.empty((count, numbers), np.float64),
            device.zeros(numbers, np.float64), device.zeros(1, np.uint32), device.zeros(2, np.float64),
        )
        self._rehearse(min(batch_size, size))

    def _rehearse(self, n: int) -> None:
        """Take a step and undo it, so that memory which is needed beside the data is missed here already."""
        self.begin(0, np.arange(len(self._x)))
        try:
            self._first(n)
            self._snapshot.all_finite()
        finally:
            self._snapshot.restore()

    def fits(self) -> bool:
        return self.possible(self._model) and _kept_by_graphs(self._model) == self._kept

    def begin(self, epoch: int, order: Array) -> None:
        model, now = self._model, self._now
        self._epoch, self._done, self._size = epoch, 0, len(order)
        self._snapshot.take()
        first = model.optimizer.iterations
        table = [model.optimizer.numbers(first + step) for step in range(len(now.table))]
        for array, values in (
            (now.clock, np.array([0, 0, first])), (now.order[: len(order)], order.astype(np.int32)),
            (now.table, np.array(table)), (now.totals, np.zeros(2)),
        ):
            array[...] = model.backend.device.asarray(values)

    def run(self, step: int) -> None:
        n = min(self._batch_size, self._size - self._done)
        if n in self._seen and self._has_its_memory():
            if n not in self._graphs:
                self._graphs[n] = self._capture(n)
            self._graphs[n]()
        else:
            self._first(n)
        self._optimizer.iterations += 1
        self._done += n

    def _first(self, n: int) -> None:
        """Take a step as it is, which compiles its kernels and makes its buffers."""
        self.launch(n)
        self._has_its_memory()
        self._seen.add(n)

    def _has_its_memory(self) -> bool:
        """Whether the plan has the memory that the graphs know; if not, forget them."""
        assert self._plan.workspace is not None
        before, self._memory = self._memory, self._plan.workspace.version
        if before != self._memory:
            self._seen.clear()
            self._graphs.clear()
        return before == self._memory

    def _capture(self, n: int) -> Callable[[], None]:
        from tinyconv.kernels.cuda import graphs

        assert self._plan.workspace is not None
        return graphs.capture(lambda: self.launch(n), like=self._x, keep=self._plan.workspace.memory())

    def launch(self, n: int) -> None:
        """Launch one step on the next `n` examples."""
        plan, now = self._plan, self._now
        assert plan.workspace is not None
        x = plan.input_buffer((n, *self._x.shape[1:]))
        targets = plan.workspace.array("targets", (n, *self._targets.shape[1:]), self._targets.dtype)
        self._kernels.begin(now, self._x, x, self._targets, targets)
        losses, logits = plan.launch(x, targets, now.step)
        for parameter, one, place in self._penalties:
            assert self._parts is not None
            self._kernels.penalise(parameter.value, parameter.gradient, one.l1, one.l2, self._parts[place])
        self._optimizer.update(*(now.numbers[i : i + 1] for i in range(now.numbers.size)))
        self._kernels.finish(losses, logits, self._classes, now, self._parts)

    def tells(self) -> bool:
        if not self._live or time.perf_counter() - self._told < SECONDS_BETWEEN_READINGS:
            return False
        self._told = time.perf_counter()
        return True

    def logs(self) -> Logs:
        loss, right = (float(total) / self._done for total in self._model.backend.device.numpy(self._now.totals))
        self._snapshot.check_epoch(loss, self._epoch)
        return {"loss": loss, **{metric.name: right for metric in self._model.metrics}}

    def end(self) -> Logs:
        logs = self.logs()
        self._snapshot.check_weights(self._epoch)
        return logs


def _kept_by_graphs(model: "Sequential") -> tuple[Any, ...]:
    """What a captured step has taken from the model; what changes from step to step comes from the clock instead."""
    optimizer, loss = model.optimizer, model.loss
    settings = {name: value for name, value in optimizer.get_config().items() if name not in optimizer.in_numbers}
    penalties = [(parameter, regularizer.l1, regularizer.l2) for parameter, regularizer in model.penalties()]
    return (
        model.plan, model.plan.changes, optimizer, settings, loss, loss.get_config(), list(model.metrics), penalties
    )  # fmt: skip


def _watches_steps(callback: Callback) -> bool:
    return any(
        getattr(getattr(callback, name), "__func__", None) is not getattr(Callback, name)
        for name in ("on_train_batch_begin", "on_train_batch_end")
    )


def _counts_right(metric: metrics.Metric, model: "Sequential") -> bool:
    """Whether a metric is the share of right predictions as the device counts them: one logit is right beyond 0."""
    if model.output_shape[-1] > 1:
        return metric.function is metrics.accuracy
    probability = model.loss.fused_activation == "sigmoid" and not model.loss.from_logits
    return probability and metric.function in (metrics.accuracy, metrics.binary_accuracy)


def _classes(y: Array, shape: tuple[int, ...]) -> Array:
    """The right class of each example (n,), from numbers or from one row for each."""
    one_hot = y.shape == shape and shape[-1] > 1
    return (y.argmax(axis=-1) if one_hot else y.reshape(len(y)) > 0.5 if shape[-1] == 1 else y.reshape(len(y))).astype(
        np.int32
    )


def _same_shape(changed: Any, shape: tuple[int, ...]) -> Any:
    if np.shape(changed) != shape:
        raise ShapeError(f"augment made {np.shape(changed)} of a batch of shape {shape}: it must keep the shape.")
    return changed
