"""Sequential: layers in a row, and what one does with them: build, compile, fit, evaluate, predict, save.

    model = Sequential([Conv2D(32, 3, activation="relu", input_shape=(28, 28, 1)), MaxPooling2D(), Flatten(),
                        Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=5, validation_split=0.1)

The names and habits are Keras's.  How layers are run is the plan's business (`tinyconv.plan`), the loop over epochs and
batches is in `tinyconv.training.loop`; one step of it is `train_on_batch` here.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from math import isfinite
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv import backends, losses, optimizers, utils
from tinyconv import layers as kinds
from tinyconv.checks import IMAGES_ADVICE, host_array, numeric_array, whole_number
from tinyconv.errors import ArgumentError, DataError, DivergedError, ShapeError, StateError
from tinyconv.layers.base import Array, Layer, Parameter, Shape, default_name, overwrite, with_batch
from tinyconv.losses import Loss
from tinyconv.metrics import Metric
from tinyconv.metrics import get as get_metric
from tinyconv.naming import suggestion
from tinyconv.optimizers import Optimizer
from tinyconv.parameters import FlatParameters
from tinyconv.plan import Plan
from tinyconv.regularizers import Regularizer
from tinyconv.summary import summary_lines

if TYPE_CHECKING:
    from tinyconv.training.history import History

AnyMetric = str | Metric | Callable[[Any, Array], float]

DTYPES = ("float32", "float64")


class Sequential:
    """A model whose layers run one after the other.

    Arguments:
        layers: the first may be `Input(shape)` or have an `input_shape`; the weights are then created at once.  If
            neither says it, they are created by `build`, or for the first data that `fit` or `predict` gets.
        name: shown in `summary`.
        backend: "numba" (the default), "numpy" or "cupy".
        seed: of the initial weights, of the order of batches, and of dropout; None for `utils.set_random_seed`'s, or 0.
        dtype: "float32", or "float64" for gradient checks.
        fuse: False for study mode: every layer runs alone, and `layer.output` keeps its last output.
        precision: "tf32" or "bf16" to let a GPU's tensor cores multiply numbers of fewer digits, see `backends.get`.

    Attributes:
        layers: the layers, without the input layer.
        optimizer, loss, metrics: what `compile` was given, as objects.
        history: of the last `fit`.
        epochs_seen: epochs of training so far; the shuffle stream's step.
        stop_training: a callback sets it to end the training after the step or epoch, as in Keras.

    Raises ArgumentError for an unknown backend or dtype, and ShapeError, naming the layer, when shapes do not fit.
    """

    def __init__(
        self, layers: Iterable[Layer] | None = None, *, name: str | None = None, backend: str | None = None,
        seed: int | None = None, dtype: Any = "float32", fuse: bool = True, precision: str = "float32",
    ) -> None:
        self.name = name or "sequential"
        self.backend = backends.get(backend, precision)
        self.seed = utils.default_seed() if seed is None else whole_number(seed, "seed")
        self.dtype = _dtype(dtype)
        if precision != "float32" and self.dtype != np.float32:
            raise ArgumentError(f'precision="{precision}" is for dtype="float32", but got {self.dtype}.')
        self.fuse = fuse
        self.layers: list[Layer] = []
        self.metrics: list[Metric] = []
        self.history: History | None = None
        self.epochs_seen = 0
        self.stop_training = False
        self._optimizer: Optimizer | None = None
        self._loss: Loss | None = None
        self._input_shape: Shape | None = None  # without the batch axis; None until it is known
        self._flat: FlatParameters | None = None
        self._frozen: list[bool] = []  # which layers were, when the flat buffers were made
        self._plan: Plan | None = None
        if isinstance(layers, Layer):
            raise ArgumentError(f"Sequential takes a list of layers: write Sequential([…]) around {layers.name}.")
        for layer in layers or ():
            self.add(layer)

    # -- layers -------------------------------------------------------------------------------------------------------

    def add(self, layer: Layer) -> None:
        """Put `layer` behind the others, and build it if the shape of its input is known.

        A layer that was built before, for this input shape, keeps its weights.  Raises ArgumentError for a layer that
        belongs to a model already or whose name is taken, ShapeError when it cannot work on the outputs so far.
        """
        if not isinstance(layer, Layer):
            raise ArgumentError(f"A model is made of layers, but got {layer!r}.")
        if isinstance(layer, kinds.InputLayer):
            self._declare_input(layer)
            return
        if layer.owned:
            raise ArgumentError(
                f"{layer.name} belongs to a model already; make another one by layers.from_config(class_name, config), "
                "and give it the weights by set_weights."
            )
        self._name(layer)
        shape = self._input_shape
        if shape is None and not self.layers and layer.requested_input_shape is not None:
            shape = _sizes(layer.requested_input_shape)
        if shape is not None:
            self._build_layer(layer, self.layers[-1].output_shape if self.layers else shape)
        self._input_shape = shape
        layer.owned = True
        self.layers.append(layer)
        self._forget()

    def pop(self) -> Layer:
        """Remove the last layer and return it, with its weights."""
        if not self.layers:
            raise StateError(f"{self.name} has no layers.")
        layer = self.layers.pop()
        layer.owned = False
        self._forget()
        return layer

    def get_layer(self, name: str) -> Layer:
        """Return the layer called `name`; raises ArgumentError when there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise ArgumentError(f"{self.name} has no layer {name!r}. {suggestion(name, names)}")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights for inputs of `input_shape`, with or without None for the batch in front.

        Raises ShapeError, naming the layer, when shapes do not fit, StateError when the model is built for another
        shape, and BackendError when the weights do not fit on the GPU.
        """
        shape = _sizes(input_shape[1:] if len(input_shape) and input_shape[0] is None else input_shape)
        if self._input_shape is not None and self._input_shape != shape:
            raise StateError(
                f"{self.name} works on inputs of shape {with_batch(self._input_shape)}; make another model for "
                f"{with_batch(shape)}."
            )
        if self._input_shape is None:
            flowing = shape
            for layer in self.layers:
                self._build_layer(layer, flowing)
                flowing = layer.output_shape
            self._input_shape = shape
        if self.layers:
            self._connect()

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._input_shape is not None and bool(self.layers)

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """Shape of a batch of inputs, as in Keras: (None, height, width, channels)."""
        self._require_built()
        return with_batch(self._input_shape or ())

    @property
    def output_shape(self) -> tuple[Any, ...]:
        """Shape of a batch of outputs, as in Keras: (None, classes)."""
        self._require_built()
        return with_batch(self.layers[-1].output_shape)

    @property
    def parameters(self) -> FlatParameters:
        """All parameters and gradients, in one flat buffer each."""
        self._require_built()
        return self._connect()

    @property
    def weights(self) -> list[Parameter]:
        """All parameters in Keras's order: layer by layer, trainable ones first in each."""
        self._require_built()
        return [parameter for layer in self.layers for parameter in layer.weights]

    def get_weights(self) -> list[Array]:
        """Copies of all parameters, in Keras's order."""
        return [parameter.numpy().copy() for parameter in self.weights]

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Overwrite all parameters; shapes must match `get_weights`, else ShapeError and nothing is changed."""
        with self.room_for("another copy of the weights"):
            overwrite(self.weights, weights, self.name)

    def count_params(self) -> int:
        """Number of parameters, trainable or not."""
        return sum(parameter.value.size for parameter in self.weights)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print every layer with its output shape and number of parameters, and the totals."""
        self._require_built()
        for line in summary_lines(self.name, self.layers):
            print_fn(line)

    # -- training -----------------------------------------------------------------------------------------------------

    def compile(
        self, optimizer: Any = "adam", loss: Any = None,
        metrics: AnyMetric | Iterable[AnyMetric] | None = None,
    ) -> None:
        """Say how to train: `optimizer`, `loss` and `metrics` as names, configs or objects.

        Raises ArgumentError for an unknown name.
        """
        optimizer, loss = optimizers.get(optimizer), losses.get(loss)
        if optimizer.built and optimizer is not self._optimizer:
            raise ArgumentError(f"This {type(optimizer).__name__} trains another model: each needs one of its own.")
        if isinstance(metrics, str | Metric) or callable(metrics):
            metrics = [metrics]
        self.metrics = [get_metric(metric) for metric in metrics or ()]
        self._optimizer, self._loss, self._plan = None, loss, None  # the old one's state is free for the new one's
        if self.built:
            with self._room_for_weights():
                optimizer.build(self.parameters, self.backend)
        self._optimizer = optimizer

    @property
    def compiled(self) -> bool:
        """Whether `compile` has been called."""
        return self._optimizer is not None

    @property
    def optimizer(self) -> Optimizer:
        """What updates the weights; raises StateError before `compile`."""
        if self._optimizer is None:
            raise StateError(f"{self.name} does not know how to train yet: call compile(optimizer, loss) first.")
        if self.built:
            self._connect()
        return self._optimizer

    @property
    def loss(self) -> Loss:
        """What training makes small; raises StateError before `compile`."""
        if self._loss is None:
            raise StateError(f"{self.name} has no loss yet: call compile(optimizer, loss) first.")
        return self._loss

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `train_on_batch` and `test_on_batch` return: "loss", then the metrics."""
        return ["loss", *(metric.name for metric in self.metrics)]

    def fit(
        self, x: Any, y: Any, batch_size: int | None = 32, epochs: int = 1, verbose: Any = "auto",
        callbacks: Any = None, validation_split: float = 0.0,
        validation_data: tuple[Any, Any] | None = None, shuffle: bool = True, *, initial_epoch: int = 0,
        augment: Callable[..., Array] | None = None,
    ) -> "History":
        """Train for `epochs` epochs and return their History; see `tinyconv.training.loop.fit`."""
        from tinyconv.training import loop

        return loop.fit(
            self, x, y, batch_size=batch_size, epochs=epochs, verbose=verbose, callbacks=callbacks,
            validation_split=validation_split, validation_data=validation_data, shuffle=shuffle,
            initial_epoch=initial_epoch, augment=augment,
        )

    def evaluate(
        self, x: Any, y: Any, batch_size: int | None = None, verbose: Any = "auto", return_dict: bool = False
    ) -> Any:
        """Return loss and metrics, averaged over all examples; see `tinyconv.training.loop.evaluate`."""
        from tinyconv.training import loop

        return loop.evaluate(self, x, y, batch_size=batch_size, verbose=verbose, return_dict=return_dict)

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = 0) -> Array:
        """Return the predictions (n, …) for any number of inputs, in chunks that fit memory; prints nothing.

        `verbose` is there for listings that say it; see `tinyconv.training.loop.predict`.
        """
        from tinyconv.training import loop

        return loop.predict(self, x, batch_size=batch_size)

    def train_on_batch(self, x: Any, y: Any) -> list[float]:
        """Take one step; return the loss and the metrics of the batch before it, in the order of `metrics_names`.

        Raises DivergedError, and changes no weight, when the loss is NaN or infinite.
        """
        with self.room_for("a step on this batch"):
            values = self.loss_and_gradients(x, y)
            if not isfinite(values[0]):
                raise DivergedError(
                    f"The loss of this batch is {values[0]}, so no weight was changed. If its images hold no NaN, "
                    "training has diverged at a learning rate of "
                    f"{self.optimizer.current_learning_rate():g}: try a lower one."
                )
            self.optimizer.apply_gradients()
        return values

    def test_on_batch(self, x: Any, y: Any) -> list[float]:
        """Return loss and metrics of one batch, in the order of `metrics_names`."""
        with self.room_for("the loss of this batch"):
            batch = self._batch(x)
            loss, y_pred = self.plan.loss(batch, y, training=False)
            return self._with_metrics(loss, self.penalties(), y, y_pred)

    def predict_on_batch(self, x: Any) -> Array:
        """Return the predictions (n, …) of one batch."""
        return self.forward(x)

    def loss_and_gradients(self, x: Any, y: Any, training: bool = True) -> list[float]:
        """Overwrite all gradients, penalties included, and change no weight; return what `train_on_batch` does.

        Raises DataError for labels that do not fit, ShapeError for such inputs, and StateError before `compile`.
        """
        batch = self._batch(x)
        loss, y_pred = self.plan.loss_and_gradients(batch, y, training=training, step=self._step)
        penalties = self.penalties()
        values = self._with_metrics(loss, penalties, y, y_pred)
        for parameter, regularizer in penalties:
            regularizer.add_gradient(parameter.value, parameter.gradient)
        return values

    def penalties(self) -> list[tuple[Parameter, Regularizer]]:
        """The parameters with a penalty, and what it is; those of frozen layers have none."""
        parameters = (one for layer in self.layers for one in layer.parameters if one.trainable)
        return [(parameter, parameter.regularizer) for parameter in parameters if parameter.regularizer is not None]

    # -- one pass at a time -------------------------------------------------------------------------------------------

    def forward(self, x: Any, training: bool = False) -> Array:
        """Return the predictions (n, …) for one batch; in study mode, `layer.output` then has every layer's output."""
        with self.room_for("the predictions for this batch"):
            batch = self._batch(x)
            y = self.plan.forward(batch, training=training, step=self._step)
            return y.copy() if isinstance(y, np.ndarray) else self.backend.device.numpy(y)

    __call__ = forward

    def backward(self, dy: Array) -> Array | None:
        """Overwrite all gradients, for the gradient `dy` of the last `forward`'s predictions, and return the inputs'.

        The gradient of the inputs is worked out in study mode (`fuse=False`) only; otherwise None is returned.
        """
        device = self.backend.device
        with self.room_for("the gradients of this batch"):
            dx = self.plan.backward(device.asarray(np.array(host_array(dy, "dy"), self.dtype)))
            return None if dx is None else device.numpy(dx)

    @property
    def plan(self) -> Plan:
        """How this model runs its layers."""
        self._require_built()
        self._connect()
        if self._plan is None or self._plan.fuse != self.fuse:
            self._plan = Plan(self.layers, self._loss, fuse=self.fuse)
        return self._plan

    def room_for(self, what: str) -> AbstractContextManager[None]:
        """A context in which a GPU's MemoryError becomes a sentence about `what`, and the plan's memory is given back.

        What it raises then, OutOfMemoryError, is a MemoryError, too.
        """
        return self.backend.device.room_for(what, "Take fewer examples at a time", self._release)

    def check_inputs(self, x: Any, name: str = "x") -> Array:
        """Return `x`, which errors call `name`, as an array that the model works on; build the model for it if need be.

        Images without a channel axis (n, height, width) get one when the model expects images of one channel.  Raises
        DataError when `x` is no array of numbers, ShapeError, naming the first layer, when its shape does not fit.
        """
        batch = numeric_array(x, name, IMAGES_ADVICE)
        if not self.layers:
            raise StateError(f"{self.name} has no layers: add some.")
        first = self.layers[0]
        if not self.built:
            if batch.ndim == 3 and first.input_rank == 3:
                batch = batch[..., None]
            self.build(batch.shape[1:])
        wanted = self.input_shape[1:]
        if batch.shape[1:] != wanted and (*batch.shape[1:], 1) == wanted:
            batch = batch[..., None]
        if batch.shape[1:] != wanted:
            advice = " Put the batch axis in front: x[None]." if batch.shape == wanted else ""
            raise ShapeError(
                f"{first.name} works on inputs of shape {(None, *wanted)}, but {name} has shape {batch.shape}.{advice}"
            )
        if not len(batch):
            raise DataError(f"{name} is empty: it has shape {batch.shape}.")
        return batch

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Save architecture, weights and the state of training; see `tinyconv.saving.save`."""
        from tinyconv import saving

        saving.save(self, path)

    def save_weights(self, path: str | PathLike[str]) -> None:
        """Save the weights; see `tinyconv.saving.save_weights`."""
        from tinyconv import saving

        saving.save_weights(self, path)

    def load_weights(self, path: str | PathLike[str]) -> None:
        """Overwrite the weights by those of a file; see `tinyconv.saving.load_weights`."""
        from tinyconv import saving

        saving.load_weights(self, path)

    def get_config(self) -> dict[str, Any]:
        """The architecture, as JSON types: `Sequential.from_config(model.get_config())` is the same, untrained."""
        precision = self.backend.precision
        return ({} if precision == "float32" else {"precision": precision}) | {
            "name": self.name,
            "backend": self.backend.name,
            "seed": self.seed,
            "dtype": self.dtype.name,
            "fuse": self.fuse,
            "input_shape": None if self._input_shape is None else list(self._input_shape),
            "layers": [{"class_name": type(layer).__name__, "config": layer.get_config()} for layer in self.layers],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Sequential":
        """Return a new model from what `get_config` returned; raises ArgumentError for an unknown layer."""
        config = dict(config)
        rows = [kinds.from_config(**layer) for layer in config.pop("layers")]
        shape = config.pop("input_shape")
        return cls(rows if shape is None else [kinds.Input(shape), *rows], **config)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: all but the flat buffers and the plan, which the copy makes for its own parameters."""
        state = self.optimizer.state_tensors() if self.compiled and self.built else None
        return self.__dict__ | {"_flat": None, "_plan": None, "optimizer_state": state}

    def __copy__(self) -> "Sequential":
        """A copy has layers of its own: one belongs to one model."""
        return deepcopy(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        tensors = state.pop("optimizer_state")
        self.__dict__.update(state)
        if tensors is not None:
            self._connect()
            self.optimizer.load_state_tensors(tensors)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _declare_input(self, layer: Layer) -> None:
        """Take the shape that an input layer says."""
        if self.layers or self._input_shape is not None:
            raise ArgumentError(f"{layer.name} says what the inputs are: it must be the first layer, and there is one.")
        self._input_shape = _sizes(layer.requested_input_shape or ())

    def _name(self, layer: Layer) -> None:
        """Give an unnamed layer the first free name of its kind, as Keras does; refuse one that is taken."""
        taken = {other.name for other in self.layers}
        if not layer.has_default_name:
            if layer.name in taken:
                raise ArgumentError(f"{self.name} has a layer {layer.name!r} already; give this one another name.")
            return
        kind, count = default_name(layer), 0
        layer.name = kind
        while layer.name in taken:
            count += 1
            layer.name = f"{kind}_{count}"

    def _build_layer(self, layer: Layer, shape: Shape) -> None:
        """Build `layer` for this model; weights that it has for this shape stay."""
        weights = layer.get_weights() if layer.built and layer.input_shape == shape else None
        with self._room_for_weights():
            layer.build(shape, backend=self.backend, dtype=self.dtype, seed=self.seed)
        if weights is not None:
            layer.set_weights(weights)

    def _room_for_weights(self) -> AbstractContextManager[None]:
        what = "this model's weights and what training keeps beside them"
        return self.backend.device.room_for(what, "Make the model smaller")

    def _release(self) -> None:
        if self._plan is not None:
            self._plan.release()

    def _forget(self) -> None:
        """Other layers than before: the flat buffers and the plan must be made anew."""
        self._flat = self._plan = None

    def _connect(self) -> FlatParameters:
        """Move the parameters to flat buffers, and show them to the optimizer, if that has not been done.

        Or if a layer was frozen, or no longer is: then there are other parameters to train.
        """
        frozen = [layer.frozen for layer in self.layers]
        if self._flat is None or frozen != self._frozen:
            with self._room_for_weights():
                flat = FlatParameters(self.weights, self.backend.device)
                if self._optimizer is not None:
                    self._optimizer.build(flat, self.backend)
                self._flat, self._frozen, self._plan = flat, frozen, None
        return self._flat

    def _batch(self, x: Any) -> Array:
        """`x`, checked and in the model's dtype."""
        batch = self.check_inputs(x)
        device = self.backend.device
        if batch.dtype == self.dtype:
            return device.asarray(batch)
        return device.convert(batch, self.plan.input_buffer(batch.shape))

    def _with_metrics(
        self, loss: float, penalties: list[tuple[Parameter, Regularizer]], y: Any, y_pred: Array
    ) -> list[float]:
        """The loss with the penalties, and the metrics."""
        loss += sum(regularizer.penalty(parameter.value) for parameter, regularizer in penalties)
        if self.metrics:
            y_pred = self.backend.device.numpy(y_pred)
        return [loss, *(metric(y, y_pred) for metric in self.metrics)]

    @property
    def _step(self) -> int:
        """Steps of training so far."""
        return 0 if self._optimizer is None else self._optimizer.iterations

    def _require_built(self) -> None:
        if not self.layers:
            raise StateError(f"{self.name} has no layers yet: add some.")
        if not self.built:
            raise StateError(
                f"{self.name} has no weights yet: give its first layer an input_shape, or call build or fit."
            )


def load_model(path: str | PathLike[str], *, backend: str | None = None) -> Sequential:
    """Return the model that `save` wrote to `path`; see `tinyconv.saving.load_model`."""
    from tinyconv import saving

    return saving.load_model(path, backend=backend)


def _sizes(shape: Sequence[int | None]) -> Shape:
    """`shape` as integers; raises ShapeError unless all of them are at least 1."""
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            sizes = tuple(shape)
            raise ShapeError(f"An input shape is whole numbers of at least 1, without the batch axis, but got {sizes}.")
    return tuple(int(size) for size in shape if size is not None)


def _dtype(given: Any) -> np.dtype[Any]:
    """`given` as a dtype; raises ArgumentError unless it is one of `DTYPES`."""
    try:
        dtype = None if given is None else np.dtype(given)
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in DTYPES:
        raise ArgumentError(f"dtype must be one of {', '.join(DTYPES)}, but got {given!r}.")
    return dtype
