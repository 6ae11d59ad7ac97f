"""The layers: hyperparameters, weights, and a forward and a backward pass written by hand, one file each."""

from typing import Any

from tinyconv.errors import ArgumentError
from tinyconv.layers.activation import Activation, ReLU, Softmax
from tinyconv.layers.base import Layer, Parameter
from tinyconv.layers.batch_normalization import BatchNormalization
from tinyconv.layers.conv2d import Conv2D
from tinyconv.layers.dense import Dense
from tinyconv.layers.dropout import Dropout
from tinyconv.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, MaxPooling2D
from tinyconv.layers.rescaling import Rescaling
from tinyconv.layers.reshaping import Flatten, Input, InputLayer, Reshape
from tinyconv.naming import suggestion

MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D

__all__ = [
    "CLASSES", "Activation", "AveragePooling2D", "AvgPool2D", "BatchNormalization", "Conv2D", "Dense", "Dropout",
    "Flatten", "GlobalAveragePooling2D", "Input", "InputLayer", "Layer", "MaxPool2D", "MaxPooling2D", "Parameter",
    "ReLU", "Rescaling", "Reshape", "Softmax", "from_config",
]

CLASSES: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        Activation, AveragePooling2D, BatchNormalization, Conv2D, Dense, Dropout, Flatten, GlobalAveragePooling2D,
        InputLayer, MaxPooling2D, ReLU, Rescaling, Reshape, Softmax,
    )
}


def from_config(class_name: str, config: dict[str, Any]) -> Layer:
    """Return a new, unbuilt layer: `from_config("Dense", {"units": 10})`.

    Raises ArgumentError when there is no such layer, or it has no such argument.
    """
    if class_name not in CLASSES:
        raise ArgumentError(f"There is no layer {class_name!r}. {suggestion(str(class_name), CLASSES)}")
    try:
        return CLASSES[class_name](**config)
    except TypeError as problem:
        raise ArgumentError(f"{class_name} cannot be made from the config {config!r}: {problem}.") from problem
