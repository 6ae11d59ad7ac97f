"""How parameters follow their gradients: Adam, AdamW, and gradient descent with momentum, as Keras 3 defines them.

    optimizer.build(flat_parameters, backend)
    optimizer.apply_gradients()       once per batch: clip, take one step over the flat arrays, count it

One step, t = 1, 2, …, with the learning rate α of this step (a schedule is asked for step t - 1):

    SGD     v ← μ v - α g                        p ← p + v        (Nesterov: p ← p + μ v - α g)
    Adam    m ← β₁ m + (1-β₁) g                  p ← p - α √(1-β₂ᵗ)/(1-β₁ᵗ) · m / (√v + ε)
            v ← β₂ v + (1-β₂) g²
    AdamW   p ← p - α λ p, then Adam

This is the form before section 2.1 of Kingma and Ba (2015).  PyTorch uses the form of their algorithm 1, in which ε is
larger by a factor of 1/√(1-β₂ᵗ): with the same ε the first steps differ by a trifle.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np

from tinyconv import checks, schedules, serialization
from tinyconv.backends import Backend
from tinyconv.capturing import Capturable
from tinyconv.devices import Device
from tinyconv.errors import ArgumentError, ModelFileError, StateError
from tinyconv.parameters import FlatParameters
from tinyconv.schedules import Schedule

Array = np.ndarray[Any, Any]
LearningRate = float | Schedule


class Optimizer(Capturable):
    """Base of all optimizers: clips gradients, knows the learning rate, keeps and hands out the state.

    Arguments, as in Keras:
        learning_rate: a number, or a schedule.
        weight_decay: each step first shrinks every parameter by learning_rate · weight_decay of itself; None for not.
        clipnorm: the largest L2 norm of the gradient of each single parameter (a kernel, a bias); longer ones shrink.
        clipvalue: the largest magnitude of each element of the gradients.
        global_clipnorm: the largest L2 norm of all gradients taken together.

    Raises ArgumentError for numbers out of range, and for more than one way of clipping.
    """

    slots: tuple[str, ...] = ()  # names of the flat arrays an optimizer keeps beside the parameters
    in_numbers = ("learning_rate", "weight_decay")  # the arguments that an update learns from its `numbers`

    def __init__(
        self, learning_rate: LearningRate, weight_decay: float | None, clipnorm: float | None, clipvalue: float | None,
        global_clipnorm: float | None,
    ) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = None if weight_decay is None else checks.number(weight_decay, "weight_decay", minimum=0)
        self.clipnorm = None if clipnorm is None else checks.number(clipnorm, "clipnorm", above=0)
        self.clipvalue = None if clipvalue is None else checks.number(clipvalue, "clipvalue", above=0)
        self.global_clipnorm = (
            None if global_clipnorm is None else checks.number(global_clipnorm, "global_clipnorm", above=0)
        )
        given = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ArgumentError(f"An optimizer clips in one way only, but got {' and '.join(given)}; choose one.")
        self.iterations = 0  # steps taken so far
        self._flat: FlatParameters | None = None
        self._backend: Backend | None = None
        self._state: dict[str, Array] = {}

    @property
    def learning_rate(self) -> LearningRate:
        """A number or a schedule; may be set at any time, also to what `schedules.serialize` returned."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: LearningRate | Mapping[str, Any]) -> None:
        if isinstance(value, Schedule | Mapping):
            self._learning_rate: LearningRate = schedules.get(value)
        else:
            self._learning_rate = checks.number(value, "learning_rate", minimum=0)

    def current_learning_rate(self) -> float:
        """The learning rate of the step that comes next."""
        rate = self.learning_rate
        return rate(self.iterations) if isinstance(rate, Schedule) else rate

    def build(self, flat: FlatParameters, backend: Backend) -> None:
        """Prepare to update `flat` with the kernels of `backend`; state and step count begin at 0."""
        self._state = {slot: flat.new_array() for slot in self.slots}  # which may fail for want of memory
        self._flat, self._backend, self.iterations = flat, backend, 0

    @property
    def built(self) -> bool:
        """Whether `build` was called."""
        return self._flat is not None

    def apply_gradients(self) -> None:
        """Take one step: clip the flat gradients in place, then update the flat values.

        Raises StateError before `build`.
        """
        self.update(*self.numbers(self.iterations))
        self.iterations += 1

    def numbers(self, iteration: int) -> tuple[float, ...]:
        """What the update of step `iteration`, counting from 0, needs that is not the same in every step."""
        rate = self.learning_rate
        return self._numbers(iteration + 1, rate(iteration) if isinstance(rate, Schedule) else rate)

    def update(self, *numbers: Any) -> None:
        """Clip the gradients and update the values, given this step's `numbers`, and do not count the step.

        Each of them may be an array of one float64 in device memory.
        """
        flat, backend = self._require_built()
        self._clip(flat, backend.device)
        self._step(flat, backend, *numbers)

    @property
    def capturable(self) -> bool:
        """Whether an update is made of the backend's operations only, so that a graph can capture it."""
        computing = {"apply_gradients", "numbers", "update", "_clip", "_numbers", "_step"}
        return self.only_launches and computing.isdisjoint(vars(self))

    def _numbers(self, t: int, learning_rate: float) -> tuple[float, ...]:
        raise NotImplementedError

    def _step(self, flat: FlatParameters, backend: Backend, *numbers: Any) -> None:
        raise NotImplementedError

    def _clip(self, flat: FlatParameters, device: Device) -> None:
        if self.clipvalue is not None:
            device.clip(flat.gradients, self.clipvalue)
        if self.clipnorm is not None:
            for place in flat.slices.values():
                device.shorten(flat.gradients[place], self.clipnorm)
        if self.global_clipnorm is not None:
            device.shorten(flat.gradients, self.global_clipnorm)

    # -- state --------------------------------------------------------------------------------------------------------

    def state_tensors(self) -> dict[str, Array]:
        """All that a saved run must keep: views of the state by "<slot>/<parameter>", and "iterations", the step count.

        Raises StateError before `build`.
        """
        flat, _ = self._require_built()
        tensors = {f"{s}/{name}": view for s in self.slots for name, view in flat.views(self._state[s]).items()}
        return tensors | {"iterations": np.array(self.iterations)}  # on the backend's device

    def load_state_tensors(self, tensors: Mapping[str, Array]) -> None:
        """Restore what `state_tensors` returned; the next step is then the same, bit for bit.

        Raises ModelFileError, and changes nothing, when names or shapes are not those of this optimizer and model;
        StateError before `build`.
        """
        mine = self.state_tensors()
        if mine.keys() != tensors.keys():
            odd = sorted(mine.keys() ^ tensors.keys())
            raise ModelFileError(
                f"This is not the state of this {type(self).__name__} and model: {odd[0]} is "
                f"{'missing' if odd[0] in mine else 'unknown'}."
            )
        for name, array in mine.items():
            if np.shape(tensors[name]) != array.shape:
                raise ModelFileError(
                    f"The optimizer's {name} has shape {array.shape}, but the saved one {np.shape(tensors[name])}."
                )
        _, backend = self._require_built()
        for name in mine.keys() - {"iterations"}:
            mine[name][...] = backend.device.asarray(tensors[name])
        self.iterations = int(tensors["iterations"])

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: the arguments.  A model copies the state along, see `Sequential.__getstate__`."""
        return self.__dict__ | {"_flat": None, "_backend": None, "_state": {}}

    def _require_built(self) -> tuple[FlatParameters, Backend]:
        if self._flat is None or self._backend is None:
            raise StateError(f"{type(self).__name__} has no parameters yet: build the model and compile it first.")
        return self._flat, self._backend

    # -- configuration ------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        rate = self.learning_rate
        return {
            "learning_rate": schedules.serialize(rate) if isinstance(rate, Schedule) else rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
        }


class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba, 2015): steps of a size that does not depend on the size of the gradients."""

    slots = ("m", "v")
    only_launches = True

    def __init__(
        self, learning_rate: LearningRate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        *, weight_decay: float | None = None, clipnorm: float | None = None, clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm)
        self.beta_1 = checks.number(beta_1, "beta_1", minimum=0, below=1)
        self.beta_2 = checks.number(beta_2, "beta_2", minimum=0, below=1)
        smallest = float(np.finfo(np.float32).tiny)  # an ε that is 0 in float32 would give 0/0 where no gradient flows
        self.epsilon = checks.number(epsilon, "epsilon", minimum=smallest)

    def _numbers(self, t: int, learning_rate: float) -> tuple[float, ...]:
        step_size = learning_rate * sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        return step_size, learning_rate * (self.weight_decay or 0.0)

    def _step(self, flat: FlatParameters, backend: Backend, *numbers: Any) -> None:
        step_size, decay = numbers
        backend.adam.step(
            flat.values, flat.gradients, self._state["m"], self._state["v"], step_size=step_size, beta_1=self.beta_1,
            beta_2=self.beta_2, epsilon=self.epsilon, decay=decay,
        )

    def get_config(self) -> dict[str, Any]:
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return super().get_config() | own


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), of kernels and biases alike."""

    only_launches = True

    def __init__(
        self, learning_rate: LearningRate = 0.001, weight_decay: float | None = 0.004, beta_1: float = 0.9,
        beta_2: float = 0.999, epsilon: float = 1e-7, *, clipnorm: float | None = None, clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
        )


class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's look-ahead if wanted."""

    slots = ("velocity",)
    only_launches = True

    def __init__(
        self, learning_rate: LearningRate = 0.01, momentum: float = 0.0, nesterov: bool = False, *,
        weight_decay: float | None = None, clipnorm: float | None = None, clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm)
        self.momentum = checks.number(momentum, "momentum", minimum=0, maximum=1)
        self.nesterov = bool(nesterov)

    def _numbers(self, t: int, learning_rate: float) -> tuple[float, ...]:
        return learning_rate, learning_rate * (self.weight_decay or 0.0)

    def _step(self, flat: FlatParameters, backend: Backend, *numbers: Any) -> None:
        learning_rate, decay = numbers
        backend.sgd.step(
            flat.values, flat.gradients, self._state["velocity"], learning_rate=learning_rate, momentum=self.momentum,
            nesterov=self.nesterov, decay=decay,
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"momentum": self.momentum, "nesterov": self.nesterov}


CLASSES: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def get(identifier: Any) -> Optimizer:
    """Return the optimizer that is meant: one itself, its name, or what `serialize` returned.

    Raises ArgumentError when there is no such optimizer.

    >>> get("adam").current_learning_rate()
    0.001
    """
    return serialization.resolve(identifier, CLASSES, Optimizer, "optimizer")


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Return {"class_name": …, "config": …}, as JSON types; the state is in `state_tensors`."""
    return serialization.serialize(optimizer)
