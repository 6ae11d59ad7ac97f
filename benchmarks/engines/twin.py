"""The same network in PyTorch: layers, padding and initial weights of a tinyconv model."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from tinyconv import layers
from tinyconv.layers import Layer
from tinyconv.models import Sequential

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def twin(model: Sequential) -> Any:
    """Return an nn.Sequential from images (n, channels, height, width) to the logits of `model`.

    The softmax or sigmoid at the end is left to the loss, as PyTorch wants it.  Raises ValueError for a layer that has
    no counterpart here.
    """
    return nn.Sequential(*_modules(model.layers))


def _modules(rows: list[Layer]) -> Iterator[Any]:
    """The modules for each layer; `image` is the shape of the image that was flattened last."""
    image: tuple[int, ...] = ()
    for layer in rows:
        is_last = layer is rows[-1]
        match layer:
            case layers.Conv2D():
                yield from _convolution(layer)
                yield from _activation(layer.activation.name, is_last)
            case layers.MaxPooling2D():
                yield from _pooling(layer)
            case layers.Flatten():
                image = layer.input_shape
                yield nn.Flatten()
            case layers.Dense():
                yield _dense(layer, image)
                image = ()
                yield from _activation(layer.activation.name, is_last)
            case layers.Dropout():
                yield nn.Dropout(layer.rate)
            case layers.Activation():
                yield from _activation(layer.activation.name, is_last)
            case _:
                raise ValueError(f"there is no PyTorch counterpart of {type(layer).__name__} here")


def _convolution(layer: layers.Conv2D) -> Iterator[Any]:
    (top, bottom), (left, right) = layer.windows["padding"]
    symmetric = (top, left) == (bottom, right)
    if not symmetric:
        yield nn.ZeroPad2d((left, right, top, bottom))
    kernel = layer.kernel.value  # (kh, kw, channels, filters)
    conv = nn.Conv2d(
        kernel.shape[2], kernel.shape[3], layer.kernel_size, layer.strides, (top, left) if symmetric else 0,
        layer.dilation_rate, bias=layer.bias is not None,
    )
    _fill(conv.weight, kernel.transpose(3, 2, 0, 1))
    if layer.bias is not None:
        _fill(conv.bias, layer.bias.value)
    yield conv


def _pooling(layer: layers.MaxPooling2D) -> Iterator[Any]:
    (top, bottom), (left, right) = layer.windows["padding"]
    if top or bottom or left or right:
        yield nn.ConstantPad2d((left, right, top, bottom), float("-inf"))
    yield nn.MaxPool2d(layer.pool_size, layer.strides)


def _dense(layer: layers.Dense, image: tuple[int, ...]) -> Any:
    """A Linear; after a Flatten of `image` its inputs come in the order channels, height, width."""
    kernel = layer.kernel.value  # (features, units)
    if image:
        kernel = kernel.reshape(*image, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    linear = nn.Linear(*kernel.shape, bias=layer.bias is not None)
    _fill(linear.weight, kernel.T)
    if layer.bias is not None:
        _fill(linear.bias, layer.bias.value)
    return linear


def _activation(name: str, is_last: bool) -> Iterator[Any]:
    if name in ACTIVATIONS and not is_last:
        yield ACTIVATIONS[name]()
    elif name != "linear" and not is_last:
        raise ValueError(f"there is no PyTorch counterpart of the activation {name} here")


def _fill(parameter: Any, values: Any) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))
