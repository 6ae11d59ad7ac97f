"""Lab 9, batchnorm_backward."""

import numpy as np
from numpy.typing import DTypeLike

from tinyconv.kernels.batchnorm import definition
from tinyconv.labs.lab import MEASURED, SINGLE, Array, Case, Lab, differences, draw, mistake


def make_cases(seed: int) -> list[Case]:
    """Gradient checks: what is right is measured on the forward pass, with a random dy."""
    rng = np.random.default_rng(seed)

    def forward(x: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
        return definition.forward_inference(x, gamma, beta, mean, variance, epsilon)

    def case(
        name: str,
        shape: tuple[int, ...],
        epsilon: float = 1e-3,
        gamma: Array | None = None,
        dtype: DTypeLike = np.float64,
    ) -> Case:
        x, dy = 3 + 2 * draw(rng, shape, dtype), draw(rng, shape, dtype)
        gamma = 1 + draw(rng, shape[-1:], dtype) / 2 if gamma is None else gamma
        x64, gamma64, beta = x.astype(np.float64), gamma.astype(np.float64), np.zeros(shape[-1])
        expected = (
            differences(lambda x: forward(x, gamma64, beta, epsilon), x64, dy).astype(dtype),
            differences(lambda gamma: forward(x64, gamma, beta, epsilon), gamma64, dy).astype(dtype),
            differences(lambda beta: forward(x64, gamma64, beta, epsilon), beta, dy).astype(dtype),
        )
        arguments = {"dy": dy, "x": x, "gamma": gamma, "epsilon": epsilon}
        return Case(name, "batchnorm_backward", arguments, expected, SINGLE if dtype == np.float32 else MEASURED)

    return [
        case("five rows of one channel, gamma 1", (5, 1), gamma=np.ones(1)),
        case("gamma is not 1", (5, 1)),
        case("three channels", (6, 3)),
        case("as many rows as channels", (4, 4)),
        case("images", (2, 3, 4, 2)),
        case("one image", (1, 4, 5, 3)),
        case("a large epsilon", (6, 2), epsilon=2.0),
        case("two rows", (2, 3)),
        case("a gamma that is 0 or negative", (5, 3), gamma=np.array([0.0, -1.5, 2.0])),
        case("float32 stays float32", (6, 2), dtype=np.float32),
    ]


DX = "gamma / deviation * (dy - dbeta / m - x_hat * dgamma / m)"

LAB = Lab(
    9,
    "batchnorm_backward",
    "the gradients of batch normalisation",
    {"batchnorm_backward": ("dx", "dgamma", "dbeta")},
    make_cases,
    (
        mistake(
            "Your dx takes mean and variance for constants; they depend on x as well: three terms, not one.",
            (DX, "gamma / deviation * dy"),
        ),
        mistake(
            "The term of the mean is missing in your dx: - dbeta / m.",
            (DX, "gamma / deviation * (dy - x_hat * dgamma / m)"),
        ),
        mistake(
            "The term of the variance is missing in your dx: - x̂ · dgamma / m.",
            (DX, "gamma / deviation * (dy - dbeta / m)"),
        ),
        mistake("You forgot gamma in dx.", (DX, "1 / deviation * (dy - dbeta / m - x_hat * dgamma / m)")),
        mistake(
            "You forgot the division by the standard deviation in dx.",
            (DX, "gamma * (dy - dbeta / m - x_hat * dgamma / m)"),
        ),
        mistake("You forgot to divide the sums in dx by m.", (DX, "gamma / deviation * (dy - dbeta - x_hat * dgamma)")),
        mistake("You forgot ε under the root.", ("x.var(axis=axes) + epsilon", "x.var(axis=axes)")),
        mistake(
            "ε is added to the variance, inside of the root.",
            ("np.sqrt(x.var(axis=axes) + epsilon)", "(np.sqrt(x.var(axis=axes)) + epsilon)"),
        ),
        mistake(
            "You forgot the root: the deviation is √(variance + ε).",
            ("np.sqrt(x.var(axis=axes) + epsilon)", "(x.var(axis=axes) + epsilon)"),
        ),
        mistake("The variance is divided by m, not by m - 1.", ("x.var(axis=axes)", "x.var(axis=axes, ddof=1)")),
        mistake(
            "dgamma is Σ dy · x̂; you multiplied by x, which is not normalised.",
            ("dgamma = (dy * x_hat)", "dgamma = (dy * x)"),
            ("x_hat * dgamma / m", "x_hat * (dy * x_hat).sum(axis=axes) / m"),
        ),
        mistake(
            "dbeta is a sum; yours is the mean.",
            ("dbeta = dy.sum(axis=axes)", "dbeta = dy.mean(axis=axes)"),
            ("dbeta / m", "dbeta"),
        ),
        mistake(
            "dgamma is a sum; yours is the mean.",
            ("dgamma = (dy * x_hat).sum(axis=axes)", "dgamma = (dy * x_hat).mean(axis=axes)"),
            ("x_hat * dgamma / m", "x_hat * dgamma"),
        ),
        mistake(
            "Mean, variance and sums go over the batch only; images have rows and columns to go over as well.",
            ("axes = tuple(range(x.ndim - 1))\n    m", "axes = 0\n    m"),
            ("x.size // x.shape[-1]", "len(x)"),
        ),
        mistake(
            "m is the number of values per channel; for images that is n · height · width, not n.",
            ("x.size // x.shape[-1]", "len(x)"),
        ),
    ),
)
