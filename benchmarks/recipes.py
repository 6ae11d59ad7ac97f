"""Recipes for MNIST in seconds: everything that decides how a network is trained, as data that can be tuned.

Layers, optimizer and schedule are written as `Sequential.from_config` and `optimizers.get` read them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tinyconv import optimizers
from tinyconv.errors import ArgumentError
from tinyconv.losses import CategoricalCrossentropy
from tinyconv.models import Sequential
from tinyconv.naming import suggestion
from tinyconv.schedules import Schedule


@dataclass(frozen=True)
class Recipe:
    """How to train one network.

    Attributes:
        layers: rows of {"class_name": …, "config": …}; the last one gives class probabilities.
        optimizer: the same; a schedule without a length lasts for the whole training.
        mean, deviation: pixels in [0, 1] become (pixel - mean) / deviation.
        label_smoothing: part of each label that is spread over all classes (Szegedy et al., "Rethinking the Inception
            architecture", 2016).
    """

    name: str
    source: str
    layers: Sequence[Mapping[str, Any]]
    optimizer: Mapping[str, Any]
    batch_size: int
    epochs: int
    mean: float = 0.0
    deviation: float = 1.0
    label_smoothing: float = 0.0

    def model(self, input_shape: Sequence[int], *, seed: int, backend: str = "numpy", fuse: bool = True) -> Sequential:
        """The network for images (height, width, channels) with the initial weights of `seed`, compiled."""
        model = Sequential.from_config({
            "name": self.name, "backend": backend, "seed": seed, "dtype": "float32", "fuse": fuse,
            "input_shape": list(input_shape), "layers": [dict(layer) for layer in self.layers],
        })
        loss = CategoricalCrossentropy(label_smoothing=self.label_smoothing)
        model.compile(optimizers.get(dict(self.optimizer)), loss)
        return model

    def rates(self, samples: int) -> list[float]:
        """The learning rate of every step of a training on so many images."""
        steps = self.epochs * -(-samples // self.batch_size)
        rate = optimizers.get(dict(self.optimizer)).learning_rate
        if not isinstance(rate, Schedule):
            return [rate] * steps
        schedule = rate.with_total_steps(steps)
        return [schedule(step) for step in range(steps)]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


def _adam(max_learning_rate: float) -> dict[str, Any]:
    """Adam with a short memory, for trainings of a few hundred steps, and one cycle of learning rates."""
    schedule = {"class_name": "OneCycle", "config": {"max_learning_rate": max_learning_rate}}
    return {"class_name": "Adam", "config": {"learning_rate": schedule, "beta_1": 0.7, "beta_2": 0.9}}


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="published",
            source="github.com/tuomaso/train_mnist_fast: 0.76 s on a laptop GPU",
            layers=(
                _layer("Conv2D", filters=24, kernel_size=[5, 5]),
                _layer("MaxPooling2D", pool_size=[2, 2]),
                _layer("Activation", activation="relu"),
                _layer("Conv2D", filters=32, kernel_size=[3, 3]),
                _layer("MaxPooling2D", pool_size=[2, 2]),
                _layer("Activation", activation="relu"),
                _layer("Flatten"),
                _layer("Dense", units=256, activation="relu"),
                _layer("Dense", units=10, activation="softmax"),
            ),
            optimizer=_adam(max_learning_rate=0.01),
            batch_size=256, epochs=1, mean=0.1307, deviation=0.3081,
        ),
        Recipe(
            name="tinyconv",
            source="whole vectors of filters, small batches, smoothed labels; chosen on 10,000 of the training images",
            layers=(
                _layer("Conv2D", filters=16, kernel_size=[5, 5], activation="relu"),
                _layer("MaxPooling2D", pool_size=[2, 2]),
                _layer("Conv2D", filters=32, kernel_size=[3, 3], activation="relu"),
                _layer("MaxPooling2D", pool_size=[2, 2]),
                _layer("Flatten"),
                _layer("Dense", units=128, activation="relu"),
                _layer("Dense", units=10, activation="softmax"),
            ),
            optimizer=_adam(max_learning_rate=0.008),
            batch_size=96, epochs=1, mean=0.1307, deviation=0.3081, label_smoothing=0.05,
        ),
    )
}


def recipe(name: str) -> Recipe:
    """Return the recipe called `name`; raises ArgumentError when there is none."""
    if name not in RECIPES:
        raise ArgumentError(f"There is no recipe {name!r}. {suggestion(name, RECIPES)}")
    return RECIPES[name]
