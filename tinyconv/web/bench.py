"""The workbench that all pages share: one network, its training, and the digits it learns from.

Like the kernel of a notebook, the network lives in the server.  A page that goes away changes nothing, a training goes
on; two pages see the same weights, and each has a drawing of its own (see `view`).

    bench.submit(bench.train, 12, 0.002)

Everything below runs in the worker's thread, one thing at a time; other threads use `submit`.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tinyconv import saving
from tinyconv.checks import number
from tinyconv.errors import ArgumentError, StateError, TinyconvError
from tinyconv.layers import Conv2D
from tinyconv.models import Sequential
from tinyconv.saving import snapshot
from tinyconv.web import look, network
from tinyconv.web.network import Data
from tinyconv.web.training import Curves, Ended, Training
from tinyconv.web.worker import Worker

Array = np.ndarray[Any, Any]

BACKENDS = ("numpy", "numba")
EPOCHS = 12  # of a training that a page begins
SMALLEST_RATE, LARGEST_RATE = 1e-6, 1.0  # below, float32 weights hardly ever change
LARGEST_WEIGHT = 100.0  # that may be typed
QUIET = 0.3  # seconds without an edit, after which the test is taken again


class Bench:
    """The lab's network and everything that is done to it.

    Arguments:
        backend: "numpy", which is ready at once, or "numba".
        model_file: a saved model to work on, in place of the lab's own.

    Attributes:
        changed: called, from any thread, when pages may want to know something new.
        model: in study mode.
        version: of the weights; grows with every change.
        source: "trained", "random" or "yours": where the weights began.
        first: whether this is the first start of all, when the network has to be taught before it is kept.
        edited: whether `restore` has something to undo.
        busy: sentences about what is going on in the background, by topic.
        notice: the last sentence about something that went wrong on its own, and how many there were so far.
        backend_to_come: what was asked for and is not ready yet, or waits for the epoch to end.
        data: the digits, or None until they are loaded.
        pages: how many look at this bench.

    Raises ModelFileError for a `model_file` that the page cannot show, and ArgumentError for an unknown backend.
    """

    def __init__(self, *, backend: str = "numpy", model_file: Path | None = None) -> None:
        if backend not in BACKENDS:
            raise ArgumentError(f"There is no backend {backend!r} in the lab; choose one of {', '.join(BACKENDS)}.")
        self.changed: Callable[[], None] = lambda: None
        self.version, self.pages, self.edited = 0, 0, False
        self.busy: dict[str, str] = {}
        self.notice = (0, "")
        self.curves = Curves()
        self.data: Data | None = None
        self.training: Training | None = None
        trained = network.trained_file()
        if model_file is None and not trained.exists():
            self.source, self.model = "random", network.build("numpy", seed=0)
        else:
            self.source = "trained" if model_file is None else "yours"
            self.model = network.load(model_file or trained, "numpy")
        self.first = self.source == "random"
        self._seed = 0
        self._kept = self.model.get_weights()  # what `restore` goes back to
        self._unsaved = False
        self.backend_to_come: str | None = None
        self._compiled = {"numpy"}
        self._timer: threading.Timer | None = None
        self.worker = Worker()
        self._in_background("data", "Loading the digits.", network.load_data, self._take_data)
        self.submit(self.use_backend, backend)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Run `function(*arguments)` in the worker's thread, then tell the pages."""
        future = self.worker.submit(function, *arguments)
        future.add_done_callback(lambda _: self.changed())
        return future

    def close(self) -> Path | None:
        """End everything; return where the network is kept if it was changed and not saved, else None."""
        self.worker.submit(self.end_training)
        kept = self.worker.submit(self._keep)
        self.worker.close(timeout=20)
        return kept.result() if kept.done() else None

    # -- training -----------------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """What the training does: "idle", "running" or "paused"."""
        if self.training is None:
            return "idle"
        return "paused" if self.training.paused else "running"

    def train(self, epochs: int, learning_rate: Any) -> None:
        """Begin a training of `epochs` more epochs.

        Raises StateError while there is one, or no digits yet, and ArgumentError as `set_learning_rate` does.
        """
        if self.training is not None:
            raise StateError("There is a training already: end it first, or let it go on.")
        if self.data is None:
            raise StateError("The digits to learn from are still being loaded: try again in a second.")
        self.set_learning_rate(learning_rate)
        self.first = False
        self._unsaved = True
        self._begin(self.data, epochs)

    def pause(self, paused: bool) -> None:
        """Let the training wait before its next step, or go on."""
        if self.training is None:
            raise StateError("There is no training to pause.")
        self.training.paused = paused

    def end_training(self) -> None:
        """End the training, if there is one, before its next step; the weights stay as they are."""
        if self.training is not None:
            self.training.ended = True

    def set_learning_rate(self, value: Any) -> None:
        """From the next step on.  Raises ArgumentError unless it is a number from `SMALLEST_RATE` to `LARGEST_RATE`."""
        self.model.optimizer.learning_rate = number(
            value, "The learning rate", minimum=SMALLEST_RATE, maximum=LARGEST_RATE
        )

    def _begin(self, data: Data, epochs: int) -> None:
        self._keep_these_weights()
        epochs += self.model.epochs_seen
        self.training = Training(self.worker, self.curves, data, self.model.epochs_seen, epochs, self._step_taken)
        self.submit(self._train, self.training)

    def _train(self, training: Training) -> None:
        """The whole training; while it goes on, it lets other jobs run between two steps."""
        try:
            while training.epoch < training.epochs:
                self._switch_to_what_comes()
                training.run_epoch(self.model)
                if self._unsaved:  # a crash or a power cut loses one epoch at most
                    with suppress(OSError):  # a full disk is told when the lab is closed
                        saving.save(self.model, network.last_file())
            if self.first:
                saving.save(self.model, network.trained_file())
                self.source = "trained"
        except Ended:
            pass
        except (TinyconvError, OSError) as problem:  # diverged, and the weights are back at a good state; a full disk
            self.tell(str(problem))
        except Exception as problem:  # a mistake of ours: the lab says so and stays usable
            self.tell(f"The training broke off: {problem!r}.")
        finally:
            self.first = False
            self.training = None
            self._keep_these_weights()
            self._switch_to_what_comes()
            self.take_test()

    def _step_taken(self, tell: bool) -> None:
        self.version += 1
        if tell:
            self.changed()

    # -- weights ------------------------------------------------------------------------------------------------------

    def edit(self, layer: int, channel: int, filter: int, values: Any) -> None:
        """Overwrite the kernel (kh, kw) of one channel of one filter.

        Raises ArgumentError when there is none, or for values that are not as many finite numbers.
        """
        target = self.model.layers[layer] if 0 <= layer < len(self.model.layers) else None
        if not isinstance(target, Conv2D):
            raise ArgumentError(f"Layer {layer} has no kernel that could be edited: only convolutions do.")
        kernel = target.kernel.value
        if not (0 <= channel < kernel.shape[2] and 0 <= filter < kernel.shape[3]):
            raise ArgumentError(f"{target.name} has no channel {channel} in a filter {filter}.")
        numbers = _matrix(values, kernel.shape[:2])
        kernel[:, :, channel, filter] = numbers
        self._weights_changed()
        self.edited = self._unsaved = True

    def restore(self) -> None:
        """Undo all edits since the last training, or since the start.  Raises StateError during a training."""
        self._require_idle("undo edits")
        self.model.set_weights(self._kept)
        self._weights_changed()

    def forget(self) -> None:
        """Random weights, others each time, and empty curves.  Raises StateError during a training."""
        self._require_idle("start over")
        self._seed += 1
        rate = self.model.optimizer.current_learning_rate()
        self.model = Sequential.from_config({**self.model.get_config(), "seed": self._seed})
        network.compile(self.model, rate)
        self.curves, self.source = Curves(), "random"
        self._keep_these_weights()
        self._weights_changed()

    def take_test(self) -> None:
        """Find the mistakes among the test digits."""
        if self.data is not None:
            self.curves.find_mistakes(self.model.predict(self.data.x_test), self.data.y_test)

    def _weights_changed(self) -> None:
        """By hand: the test is taken again when the hand rests."""
        self.first, self.edited = False, False
        self.version += 1
        if self._timer is not None:
            self._timer.cancel()
        if self.training is None:
            self._timer = threading.Timer(QUIET, self.submit, [self.take_test])
            self._timer.daemon = True
            self._timer.start()

    def _keep_these_weights(self) -> None:
        self._kept, self.edited = self.model.get_weights(), False

    def _keep(self) -> Path | None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._unsaved:
            return None
        saving.save(self.model, network.last_file())
        return network.last_file()

    def _require_idle(self, what: str) -> None:
        if self.training is not None:
            raise StateError(f"A training is under way: end it first, then {what}.")

    # -- backend ------------------------------------------------------------------------------------------------------

    def use_backend(self, name: str) -> None:
        """Compute on `name` as soon as it is ready: Numba compiles first, and the old backend goes on meanwhile."""
        if name not in BACKENDS:
            raise ArgumentError(f"There is no backend {name!r} in the lab; choose one of {', '.join(BACKENDS)}.")
        self.backend_to_come = name
        if name in self._compiled:
            if self.training is None:
                self._switch_to_what_comes()
        elif "backend" not in self.busy:
            document, tensors = snapshot.take(self.model)
            tensors = {name: tensor.copy() for name, tensor in tensors.items()}
            self._in_background(
                "backend", f"{name} compiles its kernels for this processor; the first time takes about a minute.",
                lambda: _warm_up(document, tensors, name), lambda _: self._compiled_for(name),
            )

    def _compiled_for(self, name: str) -> None:
        self._compiled.add(name)
        if self.training is None:
            self._switch_to_what_comes()

    def _switch_to_what_comes(self) -> None:
        """Rebuild the network, with the optimizer's state, on the backend that was asked for, if it is ready."""
        name = self.backend_to_come
        if name is None or name not in self._compiled:
            return
        self.backend_to_come = None
        if name != self.model.backend.name:
            self.model, _ = snapshot.restore(*snapshot.take(self.model), "The lab's network", name)
            self.version += 1

    # -- background ---------------------------------------------------------------------------------------------------

    def tell(self, sentence: str) -> None:
        """Show a sentence on all pages."""
        self.notice = (self.notice[0] + 1, sentence)

    def _in_background(
        self, topic: str, sentence: str, work: Callable[[], Any], use: Callable[[Any], None]
    ) -> None:
        """Do slow work in a thread of its own, and give its result to `use` in the worker's; pages see `sentence`."""
        self.busy[topic] = sentence

        def finish(result: Any, problem: Exception | None) -> None:
            del self.busy[topic]
            if problem is None:
                use(result)
            else:
                self.tell(f"{sentence.rstrip('.')} did not work: {problem}")

        def run() -> None:
            try:
                self.submit(finish, work(), None)
            except Exception as problem:  # whatever it was, the page says so and the lab goes on
                self.submit(finish, None, problem)

        threading.Thread(target=run, name=f"tinyconv lab: {topic}", daemon=True).start()

    def _take_data(self, data: Data) -> None:
        self.data = data
        if self.first:
            self._begin(data, network.FIRST_EPOCHS)
        else:
            self.take_test()


