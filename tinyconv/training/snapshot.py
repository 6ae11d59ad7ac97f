"""The last good state of a training, to go back to when the loss turns NaN or infinite."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import DivergedError

if TYPE_CHECKING:
    from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]

STEPS_BETWEEN_SNAPSHOTS = 100  # a copy takes about as long as one update, so this costs far below one per cent


class Snapshot:
    """A copy of a model's parameters and of its optimizer's state, in memory that is allocated once.

    `take` is called when the loss of the present weights has been found finite, before they are updated: a snapshot is
    known to be good.  (Moving averages have seen that step's batch already.)
    """

    def __init__(self, model: "Sequential") -> None:
        self._model = model
        self._begin()

    def _begin(self) -> None:
        model = self._model
        self._flat, self._optimizer = model.parameters, model.optimizer
        self._parameters = [parameter.value for layer in model.layers for parameter in layer.parameters]
        self._values = [value.copy() for value in self._parameters]
        self._state = {name: tensor.copy() for name, tensor in model.optimizer.state_tensors().items()}
        self._iterations = model.optimizer.iterations

    def _follow(self) -> None:
        """Begin anew if a callback has changed the model since the step before."""
        if not self.fits():
            self._begin()

    def fits(self) -> bool:
        """Whether the model has the parameters and the optimizer that it had; not if a layer was frozen, say."""
        return self._model.parameters is self._flat and self._model.optimizer is self._optimizer

    def take(self) -> None:
        """Remember the present state."""
        for kept, value in zip(self._values, self._parameters, strict=True):
            kept[...] = value
        for name, tensor in self._model.optimizer.state_tensors().items():
            self._state[name][...] = tensor
        self._iterations = self._model.optimizer.iterations

    def restore(self) -> None:
        """Go back to the remembered state."""
        for kept, value in zip(self._values, self._parameters, strict=True):
            value[...] = kept
        self._model.optimizer.load_state_tensors(self._state)
        self._model.optimizer.iterations = self._iterations

    def check(self, loss: float, epoch: int, step: int) -> None:
        """Accept the loss of a step (both count from 0), or go back and raise DivergedError."""
        self._follow()
        if math.isfinite(loss):
            if step % STEPS_BETWEEN_SNAPSHOTS == 0:
                self.take()
            return
        self._give_up(f"The loss became {loss} in step {step + 1} of epoch {epoch + 1}")

    def check_epoch(self, loss: float, epoch: int) -> None:
        """Accept the mean loss of an epoch so far, or go back and raise DivergedError."""
        if not math.isfinite(loss):
            self._give_up(f"The loss became {loss} in epoch {epoch + 1}")

    def check_weights(self, epoch: int) -> None:
        """After an epoch: accept the weights, or go back and raise DivergedError; no later loss would tell."""
        self._follow()
        if not self.all_finite():
            self._give_up(f"The last step of epoch {epoch + 1} made weights infinite or NaN")

    def all_finite(self) -> bool:
        """Whether no parameter is infinite or NaN."""
        return all(np.isfinite(value).all() for value in self._parameters)

    def _give_up(self, what: str) -> None:
        optimizer = self._model.optimizer
        rate, lost = optimizer.current_learning_rate(), optimizer.iterations - self._iterations
        self.restore()
        raise DivergedError(
            f"{what}: training has diverged at a learning rate of {rate:g}. The weights and the optimizer are back at "
            f"the last good state (updates undone: {lost}). Try a lower learning rate, say {rate / 10:.2g}."
        )
