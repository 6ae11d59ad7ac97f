"""The convolution layer: one small kernel per filter slides over the whole image."""

from collections.abc import Sequence
from typing import Any

from tinyconv import checks, initializers, regularizers
from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.kernels import contract
from tinyconv.kernels.costs import Convolution
from tinyconv.kernels.geometry import Padding, PaddingLike, Pair, output_sizes, pair, resolve_padding
from tinyconv.layers.activated import ActivatedLayer
from tinyconv.layers.activations import ActivationFunction
from tinyconv.layers.base import Array, Parameter, Shape, named
from tinyconv.layers.windows import padding_argument


class Conv2D(ActivatedLayer):
    """y[i, j, f] = activation(bias[f] + Σ_{p, q, c} x[i·sh + p·dh - top, j·sw + q·dw - left, c] · kernel[p, q, c, f]).

    Arguments:
        filters: channels of the output.
        kernel_size, strides, dilation_rate: one integer, or (vertical, horizontal).
        padding: "valid" (none), "same" (with stride 1 the output is as large as the input; the odd pixel goes right and
            bottom), or numbers of pixels: one, (vertical, horizontal), or ((top, bottom), (left, right)).
        activation: see `Activation`; None for none.
        use_bias: whether to add one number per filter.
        kernel_initializer, bias_initializer: where the weights start, see `tinyconv.initializers`.
        kernel_regularizer: a penalty on the kernel, see `tinyconv.regularizers`.
        trainable: False for a frozen layer, see `Layer.trainable`.

    Images are (batch, height, width, channels).  Raises ArgumentError for arguments out of range, and ShapeError when
    the kernel does not fit on the padded image.

    >>> import numpy as np
    >>> layer = Conv2D(1, 2, kernel_initializer="ones")
    >>> layer(np.arange(9.0).reshape(1, 3, 3, 1))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """

    input_rank = 3
    only_launches = True
    kernel: Parameter  # (kh, kw, channels, filters)
    bias: Parameter | None  # (filters,)

    def __init__(
        self, filters: int, kernel_size: int | Sequence[int], strides: int | Sequence[int] = (1, 1),
        padding: PaddingLike = "valid", *, dilation_rate: int | Sequence[int] = (1, 1),
        activation: str | ActivationFunction | None = None, use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        name: str | None = None, input_shape: Shape | None = None, trainable: bool = True,
    ) -> None:
        super().__init__(activation, name=name, input_shape=input_shape, trainable=trainable)
        self.filters = checks.whole_number(filters, f"{self.name}: filters", minimum=1)
        with named(self, ArgumentError):
            self.kernel_size = pair(kernel_size, "kernel_size")
            self.strides = pair(strides, "strides")
            self.dilation_rate = pair(dilation_rate, "dilation_rate")
            self.padding = padding_argument(padding)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    def resolve_padding(self, input_shape: Shape) -> Padding:
        """((top, bottom), (left, right)) in pixels, for images of `input_shape`."""
        sizes: Pair = (input_shape[0], input_shape[1])
        return resolve_padding(self.padding, sizes, self.kernel_size, self.strides, self.dilation_rate)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(height, width, channels) → (oh, ow, filters)."""
        sizes: Pair = (input_shape[0], input_shape[1])
        with named(self, ShapeError):
            padding = self.resolve_padding(input_shape)
            windows = output_sizes(sizes, self.kernel_size, self.strides, padding, self.dilation_rate)
        return (*windows, self.filters)

    def _build(self, input_shape: Shape) -> None:
        shape = (*self.kernel_size, input_shape[2], self.filters)
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        self.bias = self.add_weight("bias", (self.filters,), self.bias_initializer) if self.use_bias else None
        self.windows: dict[str, Any] = {
            "strides": self.strides, "padding": self.resolve_padding(input_shape), "dilation": self.dilation_rate
        }
        h, w, c = input_shape
        self.convolution = Convolution((h, w, c), self.kernel.value.shape, dtype=self.dtype, **self.windows)

    @property
    def operation(self) -> contract.Conv2D:
        """The backend's rung for this shape."""
        return self.backend.choose("conv2d", self.convolution)

    def forward_logits(self, x: Array) -> Array:
        """Return the convolution (n, oh, ow, filters) of x (n, h, w, channels), with the bias."""
        self._x = x
        return self.operation.forward(
            x, self.kernel.value, None if self.bias is None else self.bias.value, **self.windows,
            out=self.buffer("z", (len(x), *self.output_shape)), workspace=self.workspace,
        )

    def backward_logits(self, dz: Array) -> Array | None:
        """Return dx (n, h, w, channels) for dz (n, oh, ow, filters), and overwrite kernel and bias gradients."""
        if self.trainable:
            self.operation.backward_weights(
                self._x, dz, self.kernel.value.shape, **self.windows, out=self.weight_gradients(),
                workspace=self.workspace,
            )
        if not self.needs_input_gradient:
            return None
        return self.operation.backward_input(
            dz, self.kernel.value, self._x.shape, **self.windows,
            out=self.buffer("dx", self._x.shape), workspace=self.workspace,
        )

    def weight_gradients(self) -> tuple[Array, Array]:
        """Where dw and db go; without a bias, db goes to memory that nobody reads."""
        db = self.buffer("unused_db", (self.filters,)) if self.bias is None else self.bias.gradient
        return self.kernel.gradient, db

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {
            **super().get_config(),
            "trainable": self.trainable,
            "filters": self.filters,
            "kernel_size": list(self.kernel_size),
            "strides": list(self.strides),
            "padding": self.padding,
            "dilation_rate": list(self.dilation_rate),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
        }