def _matrix(values: Any, shape: tuple[int, ...]) -> Array:
    """`values` as numbers of `shape`, each within ± LARGEST_WEIGHT; raises ArgumentError otherwise."""
    rows, columns = shape
    sentence = f"A kernel here is {rows} rows of {columns} numbers between -{LARGEST_WEIGHT:g} and {LARGEST_WEIGHT:g}"
    if not isinstance(values, list) or not all(isinstance(row, list) for row in values):
        raise ArgumentError(f"{sentence}, but got none.")
    if [len(row) for row in values] != [columns] * rows:
        raise ArgumentError(f"{sentence}, but got rows of {', '.join(str(len(row)) for row in values) or 'none'}.")
    for value in (value for row in values for value in row):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_WEIGHT:
            raise ArgumentError(f"{sentence}, but got {value!r}.")
    return np.array(values, np.float64)


def _warm_up(document: snapshot.Document, tensors: snapshot.Tensors, backend: str) -> None:
    """Use everything once that the lab needs on `backend`, on a copy of the network, so that it is compiled."""
    model, _ = snapshot.restore(document, tensors, "The lab's network", backend)
    x, y = np.zeros((2, *network.IMAGE), np.float32), np.array([0, 1], np.uint8)
    model.fit(x, y, batch_size=2, epochs=model.epochs_seen + 1, initial_epoch=model.epochs_seen, verbose=0)
    model.predict(x)
    look.backward(model, x[0], 0)
