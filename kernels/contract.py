"""The contract: what every operation computes, whichever rung computes it.

An operation is a folder, a rung is a module in it, and every rung of an operation has the functions of its Protocol
below: same names, same arguments, same result.  The rungs are

    definition   plain NumPy, short enough to check by hand (conv2d has two: `naive` loops and `im2col`)
    parallel     Numba, compiled for this machine, one thread per piece of the output (conv2d: `direct`)
    cuda         CUDA kernels, for arrays on a GPU

Rules that hold for all of them:

*Layout.*  Images are NHWC (batch, height, width, channels), convolution weights (kh, kw, in, out), dense weights
(in, out).  Arrays are float32 or float64, the result has the dtype of `x`, and inputs may be read-only or strided in
any way; `out` arrays are C-contiguous and must not overlap an input unless the operation says so.
*Memory.*  A result is written to `out` when given and is newly allocated otherwise; either way it is returned.
Scratch memory comes from `workspace` when given (kept for the next call), else it is allocated and dropped.  With both
given and inputs that are contiguous, compiled rungs leave all arithmetic to kernels, so that a `tape` can repeat it.
*Padding* is ((top, bottom), (left, right)) in pixels; `geometry.resolve_padding` makes it from "same" or "valid".
*Special values.*  NaN and infinities go through as the formulas say; nothing is compiled with fast-math.
*Determinism.*  Sums are taken in an order that depends on the shapes only, never on the number of threads.
*Errors.*  Wrong shapes raise ValueError with a sentence.  Layers check first and name themselves.

Gradients are named after what they are the gradient of: dy, dx, dw, db.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np

from .geometry import NO_PADDING, Padding, Pair
from .workspace import Workspace

Array = np.ndarray[Any, Any]
ImageShape = tuple[int, int, int, int]  # (n, height, width, channels)
WeightShape = tuple[int, int, int, int]  # (kh, kw, in, out)


class Conv2D(Protocol):
    """Two-dimensional convolution (cross-correlation, as every deep-learning framework means it).

    y[n, i, j, f] = b[f] + Σ_{p, q, c} x[n, i·sh + p·dh - top, j·sw + q·dw - left, c] · w[p, q, c, f], where x is zero
    outside of the image.
    """

    def forward(
        self, x: Array, w: Array, b: Array | None = None, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
        dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
    ) -> Array:
        """Return y (n, oh, ow, f) for x (n, h, w, c), w (kh, kw, c, f) and b (f,) or None for no bias."""

    def backward_input(
        self, dy: Array, w: Array, x_shape: ImageShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
        dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
    ) -> Array:
        """Return dx (x_shape), gathered: each dx element sums the dy · w of the windows that contain it."""

    def backward_weights(
        self, x: Array, dy: Array, w_shape: WeightShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
        dilation: Pair = (1, 1), out: tuple[Array, Array] | None = None, workspace: Workspace | None = None,
    ) -> tuple[Array, Array]:
        """Return (dw (w_shape), db (f,)); db is Σ dy over images and pixels."""


class MaxPool2D(Protocol):
    """Maximum of each window.  Padding counts as minus infinity (the smallest integer for integer arrays).

    The *winner* of a window is its first maximum in row-major order, or its first NaN if it holds one; it alone gets
    the gradient.  A padding pixel never wins.  `winners` stores i·pw + j, the winner's place in its window, in the
    dtype of `winner_dtype`.
    """

    def forward(
        self, x: Array, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING, out: Array | None = None,
        winners: Array | None = None,
    ) -> tuple[Array, Array]:
        """Return (y, winners), both (n, oh, ow, c), for x (n, h, w, c)."""

    def backward(
        self, dy: Array, winners: Array, x_shape: ImageShape, pool_size: Pair, *, strides: Pair,
        padding: Padding = NO_PADDING, out: Array | None = None,
    ) -> Array:
        """Return dx (x_shape): each pixel sums the dy of the windows it won."""


class AvgPool2D(Protocol):
    """Mean over the real pixels of each window: padding does not count, as in Keras."""

    def forward(
        self, x: Array, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING, out: Array | None = None,
    ) -> Array:
        """Return y (n, oh, ow, c) for x (n, h, w, c)."""

    def backward(
        self, dy: Array, x_shape: ImageShape, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING,
        out: Array | None = None,
    ) -> Array:
        """Return dx (x_shape): each window spreads dy / (its number of real pixels) over its real pixels."""


class Dense(Protocol):
    """y = x · w + b."""

    def forward(
        self, x: Array, w: Array, b: Array | None = None, *, out: Array | None = None,
        workspace: Workspace | None = None,
    ) -> Array:
        """Return y (n, units) for x (n, features), w (features, units) and b (units,) or None."""

    def backward_input(
        self, dy: Array, w: Array, *, out: Array | None = None, workspace: Workspace | None = None
    ) -> Array:
        """Return dx = dy · wᵀ (n, features)."""

    def backward_weights(
        self, x: Array, dy: Array, *, out: tuple[Array, Array] | None = None, workspace: Workspace | None = None
    ) -> tuple[Array, Array]:
        """Return (dw = xᵀ · dy (features, units), db = Σ_n dy (units,))."""


class Activation(Protocol):
    """An activation whose derivative can be told from its output: relu, sigmoid, tanh and softmax.

    relu: y = max(x, 0), dx = dy where y > 0 or y is NaN, else 0.      sigmoid: y = 1 / (1 + e⁻ˣ), dx = dy · y(1 - y).
    tanh: dx = dy · (1 - y²).     softmax, over the last axis: y = eˣ / Σ eˣ, dx = y · (dy - Σ dy·y).
    All are computed so that no finite x overflows.  `out` may be `x` (or `dy`) itself.
    """

    def forward(self, x: Array, *, out: Array | None = None) -> Array:
        """Return y with the shape of x."""

    def backward(self, dy: Array, y: Array, *, out: Array | None = None) -> Array:
        """Return dx from dy and the output y of forward."""


class SoftmaxCrossEntropy(Protocol):
    """Softmax and cross-entropy in one step, from the logits (stable: the maximum is subtracted first).

    Integer targets t (n,): loss_i = log Σ_k e^{z_ik} - z_{i,t_i}.  Target distributions t (n, k), one-hot or soft:
    loss_i = Σ_k t_ik (log Σ_j e^{z_ij} - z_ik).  A class with t_ik = 0 adds exactly 0 to its row's loss.
    """

    def loss_and_gradient(
        self, logits: Array, targets: Array, *, scale: float = 1.0, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """Return (losses (n,), dlogits (n, k)).

        dlogits = scale · (softmax(z) · Σ_k t_ik - t), the gradient of scale · Σ_i loss_i: pass scale = 1/n to descend
        on the mean.  Labels must be in 0..k-1; the caller has checked.
        """


class SigmoidCrossEntropy(Protocol):
    """Sigmoid and binary cross-entropy in one step, from the logits z, with targets t in [0, 1], both (n, k).

    loss_i = mean_k ( max(z, 0) - z·t + log(1 + e^{-|z|}) ), the stable form of -t log σ(z) - (1-t) log(1-σ(z)).
    """

    def loss_and_gradient(
        self, logits: Array, targets: Array, *, scale: float = 1.0, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """Return (losses (n,), dlogits (n, k) = scale · (σ(z) - t) / k)."""


class PhiloxKey(NamedTuple):
    """Which random numbers: a seed, a named stream (hashed to 32 bits), and a step within the stream."""

    seed: int  # 64 bits
    stream: int  # 32 bits
    step: int | Array  # 32 bits; an array of one uint32 is read when a kernel runs


class Philox(Protocol):
    """Counter-based random bits: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

    Word w of a key is word w mod 4 of the block with counter (⌊w/4⌋ low, ⌊w/4⌋ high, step, stream) and key (seed low,
    seed high): any element can be computed alone, by any thread, on any machine.
    """

    def bits(self, key: PhiloxKey, size: int, *, offset: int = 0, out: Array | None = None) -> Array:
        """Return the uint32 words offset … offset + size - 1 of `key`, shape (size,)."""


class Dropout(Protocol):
    """Inverted dropout: a random part of x becomes 0, the rest is scaled up so that the mean stays.

    Element i of the flattened x (row-major) is kept, times 1/(1-rate), when Philox word i of `key` is at least
    ⌈rate · 2³²⌉, else it becomes 0 (also when x is NaN there).  The mask is never stored.  `out` may be `x` itself.
    """

    def forward(self, x: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
        """Return y with the shape of x, for 0 <= rate < 1."""

    def backward(self, dy: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
        """Return dx: the same function of dy, with the mask regenerated from `key`."""


class BatchNorm(Protocol):
    """Batch normalisation (Ioffe and Szegedy, 2015) over all axes but the last.

    y = gamma · (x - mean) / √(variance + ε) + beta

    `variance` is the biased one (divided by the number of values), for normalising as for the moving average: Keras's
    rule.  gamma, beta, mean, variance have shape (channels,).
    """

    def forward_training(
        self, x: Array, gamma: Array, beta: Array, epsilon: float, *, out: tuple[Array, Array, Array] | None = None
    ) -> tuple[Array, Array, Array]:
        """Return (y, mean, variance) with the batch's own mean and variance."""

    def forward_inference(
        self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float, *,
        out: Array | None = None,
    ) -> Array:
        """Return y for a given mean and variance."""

    def backward(
        self, dy: Array, x: Array, gamma: Array, mean: Array, variance: Array, epsilon: float, *,
        out: tuple[Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array]:
        """Return (dx, dgamma, dbeta) of `forward_training`, through the batch's mean and variance."""


class Adam(Protocol):
    """One Adam step on flat arrays, in place (Kingma and Ba, 2015, algorithm 1, in the order given before section 2.1).

    p ← p - decay · p;  m ← β₁ m + (1-β₁) g;  v ← β₂ v + (1-β₂) g²;  p ← p - step_size · m / (√v + ε)

    The caller folds the bias corrections into step_size = learning_rate · √(1-β₂ᵗ) / (1-β₁ᵗ), and gives decay =
    learning_rate · weight_decay for AdamW (Loshchilov and Hutter, 2019), 0 for Adam.
    """

    def step(
        self, p: Array, g: Array, m: Array, v: Array, *, step_size: float, beta_1: float, beta_2: float,
        epsilon: float, decay: float = 0.0,
    ) -> None:
        """Update p, m and v (all of one shape, 1-D) in place."""


class SGD(Protocol):
    """One step of gradient descent with momentum, in place, as Keras defines it.

    p ← p - decay · p;  velocity ← momentum · velocity - learning_rate · g;  p ← p + velocity, or with Nesterov's
    look-ahead p ← p + momentum · velocity - learning_rate · g

    The caller gives decay = learning_rate · weight_decay, as for Adam.
    """

    def step(
        self, p: Array, g: Array, velocity: Array, *, learning_rate: float, momentum: float, nesterov: bool,
        decay: float = 0.0,
    ) -> None:
        """Update p and velocity (1-D) in place."""


class ConvReluMaxPool(Protocol):
    """maxpool2d(relu(conv2d(x, w, b))) in one pass, so that the big image before pooling never leaves the cache.

    Equal to the three operations one after the other.  `winners` is the max-pool's, except where the ReLU is closed
    (y = 0) and no gradient flows: there it is ph·pw, which is no place of a window.  So it alone says where dy goes.
    """

    def forward(
        self, x: Array, w: Array, b: Array | None, pool_size: Pair, *, strides: Pair, padding: Padding,
        dilation: Pair, pool_strides: Pair, pool_padding: Padding, out: Array | None = None,
        winners: Array | None = None, workspace: Workspace | None = None,
    ) -> tuple[Array, Array]:
        """Return (y, winners), both (n, ph, pw, f)."""

    def backward(
        self, dy: Array, winners: Array, x: Array, w: Array, pool_size: Pair, *, strides: Pair, padding: Padding,
        dilation: Pair, pool_strides: Pair, pool_padding: Padding, need_dx: bool = True,
        out: tuple[Array | None, Array, Array] | None = None, workspace: Workspace | None = None,
    ) -> tuple[Array | None, Array, Array]:
        """Return (dx, dw, db); dx is None when `need_dx` is false (the first layer needs none)."""


def winner_dtype(pool_size: Pair) -> type[np.unsignedinteger[Any]]:
    """The smallest dtype that numbers the places of a window and none of them: one byte up to 255 places."""
    return np.uint8 if pool_size[0] * pool_size[1] <= 255 else np.uint32
