"""Rescaling: y = x · scale + offset, so that a model can take pixels 0…255 as they are."""

from typing import Any

import numpy as np

from tinyconv import checks
from tinyconv.layers.base import Array, Layer, Shape


class Rescaling(Layer):
    """y = x · scale + offset: Rescaling(1 / 255) maps pixels to [0, 1], Rescaling(1 / 127.5, offset=-1) to [-1, 1]."""

    def __init__(
        self, scale: float, offset: float = 0.0, *, name: str | None = None, input_shape: Shape | None = None
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        self.scale = checks.number(scale, f"{self.name}: scale")
        self.offset = checks.number(offset, f"{self.name}: offset")

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y with the shape of x."""
        y = np.multiply(x, self.scale, out=self.buffer("y", x.shape))
        y += self.offset
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dx = dy · scale."""
        return np.multiply(dy, self.scale, out=self.over(dy))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}
