"""Layers that end in an activation function, in two halves: y = activation(logits).

A softmax followed by the cross-entropy is better computed in one step, from the numbers before the softmax, the logits.
So a plan that ends in a matching loss runs only the first half of its last layer.
"""

from typing import Any

from tinyconv.layers import activations
from tinyconv.layers.activations import ActivationFunction
from tinyconv.layers.base import Array, Layer, Shape


class ActivatedLayer(Layer):
    """Base of the layers with an `activation`; subclasses define `forward_logits` and `backward_logits`."""

    def __init__(
        self, activation: str | ActivationFunction | None, *, name: str | None, input_shape: Shape | None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, trainable=trainable)
        self.activation = activations.get(activation)
        self.reads_output = not self.activation.is_linear

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y (n, *output_shape)."""
        z = self.forward_logits(x)
        self._y = self.activation.forward(z, out=self.activation_buffer(z), backend=self.backend)
        return self._y

    def backward(self, dy: Array) -> Array | None:
        """Return dx for dy (n, *output_shape), or None where nobody needs it."""
        dz = self.activation.backward(dy, self._y, out=self.over(dy), backend=self.backend)
        return self.backward_logits(dz)

    def forward_logits(self, x: Array) -> Array:
        """Return what goes into the activation, with the shape of the output."""
        raise NotImplementedError

    def backward_logits(self, dz: Array) -> Array | None:
        """Return dx for the gradient dz of the logits, and overwrite the parameters' gradients."""
        raise NotImplementedError

    def activation_buffer(self, z: Array) -> Array:
        """Where y goes: over z, which belongs to this layer and which nobody reads again."""
        return z

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {**super().get_config(), "activation": self.activation.name}
