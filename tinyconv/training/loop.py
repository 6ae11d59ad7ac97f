"""The training loop: shuffle, slice, forward, loss, backward, update, log.

`Sequential.fit`, `.evaluate` and `.predict` end up here.  Data are checked before the first step; random numbers come
from named streams (see `tinyconv.random`), so that the same seed gives the same batches on every backend, and a resumed
run goes on as if it had never stopped.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv import random
from tinyconv.callbacks import Callback, CallbackList, Logs
from tinyconv.checks import whole_number
from tinyconv.errors import ArgumentError, StateError
from tinyconv.kernels.workspace import CAP_BYTES
from tinyconv.schedules import Schedule

from .data import Gatherer, check_images, check_labels, split
from .history import History, RunningMeans
from .interrupt import WholeStep
from .progress import ProgressBar, numbers, reporter, verbosity
from .steps import Augmentation, steps_for

if TYPE_CHECKING:
    from tinyconv.models import Sequential
    from tinyconv.optimizers import Optimizer

Array = np.ndarray[Any, Any]

BATCH_SIZE = 32  # of fit, as in Keras


def fit(
    model: "Sequential", x: Any, y: Any, *, batch_size: int | None = None, epochs: int = 1, verbose: Any = "auto",
    callbacks: Callback | Iterable[Callback] | None = None, validation_split: float = 0.0,
    validation_data: tuple[Any, Any] | None = None, shuffle: bool = True, initial_epoch: int = 0,
    augment: Augmentation | None = None,
) -> History:
    """Train `model` on images `x` (n, …) and labels `y` (n,) or (n, k), and return what happened in each epoch.

    Arguments:
        batch_size: 32 if None.
        epochs: the number of the last epoch; epochs initial_epoch … epochs - 1 are run, as in Keras.
        verbose: 0 silent, 1 a live bar, 2 one line per epoch, "auto": 1 on a terminal or in a notebook, else 2.
        validation_split: the last part of the data, taken before shuffling, is held out; validation_data overrules it.
        augment: changes each batch of images (in the model's dtype), given a key for its random numbers.

    Raises StateError before `compile`; ShapeError or DataError, before the first step, for data that cannot be used;
    ArgumentError for arguments out of range and for callbacks that cannot work.  Raises DivergedError when the loss
    becomes NaN or infinite, with weights and optimizer back at the last good state.  Ctrl-C ends the training between
    two steps; callbacks are told, then KeyboardInterrupt is raised.  In each case `model.history` has the whole epochs
    so far.
    """
    batch_size = whole_number(BATCH_SIZE if batch_size is None else batch_size, "batch_size", minimum=1)
    epochs, initial_epoch = whole_number(epochs, "epochs"), whole_number(initial_epoch, "initial_epoch")
    watching, reporting = _callbacks(callbacks), reporter(verbose)
    if not (augment is None or callable(augment)):
        raise ArgumentError(f"augment must be a function (batch, key) → batch, like Augment(…), but got {augment!r}.")
    x, y = _prepare(model, x, y)
    if validation_data is None:
        (x, y), validation = split(x, y, validation_split)
    else:
        validation = _prepare(model, *_pair(validation_data), "validation x", "validation y")

    steps = -(-len(x) // batch_size)
    optimizer, history, whole_step = model.optimizer, History(), WholeStep()
    names = model.metrics_names
    model.history, model.stop_training = history, False
    params = {
        "epochs": epochs, "initial_epoch": initial_epoch, "steps": steps, "batch_size": batch_size, "samples": len(x),
        "metrics": [*names, *(f"val_{name}" for name in names if validation)],
    }
    watchers = CallbackList([*watching, history, reporting], model, params)
    watchers.on_train_begin()
    try:
        with (
            _scheduled(optimizer, steps * (epochs - initial_epoch)),
            model.room_for(f"training with batch_size={batch_size}"),
            # NumPy's warnings of overflow would come before the sentence that the snapshot's check has for it.
            np.errstate(over="ignore", invalid="ignore"),
        ):
            run = None
            order = _order(model, model.epochs_seen, len(x), shuffle)
            for epoch in range(initial_epoch, epochs):
                watchers.on_epoch_begin(epoch)
                if run is None or not run.fits():
                    run = None  # and its memory
                    live = isinstance(reporting, ProgressBar)
                    run = steps_for(model, x, y, batch_size, augment, watching, live=live)
                run.begin(epoch, order)
                for step in range(steps):
                    watchers.on_train_batch_begin(step)
                    with whole_step:
                        run.run(step)
                    if run.tells():
                        watchers.on_train_batch_end(step, run.logs())
                    if model.stop_training:
                        break
                if epoch + 1 < epochs:  # while a GPU still works on what it was given
                    order = _order(model, model.epochs_seen + 1, len(x), shuffle)
                logs = run.end()
                model.epochs_seen += 1
                if validation is not None:
                    logs |= {f"val_{name}": value for name, value in _evaluate(model, *validation, batch_size).items()}
                if isinstance(model.optimizer.learning_rate, Schedule):  # as in Keras, that of the step that comes next
                    logs["learning_rate"] = model.optimizer.current_learning_rate()
                watchers.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
    finally:
        watchers.on_train_end()
    return history


def evaluate(
    model: "Sequential", x: Any, y: Any, batch_size: int | None = None, verbose: Any = "auto", return_dict: bool = False
) -> Any:
    """Mean loss and metrics over all samples: a list in the order of `metrics_names` (a number if there is only one).

    Works through the data in batches (see `batch_that_fits`).  With verbose 1 or 2 it prints one line; "auto" does on a
    terminal only.
    """
    began = time.perf_counter()
    verbose = int(verbosity(verbose) == 1) if verbose == "auto" else verbosity(verbose)
    x, y = _prepare(model, x, y)
    logs = _evaluate(model, x, y, _batch_size(batch_size, model))
    if verbose:
        print(f"evaluated {len(x)} samples in {time.perf_counter() - began:.1f} s  {numbers(logs)}", flush=True)
    if return_dict:
        return logs
    return list(logs.values()) if len(logs) > 1 else logs["loss"]


def predict(model: "Sequential", x: Any, batch_size: int | None = None) -> Array:
    """The model's output for each sample of `x`, (n, *output_shape), worked out in batches (see `batch_that_fits`)."""
    x = model.check_inputs(check_images(x, model.dtype))
    batch_size = _batch_size(batch_size, model)
    images = Gatherer(x, batch_size, model.dtype)
    result = np.empty((len(x), *model.output_shape[1:]), model.dtype)
    start = 0
    while start < len(x):
        rows = np.arange(start, min(start + batch_size, len(x)))
        try:
            with model.room_for("the prediction of one example"):
                result[rows] = model.forward(images.gather(rows), training=False)
        except MemoryError:
            if len(rows) == 1:
                raise
            model.plan.release()  # half as much at a time may fit
            batch_size = len(rows) // 2
        else:
            start += len(rows)
    return result


def batch_that_fits(model: "Sequential", cap: int = CAP_BYTES) -> int:
    """How many samples to work on at a time, for the outputs of all layers together to stay within `cap` bytes."""
    values = sum(prod(layer.output_shape) for layer in model.layers)
    return max(1, min(1024, cap // (values * np.dtype(model.dtype).itemsize)))


def _evaluate(model: "Sequential", x: Array, y: Array, batch_size: int) -> Logs:
    """Means over all samples, for data that have been checked."""
    images, labels = Gatherer(x, batch_size, model.dtype), Gatherer(y, batch_size, y.dtype)
    means = RunningMeans(model.metrics_names)
    for start in range(0, len(x), batch_size):
        rows = np.arange(start, min(start + batch_size, len(x)))
        with model.room_for(f"an evaluation with batch_size={batch_size}"):
            means.add(model.test_on_batch(images.gather(rows), labels.gather(rows)), len(rows))
    return means.logs()


@contextmanager
def _scheduled(optimizer: "Optimizer", steps: int) -> Iterator[None]:
    """Let a schedule without a length of its own last for the `steps` to come; the next fit gives it another."""
    schedule = optimizer.learning_rate
    if not isinstance(schedule, Schedule) or schedule.total_steps is not None:
        yield
        return
    optimizer.learning_rate = schedule.with_total_steps(optimizer.iterations + steps)
    try:
        yield
    finally:
        optimizer.learning_rate = schedule


def _order(model: "Sequential", epoch: int, samples: int, shuffle: bool) -> Array:
    """The order in which an epoch, counted over the model's whole life, visits the samples."""
    if not shuffle:
        return np.arange(samples)
    return random.permutation(random.key(model.seed, "shuffle", epoch), samples)


def _batch_size(given: int | None, model: "Sequential") -> int:
    return batch_that_fits(model) if given is None else whole_number(given, "batch_size", minimum=1)


def _prepare(model: "Sequential", x: Any, y: Any, x_name: str = "x", y_name: str = "y") -> tuple[Array, Array]:
    """Check that the model is compiled and that images and labels fit it; build it for them if it is not built."""
    if not model.compiled:
        raise StateError("The model has no loss and no optimizer yet: call compile before fit or evaluate.")
    x = model.check_inputs(check_images(x, model.dtype, x_name), x_name)
    return x, check_labels(y, len(x), model, y_name)


def _callbacks(given: Any) -> list[Callback]:
    """The callbacks, of which one need not be in a list; raises ArgumentError for anything else."""
    callbacks = list(given) if isinstance(given, Iterable) else [given] if given is not None else []
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ArgumentError(f"callbacks must be objects like EarlyStopping(patience=3), but got {callback!r}.")
    return callbacks


def _pair(validation_data: Any) -> tuple[Any, Any]:
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        raise ArgumentError("validation_data must be a pair: images and their labels, (x, y).")
    return validation_data[0], validation_data[1]
