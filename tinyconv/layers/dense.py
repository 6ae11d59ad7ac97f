"""The fully connected layer: every output sees every input."""

from typing import Any

from tinyconv import checks, initializers, regularizers
from tinyconv.layers.activated import ActivatedLayer
from tinyconv.layers.activations import ActivationFunction
from tinyconv.layers.base import Array, Parameter, Shape


class Dense(ActivatedLayer):
    """y = activation(x · kernel + bias), for flat inputs (batch, features).

    Arguments:
        units: outputs.
        activation: see `Activation`; None for none.
        use_bias: whether to add one number per output.
        kernel_initializer, bias_initializer: where the weights start, see `tinyconv.initializers`.
        kernel_regularizer: a penalty on the kernel, see `tinyconv.regularizers`.
        trainable: False for a frozen layer, see `Layer.trainable`.
        input_dim: features, where the first layer of a model says it: short for `input_shape=(input_dim,)`.

    >>> import numpy as np
    >>> layer = Dense(2, kernel_initializer="ones", bias_initializer="ones")
    >>> layer(np.array([[1.0, 2.0, 3.0]]))
    array([[7., 7.]])
    >>> layer.backward(np.array([[1.0, 10.0]])), layer.kernel.gradient.tolist()
    (array([[11., 11., 11.]]), [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    """

    input_rank = 1
    only_launches = True
    kernel: Parameter  # (features, units)
    bias: Parameter | None  # (units,)

    def __init__(
        self, units: int, activation: str | ActivationFunction | None = None, use_bias: bool = True, *,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        name: str | None = None, input_shape: Shape | None = None, input_dim: int | None = None,
        trainable: bool = True,
    ) -> None:
        shape = input_shape if input_dim is None else (input_dim,)
        super().__init__(activation, name=name, input_shape=shape, trainable=trainable)
        self.units = checks.whole_number(units, f"{self.name}: units", minimum=1)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(features,) → (units,)."""
        return (self.units,)

    def _build(self, input_shape: Shape) -> None:
        self.kernel = self.add_weight(
            "kernel", (input_shape[0], self.units), self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        self.bias = self.add_weight("bias", (self.units,), self.bias_initializer) if self.use_bias else None

    def forward_logits(self, x: Array) -> Array:
        """Return x · kernel + bias (n, units) for x (n, features)."""
        self._x = x
        return self.backend.dense.forward(
            x, self.kernel.value, None if self.bias is None else self.bias.value,
            out=self.buffer("z", (len(x), self.units)), workspace=self.workspace,
        )

    def backward_logits(self, dz: Array) -> Array | None:
        """Return dx = dz · kernelᵀ; kernel gradient = xᵀ · dz, bias gradient = Σ dz over the batch."""
        if self.trainable:
            db = self.buffer("unused_db", (self.units,)) if self.bias is None else self.bias.gradient
            self.backend.dense.backward_weights(self._x, dz, out=(self.kernel.gradient, db), workspace=self.workspace)
        if not self.needs_input_gradient:
            return None
        return self.backend.dense.backward_input(
            dz, self.kernel.value, out=self.buffer("dx", self._x.shape), workspace=self.workspace
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {
            **super().get_config(),
            "trainable": self.trainable,
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
        }
