"""The plan: how a built model runs its layers, and all the memory that this takes.

    plan = Plan(layers, loss, fuse=True)
    value, y_pred = plan.loss(x, y, training=False)
    value, y_pred = plan.loss_and_gradients(x, y, training=True, step=0)

A plan that fuses
- runs Conv2D, ReLU and MaxPooling2D in a row as one step, where the backend can, and Conv2D with a ReLU alone;
- computes a final softmax or sigmoid together with its cross-entropy;
- lets an activation or a dropout write over its input where nobody reads that again;
- leaves out the gradient of the data, and of layers before the first one with weights to train;
- owns a `Workspace`: for a batch size that it has seen before, a step allocates no arrays;
- repeats the compiled kernels of a training step from a tape (see `kernels.tape`), where all of it is kernels.

Its memory is lent to the layers while the plan runs them; whoever calls a layer at another time gets new arrays.

Without fusing, every layer runs alone, in the order and by the formulas of the book, in memory of its own, and keeps
its last output to be looked at: study mode.  (Who replaces a layer's methods to look inside needs it as well, since a
fused step calls no layer.)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from tinyconv.backends import Backend
from tinyconv.errors import ShapeError, StateError
from tinyconv.kernels import contract, registry
from tinyconv.kernels.contract import winner_dtype
from tinyconv.kernels.geometry import NO_PADDING
from tinyconv.kernels.tape import Tape
from tinyconv.kernels.workspace import Workspace
from tinyconv.layers.activated import ActivatedLayer
from tinyconv.layers.activation import Activation
from tinyconv.layers.base import Array, Layer, Shape
from tinyconv.layers.conv2d import Conv2D
from tinyconv.layers.pooling import MaxPooling2D
from tinyconv.losses import Loss
from tinyconv.utils import readable


class ConvReluMaxPool:
    """One step for a Conv2D, its ReLU and the MaxPooling2D after it; see `kernels.contract.ConvReluMaxPool`.

    Without a MaxPooling2D the windows are of one pixel.
    """

    def __init__(self, conv: Conv2D, pool: MaxPooling2D | None, workspace: Workspace) -> None:
        self.conv, self.workspace = conv, workspace
        self.last: Conv2D | MaxPooling2D = conv if pool is None else pool
        self.pool_size = (1, 1) if pool is None else pool.pool_size
        strides, padding = ((1, 1), NO_PADDING) if pool is None else (pool.windows["strides"], pool.windows["padding"])
        self.windows: dict[str, Any] = {**conv.windows, "pool_strides": strides, "pool_padding": padding}

    @property
    def operation(self) -> contract.ConvReluMaxPool:
        """The backend's rung for the convolution's shape."""
        return self.conv.backend.choose("conv_relu_maxpool", self.conv.convolution)

    def forward(self, x: Array, training: bool) -> Array:
        """Return the pooled image (n, ph, pw, filters) for x (n, h, w, channels)."""
        conv, last = self.conv, self.last
        self._x = x
        y_shape = (len(x), *last.output_shape)
        y, self._winners = self.operation.forward(
            x, conv.kernel.value, None if conv.bias is None else conv.bias.value, self.pool_size, **self.windows,
            out=last.buffer("y", y_shape), winners=last.buffer("winners", y_shape, winner_dtype(self.pool_size)),
            workspace=self.workspace,
        )
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dx, or None where nobody needs it, and overwrite the convolution's gradients."""
        conv = self.conv
        if not conv.trainable:
            return None  # a plan fuses a frozen convolution only where nobody needs dx
        need_dx = conv.needs_input_gradient
        dx = conv.buffer("dx", self._x.shape) if need_dx else None
        self.operation.backward(
            dy, self._winners, self._x, conv.kernel.value, self.pool_size, **self.windows, need_dx=need_dx,
            out=(dx, *conv.weight_gradients()), workspace=self.workspace,
        )
        return dx


Step: TypeAlias = Layer | ConvReluMaxPool

FILTERS_OF_WHOLE_VECTORS = 16  # a multiple of that is whole vectors of floats on any processor

_ARITHMETIC = frozenset({"forward", "backward", "forward_logits", "backward_logits"})


