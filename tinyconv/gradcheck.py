"""Gradient checking: does `backward` return the derivative of what `forward` computes?

    report = check_layer(Conv2D(4, (3, 2)), (6, 5, 3))
    print(report)              # one line per tensor
    report.raise_if_wrong()

With a *random* upstream gradient dy, L(θ) = Σ dy · forward(θ) is a number, and backward claims to know ∂L/∂θ for the
input and every parameter θ.  The claim is compared with central differences in float64,

    ∂L/∂v ≈ Σ dy · (forward(θ + h·v) - forward(θ - h·v)) / 2h,        h = 1e-5 · max(1, rms(θ)),

along directions v.  For a small tensor they are its elements, one at a time.  A large one is cut into random groups
that together cover every element, and v is random on one group: no element goes unchecked, and a group that disagrees
is halved until one element is left to blame.

ReLU and max-pool have kinks, where the derivative does not exist and differences mean nothing.  A direction that
crosses one betrays itself when h is halved: on a smooth function the slope stays the same, and the change of the slope
from one side to the other halves.  Such a direction is counted and skipped; a tensor with too many is not passed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tinyconv import random
from tinyconv.devices import HOST, Device
from tinyconv.errors import ArgumentError, GradientError
from tinyconv.layers.base import Layer, Parameter
from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

STEP = 1e-5
TOLERANCE = 1e-7
GROUPS = 200  # directions per tensor
KINKS_ALLOWED = 0.2  # of a tensor's directions


class Loss(Protocol):
    """What `check_loss` checks: (y_true, y_pred) → the mean loss and its gradient with respect to y_pred."""

    def __call__(self, y_true: Array, y_pred: Array) -> tuple[float, Array]: ...


@dataclass(frozen=True)
class TensorReport:
    """What was found for one tensor.

    `max_relative_error` is |analytic - numeric| beyond the rounding noise of the differences, relative to the largest
    of |analytic|, |numeric| and the tensor's typical (root mean square) derivative, at the worst direction.
    `worst_index` is that direction's element, None for a group of elements that agrees.  `verdict` begins with "ok", or
    says what is wrong.
    """

    name: str
    shape: Shape
    directions: int
    kinks: int
    max_relative_error: float
    worst_index: Shape | None
    analytic: float
    numeric: float
    verdict: str

    @property
    def ok(self) -> bool:
        """Whether the gradient of this tensor is right."""
        return self.verdict.startswith("ok")


@dataclass(frozen=True)
class Report:
    """What was found for a layer, a loss or a model: one `TensorReport` per tensor; `print` shows a table."""

    subject: str
    tolerance: float
    tensors: tuple[TensorReport, ...]

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(tensor.ok for tensor in self.tensors)

    def raise_if_wrong(self) -> None:
        """Raise GradientError with the first wrong tensor and the table, unless everything is right."""
        for tensor in self.tensors:
            if not tensor.ok:
                sentence = f"{self.subject}: the gradient of {tensor.name} is wrong ({tensor.verdict})."
                raise GradientError(f"{sentence}\n{self}")

    def __str__(self) -> str:
        header = ("tensor", "shape", "checked", "kinks", "rel. error", "worst at", "analytic", "numeric", "verdict")
        rows = [header, *(_row(tensor) for tensor in self.tensors)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([f"{self.subject} (tolerance {self.tolerance:g})", *lines])


def _row(tensor: TensorReport) -> tuple[str, ...]:
    where = "-" if tensor.worst_index is None else str(tensor.worst_index)
    return (
        tensor.name, str(tensor.shape), str(tensor.directions), str(tensor.kinks), f"{tensor.max_relative_error:.1e}",
        where, f"{tensor.analytic:.6g}", f"{tensor.numeric:.6g}", tensor.verdict,
    )


# -- what can be checked ----------------------------------------------------------------------------------------------


def check_layer(
    layer: Layer, x: Array | Sequence[int], *, training: bool = True, backend: str | None = None, seed: int = 0,
    tolerance: float = TOLERANCE, groups: int = GROUPS,
) -> Report:
    """Check the gradients of `layer` with respect to its input and its parameters.

    Arguments:
        layer: not yet built, or built with dtype float64.  In one that is not built, weights that start as a constant
            get random numbers added, so that a bias of 0 or a gamma of 1 hides nothing.
        x: a batch of inputs, or a tuple: the shape of one input without the batch axis, for three random ones.
        training: which `forward`; dropout draws the same mask each time.
        backend: for building; "numpy" if None.
        seed: of the random numbers.
        tolerance: largest relative error that passes.
        groups: directions per tensor; a tensor of no more elements than that is checked element by element.

    Raises ArgumentError for a layer that was built in another dtype.
    """
    images = _draw(seed, "x", (3, *x)) if isinstance(x, tuple) else np.array(x, dtype=np.float64, order="C")
    if not layer.built:
        layer.build(images.shape[1:], backend=backend, dtype="float64", seed=seed)
        _roughen(layer.parameters, seed)
    if layer.dtype != np.float64:
        raise ArgumentError(
            f"{layer.name} was built in {layer.dtype}, whose rounding hides errors: check an unbuilt layer, or build "
            'it with dtype="float64".'
        )
    layer.needs_input_gradient = True
    step, device = layer.step, layer.backend.device
    inputs = device.asarray(images)

    def forward() -> Array:
        layer.step = step
        return np.array(device.numpy(layer.forward(inputs, training)))

    with _Unchanged([parameter.value for parameter in layer.parameters]):
        y = forward()
        dy = _draw(seed, "dy", y.shape)
        _poison(layer.parameters)
        dx = layer.backward(device.asarray(dy.copy()))
        claims = [_Claim("input", inputs, dx, device)]
        claims += _claims(layer.parameters, device)
        return _report(layer.name, claims, forward, dy, seed, tolerance, groups)


def check_loss(
    loss: Loss, y_true: Array, y_pred: Array, *, seed: int = 0, tolerance: float = TOLERANCE, groups: int = GROUPS
) -> Report:
    """Check the gradient that `loss(y_true, y_pred)` returns beside its value; arguments as for `check_layer`."""
    predictions = np.array(y_pred, dtype=np.float64, order="C")
    _, dy = loss(y_true, predictions)

    def forward() -> Array:
        return np.array([loss(y_true, predictions)[0]], np.float64)

    claims = [_Claim("y_pred", predictions, dy, HOST)]
    return _report(type(loss).__name__, claims, forward, np.ones(1), seed, tolerance, groups)


def check_model(
    model: Sequential, x: Array, y: Array, *, seed: int = 0, tolerance: float = TOLERANCE, groups: int = 20
) -> Report:
    """Check the gradients of a compiled model's loss, penalties included, with respect to all its parameters.

    What is checked is a copy of the model in float64, with the same backend, fusion, weights and loss, in training mode
    and with the dropout masks of the first step.  Weights that are one constant get random numbers added.  A few
    examples are enough; the other arguments are as for `check_layer`.

    Raises StateError for a model that is not compiled, and what the model raises for data that do not fit.
    """
    images = np.array(model.check_inputs(x), dtype=np.float64)
    twin = type(model).from_config(model.get_config() | {"dtype": "float64", "precision": "float32"})
    twin.compile("sgd", model.loss)
    twin.set_weights(model.get_weights())
    _roughen(twin.weights, seed)

    device = twin.backend.device
    inputs = device.asarray(images)

    def forward() -> Array:
        value, _ = twin.plan.loss(inputs, y, training=True)
        penalty = sum(one.regularizer.penalty(one.value) for one in twin.weights if one.regularizer is not None)
        return np.array([value + penalty])

    _poison(twin.weights)
    twin.loss_and_gradients(images, y)
    return _report(model.name, _claims(twin.weights, device), forward, np.ones(1), seed, tolerance, groups)


# -- the comparison ---------------------------------------------------------------------------------------------------


class _Claim:
    """A tensor on a device that the output depends on, and what backward claims to be its gradient."""

    def __init__(self, name: str, values: Array, gradient: Array | None, device: Device) -> None:
        self.name = name
        self.values = values
        self.device = device
        # a copy: the next backward overwrites it
        self.gradient = None if gradient is None else np.array(device.numpy(gradient))

    def fault(self) -> str | None:
        """What makes a comparison impossible, if anything."""
        if self.gradient is None:
            return "backward returned none"
        if self.gradient.shape != self.values.shape:
            return f"its shape is {self.gradient.shape}"
        if not np.isfinite(self.gradient).all():
            return "it is not finite, or was not written"
        return None


class _Difference:
    """L along one direction: the derivative as claimed and as measured, the rounding noise, and how kinked L is."""

    def __init__(self, claim: _Claim, where: Array, direction: Array, forward: Callable[[], Array], dy: Array) -> None:
        assert claim.gradient is not None
        self.where = where
        device = claim.device
        h = STEP * max(1.0, float(np.sqrt(np.mean(device.numpy(claim.values) ** 2))))
        flat = claim.values.reshape(-1)  # a view: values are C-contiguous
        original = np.array(device.numpy(flat[where]))

        def at(distance: float) -> Array:
            flat[where] = device.asarray(original + distance * direction)
            try:
                return forward()
            finally:
                flat[where] = device.asarray(original)

        middle = at(0.0)

        def slopes(h: float) -> tuple[float, float]:
            """The slope, and how much more it is above than below."""
            rise, fall = at(h) - middle, middle - at(-h)
            return float(np.vdot(dy, rise + fall)) / (2 * h), float(np.vdot(dy, rise - fall)) / h

        self.numeric, bend = slopes(h)
        halved, halved_bend = slopes(h / 2)
        self.analytic = float(np.dot(claim.gradient.reshape(-1)[where], direction))
        self.kink = max(abs(self.numeric - halved), abs(bend - 2 * halved_bend))
        self.noise = 16 * float(np.finfo(np.float64).eps) * float(np.linalg.norm(dy * middle)) / h

    def error(self, typical: float) -> float:
        """The relative error, after what rounding explains; NaN differences count as wrong."""
        excess = abs(self.analytic - self.numeric) - self.noise
        if not excess > 0:
            return float("inf") if np.isnan(excess) else 0.0
        return excess / max(abs(self.analytic), abs(self.numeric), typical)

    def crosses_kink(self, typical: float, tolerance: float) -> bool:
        """Whether the measured derivative cannot be trusted to `tolerance`."""
        return self.kink > 0.5 * tolerance * max(abs(self.numeric), typical) + 4 * self.noise


def _claims(parameters: Sequence[Parameter], device: Device) -> list[_Claim]:
    return [_Claim(one.name, one.value, one.gradient, device) for one in parameters if one.trainable]


def _report(
    subject: str, claims: list[_Claim], forward: Callable[[], Array], dy: Array, seed: int, tolerance: float,
    groups: int,
) -> Report:
    """Compare every claim with differences of `forward`."""
    if not np.array_equal(forward(), forward(), equal_nan=True):
        raise ArgumentError(f"{subject} cannot be checked: it does not compute the same output twice from one input.")
    return Report(subject, tolerance, tuple(_compare(claim, forward, dy, seed, tolerance, groups) for claim in claims))


def _compare(
    claim: _Claim, forward: Callable[[], Array], dy: Array, seed: int, tolerance: float, groups: int
) -> TensorReport:
    fault = claim.fault()
    if fault is not None:
        nan = float("nan")
        return TensorReport(claim.name, claim.values.shape, 0, 0, nan, None, nan, nan, f"WRONG: {fault}")

    def difference(where: Array) -> _Difference:
        direction = weights[where] / np.sqrt(len(where)) if len(where) > 1 else np.ones(1)
        return _Difference(claim, where, direction, forward, dy)

    size = claim.values.size
    weights = random.uniform(random.key(seed, f"directions/{claim.name}"), (size,), -1.0, 1.0)
    weights = 0.5 * (np.sign(weights) + weights)  # ±[½, 1]: no element of a group weighs so little that its error hides
    order = random.permutation(random.key(seed, f"groups/{claim.name}"), size)
    found = [difference(where) for where in np.array_split(order, min(size, groups))]

    typical = float(np.sqrt(np.mean([one.numeric**2 for one in found])))
    smooth = [one for one in found if not one.crosses_kink(typical, tolerance)]
    kinks = len(found) - len(smooth)
    worst = max(smooth or found, key=lambda one: one.error(typical))
    wrong = worst.error(typical) > tolerance
    while wrong and len(worst.where) > 1:  # who in the group is to blame?
        halves = [difference(half) for half in np.array_split(worst.where, 2)]
        worst = max(halves, key=lambda one: abs(one.analytic - one.numeric))
    if wrong:
        verdict = "WRONG"
    elif kinks > KINKS_ALLOWED * len(found):
        verdict = "WRONG: too many kinks to tell"
    elif all(one.analytic == 0 and abs(one.numeric) <= one.noise for one in found):
        verdict = "ok, all zero"
    else:
        verdict = "ok"
    shape = claim.values.shape
    index = None if len(worst.where) > 1 else tuple(int(place) for place in np.unravel_index(worst.where[0], shape))
    return TensorReport(
        claim.name, shape, len(found), kinks, worst.error(typical), index, worst.analytic, worst.numeric, verdict
    )


# -- helpers ----------------------------------------------------------------------------------------------------------


class _Unchanged:
    """Puts arrays back as they were: moving averages that training moves, and weights to the last bit."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays = arrays
        self.copies = [array.copy() for array in arrays]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        for array, copy in zip(self.arrays, self.copies, strict=True):
            array[...] = copy


def _poison(parameters: Sequence[Parameter]) -> None:
    """Fill gradients with NaN: backward must overwrite them, not add to them."""
    for parameter in parameters:
        if parameter.gradient is not None:
            parameter.gradient[...] = np.nan


def _roughen(parameters: Sequence[Parameter], seed: int) -> None:
    """Add random numbers to the trainable parameters that are one constant."""
    for parameter in parameters:
        values = parameter.numpy()
        if parameter.trainable and np.ptp(values) == 0:
            parameter.set(values + 0.3 * _draw(seed, parameter.name, values.shape))


def _draw(seed: int, stream: str, shape: Shape) -> Array:
    return random.normal(random.key(seed, f"gradcheck/{stream}"), shape)
