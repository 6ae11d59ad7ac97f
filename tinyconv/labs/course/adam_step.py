"""Lab 8, adam_step."""

from math import sqrt

import numpy as np
from numpy.typing import DTypeLike

from tinyconv.kernels.adam import definition
from tinyconv.labs.lab import EXACT, SINGLE, Array, Case, Lab, draw, mistake

Numbers = dict[str, float]
DEFAULTS: Numbers = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


def make_cases(seed: int) -> list[Case]:
    """Single steps from known averages; what is right comes from the kernel, whose ε is this lab's times √(1-β₂ᵗ)."""
    rng = np.random.default_rng(seed)

    def case(name: str, p: Array, g: Array, m: Array, v: Array, t: int, **changes: float) -> Case:
        numbers = DEFAULTS | changes
        learning_rate, beta_1, beta_2, epsilon = numbers.values()
        new_p, new_g, new_m, new_v = (array.ravel().copy() for array in (p, g, m, v))
        correction = sqrt(1 - beta_2**t)
        definition.step(
            new_p,
            new_g,
            new_m,
            new_v,
            step_size=learning_rate * correction / (1 - beta_1**t),
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon * correction,
        )
        expected = tuple(array.reshape(p.shape) for array in (new_p, new_m, new_v))
        arguments = {"p": p, "g": g, "m": m, "v": v, "t": t, **numbers}
        return Case(name, "adam_step", arguments, expected, SINGLE if p.dtype == np.float32 else EXACT)

    def state(*shape: int, dtype: DTypeLike = np.float64) -> tuple[Array, Array, Array, Array]:
        p, g, m, v = draw(rng, (4, *shape), dtype)
        return p, g, m, v**2

    zero, one = np.zeros(1), np.ones(1)
    p, g, m, v = state(3, 4)
    return [
        case("the first step from 0, g = 1: as long as the learning rate", zero, one, zero, zero, 1, learning_rate=0.1),
        case("the first step, g = -1000: just as long", zero, -1000 * one, zero, zero, 1, learning_rate=0.1),
        case("the first step of many weights", p, g, np.zeros_like(p), np.zeros_like(p), 1, learning_rate=0.1),
        case("the second step", p, g, m, v, 2, learning_rate=0.1),
        case("the 1000th step", p, g, m, v, 1000, learning_rate=0.1),
        case("other betas", p, g, m, v, 3, learning_rate=0.1, beta_1=0.5, beta_2=0.8),
        case("a large epsilon", p, g, m, v, 3, learning_rate=0.1, epsilon=0.5),
        case("gradients of 0", p, 0 * g, m, v, 5, learning_rate=0.1),
        case("the learning rate of every day", *state(2, 3), 7),
        case("weights of a convolution", *state(2, 3, 1, 2), 4, learning_rate=0.1),
        case("float32 stays float32", *state(5, dtype=np.float32), 4, learning_rate=0.1),
    ]


P = "p = p - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)"

LAB = Lab(
    8,
    "adam_step",
    "one step of Adam",
    {"adam_step": ("p", "m", "v")},
    make_cases,
    (
        mistake(
            "You forgot the bias correction: p moves by m̂ and v̂, which are m / (1 - β₁ᵗ) and v / (1 - β₂ᵗ).",
            ("m_hat = m / (1 - beta_1**t)", "m_hat = m"),
            ("v_hat = v / (1 - beta_2**t)", "v_hat = v"),
        ),
        mistake("You forgot the bias correction of v.", ("v_hat = v / (1 - beta_2**t)", "v_hat = v")),
        mistake("You forgot the bias correction of m.", ("m_hat = m / (1 - beta_1**t)", "m_hat = m")),
        mistake(
            "You corrected with t + 1: the first step has t = 1 already.",
            ("**t", "**(t + 1)"),
        ),
        mistake(
            "The bias correction needs β to the power of t, not β · t or β.",
            ("beta_1**t", "beta_1"),
            ("beta_2**t", "beta_2"),
        ),
        mistake(
            "Your p climbs: the step goes against the gradient, with a minus.",
            (P, P.replace("p - learning", "p + learning")),
        ),
        mistake("v is the average of g²; you forgot the square.", ("(1 - beta_2) * g**2", "(1 - beta_2) * g")),
        mistake("You forgot the root: m̂ is divided by √v̂ + ε.", ("np.sqrt(v_hat)", "v_hat")),
        mistake(
            "ε is added to the root, not inside of it.", ("(np.sqrt(v_hat) + epsilon)", "np.sqrt(v_hat + epsilon)")
        ),
        mistake(
            "That is the form with the corrections moved into the step length (end of the paper's section 2). "
            "Its ε means something else: here ε is added to √v̂, the corrected one.",
            ("m_hat / (np.sqrt(v_hat) + epsilon)", "m_hat * np.sqrt(1 - beta_2**t) / (np.sqrt(v) + epsilon)"),
        ),
        mistake("You forgot ε.", ("(np.sqrt(v_hat) + epsilon)", "np.sqrt(v_hat)")),
        mistake(
            "β₁ and β₂ are swapped: β₁ is for m, β₂ for v.",
            ("t, learning_rate=0.001, beta_1=0.9, beta_2=0.999", "t, learning_rate=0.001, beta_2=0.999, beta_1=0.9"),
        ),
        mistake(
            "β and 1 - β are swapped: the old average keeps β of itself.",
            ("beta_1 * m + (1 - beta_1) * g", "(1 - beta_1) * m + beta_1 * g"),
            ("beta_2 * v + (1 - beta_2) * g**2", "(1 - beta_2) * v + beta_2 * g**2"),
        ),
        mistake(
            "You return m̂ and v̂; what is kept for the next step is m and v without the correction.",
            ("return p, m, v", "return p, m_hat, v_hat"),
        ),
        mistake(
            "The step is made with the averages from before: first update m and v, then p.",
            ("    m = beta_1", "    old_m, old_v = m, v\n    m = beta_1"),
            ("m_hat = m /", "m_hat = old_m /"),
            ("v_hat = v /", "v_hat = old_v /"),
        ),
        mistake("You step along g; Adam steps along m̂, the average.", ("* m_hat /", "* g /")),
    ),
)
