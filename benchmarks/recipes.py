"""Recipes for MNIST in seconds: everything that decides how a network is trained, as data that can be tuned.

Layers, optimizer and schedule are written as `Sequential.from_config` and `optimizers.get` read them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tinyconv import optimizers
from tinyconv.errors import ArgumentError
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
    """

    name: str
    source: str
    layers: Sequence[Mapping[str, Any]]
    optimizer: Mapping[str, Any]
    batch_size: int
    epochs: int
    mean: float = 0.0
    deviation: float = 1.0

    def model(self, input_shape: Sequence[int], *, seed: int, backend: str = "numpy", fuse: bool = True) -> Sequential:
        """The network for images (height, width, channels) with the initial weights of `seed`, compiled."""
        model = Sequential.from_config({
            "name": self.name, "backend": backend, "seed": seed, "dtype": "float32", "fuse": fuse,
            "input_shape": list(input_shape), "layers": [dict(layer) for layer in self.layers],
        })
        model.compile(optimizers.get(dict(self.optimizer)), "sparse_categorical_crossentropy")
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
            optimizer={
                "class_name": "Adam",
                "config": {
                    "learning_rate": {"class_name": "OneCycle", "config": {"max_learning_rate": 0.01}},
                    "beta_1": 0.7, "beta_2": 0.9,
                },
            },
            batch_size=256, epochs=1, mean=0.1307, deviation=0.3081,
        ),
    )
}


def recipe(name: str) -> Recipe:
    """Return the recipe called `name`; raises ArgumentError when there is none."""
    if name not in RECIPES:
        raise ArgumentError(f"There is no recipe {name!r}. {suggestion(name, RECIPES)}")
    return RECIPES[name]
