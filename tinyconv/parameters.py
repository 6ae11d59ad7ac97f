"""All trainable parameters of a model in one flat array, and their gradients in another.

    values      | conv2d/kernel ........ 0 0 | conv2d/bias .. 0 0 0 | dense/kernel ...
    gradients   | the same places

A layer's `parameter.value` and `parameter.gradient` are views of these.  An optimizer step is then one pass over two
arrays, and a checkpoint one table of slices.  Each parameter begins at a multiple of 64 bytes, a cache line, as vector
instructions like it; what lies between two parameters is 0 and stays 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyconv.devices import ALIGNMENT, HOST, Device
from tinyconv.errors import ArgumentError
from tinyconv.layers.base import Parameter

Array = np.ndarray[Any, Any]



class FlatParameters:
    """Moves `parameters` into flat arrays on `device`: every trainable one is then a view of them, its value unchanged.

    Attributes:
        values, gradients: 1-D arrays of the trainable parameters, in the order given.
        slices: where each trainable parameter lies in them, by name.
        shapes: the shapes of the same parameters, by name.
        state: the parameters that are not trainable (moving averages), which keep their own arrays.

    Raises ArgumentError when two parameters have one name, or not all have one dtype.
    """

    def __init__(self, parameters: Sequence[Parameter], device: Device = HOST) -> None:
        _check(parameters)
        self._device = device
        trainable = [parameter for parameter in parameters if parameter.trainable]
        self.state = [parameter for parameter in parameters if not parameter.trainable]
        self.shapes = {parameter.name: parameter.value.shape for parameter in trainable}
        self.slices: dict[str, slice] = {}
        self.dtype = parameters[0].value.dtype if parameters else np.dtype(np.float32)
        step = ALIGNMENT // self.dtype.itemsize
        self._size = 0
        for parameter in trainable:
            self.slices[parameter.name] = slice(self._size, self._size + parameter.value.size)
            self._size += -(-parameter.value.size // step) * step
        for parameter in self.state:
            parameter.put_aside = None  # part of other flat arrays
        self.values, self.gradients = self.new_array(), self.new_array()
        values, gradients = self.views(self.values), self.views(self.gradients)
        for parameter in trainable:
            values[parameter.name][...] = parameter.value
            gradients[parameter.name][...] = parameter.gradient
            parameter.value, parameter.gradient = values[parameter.name], gradients[parameter.name]

    def new_array(self) -> Array:
        """Another flat array of the same layout, zero everywhere: an optimizer's moving average, say."""
        return self._device.zeros(self._size, self.dtype)

    def views(self, array: Array) -> dict[str, Array]:
        """The part of each parameter in a flat array of this layout, in the parameter's shape."""
        return {name: array[place].reshape(self.shapes[name]) for name, place in self.slices.items()}


def _check(parameters: Sequence[Parameter]) -> None:
    seen: set[str] = set()
    for parameter in parameters:
        if parameter.name in seen:
            raise ArgumentError(f"Two parameters are called {parameter.name!r}; give their layers different names.")
        seen.add(parameter.name)
        if parameter.value.dtype != parameters[0].value.dtype:
            raise ArgumentError(
                f"All parameters of a model have one dtype, but {parameters[0].name} is {parameters[0].value.dtype} "
                f"and {parameter.name} is {parameter.value.dtype}."
            )
