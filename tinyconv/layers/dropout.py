"""Dropout: in training some inputs become 0 at random, so that no unit relies on another one."""

from typing import Any

from tinyconv import checks, random
from tinyconv.kernels.contract import PhiloxKey
from tinyconv.layers.base import Array, Layer, Shape


class Dropout(Layer):
    """In training, y = 0 with probability `rate` and x / (1 - rate) otherwise; else y = x.

    Which inputs are dropped depends on the model's seed, this layer's name and the training step alone, through the
    stream "dropout/<name>" of `tinyconv.random`: the same on every backend, and after resuming.

    Raises ArgumentError unless 0 <= rate < 1.
    """

    may_return_input = True
    may_overwrite_input = True
    only_launches = True

    def __init__(self, rate: float, *, name: str | None = None, input_shape: Shape | None = None) -> None:
        super().__init__(name=name, input_shape=input_shape)
        self.rate = checks.number(rate, f"{self.name}: rate", minimum=0, below=1)
        self._key: PhiloxKey | None = None

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y with the shape of x."""
        self._key = None
        if training and self.rate > 0:
            self._key = random.key(self.seed, f"dropout/{self.name}", self.step)
        if self._key is None:
            return x
        out = x if self.in_place else self.buffer("y", x.shape)
        return self.backend.dropout.forward(x, self.rate, self._key, out=out)

    def backward(self, dy: Array) -> Array | None:
        """Return dx: what was dropped gets no gradient; the mask is drawn again from its key."""
        if self._key is None:
            return dy
        return self.backend.dropout.backward(dy, self.rate, self._key, out=self.over(dy))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {**super().get_config(), "rate": self.rate}
