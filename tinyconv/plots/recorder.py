"""What happens inside while a network learns: a callback that keeps some numbers of every layer, now and then."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.callbacks import Callback, State
from tinyconv.checks import whole_number

if TYPE_CHECKING:
    from tinyconv.layers.base import Layer

Array = np.ndarray[Any, Any]

KINDS = ("activations", "gradients", "updates")


class LayerRecorder(Callback):
    """Keeps a sample of the activations, gradients and updates of each layer with weights, every so many steps.

        recorder = LayerRecorder(x_train[:32], every=50)
        model.fit(x_train, y_train, callbacks=[recorder])
        plots.layer_histograms(recorder)

    Arguments:
        x: a few images, scaled as those to train on; the activations are what the layers make of them.
        every: how many steps lie between two records.
        size: at most about so many numbers are kept of each layer, kind and record: every n-th, always the same ones.

    Steps without a record cost nothing; one with a record costs a forward pass of `x`, layer by layer.

    Attributes:
        steps: the training steps that were recorded, counting from 1.
        records: kind → layer name → one sample (1-D) per step; the kinds are `KINDS`.
    """

    def __init__(self, x: Array, *, every: int = 50, size: int = 2000) -> None:
        self.x = np.asarray(x)
        self.every = whole_number(every, "every", minimum=1)
        self.size = whole_number(size, "size", minimum=1)
        self.steps: list[int] = []
        self.records: dict[str, dict[str, list[Array]]] = {kind: {} for kind in KINDS}
        self._before: dict[str, Array] | None = None

    def on_train_begin(self) -> None:
        if self.starts_afresh:
            self.steps, self.records = [], {kind: {} for kind in KINDS}
        self._input = self.model.check_inputs(self.x, "the recorder's x").astype(self.model.dtype)
        self._layers = [layer for layer in self.model.layers if any(p.trainable for p in layer.parameters)]

    def on_train_batch_begin(self, batch: int) -> None:
        self._before = None
        if self.model.optimizer.iterations % self.every == 0:
            self._before = {layer.name: self._weights(layer).copy() for layer in self._layers}

    def on_train_batch_end(self, batch: int, logs: Any) -> None:
        if self._before is None:
            return
        self.steps.append(self.model.optimizer.iterations)
        outputs, device = self._activations(), self.model.backend.device
        for layer in self._layers:
            self._keep("activations", layer, self._thin(outputs[layer.name]))
            gradients = [self._thin(device.numpy(p.gradient)) for p in self._trainable(layer)]
            self._keep("gradients", layer, np.concatenate(gradients))
            self._keep("updates", layer, self._weights(layer) - self._before[layer.name])

    def get_state(self) -> State:
        return {"steps": self.steps, "records": self.records}

    def set_state(self, state: State) -> None:
        self.steps, self.records = state["steps"], state["records"]

    def _keep(self, kind: str, layer: "Layer", values: Array) -> None:
        self.records[kind].setdefault(layer.name, []).append(values.astype(np.float32))

    def _activations(self) -> dict[str, Array]:
        """The output of each layer for `x`, outside of the plan."""
        y, outputs = self._input, {}
        for layer in self.model.layers:
            y = layer(y)
            outputs[layer.name] = self.model.backend.device.numpy(y)
        return outputs

    def _trainable(self, layer: "Layer") -> list[Any]:
        return [parameter for parameter in layer.parameters if parameter.trainable]

    def _weights(self, layer: "Layer") -> Array:
        """A sample of the layer's weights: a few of each parameter, always the same ones."""
        return np.concatenate([self._thin(parameter.numpy()) for parameter in self._trainable(layer)])

    def _thin(self, values: Array) -> Array:
        """At most about `size` of the values, evenly spaced."""
        return values.reshape(-1)[:: -(-values.size // self.size)]
