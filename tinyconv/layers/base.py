"""What every layer is: hyperparameters, `build`, `forward`, and the hand-written `backward` beside it.

    layer = Conv2D(4, 3)
    y = layer(x)               # builds for the shape of x, then runs forward
    dx = layer.backward(dy)    # and layer.kernel.gradient, layer.bias.gradient

A layer is built for an input shape without the batch axis, e.g. (28, 28, 1).  `forward` keeps on the layer what
`backward` needs; `backward` takes dy, *adds nothing up*: it overwrites the gradients of the layer's parameters and
returns dx.  Arrays that a layer produces come from `buffer`: new memory each time, or memory of the plan that runs the
layer (see `tinyconv.plan`), so that a training step allocates nothing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyconv import backends, random
from tinyconv.backends import Backend
from tinyconv.capturing import Capturable
from tinyconv.checks import numeric_array
from tinyconv.devices import HOST, Device
from tinyconv.errors import ArgumentError, ShapeError, StateError, TinyconvError
from tinyconv.initializers import Initializer
from tinyconv.kernels.workspace import Workspace
from tinyconv.regularizers import Regularizer

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

# What runs set on a layer.  All else that is public, and methods that are replaced, changes how the layer computes.
_SET_BY_RUNS = frozenset({"workspace", "in_place", "needs_input_gradient", "step", "output"})


class Parameter:
    """One weight of a layer: its value, its gradient, and whether training changes it.

    `value` and `gradient` are arrays of one shape; a model makes them views of its flat buffers.  A parameter that is
    not trainable (a moving average, or a weight of a frozen layer) has an empty gradient.
    """

    def __init__(
        self, name: str, value: Array, trainable: bool, regularizer: Regularizer | None, device: Device = HOST
    ) -> None:
        self.name = name
        self._device = device
        self.value = value
        self.learnable = trainable  # false for a moving average, which no gradient ever changes
        self.regularizer = regularizer
        self.trainable = False
        self.gradient: Array = device.zeros(0, value.dtype)
        self.put_aside: Array | None = None  # the gradient of one that was frozen after it had one
        self.set_trainable(trainable)

    def set(self, values: Array) -> None:
        """Overwrite the value by a NumPy array of its shape."""
        self.value[...] = self._device.asarray(values.astype(self.value.dtype, copy=False))

    def numpy(self) -> Array:
        """The value as a NumPy array: itself, or a copy of what is on a GPU."""
        return self._device.numpy(self.value)

    def set_trainable(self, trainable: bool) -> None:
        """Whether training may change it; a moving average stays as it is.

        Frozen and set free again without a step in between, it has the gradient that its model knows.
        """
        if trainable == self.trainable or not self.learnable:
            return
        self.trainable = trainable
        if not trainable:
            self.put_aside, self.gradient = self.gradient, self._device.zeros(0, self.value.dtype)
        else:
            kept, self.put_aside = self.put_aside, None
            if kept is None:
                kept = self._device.zeros(self.value.size, self.value.dtype).reshape(self.value.shape)
            self.gradient = kept


class Layer(Capturable):
    """Base of all layers; subclasses define `_build`, `compute_output_shape`, `forward` and `backward`.

    Arguments:
        name: shown in `summary` and in errors; the model numbers unnamed layers per kind: conv2d, conv2d_1, …
        input_shape: of one input, without the batch axis; the first layer of a model may say it, as in Keras.
        trainable: False for a frozen layer, see the attribute.
    """

    input_rank: int | None = None  # axes of one input, where only one number of them makes sense: 3 for images
    reads_output: bool = False  # backward needs y unchanged, so the next layer must not overwrite it
    may_return_input: bool = False  # forward can return x itself, or a view of it
    may_overwrite_input: bool = False  # forward can write y over x where `in_place` says so
    changes: int = 0  # how often something was set that a captured step would not notice

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, and count it."""
        object.__setattr__(self, name, value)
        if name[0] != "_" and name not in _SET_BY_RUNS:
            object.__setattr__(self, "changes", self.changes + 1)

    def __init__(
        self, *, name: str | None = None, input_shape: Shape | None = None, trainable: bool = True
    ) -> None:
        self.name = name or default_name(self)
        self.has_default_name = name is None
        self.parameters: list[Parameter] = []
        self.frozen = not trainable
        self.built = False
        self.owned = False  # by a model; a layer belongs to one only
        self.requested_input_shape = None if input_shape is None else sizes(input_shape, f"{self.name}: input_shape")
        self.input_shape: Shape = ()  # both without the batch axis, and known once the layer is built
        self.output_shape: Shape = ()
        self.backend = backends.Backend("numpy")
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.seed = 0
        self.step: Any = 0  # of training, for layers that draw random numbers; in device memory where a graph reads it
        self.output: Array | None = None  # the last y, kept by models in study mode to be looked at
        # A plan sets these three while it runs the layer:
        self.workspace: Workspace | None = None  # its memory, for `buffer`
        self.in_place = False  # whether nobody needs x any more once y is there
        self.needs_input_gradient = True  # false for the first layer: nobody asks for the gradient of the data

    # -- life ---------------------------------------------------------------------------------------------------------

    def build(
        self, input_shape: Shape, *, backend: str | Backend | None = None, dtype: Any = None, seed: int | None = None
    ) -> None:
        """Create the parameters for inputs of `input_shape`, without the batch axis.

        Raises ShapeError, naming the layer, when it cannot work on that shape.
        """
        if backend is not None:
            self.backend = backend if isinstance(backend, Backend) else backends.get(backend)
        if dtype is not None:
            self.dtype = np.dtype(dtype)
        if seed is not None:
            self.seed = seed
        if self.input_rank is not None and len(input_shape) != self.input_rank:
            raise ShapeError(f"{self.name}: {self._rank_sentence(tuple(input_shape))}")
        self.parameters = []
        self.input_shape = tuple(input_shape)
        self.output_shape = self.compute_output_shape(self.input_shape)
        self._build(self.input_shape)
        self.built = True

    def _rank_sentence(self, input_shape: Shape) -> str:
        """Why inputs of `input_shape` have the wrong number of axes."""
        wanted = "images (batch, height, width, channels)" if self.input_rank == 3 else "flat inputs (batch, features)"
        advice = " Add a Flatten layer in front." if self.input_rank == 1 else ""
        return f"works on {wanted}, but got inputs of shape {with_batch(input_shape)}.{advice}"

    def _build(self, input_shape: Shape) -> None:
        """Create parameters with `add_weight`; most layers have none."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of one output for one input of `input_shape`, both without the batch axis."""
        return input_shape

    def add_weight(
        self, name: str, shape: Shape, initializer: Initializer, *, trainable: bool = True,
        regularizer: Regularizer | None = None,
    ) -> Parameter:
        """Create a parameter from the stream "init/<layer>/<name>" and append it to `parameters`."""
        values = initializer(shape, random.key(self.seed, f"init/{self.name}/{name}"))
        values = self.backend.device.asarray(values.astype(self.dtype))
        parameter = Parameter(f"{self.name}/{name}", values, trainable, regularizer, self.backend.device)
        if not self.trainable:
            parameter.set_trainable(False)
        self.parameters.append(parameter)
        return parameter

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; set it to False to freeze the layer.

        A frozen layer gets no update, no gradients of its weights and no penalty on them, and batch normalisation uses
        its moving averages in training too, as in Keras.  Set it before `compile`: later the optimizer starts afresh.
        """
        return not self.frozen

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        if bool(trainable) == self.frozen:
            self.frozen = not trainable
            for parameter in self.parameters:
                parameter.set_trainable(not self.frozen)

    def __call__(self, x: Array, training: bool = False) -> Array:
        """Build for the shape and dtype of `x` if that has not been done, then run `forward`.

        Integers are taken as numbers of the layer's dtype, float32 unless it was built for another.  The result lies on
        the device of the layer's backend.  Raises ShapeError when `x` has another shape than the layer was built for.
        """
        x = self.backend.device.asarray(x)
        if not self.built:
            self.build(x.shape[1:], dtype=x.dtype if x.dtype == np.float64 else np.float32)
        if x.shape[1:] != self.input_shape:
            raise ShapeError(f"{self.name} was built for {with_batch(self.input_shape)}, but got {x.shape}.")
        return self.forward(x.astype(self.dtype, copy=False), training)

    # -- arithmetic ---------------------------------------------------------------------------------------------------

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y (n, *output_shape) for x (n, *input_shape)."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array | None:
        """Return dx for the dy of the last `forward`, and overwrite the parameters' gradients.

        dx is None where `needs_input_gradient` is false.
        """
        raise NotImplementedError

    def buffer(self, name: str, shape: Shape, dtype: Any = None) -> Array:
        """Memory for a result: the plan's if a plan runs this layer, new otherwise."""
        dtype = self.dtype if dtype is None else dtype
        if self.workspace is None:
            return self.backend.device.empty(shape, dtype)
        return self.workspace.array(f"layer/{self.name}/{name}", shape, dtype)  # kernels use other first words

    def over(self, dy: Array) -> Array | None:
        """`out` for a gradient of dy's shape: dy itself under a plan, where nobody reads it again, else new memory.

        A layer of a user's own may have returned a view that is not contiguous, which no operation writes to.
        """
        return dy if self.workspace is not None and dy.flags.c_contiguous else None

    # -- weights ------------------------------------------------------------------------------------------------------

    def get_weights(self) -> list[Array]:
        """Copies of all parameters, in Keras's order: trainable ones first."""
        return [parameter.numpy().copy() for parameter in self.weights]

    def set_weights(self, weights: list[Array]) -> None:
        """Overwrite all parameters; shapes must match `get_weights`, else ShapeError and nothing is changed."""
        if not self.built:
            raise StateError(f"{self.name} has no weights yet: build the model or call it on data first.")
        overwrite(self.weights, weights, self.name)

    @property
    def weights(self) -> list[Parameter]:
        """All parameters in Keras's order: trainable ones first, each group in the order of creation."""
        return sorted(self.parameters, key=lambda parameter: not parameter.trainable)

    def count_params(self) -> int:
        """Number of parameters, trainable or not."""
        return sum(parameter.value.size for parameter in self.parameters)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: all but what the last `forward` kept for `backward`."""
        return {name: value for name, value in self.__dict__.items() if name[0] != "_"} | {"output": None}

    # -- configuration ------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types: `type(layer)(**layer.get_config())` is the same layer again."""
        config: dict[str, Any] = {"name": self.name}
        if self.requested_input_shape is not None:
            config["input_shape"] = list(self.requested_input_shape)
        return config

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def overwrite(parameters: Sequence[Parameter], weights: Sequence[Any], owner: str) -> None:
    """Give `parameters` the values `weights`.

    Raises ShapeError, or DataError where there are no numbers, before anything is changed.
    """
    if not isinstance(weights, Iterable) or len(weights) != len(parameters):
        got = len(weights) if isinstance(weights, Iterable) else repr(weights)
        raise ShapeError(f"{owner} has {len(parameters)} weights, but got {got}.")
    arrays = [numeric_array(weight, f"weights[{i}]", f"{owner} takes arrays.") for i, weight in enumerate(weights)]
    for parameter, array in zip(parameters, arrays, strict=True):
        if array.shape != parameter.value.shape:
            raise ShapeError(f"{parameter.name} has shape {parameter.value.shape}, but got {array.shape}.")
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.set(array)


def sizes(shape: Any, name: str) -> tuple[Any, ...]:
    """`shape` as a tuple; raises ArgumentError, which calls it `name`, when it is none."""
    if not isinstance(shape, Iterable):
        raise ArgumentError(f"{name} must be a tuple of sizes, such as (28, 28, 1), but got {shape!r}.")
    return tuple(shape)


@contextmanager
def named(layer: Layer, error: type[TinyconvError]) -> Iterator[None]:
    """Turn a ValueError of the arithmetic into `error` with the layer's name in front of the sentence."""
    try:
        yield
    except ValueError as problem:
        raise error(f"{layer.name}: {problem}") from problem


def with_batch(shape: Shape) -> tuple[Any, ...]:
    """The shape of a batch of inputs of `shape`, with None for the number of them: (28, 28, 1) → (None, 28, 28, 1)."""
    return (None, *shape)


def default_name(layer: Layer) -> str:
    """Keras's name for a layer of this kind: conv2d, max_pooling2d, batch_normalization, re_lu."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", type(layer).__name__)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
