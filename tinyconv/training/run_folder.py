"""The folder that a training run leaves behind, and from which it can be resumed.

    config.json                     what the caller says about the run
    log.jsonl                       one line per epoch
    checkpoints/last.safetensors    after each epoch: model, optimizer, callbacks, history; training resumes from here
    checkpoints/best.safetensors    the same, of the best epoch so far
    model.safetensors               the finished model
    results.json                    loss, metrics, F1 and the like on the test data
    classification-report.txt       the same per class, to read
    learning-curve.png  confusion-matrix.png  misclassified.png

    run = RunFolder("runs/first").create({"model": "mnist_convnet"})
    history = model.fit(x, y, epochs=5, callbacks=run.callbacks(EarlyStopping(patience=2)))
    run.finish(model, history, x_test, y_test)

Each file appears whole or not at all, so that a run killed at any moment can be resumed after its last whole epoch:

    resumed = run.resume(EarlyStopping(patience=2))
    resumed.model.fit(x, y, epochs=5, initial_epoch=resumed.epoch, callbacks=resumed.callbacks)
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from tinyconv import lock
from tinyconv.callbacks import Callback, JSONLogger, Logs, Monitor, State
from tinyconv.errors import ArgumentError, ModelFileError
from tinyconv.models import Sequential
from tinyconv.saving import load, save
from tinyconv.saving.atomic import replacing_file
from tinyconv.schedules import Schedule

from .history import History

Array = np.ndarray[Any, Any]


class Resumed(NamedTuple):
    """What `RunFolder.resume` found: pass `callbacks`, and `epoch` as `initial_epoch`, to `fit`."""

    model: Sequential
    callbacks: list[Callback]
    history: History  # of the epochs so far
    epoch: int  # how many there are


class RunFolder:
    """The folder of one training run; see the module for what is in it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.last = self.path / "checkpoints" / "last.safetensors"
        self.best = self.path / "checkpoints" / "best.safetensors"

    def create(self, config: Mapping[str, Any] | None = None) -> Self:
        """Make the folder and write `config` (JSON types) into it; return the run folder itself.

        Raises ArgumentError when there is something in the folder already, or nothing can be written there.
        """
        try:
            self._check_empty()
            with lock.exclusive(self.path):
                self._check_empty()  # again: another process may have been quicker
                self._write_json("config.json", dict(config or {}))
        except OSError as problem:
            raise ArgumentError(
                f"The run folder {self.path} cannot be made ({problem.strerror}); choose another place."
            ) from problem
        except ModelFileError as problem:
            raise ArgumentError(f"{problem} Choose another run folder.") from problem
        return self

    def _check_empty(self) -> None:
        if self.path.exists() and any(file.name != lock.LOCK_FILE for file in self.path.iterdir()):
            raise ArgumentError(
                f"The run folder {self.path} is not empty; resume the run that is in it, or choose another folder."
            )

    @property
    def config(self) -> dict[str, Any]:
        """What `create` was told.  Raises ArgumentError when there is no run in the folder."""
        try:
            config = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as problem:
            raise ArgumentError(f"{self.path} is not the folder of a run: it has no readable config.json.") from problem
        if not isinstance(config, dict):
            raise ArgumentError(f"{self.path} is not the folder of a run: its config.json holds no settings.")
        return config

    def callbacks(self, *others: Callback) -> list[Callback]:
        """`others`, and around them those that keep the folder to this training and write its log and checkpoints."""
        return [_Alone(self.path), *others, JSONLogger(self.path / "log.jsonl"), _Checkpoints(self, others)]

    def resume(self, *others: Callback, backend: str | None = None) -> Resumed:
        """Return the run as it was after its last whole epoch.

        `others` are callbacks made as for the first part of the run, in the same order; they get their memory back.
        N epochs, `resume` and M epochs end in the same bits as N + M epochs.  If `fit` was to choose the length of a
        learning rate schedule, the next one does so again.

        Raises ArgumentError when no epoch has been finished or the callbacks are others, ModelFileError when the
        checkpoint is damaged.
        """
        if not self.last.exists():
            raise ArgumentError(f"There is no run to resume in {self.path}: none of its epochs came to an end.")
        model, extra = load(self.last, backend=backend)
        callbacks = self.callbacks(*others)
        was, now = [kept["class_name"] for kept in extra["callbacks"]], [type(other).__name__ for other in others]
        if was != now:
            raise ArgumentError(
                f"The run in {self.path} had the callbacks {', '.join(was) or 'none'}, but is resumed with "
                f"{', '.join(now) or 'none'}: pass the same ones in the same order."
            )
        for other, kept in zip(others, extra["callbacks"], strict=True):
            other.set_state(kept["state"])
        checkpoints = callbacks[-1]
        assert isinstance(checkpoints, _Checkpoints)
        checkpoints.set_state(extra["checkpoints"])
        schedule = model.optimizer.learning_rate
        if extra["fit_sets_total_steps"] and isinstance(schedule, Schedule):
            model.optimizer.learning_rate = type(schedule)(**{**schedule.get_config(), "total_steps": None})
        history = History()
        history.set_state(extra["checkpoints"]["history"])
        return Resumed(model, callbacks, history, len(history.epoch))

    def finish(
        self, model: Sequential, history: History, x_test: Any, y_test: Any, class_names: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Save the model, test it, write results and pictures, and return what is in results.json.

        The test data are x_test (n, …) and y_test (n,) or (n, k); without `class_names` classes are called by number.
        """
        from tinyconv import plots

        save(model, self.path / "model.safetensors")
        measured = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
        probabilities = model.predict(x_test)
        true, predicted = plots.as_classes(y_test), plots.as_classes(probabilities)
        text, per_class = _classification_report(true, predicted, class_names)
        results = {
            **{f"test_{name}": value for name, value in measured.items()},
            "samples": len(true), "wrong": int(np.count_nonzero(true != predicted)), "report": per_class,
        }
        self._write_json("results.json", results)
        with replacing_file(self.path / "classification-report.txt") as temporary:
            temporary.write_text(text, encoding="utf-8")
        if history.epoch:
            plots.save(plots.learning_curves(history), self.path / "learning-curve.png")
        plots.save(plots.confusion_matrix(true, predicted, class_names), self.path / "confusion-matrix.png")
        mistakes = plots.wrong_predictions(np.asarray(x_test), true, probabilities, class_names)
        plots.save(mistakes, self.path / "misclassified.png")
        return results

    def _write_json(self, name: str, value: Any) -> None:
        with replacing_file(self.path / name) as temporary:
            temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


class _Alone(Callback):
    """Lets one training at a time write into the folder, and removes what a killed one has left half-written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = ExitStack()

    def on_train_begin(self) -> None:
        try:
            self._held.enter_context(lock.exclusive(self.path, wait=False))
        except BlockingIOError as problem:
            raise ArgumentError(f"Another training is running in {self.path}: wait for it, or end it.") from problem
        except OSError as problem:
            raise ArgumentError(f"The run folder {self.path} cannot be written ({problem.strerror}).") from problem
        for path in self.path.rglob(".*.tmp"):
            path.unlink(missing_ok=True)

    def on_train_end(self) -> None:
        self._held.close()


class _Checkpoints(Monitor):
    """Writes the last and the best checkpoint; best by val_loss, or by loss where nothing is held out."""

    def __init__(self, folder: RunFolder, others: Sequence[Callback]) -> None:
        super().__init__()
        self.folder, self.others = folder, others
        self.history = History()
        self.fit_sets_total_steps = False

    def on_train_begin(self) -> None:
        self.monitor = "val_loss" if "val_loss" in self.params["metrics"] else "loss"
        super().on_train_begin()
        rate = self.model.optimizer.learning_rate
        self.fit_sets_total_steps = isinstance(rate, Schedule) and rate.total_steps is None

    def reset(self) -> None:
        super().reset()
        self.history = History()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.history.on_epoch_end(epoch, logs)
        is_best = self.improves(logs[self.monitor])
        if is_best:
            self.best = logs[self.monitor]
        extra = {
            "checkpoints": self.get_state(),
            "callbacks": [{"class_name": type(other).__name__, "state": other.get_state()} for other in self.others],
            "fit_sets_total_steps": self.fit_sets_total_steps,
        }
        if is_best:
            save(self.model, self.folder.best, extra=extra)
        save(self.model, self.folder.last, extra=extra)

    def get_state(self) -> State:
        return {"best": self.best, "history": self.history.get_state()}

    def set_state(self, state: State) -> None:
        self.best = state["best"]
        self.history.set_state(state["history"])


def _classification_report(
    true: Array, predicted: Array, class_names: Sequence[str] | None
) -> tuple[str, dict[str, Any]]:
    """Precision, recall and F1 per class and on average: as a table to read, and as numbers."""
    from sklearn.metrics import classification_report

    classes = range(len(class_names)) if class_names is not None else np.union1d(true, predicted)
    names = [str(name) for name in class_names] if class_names is not None else [str(c) for c in classes]
    options = {"labels": list(classes), "target_names": names, "zero_division": 0}
    text: str = classification_report(true, predicted, digits=4, **options)
    numbers: dict[str, Any] = classification_report(true, predicted, output_dict=True, **options)
    return text, numbers