class Plan:
    """Runs built layers forward and backward, and computes a loss at their end.

    Arguments:
        layers: built, for one backend and dtype.
        loss: None for a model that only predicts.
        fuse: False for study mode.
    """

    def __init__(self, layers: Sequence[Layer], loss: Loss | None, *, fuse: bool) -> None:
        self.layers, self.fuse = list(layers), fuse
        self.backend: Backend = self.layers[0].backend
        self.workspace = self.backend.device.workspace() if fuse else None
        first = next((i for i, layer in enumerate(layers) if any(p.trainable for p in layer.parameters)), len(layers))
        self.needs_input_gradient = [not fuse or i > first for i in range(len(self.layers))]
        self.in_place = [fuse and self._may_overwrite(i) for i in range(len(self.layers))]
        for layer in self.layers:
            layer.output = None
        self.steps = list(self.layers) if self.workspace is None else self._group(self.workspace)
        self._predicted: Shape | None = None  # shape of the predictions that `backward` can go back from
        self._loss = loss
        self._last = _fused_with(loss, self.layers[-1]) if fuse else None  # the loss includes its activation
        self._changes = self.changes
        self._only_launches = self._whether_only_launches()
        self._tapes: dict[Any, Tape[tuple[Array, Array]]] = {}  # of training steps, by the shapes of their data
        self._tapes_version = 0  # of the workspace that they work on
        self._step = np.zeros(1, np.uint32)  # its number, where tapes read it

    # -- planning -----------------------------------------------------------------------------------------------------

    def _may_overwrite(self, index: int) -> bool:
        """Whether layer `index` can write its output over its input: it is no user's data and nobody reads it again."""
        if not self.layers[index].may_overwrite_input:
            return False
        for before in reversed(self.layers[:index]):
            if before.reads_output:
                return False
            if not before.may_return_input:
                return True
        return False

    def _group(self, workspace: Workspace) -> Sequence[Step]:
        """The layers as steps, with each run of Conv2D, ReLU and MaxPooling2D as one where the backend has it fused.

        A frozen convolution behind a layer that learns stays alone.  So does one without a pooling on a GPU, where
        nobody has measured it, and where its filters are too few for the vector code.
        """
        if registry.default_rung("conv_relu_maxpool", self.backend.name) == "definition":
            return list(self.layers)
        steps: list[Step] = []
        rest = list(self.layers)
        while rest:
            match = _conv_relu_maxpool(rest)
            needed = self.needs_input_gradient[len(self.layers) - len(rest)]
            if match is not None and match[1] is None:
                alone = self.backend.name == "numba" and match[0].filters % FILTERS_OF_WHOLE_VECTORS == 0
                match = match if alone else None
            # The fused kernel knows no other arithmetic than theirs, and always computes dw.
            if match is None or not all(map(_only_launches, rest[: match[2]])) or (needed and not match[0].trainable):
                steps.append(rest.pop(0))
            else:
                conv, pool, size = match
                steps.append(ConvReluMaxPool(conv, pool, workspace))
                rest = rest[size:]
        return steps

    # -- running ------------------------------------------------------------------------------------------------------

    def forward(self, x: Array, *, training: bool = False, step: int = 0) -> Array:
        """Return the predictions (n, …) for x (n, …), in the plan's memory: the next call overwrites them."""
        self._predicted = None
        with self._lending():
            y = self._run(self.steps, x, training, step)
        self._predicted = y.shape
        return y

    def backward(self, dy: Array) -> Array | None:
        """Overwrite every parameter's gradient, for the gradient dy of the predictions; return dx in study mode.

        A plan that fuses writes over dy.  Raises StateError unless `forward` ran last, ShapeError for another shape.
        """
        if self._predicted is None:
            raise StateError("There is nothing to go back from: call forward(x) just before backward(dy).")
        if dy.shape != self._predicted:
            raise ShapeError(f"dy must have the shape of the predictions, {self._predicted}, but got {dy.shape}.")
        with self._lending():
            return self._run_back(self.steps, dy)

    def loss(self, x: Array, y: Any, *, training: bool, step: int = 0) -> tuple[float, Array]:
        """Run forward; return the loss, averaged over the batch, and the predictions, in the plan's memory."""
        if self._loss is None:
            raise StateError("The model has no loss yet: call compile(optimizer, loss) first.")
        self._predicted = None
        with self._lending():
            y_pred = self._run_to_logits(x, training, step)
            if self._last is not None or self._loss.from_logits:
                value, self._dy = self._loss.on_logits(y, y_pred, backend=self.backend, out=self._loss_buffers(y_pred))
                return value, self._predictions(y_pred)
            device = self.backend.device
            value, dy = self._loss(y, device.numpy(y_pred))
            self._dy = device.asarray(dy)
            return value, y_pred

    def loss_and_gradients(self, x: Array, y: Any, *, training: bool, step: int = 0) -> tuple[float, Array]:
        """Do what `loss` does, and overwrite every parameter's gradient."""
        if training and self.uses_tapes:
            return self._loss_and_gradients_from_tape(x, y, step)
        value, y_pred = self.loss(x, y, training=training, step=step)
        with self._lending():
            self._run_back_from_logits(self._dy)
        return value, y_pred

    def _loss_and_gradients_from_tape(self, x: Array, y: Any, step: int) -> tuple[float, Array]:
        """The same, by the same kernels, on copies of the data in memory that stays."""
        assert self._loss is not None
        assert self.workspace is not None
        self._predicted = None
        targets = self._loss.targets(y, (len(x), *self.layers[-1].output_shape), self.layers[-1].dtype)
        its_x = self.input_buffer(x.shape)
        its_targets = self.workspace.array("targets", targets.shape, targets.dtype)
        if its_x is not x:
            np.copyto(its_x, x)
        np.copyto(its_targets, targets)
        self._step[0] = step % 2**32
        if self._tapes_version != self.workspace.version:
            self._tapes, self._tapes_version = {}, self.workspace.version
        key = len(x), targets.shape, targets.dtype
        tape = self._tapes.get(key)
        if tape is None:
            tape = self._tapes[key] = Tape()
        losses, y_pred = tape(partial(self._launch_and_predict, its_x, its_targets))
        return float(np.add.reduce(losses, dtype=np.float64)) / len(losses), y_pred

    def _launch_and_predict(self, x: Array, targets: Array) -> tuple[Array, Array]:
        """`launch`, and the predictions in place of the logits."""
        losses, logits = self.launch(x, targets, self._step)
        with self._lending():
            return losses, self._predictions(logits)

    def launch(self, x: Array, targets: Array, step: Any) -> tuple[Array, Array]:
        """Run forward and backward for training, and wait for nothing; return the losses (n,) and the logits.

        `targets` are what the loss made of the labels; they and the number of the `step` lie on the device.
        """
        assert self._loss is not None
        with self._lending():
            logits = self._run_to_logits(x, True, step)
            losses, dlogits = self._loss.launch(targets, logits, backend=self.backend, out=self._loss_buffers(logits))
            self._run_back_from_logits(dlogits)
        for layer in self.layers:
            layer.step = 0
        return losses, logits

    @property
    def only_launches(self) -> bool:
        """Whether a step is made of the backend's operations only, so that `launch` can run it, and a graph take it."""
        changes = self.changes
        if changes != self._changes:
            self._changes, self._only_launches = changes, self._whether_only_launches()
            self._tapes.clear()
        return self._only_launches

    def _whether_only_launches(self) -> bool:
        loss = self._loss
        if loss is None or not loss.only_launches or (self._last is None and not (self.fuse and loss.from_logits)):
            return False
        return all(map(_only_launches, self.layers))

    @property
    def uses_tapes(self) -> bool:
        """Whether training steps are repeated from tapes."""
        return self.backend.device.tapes and self.only_launches

    @property
    def changes(self) -> list[int]:
        """Another list means that a captured step may not be what the layers would do now."""
        return [layer.changes for layer in self.layers]

    def input_buffer(self, shape: Shape) -> Array:
        """Memory for data that has to be converted to the layers' dtype first."""
        dtype = self.layers[0].dtype
        if self.workspace is None:
            return self.backend.device.empty(shape, dtype)
        return self.workspace.array("input", shape, dtype)

    def tape_input(self, shape: Shape) -> Array | None:
        """Where a tape reads a batch of `shape`, for who can put it there at once; None where there are no tapes."""
        return self.input_buffer(shape) if self.uses_tapes else None

    def release(self) -> None:
        """Give all memory back, after a batch that was too large for the device."""
        self._tapes.clear()
        if self.workspace is not None:
            self.workspace.clear()
        self.backend.device.release()

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the plan holds for batches of the sizes seen so far; 0 in study mode."""
        return 0 if self.workspace is None else self.workspace.nbytes

    def memory(self) -> str:
        """The same for people, and how much of it im2col needs for its copies of pixels."""
        if self.workspace is None:
            return "none kept between steps (study mode)"
        columns = self.workspace.held_by("conv2d/cols")
        share = f", {readable(columns)} of it for im2col (capped at {readable(self.workspace.cap)})" if columns else ""
        return f"{readable(self.nbytes)} for batches{share}"

    @contextmanager
    def _lending(self) -> Iterator[None]:
        """Let the layers use the plan's memory for a while, and what the plan knows about their neighbours."""
        for layer, in_place, needed in zip(self.layers, self.in_place, self.needs_input_gradient, strict=True):
            layer.workspace, layer.in_place, layer.needs_input_gradient = self.workspace, in_place, needed
        try:
            yield
        finally:
            for layer in self.layers:
                layer.workspace, layer.in_place, layer.needs_input_gradient = None, False, True

    def _run(self, steps: Sequence[Step], x: Array, training: bool, step: int) -> Array:
        """`x` through all `steps`."""
        for layer in self.layers:
            layer.step = step
        for stage in steps:
            x = stage.forward(x, training)
            if self.workspace is None and isinstance(stage, Layer):
                stage.output = self.backend.device.numpy(x)
        return x

    def _run_to_logits(self, x: Array, training: bool, step: int) -> Array:
        """`x` through all steps, but without the activation that the loss includes."""
        if self._last is None:
            return self._run(self.steps, x, training, step)
        return self._last.forward_logits(self._run(self.steps[:-1], x, training, step))

    def _predictions(self, logits: Array) -> Array:
        """What the activation, if there is one that the loss includes, makes of the logits."""
        if self._last is None:
            return logits
        return self._last.activation.forward(logits, self._last.activation_buffer(logits), backend=self.backend)

    def _run_back_from_logits(self, dy: Array) -> None:
        """The gradient of what `_run_to_logits` returned, back through all steps."""
        if self._last is None:
            self._run_back(self.steps, dy)
        else:
            self._run_back(self.steps[:-1], self._last.backward_logits(dy))

    def _run_back(self, steps: Sequence[Step], dy: Array | None) -> Array | None:
        """`dy` back through all `steps`, until one of them says that nobody needs the gradient of its input."""
        for stage in reversed(steps):
            if dy is None:
                break
            dy = stage.backward(dy)
        return dy

    def _loss_buffers(self, logits: Array) -> tuple[Array, Array] | None:
        """Memory for the loss of each example and for the gradient of the logits."""
        if self.workspace is None:
            return None
        losses = self.workspace.array("losses", logits.shape[:1], logits.dtype)
        return losses, self.workspace.array("dlogits", logits.shape, logits.dtype)


