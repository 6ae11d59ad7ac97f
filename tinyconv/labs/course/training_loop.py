"""Lab 10, the training loop."""

from typing import Any

import numpy as np

from tinyconv.kernels.softmax_cross_entropy import definition
from tinyconv.labs.lab import EXACT, Array, Case, Lab, mistake


def make_cases(seed: int) -> list[Case]:
    """Short trainings; what is right comes from a loop over steps that works out its batch from the step's number."""
    rng = np.random.default_rng(seed)

    def trained(
        x: Array, labels: Array, w: Array, b: Array, orders: Array, size: int, rate: float
    ) -> tuple[Array, ...]:
        w, b, losses = w.copy(), b.copy(), np.zeros(len(orders))
        steps = -(-len(x) // size)
        for step in range(len(orders) * steps):
            epoch, place = divmod(step, steps)
            batch = orders[epoch][place * size :][:size]
            each, dz = definition.loss_and_gradient(x[batch] @ w + b, labels[batch], scale=1 / len(batch))
            w -= rate * x[batch].T @ dz
            b -= rate * dz.sum(axis=0)
            losses[epoch] += each.sum() / len(x)
        return w, b, losses

    def case(
        name: str, n: int, epochs: int, size: int, *, shuffled: bool = True, features: int = 3, rate: float = 0.5
    ) -> Case:
        labels = rng.integers(0, 3, n)
        x = rng.standard_normal((n, features))
        x[np.arange(n), labels % features] += 2
        w, b = 0.1 * rng.standard_normal((features, 3)), 0.1 * rng.standard_normal(3)
        orders = np.array([rng.permutation(n) if shuffled else np.arange(n) for _ in range(epochs)])
        arguments: dict[str, Any] = {
            "x": x,
            "labels": labels,
            "w": w,
            "b": b,
            "orders": orders,
            "batch_size": size,
            "learning_rate": rate,
        }
        return Case(name, "train", arguments, trained(x, labels, w, b, orders, size, rate), EXACT)

    return [
        case("one epoch, one batch, in order", 6, 1, 6, shuffled=False),
        case("two batches, in order", 6, 1, 3, shuffled=False),
        case("shuffled", 6, 1, 3),
        case("a smaller last batch", 7, 1, 3),
        case("three epochs, each in its own order", 7, 3, 3),
        case("batches of one", 5, 2, 1),
        case("a batch larger than the data", 5, 2, 8),
        case("another learning rate", 8, 2, 4, rate=0.05),
        case("twenty epochs", 30, 20, 8, features=4),
    ]


LOSS = "total += loss * len(batch)"

LAB = Lab(
    10,
    "training_loop",
    "the loop that learns",
    {"train": ("w", "b", "losses")},
    make_cases,
    (
        mistake(
            "You climb: the step goes against the gradient, with a minus.",
            ("w - learning_rate", "w + learning_rate"),
            ("b - learning_rate", "b + learning_rate"),
        ),
        mistake("Your b stays as it was: it takes a step as well.", ("b = b - learning_rate * db", "pass")),
        mistake("You forgot the learning rate.", ("learning_rate * dw", "dw"), ("learning_rate * db", "db")),
        mistake(
            "You visit the images in their own order: take them as orders[epoch] says.",
            ("batch = order[start : start + batch_size]", "batch = np.arange(len(x))[start : start + batch_size]"),
        ),
        mistake(
            "You shuffle the images, but not the labels with them.",
            ("labels[batch], w", "labels[start : start + batch_size], w"),
        ),
        mistake(
            "Every epoch goes in the order of the first: take orders[epoch].",
            ("order[start : start", "orders[0][start : start"),
        ),
        mistake(
            "The last batch is lost when it is smaller than the others.",
            ("range(0, len(x), batch_size)", "range(0, len(x) - batch_size + 1, batch_size)"),
        ),
        mistake(
            "There is one step per epoch in yours: step after every batch.",
            (
                "            w = w - learning_rate * dw\n            b = b - learning_rate * db\n",
                "            sum_w, sum_b = sum_w + dw, sum_b + db\n",
            ),
            ("        total = 0.0\n", "        total, sum_w, sum_b = 0.0, 0, 0\n"),
            (
                "        losses.append",
                "        w, b = w - learning_rate * sum_w, b - learning_rate * sum_b\n        losses.append",
            ),
        ),
        mistake(
            "The weights start anew in every epoch; they go on learning.",
            (
                "    for order in orders:\n",
                "    start_w, start_b = w, b\n    for order in orders:\n        w, b = start_w, start_b\n",
            ),
        ),
        mistake(
            "The epoch's loss is the mean over its batches; weight each batch by its number of images.",
            (LOSS, "total += loss * len(x) / -(-len(x) // batch_size)"),
        ),
        mistake(
            "The epoch's loss is the sum over its batches; it is the mean over the images.",
            (LOSS, "total += loss * len(x)"),
        ),
        mistake(
            "You keep the last batch's loss only; the epoch's loss is the mean over all its images.",
            (LOSS, "total = loss * len(x)"),
        ),
        mistake(
            "The losses are those from after the step; use the one that comes with the gradients.",
            (LOSS, "total += loss_and_gradients(x[batch], labels[batch], w, b)[0] * len(batch)"),
        ),
        mistake(
            "You keep one loss per batch; one per epoch is asked for.",
            ("losses.append(total / len(x))", "pass"),
            (LOSS, "losses.append(loss)"),
        ),
        mistake(
            "The gradients are divided by the batch's size again; loss_and_gradients does that.",
            ("learning_rate * dw", "learning_rate / len(batch) * dw"),
            ("learning_rate * db", "learning_rate / len(batch) * db"),
        ),
    ),
)
