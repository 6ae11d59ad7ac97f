"""Activation functions as layers of their own: Activation("tanh"), ReLU(), Softmax()."""

from typing import Any

from tinyconv.layers.activated import ActivatedLayer
from tinyconv.layers.activations import ActivationFunction
from tinyconv.layers.base import Array, Layer, Shape


class Activation(ActivatedLayer):
    """y = activation(x), element by element (softmax: over the last axis).

    Arguments:
        activation: "relu", "sigmoid", "softmax", "tanh" or "linear".

    >>> import numpy as np
    >>> layer = Activation("relu")
    >>> layer(np.array([[-1.0, 2.0]])), layer.backward(np.array([[5.0, 7.0]]))
    (array([[0., 2.]]), array([[0., 7.]]))
    """

    may_overwrite_input = True
    only_launches = True

    def __init__(
        self, activation: str | ActivationFunction | None, *, name: str | None = None, input_shape: Shape | None = None
    ) -> None:
        super().__init__(activation, name=name, input_shape=input_shape)
        self.may_return_input = self.activation.is_linear

    def forward_logits(self, x: Array) -> Array:
        """The logits are the input."""
        return x

    def backward_logits(self, dz: Array) -> Array | None:
        """And so is their gradient."""
        return dz

    def activation_buffer(self, z: Array) -> Array:
        """Where y goes: over the layer before's output, which z is, only if the plan has found that to be safe."""
        return z if self.in_place else self.buffer("y", z.shape)


class ReLU(Activation):
    """y = max(x, 0)."""

    only_launches = True

    def __init__(self, *, name: str | None = None, input_shape: Shape | None = None) -> None:
        super().__init__("relu", name=name, input_shape=input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return Layer.get_config(self)


class Softmax(Activation):
    """y = eˣ / Σ eˣ over the last axis: numbers of any size become probabilities that add up to 1."""

    only_launches = True

    def __init__(self, *, name: str | None = None, input_shape: Shape | None = None) -> None:
        super().__init__("softmax", name=name, input_shape=input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return Layer.get_config(self)
