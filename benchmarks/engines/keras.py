"""Keras in its own process, on the backend that KERAS_BACKEND says: `fit` and `predict`, as its users call them."""

import os
from time import perf_counter
from typing import Any

import keras

from tinyconv import layers
from tinyconv.layers import Layer
from tinyconv.models import Sequential

from ..machine import versions as packages
from .job import Array, Job, Passes, Steps


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    return packages(("keras", {"tensorflow": "tensorflow-cpu"}.get(keras.backend.backend(), keras.backend.backend())))


class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """When the first and the last step of a fit ended: its start is not counted.  Reads the loss after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.begin = self.end = self.loss = 0.0
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.loss = float(logs["loss"])
        self.end = perf_counter()
        self.begin = self.end if batch == 0 else self.begin
        self.steps = batch


class Training(Steps):
    """See `engines`."""

    def __init__(self, *, warm: bool = True, **job: Any) -> None:
        given = Job(**job)
        self.batch = given.batch
        model = given.model()
        self.x, self.y = given.data(model.input_shape[1:])
        self.network = twin(model, logits=True)
        binary = model.output_shape[-1] == 1
        loss = keras.losses.BinaryCrossentropy if binary else keras.losses.SparseCategoricalCrossentropy
        self.network.compile(optimizer=keras.optimizers.Adam(0.001), loss=loss(from_logits=True))
        if warm:
            self.warm_up()

    def steps(self, count: int) -> tuple[int, float, float]:
        clock = Clock()
        rows = min((count + 1) * self.batch, len(self.x) // self.batch * self.batch)
        self.network.fit(self.x[:rows], self.y[:rows], batch_size=self.batch, verbose=0, callbacks=[clock])
        return clock.steps, clock.end - clock.begin, clock.loss


class Prediction(Passes):
    """See `engines`."""

    def __init__(self, *, chunks: list[int], **job: Any) -> None:
        given = Job(**job)
        model = given.model()
        self.x, _ = given.data(model.input_shape[1:])
        self.network = twin(model, logits=False)
        self.choose_chunk(chunks)

    def predict(self, chunk: int) -> Array:
        return self.network.predict(self.x, batch_size=chunk, verbose=0)


def twin(model: Sequential, *, logits: bool) -> Any:
    """The same network in Keras, with the same initial weights; `logits` leaves the last activation to the loss.

    Raises ValueError for a layer that has no counterpart here.
    """
    _use_threads()
    keras.utils.set_random_seed(model.seed)
    network = keras.Sequential([keras.Input(model.input_shape[1:]), *map(_layer, model.layers)])
    if logits:
        network.layers[-1].activation = keras.activations.linear
    network.set_weights(model.get_weights())
    return network


def _use_threads() -> None:
    """As many as OMP_NUM_THREADS says; JAX has one per processor that this process may use."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        threads = int(os.environ["OMP_NUM_THREADS"])
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)


def _layer(layer: Layer) -> Any:
    """Keras's layer of the same arguments."""
    match layer:
        case layers.Conv2D():
            return keras.layers.Conv2D(
                layer.filters, layer.kernel_size, layer.strides, layer.padding, dilation_rate=layer.dilation_rate,
                activation=layer.activation.name, use_bias=layer.use_bias,
            )
        case layers.MaxPooling2D():
            return keras.layers.MaxPooling2D(layer.pool_size, layer.strides, layer.padding)
        case layers.Flatten():
            return keras.layers.Flatten()
        case layers.Dense():
            return keras.layers.Dense(layer.units, activation=layer.activation.name, use_bias=layer.use_bias)
        case layers.Dropout():
            return keras.layers.Dropout(layer.rate)
        case layers.Activation():
            return keras.layers.Activation(layer.activation.name)
    raise ValueError(f"there is no Keras counterpart of {type(layer).__name__} here")
