"""Lab 5, maxpool_forward and maxpool_backward."""

import numpy as np

from tinyconv.kernels.maxpool2d import definition
from tinyconv.labs.lab import EXACT, SINGLE, Array, Case, Lab, both_sides, mistake

Pair = tuple[int, int]


def make_cases(seed: int) -> list[Case]:
    """Both ways over the same images; where windows tie, differences mean nothing, and so the definition decides."""
    rng = np.random.default_rng(seed)

    def pair(
        name: str, x: Array, pool_size: Pair, strides: Pair, padding: Pair = (0, 0), dy: Array | None = None
    ) -> list[Case]:
        sides = both_sides(padding)
        y, winners = definition.forward(x, pool_size, strides=strides, padding=sides)
        dy = rng.integers(1, 10, y.shape).astype(x.dtype) if dy is None else dy
        dx = definition.backward(dy, winners, x.shape, pool_size, strides=strides, padding=sides)
        rest = {"pool_size": pool_size, "strides": strides, "padding": padding}
        tolerance = SINGLE if x.dtype == np.float32 else EXACT
        return [
            Case(f"forward, {name}", "maxpool_forward", {"x": x, **rest}, (y,), tolerance),
            Case(f"backward, {name}", "maxpool_backward", {"dy": dy, "x": x, **rest}, (dx,), tolerance),
        ]

    def images(*shape: int) -> Array:
        return rng.permutation(np.prod(shape)).reshape(shape).astype(np.float64)  # no ties

    picture = np.array([[1.0, 7, 3, 1], [2, 5, 3, 0], [4, 4, 8, 9], [0, 4, 6, 2]]).reshape(1, 4, 4, 1)
    gradient = np.array([[10.0, 20], [30, 40]]).reshape(1, 2, 2, 1)
    cases = [
        *pair("distinct pixels, 2×2", images(1, 4, 6, 1), (2, 2), (2, 2)),
        *pair("the picture in the text, with ties", picture, (2, 2), (2, 2), dy=gradient),
        *pair("every window ties", np.zeros((1, 4, 4, 2)), (2, 2), (2, 2)),
        *pair("all pixels negative", images(1, 4, 4, 1) - 99, (2, 2), (2, 2)),
        *pair("two images, three channels", images(2, 4, 4, 3), (2, 2), (2, 2)),
        *pair("a window that is not square", images(1, 6, 4, 2), (3, 2), (3, 2)),
        *pair("odd sizes: pixels that no window sees", images(1, 5, 7, 2), (2, 2), (2, 2)),
        *pair("overlapping windows", images(2, 5, 6, 2), (3, 3), (1, 2)),
        *pair("strides larger than the window", images(1, 7, 8, 1), (2, 1), (3, 4)),
        *pair("padding around negative pixels", images(1, 4, 3, 2) - 99, (3, 2), (2, 2), (1, 1)),
        *pair(
            "padding on one axis only, with ties",
            rng.integers(-3, 0, (2, 5, 6, 2)).astype(np.float64),
            (2, 2),
            (2, 1),
            (1, 0),
        ),
        *pair("float32 stays float32", images(1, 4, 4, 1).astype(np.float32), (2, 2), (2, 2)),
    ]
    return sorted(cases, key=lambda case: case.function != "maxpool_forward")  # forward first; backward needs it


PADDED = "padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=-np.inf)"
ADD = "dpadded[images, i * sh + p, j * sw + q, planes] += dy[:, i, j]"
ALL_TIES = """won = window == window.max(axis=1, keepdims=True)
            share = (won * SHARE).reshape(n, kh, kw, channels)
            dpadded[:, i * sh : i * sh + kh, j * sw : j * sw + kw] += share"""

LAB = Lab(
    5,
    "maxpool_backward",
    "max-pooling and its gradient, with ties",
    {"maxpool_forward": ("y",), "maxpool_backward": ("dx",)},
    make_cases,
    (
        mistake(
            "Zero padding wins against negative pixels: pad with -np.inf.",
            (", constant_values=-np.inf", ""),
        ),
        mistake(
            "You forgot the strides: the window of y[i, j] begins at row i·sh and column j·sw.",
            ("i * sh", "i"),
            ("j * sw", "j"),
        ),
        mistake(
            "You swapped the strides: sh is for the rows, sw for the columns.",
            ("(kh, kw), (sh, sw), (ph, pw) =", "(kh, kw), (sw, sh), (ph, pw) ="),
        ),
        mistake(
            "That is the mean of each window; asked for is the maximum.", (".max(axis=(1, 2))", ".mean(axis=(1, 2))")
        ),
        mistake(
            "That is the maximum over the channels as well; each channel is pooled on its own.",
            (".max(axis=(1, 2))", ".max(axis=(1, 2, 3))[:, None]"),
        ),
        mistake(
            "When several pixels tie, the gradient goes to all of them; only the first one gets it.",
            (ADD, ALL_TIES.replace("SHARE", "dy[:, i, j, None]")),
        ),
        mistake(
            "When several pixels tie, you share the gradient among them; only the first one gets it, all of it.",
            (ADD, ALL_TIES.replace("SHARE", "(dy[:, i, j, None] / won.sum(axis=1, keepdims=True))")),
        ),
        mistake(
            "When several pixels tie, your last one wins; it is the first, row by row. Compare with >, not with >=.",
            ("window.argmax(axis=1)", "(kh * kw - 1 - window[:, ::-1].argmax(axis=1))"),
        ),
        mistake(
            "When several pixels tie, your first one is found going down the columns; it must be row by row.",
            ("].reshape(n, kh * kw, channels)", "].swapaxes(1, 2).reshape(n, kh * kw, channels)"),
            ("p, q = np.divmod(window.argmax(axis=1), kw)", "q, p = np.divmod(window.argmax(axis=1), kh)"),
        ),
        mistake(
            "A window has kw pixels per row: its pixel number k is at row k // kw and column k % kw.",
            ("(window.argmax(axis=1), kw)", "(window.argmax(axis=1), kh)"),
        ),
        mistake(
            "A pixel that wins several windows gets all their gradients: add them, with +=.",
            ("planes] += dy", "planes] = dy"),
        ),
        mistake(
            "The gradient goes to the winner alone; you spread it over the window.",
            (ADD, "dpadded[:, i * sh : i * sh + kh, j * sw : j * sw + kw] += dy[:, i, j, None, None] / (kh * kw)"),
        ),
        mistake(
            "The gradient goes to the winner alone; you give it to the whole window.",
            (ADD, "dpadded[:, i * sh : i * sh + kh, j * sw : j * sw + kw] += dy[:, i, j, None, None]"),
        ),
        mistake("The winner gets dy; you give it dy times its pixel.", (ADD, ADD + " * window.max(axis=1)")),
        mistake(
            "The padding is still on your dx: cut it off at the end.",
            ("dpadded[:, ph : ph + height, pw : pw + width]", "dpadded"),
        ),
        mistake(
            "An axis of dx without padding becomes empty: x[0:-0] is x[0:0].",
            ("dpadded[:, ph : ph + height, pw : pw + width]", "dpadded[:, ph:-ph, pw:-pw]"),
        ),
        mistake(
            "NumPy makes arrays of float64 unless told: np.zeros(shape, x.dtype), or np.zeros_like(x).",
            (", x.dtype)", ")"),
            ("np.zeros_like(padded)", "np.zeros(padded.shape)"),
        ),
    ),
)
