"""Layers that say what shape numbers have, and change none of them: Input, Flatten, Reshape."""

from collections.abc import Sequence
from math import prod
from numbers import Integral
from typing import Any

from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.layers.base import Array, Layer, Shape, sizes, with_batch


class InputLayer(Layer):
    """Says the shape of a model's inputs; `Sequential` takes it as its first layer and does not list it."""

    may_return_input = True
    only_launches = True

    def __init__(self, shape: Shape, *, name: str | None = None) -> None:
        super().__init__(name=name, input_shape=shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return x."""
        return x

    def backward(self, dy: Array) -> Array | None:
        """Return dy."""
        return dy

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {"name": self.name, "shape": list(self.requested_input_shape or ())}


def Input(shape: Shape, *, name: str | None = None) -> InputLayer:  # noqa: N802  # Keras's name
    """Return the layer that says what a model takes: `shape` of one input, without the batch axis."""
    return InputLayer(shape, name=name)


class Reshape(Layer):
    """Gives each input the shape `target_shape`, without the batch axis; one -1 in it is worked out.

    Raises ShapeError when the sizes do not fit.
    """

    may_return_input = True
    only_launches = True

    def __init__(
        self, target_shape: Sequence[int], *, name: str | None = None, input_shape: Shape | None = None
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        self.target_shape = sizes(target_shape, f"{self.name}: target_shape")
        if not all(isinstance(size, Integral) and (int(size) > 0 or size == -1) for size in self.target_shape):
            raise ArgumentError(
                f"{self.name}: target_shape is made of whole numbers of at least 1, or -1 once, but got {target_shape}."
            )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """`target_shape`, with -1 worked out."""
        size, known = prod(input_shape), prod(n for n in self.target_shape if n != -1)
        free = self.target_shape.count(-1)
        if free > 1 or known < 1 or size % known or (free == 0 and size != known):
            raise ShapeError(
                f"{self.name}: cannot give {self.target_shape} to inputs of shape {with_batch(input_shape)}."
            )
        return tuple(size // known if n == -1 else n for n in self.target_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return x as (n, *output_shape); a view where possible."""
        return x.reshape(len(x), *self.output_shape)

    def backward(self, dy: Array) -> Array | None:
        """Return dy as (n, *input_shape)."""
        return dy.reshape(len(dy), *self.input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {**super().get_config(), "target_shape": list(self.target_shape)}


class Flatten(Reshape):
    """Puts all numbers of one input in a row: (height, width, channels) → (height · width · channels,)."""

    only_launches = True

    def __init__(self, *, name: str | None = None, input_shape: Shape | None = None) -> None:
        super().__init__((-1,), name=name, input_shape=input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return Layer.get_config(self)