def _conv_relu_maxpool(layers: Sequence[Layer]) -> tuple[Conv2D, MaxPooling2D | None, int] | None:
    """The Conv2D and the MaxPooling2D, if `layers` begin with those and a ReLU between, and how many layers that are.

    The ReLU is the activation of the Conv2D, or a layer of its own; the MaxPooling2D may be missing.
    """
    match layers:
        case [Conv2D() as conv, MaxPooling2D() as pool, *_] if conv.activation.name == "relu":
            return conv, pool, 2
        case [Conv2D() as conv, Activation() as relu, MaxPooling2D() as pool, *_] if (
            conv.activation.is_linear and relu.activation.name == "relu"
        ):
            return conv, pool, 3
        case [Conv2D() as conv, *_] if conv.activation.name == "relu":
            return conv, None, 1
        case [Conv2D() as conv, Activation() as relu, *_] if (
            conv.activation.is_linear and relu.activation.name == "relu"
        ):
            return conv, None, 2
    return None


def _only_launches(layer: Layer) -> bool:
    """Whether that is true of its class and its activation, and no method of the layer was replaced by another one."""
    activation = layer.activation.only_launches if isinstance(layer, ActivatedLayer) else True
    return layer.only_launches and activation and _ARITHMETIC.isdisjoint(vars(layer))


def _fused_with(loss: Loss | None, last: Layer) -> ActivatedLayer | None:
    """`last` if it ends in the activation that `loss` can be computed together with."""
    if isinstance(last, ActivatedLayer) and loss is not None and not loss.from_logits:
        return last if last.activation.name == loss.fused_activation else None
    return None
