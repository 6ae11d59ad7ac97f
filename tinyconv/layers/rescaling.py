"""Rescaling: y = x · scale + offset, so that a model can take pixels 0…255 as they are."""

from typing import Any

from tinyconv import checks
from tinyconv.layers.base import Array, Layer, Shape


class Rescaling(Layer):
    """y = x · scale + offset: Rescaling(1 / 255) maps pixels to [0, 1], Rescaling(1 / 127.5, offset=-1) to [-1, 1]."""

    only_launches = True

    def __init__(
        self, scale: float, offset: float = 0.0, *, name: str | None = None, input_shape: Shape | None = None
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        self.scale = checks.number(scale, f"{self.name}: scale")
        self.offset = checks.number(offset, f"{self.name}: offset")

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y with the shape of x."""
        return self.backend.device.affine(x, self.scale, self.offset, self.buffer("y", x.shape))

    def backward(self, dy: Array) -> Array | None:
        """Return dx = dy · scale."""
        out = self.over(dy)
        return self.backend.device.affine(dy, self.scale, 0.0, self.buffer("dx", dy.shape) if out is None else out)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}
