"""The reference networks, by name: the models of five well-known lessons, with exactly their layers.

    model = zoo.build("mnist_convnet", seed=1)     # compiled, ready for fit
    zoo.entry("mnist_convnet").epochs              # how the lesson trained it

All take images scaled to [0, 1] and give class probabilities.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinyconv import initializers, schedules
from tinyconv.errors import ArgumentError
from tinyconv.layers import Conv2D, Dense, Dropout, Flatten, Input, Layer, MaxPooling2D
from tinyconv.models import Sequential
from tinyconv.naming import suggestion
from tinyconv.optimizers import SGD, Adam, AdamW, Optimizer

ImageShape = tuple[int, int, int]  # (height, width, channels)

OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
SCHEDULES: dict[str, Callable[[float], Any]] = {
    "constant": float,
    "one_cycle": schedules.OneCycle,
    "cosine": schedules.CosineDecay,
    "linear": schedules.LinearToZero,
}


@dataclass(frozen=True)
class ZooEntry:
    """A reference network and the training its lesson gave it.

    `layers(classes)` makes the layers after the input; `dataset` is a name of `tinyconv.datasets`, or None for a folder
    of images; `augment` holds the arguments of `tinyconv.datasets.augment.Augment`, empty for none.
    """

    name: str
    description: str
    layers: Callable[[int], list[Layer]]
    dataset: str | None
    epochs: int
    batch_size: int
    input_shape: ImageShape = (28, 28, 1)
    classes: int = 10
    validation_split: float = 0.0
    loss: str = "categorical_crossentropy"
    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "constant"
    augment: Mapping[str, Any] = field(default_factory=dict)
    reduce_on_plateau: bool = False


def names() -> list[str]:
    """The names of all reference networks, in the order of the lessons."""
    return list(_ENTRIES)


def entry(name: str) -> ZooEntry:
    """Return the entry called `name`; raises ArgumentError, with the nearest name, when there is none."""
    if name not in _ENTRIES:
        raise ArgumentError(f"There is no reference network {name!r}. {suggestion(name, _ENTRIES)}")
    return _ENTRIES[name]


def build(
    name: str, *, input_shape: ImageShape | None = None, classes: int | None = None, backend: str | None = None,
    seed: int = 0, dtype: str = "float32", fuse: bool = True, optimizer: str | None = None,
    learning_rate: float | None = None, schedule: str | None = None,
) -> Sequential:
    """Return the network called `name`, built and compiled as its lesson did it, where nothing else is asked for.

    Arguments:
        input_shape, classes: for images of another size or number of classes than the lesson's.
        backend, seed, dtype, fuse: as for `Sequential`.
        optimizer, learning_rate, schedule: keys of `OPTIMIZERS`, a number, and keys of `SCHEDULES`.

    Raises ArgumentError for an unknown name and ShapeError where the layers do not fit on `input_shape`.
    """
    recipe = entry(name)
    classes = recipe.classes if classes is None else classes
    if recipe.loss == "binary_crossentropy" and classes != 2:
        raise ArgumentError(f"{name} tells two classes apart, but got {classes} classes.")
    model = Sequential(
        [Input(recipe.input_shape if input_shape is None else input_shape), *recipe.layers(classes)],
        name=name, backend=backend, seed=seed, dtype=dtype, fuse=fuse,
    )
    rate = recipe.learning_rate if learning_rate is None else learning_rate
    scheduled = _choose("schedule", schedule or recipe.schedule, SCHEDULES)(rate)
    kind = _choose("optimizer", optimizer or recipe.optimizer, OPTIMIZERS)
    model.compile(optimizer=kind(learning_rate=scheduled), loss=recipe.loss, metrics=["accuracy"])
    return model


def _choose(what: str, name: str, choices: Mapping[str, Any]) -> Any:
    if name not in choices:
        raise ArgumentError(f"There is no {what} {name!r}. {suggestion(name, choices)}")
    return choices[name]


# -- the networks -----------------------------------------------------------------------------------------------------


def _course_cnn(classes: int) -> list[Layer]:
    return [
        Conv2D(32, (3, 3), activation="relu"),
        Conv2D(64, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Dropout(0.25),
        Flatten(),
        Dense(128, activation="relu"),
        Dropout(0.5),
        Dense(classes, activation="softmax"),
    ]


def _simple_cnn(classes: int) -> list[Layer]:
    return [
        Conv2D(32, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Flatten(),
        Dense(128, activation="relu"),
        Dense(classes, activation="softmax"),
    ]


def _simple_cnn_dropout(classes: int) -> list[Layer]:
    return [
        Conv2D(32, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Dropout(0.4),
        Flatten(),
        Dense(128, activation="relu"),
        Dropout(0.4),
        Dense(classes, activation="softmax"),
    ]


def _two_conv_cnn(classes: int) -> list[Layer]:
    return [
        Conv2D(32, (5, 5), activation="relu"),
        MaxPooling2D((2, 2)),
        Conv2D(64, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Dropout(0.25),
        Flatten(),
        Dense(128, activation="relu"),
        Dropout(0.5),
        Dense(classes, activation="softmax"),
    ]


def _fashion_perceptron(classes: int) -> list[Layer]:
    return [Flatten(), Dense(classes, activation="softmax")]


def _mnist_convnet(classes: int) -> list[Layer]:
    return [
        Conv2D(64, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Conv2D(128, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),  # 11 → 5: the odd row and column are left out
        Flatten(),
        Dense(128, activation="relu"),
        Dense(classes, activation="softmax"),
    ]


def _fashion_items(classes: int) -> list[Layer]:
    return [
        Conv2D(32, (2, 2), padding="same", activation="relu"),
        MaxPooling2D((2, 2), padding="same"),
        Conv2D(64, (2, 2), padding="same", activation="relu"),
        MaxPooling2D((2, 2), padding="same"),
        Flatten(),
        Dense(128, activation="relu"),
        Dense(classes, activation="softmax"),
    ]


def _feature_map_net(classes: int) -> list[Layer]:
    return [
        Conv2D(32, (3, 3), padding="same", activation="relu"),
        MaxPooling2D((2, 2)),
        Dropout(0.25),
        Conv2D(64, (3, 3), padding="same", activation="relu"),
        MaxPooling2D((2, 2)),
        Conv2D(128, (3, 3), padding="same", activation="relu"),
        MaxPooling2D((2, 2)),
        Flatten(),
        Dense(classes, activation="softmax"),
    ]


def _lenet5(classes: int) -> list[Layer]:
    """LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998, figure 2), with these deviations:

    - 28×28 images padded by C1 ("same") in place of 32×32 images with the digit in the middle: the same windows;
    - S2 and S4 take the maximum, where the paper adds four values, times a trained coefficient, plus a trained bias;
    - C3 connects all 6 maps to all 16, where the paper's table leaves out 36 of the 96 connections;
    - ReLU in place of a scaled tanh, and Glorot's initial weights in place of uniform ±2.4 / inputs;
    - a softmax layer with cross-entropy in place of radial basis functions on 7×12 pictures of the digits;
    - Adam in place of stochastic Levenberg-Marquardt.

    C5, a convolution that sees its whole 5×5 input, is written as the dense layer it is.
    """
    return [
        Conv2D(6, (5, 5), padding="same", activation="relu", name="c1"),
        MaxPooling2D((2, 2), name="s2"),
        Conv2D(16, (5, 5), activation="relu", name="c3"),
        MaxPooling2D((2, 2), name="s4"),
        Flatten(),
        Dense(120, activation="relu", name="c5"),
        Dense(84, activation="relu", name="f6"),
        Dense(classes, activation="softmax", name="output"),
    ]


def _cats_and_dogs(classes: int) -> list[Layer]:
    """`classes` is 2: one sigmoid tells the probability of the second one."""
    return [
        Conv2D(32, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Conv2D(32, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Flatten(),
        Dense(128, activation="relu"),
        Dense(1, activation="sigmoid"),
    ]


def _cifar10_cnn(classes: int) -> list[Layer]:
    def start() -> dict[str, Any]:
        return {
            "kernel_initializer": initializers.RandomNormal(stddev=0.1),
            "bias_initializer": initializers.Constant(0.1),
        }

    return [
        Conv2D(32, (4, 4), padding="same", activation="relu", **start()),
        MaxPooling2D((2, 2)),
        Conv2D(64, (4, 4), padding="same", activation="relu", **start()),
        MaxPooling2D((2, 2)),
        Flatten(),
        Dense(1024, activation="relu", **start()),
        Dropout(0.5),
        Dense(classes, activation="softmax", **start()),
    ]


def _flowers(classes: int) -> list[Layer]:
    return [
        Conv2D(32, (5, 5), padding="same", activation="relu"),
        MaxPooling2D((2, 2)),
        Conv2D(64, (3, 3), padding="same", activation="relu"),
        MaxPooling2D((2, 2)),
        Conv2D(96, (3, 3), padding="same", activation="relu"),
        MaxPooling2D((2, 2)),
        Conv2D(96, (3, 3), padding="same", activation="relu"),
        MaxPooling2D((2, 2)),
        Flatten(),
        Dense(512, activation="relu"),
        Dense(classes, activation="softmax"),
    ]


def _scenes(classes: int) -> list[Layer]:
    return [
        Conv2D(32, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Conv2D(32, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Flatten(),
        Dense(128, activation="relu"),
        Dense(classes, activation="softmax"),
    ]


_ENTRIES = {
    recipe.name: recipe
    for recipe in (
        ZooEntry(
            "course_cnn", "two convolutions, pool, dropout", _course_cnn, "mnist",
            epochs=12, batch_size=128,
        ),
        ZooEntry(
            "simple_cnn", "one convolution, one pool", _simple_cnn, "mnist",
            epochs=4, batch_size=32,
        ),
        ZooEntry(
            "simple_cnn_dropout", "the same with dropout", _simple_cnn_dropout, "mnist",
            epochs=4, batch_size=32,
        ),
        ZooEntry(
            "two_conv_cnn", "small and good: the default", _two_conv_cnn, "mnist",
            epochs=15, batch_size=128, learning_rate=0.003, schedule="one_cycle",
            augment={"width_shift_range": 2, "height_shift_range": 2},
        ),
        ZooEntry(
            "fashion_perceptron", "no convolution, to compare with", _fashion_perceptron,
            "fashion_mnist", epochs=10, batch_size=32,
        ),
        ZooEntry(
            "mnist_convnet", "a complete MNIST listing", _mnist_convnet, "mnist",
            epochs=5, batch_size=64, validation_split=0.1,
        ),
        ZooEntry(
            "fashion_items", "a complete listing, 2×2 kernels", _fashion_items, "fashion_mnist",
            epochs=10, batch_size=200,
        ),
        ZooEntry(
            "feature_map_net", "for pictures of feature maps", _feature_map_net, "fashion_mnist",
            epochs=10, batch_size=64,
        ),
        ZooEntry(
            "lenet5", "LeNet-5 of 1998, modernised", _lenet5, "mnist",
            epochs=10, batch_size=64, learning_rate=0.002, schedule="one_cycle",
        ),
        ZooEntry(
            "cats_and_dogs", "64×64 photos, two classes", _cats_and_dogs, None,
            epochs=25, batch_size=32, input_shape=(64, 64, 3), classes=2, validation_split=0.2,
            loss="binary_crossentropy", augment={"shear_range": 0.2, "zoom_range": 0.2, "horizontal_flip": True},
        ),
        ZooEntry(
            "cifar10_cnn", "500 steps on small photos", _cifar10_cnn, "cifar10",
            epochs=1, batch_size=100, input_shape=(32, 32, 3),
        ),
        ZooEntry(
            "flowers", "150×150 photos, five classes", _flowers, None,
            epochs=10, batch_size=128, input_shape=(150, 150, 3), classes=5, validation_split=0.25,
            reduce_on_plateau=True,
            augment={
                "rotation_range": 10, "zoom_range": 0.1, "width_shift_range": 0.2, "height_shift_range": 0.2,
                "horizontal_flip": True,
            },
        ),
        ZooEntry(
            "scenes", "150×150 photos, six classes", _scenes, None,
            epochs=4, batch_size=128, input_shape=(150, 150, 3), classes=6, validation_split=0.2,
            loss="sparse_categorical_crossentropy",
        ),
    )
}
