"""Lab 7, dropout_forward and dropout_backward."""

from typing import Any

import numpy as np

from tinyconv.labs.lab import EXACT, SINGLE, Array, Case, Lab, mistake


def make_cases(seed: int) -> list[Case]:
    """Forward in training and in use, and backward; what is right is worked out element by element."""
    rng = np.random.default_rng(seed)

    def dropped(x: Array, rate: float, random: Array) -> Array:
        kept = [value / (1 - rate) if r >= rate else 0 for value, r in zip(x.flat, random.flat, strict=True)]
        return np.array(kept, x.dtype).reshape(x.shape)

    def case(name: str, function: str, x: Array, rate: float, random: Array, training: bool | None = None) -> Case:
        rest: dict[str, Any] = {"rate": rate, "random": random} | ({} if training is None else {"training": training})
        y = x if training is False else dropped(x, rate, random)
        first = "dy" if function == "dropout_backward" else "x"
        return Case(name, function, {first: x, **rest}, (y,), SINGLE if x.dtype == np.float32 else EXACT)

    forward, backward = "dropout_forward", "dropout_backward"
    picture, its_random = np.array([2.0, 4, 6, 8]), np.array([0.3, 0.7, 0.5, 0.1])
    x, random = rng.standard_normal((2, 3, 4, 2)), rng.random((2, 3, 4, 2))
    return [
        case("forward, the picture in the text", forward, picture, 0.5, its_random, True),
        case("forward, rate 0.2", forward, x, 0.2, random, True),
        case("forward, rate 0.75", forward, x, 0.75, random, True),
        case("forward, rate 0 drops nothing", forward, x, 0.0, random, True),
        case("forward, random is the rate: it is kept", forward, picture, 0.3, its_random, True),
        case("forward, not in training", forward, x, 0.5, random, False),
        case("forward, float32 stays float32", forward, x[0].astype(np.float32), 0.2, random[0], True),
        case("backward, the picture's mask", backward, picture, 0.5, its_random),
        case("backward, rate 0.2", backward, x, 0.2, random),
        case("backward, rate 0.75", backward, x, 0.75, random),
        case("backward, float32 stays float32", backward, x[0].astype(np.float32), 0.2, random[0]),
    ]


FORWARD = "np.where(random >= rate, x / (1 - rate), 0)"
BACKWARD = "np.where(random >= rate, dy / (1 - rate), 0)"
SCALE = "You forgot the factor: what is kept is divided by (1 - rate)."

LAB = Lab(
    7,
    "dropout",
    "dropout in training and in use, and its gradient",
    {"dropout_forward": ("y",), "dropout_backward": ("dx",)},
    make_cases,
    (
        mistake(SCALE, (FORWARD, "np.where(random >= rate, x, 0)"), (BACKWARD, "np.where(random >= rate, dy, 0)")),
        mistake(
            "You divide by the rate; it is (1 - rate), the share that is kept.",
            ("/ (1 - rate)", "/ rate"),
        ),
        mistake("You multiply by (1 - rate); divide by it.", ("/ (1 - rate)", "* (1 - rate)")),
        mistake("Your mask is the other way round: random >= rate is kept.", ("random >= rate", "random < rate")),
        mistake("A number whose random equals the rate is kept: >=, not >.", ("random >= rate", "random > rate")),
        mistake(
            "Without training nothing is dropped: return x.",
            ("if not training:\n        return x", "if not training:\n        return " + FORWARD),
        ),
        mistake(
            "Without training nothing is scaled: inverted dropout does that in training.",
            ("if not training:\n        return x", "if not training:\n        return x * (1 - rate)"),
        ),
        mistake(
            "Training and use are swapped: numbers are dropped when training is True.",
            ("if not training", "if training"),
        ),
        mistake(
            "Backward lets everything through; what was dropped gets no gradient.", (BACKWARD, "(dy / (1 - rate))")
        ),
        mistake("Backward lets everything through; what was dropped gets no gradient.", (BACKWARD, "dy")),
        mistake(
            "You chose the dtype of the random numbers: the result has that of what comes in.",
            (".astype(x.dtype)", ".astype(random.dtype)"),
            (".astype(dy.dtype)", ".astype(random.dtype)"),
        ),
    ),
)
