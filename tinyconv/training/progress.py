"""What a training says while it runs: a live bar, one line per epoch, or nothing.

The reporters are callbacks like any other.  They write to standard output.
"""

import sys
import time
from typing import TYPE_CHECKING, Any

from tinyconv.callbacks import Callback, Logs
from tinyconv.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

SECONDS_BETWEEN_REFRESHES = 0.1


def verbosity(verbose: Any) -> int:
    """Return 0 (silent), 1 (live bar) or 2 (one line per epoch); "auto" is 1 where a bar can move, else 2.

    Raises ArgumentError for anything else.
    """
    if verbose == "auto":
        return 1 if sys.stdout.isatty() or _in_notebook() else 2
    if verbose not in (0, 1, 2):
        raise ArgumentError(f'verbose must be 0, 1, 2 or "auto", but got {verbose!r}.')
    return int(verbose)


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: its shell speaks to the page over ZeroMQ."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"


def reporter(verbose: Any) -> Callback:
    """The callback that reports a training as `verbose` says."""
    return (Callback, ProgressBar, EpochLines)[verbosity(verbose)]()


def numbers(logs: Logs) -> str:
    """The numbers of an epoch as text.

    >>> numbers({"loss": 0.25, "val_accuracy": 0.98765, "learning_rate": 0.00025})
    'loss 0.2500  val_accuracy 0.9877  learning_rate 2.5e-04'
    """
    return "  ".join(
        f"{name} {value:.1e}" if 0 < abs(value) < 1e-3 else f"{name} {value:.4f}" for name, value in logs.items()
    )


def clock(seconds: float) -> str:
    """A duration as people read it.

    >>> clock(7), clock(83), clock(3723)
    ('0:07', '1:23', '1:02:03')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class EpochLines(Callback):
    """One line per epoch, when it is over: for logs, pipes and patient people."""

    def on_epoch_begin(self, epoch: int) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        seconds = time.perf_counter() - self._began
        print(f"epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f} s  {numbers(logs)}", flush=True)


class ProgressBar(Callback):
    """A live bar: steps, time passed, time left, and the means so far; each epoch leaves its line behind.

    It is redrawn between steps, at most ten times a second, by the training's own thread: a second thread would
    compete with the arithmetic.
    """

    _live: "Live | None" = None

    def on_epoch_begin(self, epoch: int) -> None:
        from rich.live import Live

        self._epoch = epoch
        self._began = self._drawn = time.perf_counter()
        self._live = Live(self._line(0, {}), auto_refresh=False)
        self._live.start(refresh=True)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        now = time.perf_counter()
        if self._live is not None and now - self._drawn >= SECONDS_BETWEEN_REFRESHES:
            self._drawn = now
            self._live.update(self._line(batch + 1, logs), refresh=True)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self._live is not None:
            self._live.update(self._line(self.params["steps"], logs, finished=True))
            self._stop()

    def on_train_end(self) -> None:
        self._stop()

    def _stop(self) -> None:
        """Leave the last line on the screen and give the terminal back."""
        if self._live is not None:
            self._live.stop()
            if not self._live.console.is_terminal:
                self._live.console.line()  # on a terminal, stopping has done it
            self._live = None

    def _line(self, done: int, logs: Logs, finished: bool = False) -> "RenderableType":
        """The bar after `done` steps of the epoch; the time left is told while there is some."""
        from rich.progress_bar import ProgressBar as Bar
        from rich.table import Table

        epochs, steps = self.params["epochs"], self.params["steps"]
        passed = time.perf_counter() - self._began
        times = clock(passed)
        if done and not finished:
            times += f", {clock(passed / done * (steps - done))} left"
        line = Table.grid(padding=(0, 1), expand=not finished)
        line.add_column(no_wrap=True, style="bold")
        line.add_column(no_wrap=True)
        line.add_column(no_wrap=True, style="cyan")
        line.add_column()
        cells: list[RenderableType] = [
            f"{self._epoch + 1:{len(str(epochs))}d}/{epochs}",
            f"{done:{len(str(steps))}d}/{steps}",
            times,
            numbers(logs).replace("accuracy", "acc"),  # so that a finished line with validation fits 80 columns
        ]
        if not finished:
            line.add_column(ratio=1)  # the bar takes the room there is
            cells.append(Bar(steps, done))
        line.add_row(*cells)
        return line
