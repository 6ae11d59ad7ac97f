"""Losses: how wrong the predictions are, one number, and its gradient with respect to the predictions.

    value, dy = loss(y_true, y_pred)        both for the mean over the batch

A cross-entropy can be computed from probabilities, or from the logits that go into the softmax or sigmoid.  The second
way needs no logarithm of a tiny probability; a model takes it by itself when its last activation is the matching one
(see `tinyconv.plan`).  Probabilities count from 10⁻⁷ to 1 - 10⁻⁷ and no gradient flows beyond, as in Keras.
"""

from typing import Any

import numpy as np

from tinyconv import backends, checks, serialization
from tinyconv.backends import Backend
from tinyconv.capturing import Capturable
from tinyconv.errors import DataError, ShapeError

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

SMALLEST = 1e-7  # distance that probabilities keep from 0 and 1
_NUMPY = backends.get("numpy")


class Loss(Capturable):
    """Base of all losses; subclasses define `targets` and `__call__`.

    `fused_activation` names the activation whose inverse the loss contains, if there is one; such a loss also has
    `on_logits`.  One that `only_launches` (see `Capturable`) has `launch`, to which that applies.
    """

    fused_activation: str | None = None
    from_logits = False

    def targets(self, y_true: Any, shape: Shape, dtype: Any) -> Array:
        """Return `y_true` in the form that the loss computes with, for predictions of `shape` and `dtype`.

        Raises DataError when there are too few or too many of them or they are out of range, ShapeError when
        predictions of `shape` make no sense for this loss.
        """
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Array) -> tuple[float, Array]:
        """Return the loss, averaged over the batch, and its gradient with the shape of `y_pred`."""
        raise NotImplementedError

    def on_logits(
        self, y_true: Any, logits: Array, *, backend: Backend = _NUMPY, out: tuple[Array, Array] | None = None
    ) -> tuple[float, Array]:
        """The same, from the logits; `out` is memory for the loss of each example and for the gradient."""
        raise NotImplementedError

    def launch(
        self, targets: Array, logits: Array, *, backend: Backend, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """`on_logits` without waiting for the result: the loss of each example, and the gradient of their mean.

        `targets` are what the method of that name returned, on the backend's device.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {}


class CategoricalCrossentropy(Loss):
    """-Σ_k t_k log p_k for class probabilities p and one-hot t, or the number of the right class: -log p_t.

    Predictions have shape (n, classes).  Targets are whole numbers (n,) or (n, 1) in 0 … classes - 1, or one
    distribution per example (n, classes), one-hot or soft.  Probabilities are first divided by their sum.

    Arguments:
        from_logits: whether predictions are the numbers before the softmax.
        label_smoothing: in [0, 1]; s turns t into (1 - s) · t + s / classes.

    >>> loss, dy = CategoricalCrossentropy()([3], np.array([[0.03, 0.03, 0.04, 0.9]]))
    >>> round(loss, 5)
    0.10536
    """

    fused_activation = "softmax"
    only_launches = True

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        self.from_logits = from_logits
        self.label_smoothing = checks.number(label_smoothing, "label_smoothing", minimum=0, maximum=1)

    def targets(self, y_true: Any, shape: Shape, dtype: Any) -> Array:
        """Return labels (n,) as int64, or distributions (n, classes) in `dtype`; see `Loss.targets`."""
        if len(shape) != 2:
            raise ShapeError(f"A categorical cross-entropy needs predictions (batch, classes), but got shape {shape}.")
        targets = _class_targets(y_true, shape, dtype)
        if self.label_smoothing:
            targets = _one_hot(targets, shape, dtype)
            targets = (1 - self.label_smoothing) * targets + targets.dtype.type(self.label_smoothing / shape[1])
        return targets

    def __call__(self, y_true: Any, y_pred: Array) -> tuple[float, Array]:
        """Return the loss, averaged over the batch, and its gradient with the shape of `y_pred`."""
        if self.from_logits:
            return self.on_logits(y_true, y_pred)
        n = len(y_pred)
        t = _one_hot(self.targets(y_true, y_pred.shape, y_pred.dtype), y_pred.shape, y_pred.dtype)  # (n, classes)
        total = y_pred.sum(axis=1, keepdims=True)  # (n, 1)
        p = y_pred / total
        clipped = np.clip(p, SMALLEST, 1 - SMALLEST)
        value = -float(np.sum(t * np.log(clipped), dtype=np.float64)) / n
        dp = np.where(clipped == p, -t / clipped, 0) / n
        dy = (dp - np.sum(dp * p, axis=1, keepdims=True)) / total  # through the division by the sum
        return value, dy.astype(y_pred.dtype, copy=False)

    def on_logits(
        self, y_true: Any, logits: Array, *, backend: Backend = _NUMPY, out: tuple[Array, Array] | None = None
    ) -> tuple[float, Array]:
        """The same, from the logits; `out` is memory for the losses (n,) and for the gradient (n, classes)."""
        targets = backend.device.asarray(self.targets(y_true, logits.shape, logits.dtype))
        losses, dlogits = self.launch(targets, logits, backend=backend, out=out)
        return float(losses.mean(dtype=np.float64)), dlogits

    def launch(
        self, targets: Array, logits: Array, *, backend: Backend, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """The loss of each example (n,), and the gradient of their mean; see `Loss.launch`."""
        return backend.softmax_cross_entropy.loss_and_gradient(logits, targets, scale=1 / len(logits), out=out)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """Keras's name for the cross-entropy with whole numbers as labels; the same as `CategoricalCrossentropy`."""

    only_launches = True

    def __init__(self, from_logits: bool = False) -> None:
        super().__init__(from_logits=from_logits)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {"from_logits": self.from_logits}


class BinaryCrossentropy(Loss):
    """-t log p - (1 - t) log(1 - p), averaged over outputs and batch, for probabilities p and targets t in [0, 1].

    Predictions have shape (n, outputs); targets the same, or (n,) for one output.

    Arguments:
        from_logits: whether predictions are the numbers before the sigmoid.
        label_smoothing: in [0, 1]; s turns t into (1 - s) · t + s / 2.
    """

    fused_activation = "sigmoid"
    only_launches = True

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        self.from_logits = from_logits
        self.label_smoothing = checks.number(label_smoothing, "label_smoothing", minimum=0, maximum=1)

    def targets(self, y_true: Any, shape: Shape, dtype: Any) -> Array:
        """Return the targets with `shape` and `dtype`; see `Loss.targets`."""
        targets = _same_shape(y_true, shape)
        if not (targets.min() >= 0 and targets.max() <= 1):
            raise DataError(
                f"Targets of a binary cross-entropy must lie in [0, 1], but got {targets.min()} … {targets.max()}."
            )
        targets = targets.astype(dtype, copy=False)
        if self.label_smoothing:
            targets = (1 - self.label_smoothing) * targets + targets.dtype.type(self.label_smoothing / 2)
        return targets

    def __call__(self, y_true: Any, y_pred: Array) -> tuple[float, Array]:
        """Return the loss, averaged over the batch, and its gradient with the shape of `y_pred`."""
        if self.from_logits:
            return self.on_logits(y_true, y_pred)
        t = self.targets(y_true, y_pred.shape, y_pred.dtype)
        p = np.clip(y_pred, SMALLEST, 1 - SMALLEST)
        value = -float(np.mean(t * np.log(p) + (1 - t) * np.log1p(-p), dtype=np.float64))
        dy = np.where(p == y_pred, ((1 - t) / (1 - p) - t / p) / p.size, 0)
        return value, dy.astype(y_pred.dtype, copy=False)

    def on_logits(
        self, y_true: Any, logits: Array, *, backend: Backend = _NUMPY, out: tuple[Array, Array] | None = None
    ) -> tuple[float, Array]:
        """The same, from the logits; `out` is memory for the losses (n,) and for the gradient (n, outputs)."""
        targets = backend.device.asarray(self.targets(y_true, logits.shape, logits.dtype))
        losses, dlogits = self.launch(targets, logits, backend=backend, out=out)
        return float(losses.mean(dtype=np.float64)), dlogits

    def launch(
        self, targets: Array, logits: Array, *, backend: Backend, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """The loss of each example (n,), and the gradient of their mean; see `Loss.launch`."""
        return backend.sigmoid_cross_entropy.loss_and_gradient(logits, targets, scale=1 / len(logits), out=out)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


class MeanSquaredError(Loss):
    """(y - t)², averaged over outputs and batch; targets have the shape of the predictions, or (n,) for one output."""

    def targets(self, y_true: Any, shape: Shape, dtype: Any) -> Array:
        """Return the targets with `shape` and `dtype`; see `Loss.targets`."""
        return _same_shape(y_true, shape).astype(dtype, copy=False)

    def __call__(self, y_true: Any, y_pred: Array) -> tuple[float, Array]:
        """Return the loss, averaged over the batch, and its gradient 2 (y - t) / size."""
        difference = y_pred - self.targets(y_true, y_pred.shape, y_pred.dtype)
        value = float(np.mean(np.square(difference), dtype=np.float64))
        difference *= 2 / difference.size
        return value, difference


CLASSES: dict[str, type[Loss]] = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
}


def get(identifier: Any) -> Loss:
    """Return the loss that is meant: one itself, its class, its name, or what `serialize` returned.

    Raises ArgumentError when there is no such loss.

    >>> get("categorical_crossentropy").get_config()
    {'from_logits': False, 'label_smoothing': 0.0}
    """
    return serialization.resolve(identifier, CLASSES, Loss, "loss")


def serialize(loss: Loss) -> dict[str, Any]:
    """Return {"class_name": …, "config": …}, as JSON types."""
    return serialization.serialize(loss)


def _class_targets(y_true: Any, shape: Shape, dtype: Any) -> Array:
    """Labels (n,) as int64, or distributions (n, classes) in `dtype`, checked."""
    y = checks.host_array(y_true, "y")
    n, classes = shape
    _check_length(y, n)
    if y.shape == (n, classes) and classes > 1:
        if not (y.min() >= 0 and np.abs(y.sum(axis=1) - 1).max() <= 1e-3):
            raise DataError("One-hot labels must be at least 0 and add up to 1 in each row, but these do not.")
        return y.astype(dtype, copy=False)
    if y.shape not in ((n,), (n, 1)):
        raise DataError(
            f"Labels must be whole numbers of shape ({n},) or one-hot rows of shape ({n}, {classes}), for a model with "
            f"{classes} outputs, but got shape {y.shape}."
        )
    if y.dtype.kind not in "iu":
        raise DataError(f"Class labels must be whole numbers 0 … {classes - 1}, but got an array of {y.dtype}.")
    labels = y.reshape(n).astype(np.int64, copy=False)
    if labels.min() < 0 or labels.max() >= classes:
        wrong = int(np.argmax((labels < 0) | (labels >= classes)))
        raise DataError(
            f"Class labels must lie in 0 … {classes - 1}, for a model with {classes} outputs, but label {wrong} is "
            f"{labels[wrong]}."
        )
    return labels


def _one_hot(targets: Array, shape: Shape, dtype: Any) -> Array:
    """Labels (n,) as rows (n, classes) with a 1 at the label; distributions as they are."""
    if targets.ndim == 2:
        return targets
    rows = np.zeros(shape, dtype)
    rows[np.arange(len(targets)), targets] = 1
    return rows


def _same_shape(y_true: Any, shape: Shape) -> Array:
    """Numbers of the predictions' shape; (n,) will do for (n, 1)."""
    y = checks.host_array(y_true, "y")
    _check_length(y, shape[0])
    if y.dtype.kind not in "fiub":
        raise DataError(f"Targets must be numbers, but got an array of {y.dtype}.")
    if y.shape != shape and (*y.shape, 1) != shape:
        raise DataError(f"Targets must have the predictions' shape {shape}, but got shape {y.shape}.")
    return y.reshape(shape)


def _check_length(y: Array, n: int) -> None:
    if y.ndim == 0 or len(y) != n:
        raise DataError(f"Every example needs one label, but got {y.shape[0] if y.ndim else 'one'} for {n} examples.")
