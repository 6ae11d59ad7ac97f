"""The shapes that networks of the zoo give to each operation, with the arithmetic and the memory traffic they need.

    for case in cases("conv2d", ["mnist_convnet"]):
        for call in case.calls(8):                      # for a batch of 8
            call.run(rung, Workspace())                 # rung: a module of the operation's folder

Operations that hardly compute have `flops` 0: what limits them is memory.  `nbytes` counts every array once that has to
be read or written: what the operation needs, not what a rung does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from tinyconv import layers, random, zoo
from tinyconv.errors import ArgumentError
from tinyconv.kernels.contract import winner_dtype
from tinyconv.kernels.costs import Convolution
from tinyconv.kernels.workspace import Workspace
from tinyconv.models import Sequential
from tinyconv.naming import suggestion
from tinyconv.plan import ConvReluMaxPool

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Call:
    """One function of an operation on arrays that are there: `run(rung, workspace)` calls it."""

    function: str
    flops: int
    nbytes: int
    run: Callable[[Any, Workspace], Any]


@dataclass(frozen=True)
class Case:
    """One shape: where it occurs, how to write it down, the batch size, and the calls for a batch of n.

    `convolution` is what the registry chooses a convolution's rung by.
    """

    where: str
    shape: str
    batch: int
    calls: Callable[[int], list[Call]]
    convolution: Convolution | None = None


def cases(operation: str, networks: Sequence[str]) -> list[Case]:
    """All different shapes of `operation` in these networks.

    Raises ArgumentError for an unknown network or operation, and for one that none of the networks has.
    """
    if operation not in OPERATIONS:
        raise ArgumentError(f"There is no ladder of {operation!r}. {suggestion(operation, OPERATIONS)}")
    found: dict[str, Case] = {}
    for network in networks:
        model = zoo.build(network, backend="numpy")
        for case in OPERATIONS[operation](model, zoo.entry(network).batch_size):
            found.setdefault(case.shape, case)
    if not found:
        raise ArgumentError(f"None of {', '.join(networks)} has a {operation}; choose others with --network.")
    return list(found.values())


def _random(shape: Sequence[int]) -> Array:
    """Numbers around 0, float32: half of them are negative, as before a ReLU."""
    return np.random.default_rng(0).random(tuple(shape), np.float32) - np.float32(0.5)


def _nbytes(*arrays: Array) -> int:
    return sum(array.nbytes for array in arrays)


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _layers(model: Sequential, kind: type[Any]) -> Iterator[Any]:
    return (layer for layer in model.layers if isinstance(layer, kind))


def _conv2d(model: Sequential, batch: int) -> Iterator[Case]:
    for layer in _layers(model, layers.Conv2D):
        yield Case(
            f"{model.name}/{layer.name}",
            f"{batch}×{_size(layer.input_shape)} * {_size(layer.kernel.value.shape)}", batch,
            partial(_conv2d_calls, layer), layer.convolution,
        )


def _conv2d_calls(layer: Any, n: int) -> list[Call]:
    x, w, b = _random((n, *layer.input_shape)), layer.kernel.value, layer.bias.value
    y, dx, dw, db = _random((n, *layer.output_shape)), np.empty_like(x), np.empty_like(w), np.empty_like(b)
    dy, windows = _random(y.shape), layer.windows
    flops = 2 * w.size * prod(y.shape[:3])
    return [
        Call(
            "forward", flops, _nbytes(x, w, y), lambda rung, ws: rung.forward(x, w, b, **windows, out=y, workspace=ws)
        ),
        Call(
            "backward_input", flops, _nbytes(dy, w, dx),
            lambda rung, ws: rung.backward_input(dy, w, x.shape, **windows, out=dx, workspace=ws),
        ),
        Call(
            "backward_weights", flops, _nbytes(x, dy, dw),
            lambda rung, ws: rung.backward_weights(x, dy, w.shape, **windows, out=(dw, db), workspace=ws),
        ),
    ]


def _conv_relu_maxpool(model: Sequential, batch: int) -> Iterator[Case]:
    for i, (conv, after) in enumerate(zip(model.layers, model.layers[1:], strict=False)):
        if isinstance(conv, layers.Conv2D) and conv.activation.name == "relu":
            pool = after if isinstance(after, layers.MaxPooling2D) else None
            block = ConvReluMaxPool(conv, pool, Workspace())
            pooled = f"pool {_size(block.pool_size)}" if pool else "no pool"
            yield Case(
                f"{model.name}/{conv.name}",
                f"{batch}×{_size(conv.input_shape)} * {_size(conv.kernel.value.shape)}, {pooled}",
                batch, partial(_conv_relu_maxpool_calls, block, i > 0), conv.convolution,
            )


def _conv_relu_maxpool_calls(block: ConvReluMaxPool, need_dx: bool, n: int) -> list[Call]:
    """`need_dx`: the first layer of a network needs no gradient of its input."""
    conv, pool_size, windows = block.conv, block.pool_size, block.windows
    assert conv.bias is not None
    x, w, b = _random((n, *conv.input_shape)), conv.kernel.value, conv.bias.value
    y, winners = (np.empty((n, *block.last.output_shape), kind) for kind in (np.float32, winner_dtype(pool_size)))
    dx, dw, db = np.empty_like(x) if need_dx else None, np.empty_like(w), np.empty_like(b)
    dy = _random(y.shape)
    flops = 2 * w.size * n * prod(conv.output_shape[:2])

    def forward(rung: Any, workspace: Workspace) -> None:
        rung.forward(x, w, b, pool_size, **windows, out=y, winners=winners, workspace=workspace)

    def backward(rung: Any, workspace: Workspace) -> None:
        rung.backward(
            dy, winners, x, w, pool_size, **windows, need_dx=need_dx, out=(dx, dw, db), workspace=workspace
        )

    winners[...] = 0  # for a rung whose backward comes before any forward
    moved = _nbytes(dy, winners, x, w, dw) + (0 if dx is None else dx.nbytes)
    return [
        Call("forward", flops, _nbytes(x, w, y, winners), forward),
        Call("backward", flops * (1 + need_dx), moved, backward),
    ]


def _dense(model: Sequential, batch: int) -> Iterator[Case]:
    for layer in _layers(model, layers.Dense):
        yield Case(
            f"{model.name}/{layer.name}", f"{batch}×{_size(layer.kernel.value.shape)}", batch,
            partial(_dense_calls, layer),
        )


def _dense_calls(layer: Any, n: int) -> list[Call]:
    x, w, b = _random((n, *layer.input_shape)), layer.kernel.value, layer.bias.value
    y, dx, dw, db = np.empty((n, layer.units), np.float32), np.empty_like(x), np.empty_like(w), np.empty_like(b)
    dy = _random(y.shape)
    flops = 2 * n * w.size
    return [
        Call("forward", flops, _nbytes(x, w, y), lambda rung, ws: rung.forward(x, w, b, out=y, workspace=ws)),
        Call(
            "backward_input", flops, _nbytes(dy, w, dx),
            lambda rung, ws: rung.backward_input(dy, w, out=dx, workspace=ws),
        ),
        Call(
            "backward_weights", flops, _nbytes(x, dy, dw),
            lambda rung, ws: rung.backward_weights(x, dy, out=(dw, db), workspace=ws),
        ),
    ]


def _maxpool2d(model: Sequential, batch: int) -> Iterator[Case]:
    return _pooling(model, batch, with_winners=True)


def _avgpool2d(model: Sequential, batch: int) -> Iterator[Case]:
    """On the shapes of the max-pools: averages of the same windows."""
    return _pooling(model, batch, with_winners=False)


def _pooling(model: Sequential, batch: int, *, with_winners: bool) -> Iterator[Case]:
    calls = _maxpool2d_calls if with_winners else _avgpool2d_calls
    for layer in _layers(model, layers.MaxPooling2D):
        yield Case(
            f"{model.name}/{layer.name}", f"{batch}×{_size(layer.input_shape)}, pool {_size(layer.pool_size)}", batch,
            partial(calls, layer),
        )


def _maxpool2d_calls(layer: Any, n: int) -> list[Call]:
    x, windows = _random((n, *layer.input_shape)), layer.windows
    y, winners = (np.zeros((n, *layer.output_shape), kind) for kind in (np.float32, winner_dtype(layer.pool_size)))
    dy, dx = _random(y.shape), np.empty_like(x)
    return [
        Call(
            "forward", 0, _nbytes(x, y, winners),
            lambda rung, _: rung.forward(x, layer.pool_size, **windows, out=y, winners=winners),
        ),
        Call(
            "backward", 0, _nbytes(dy, winners, dx),
            lambda rung, _: rung.backward(dy, winners, x.shape, layer.pool_size, **windows, out=dx),
        ),
    ]


def _avgpool2d_calls(layer: Any, n: int) -> list[Call]:
    x, windows = _random((n, *layer.input_shape)), layer.windows
    y, dx = np.empty((n, *layer.output_shape), np.float32), np.empty_like(x)
    dy = _random(y.shape)
    return [
        Call("forward", 0, _nbytes(x, y), lambda rung, _: rung.forward(x, layer.pool_size, **windows, out=y)),
        Call(
            "backward", 0, _nbytes(dy, dx),
            lambda rung, _: rung.backward(dy, x.shape, layer.pool_size, **windows, out=dx),
        ),
    ]


def _activation(model: Sequential, batch: int) -> Iterator[Case]:
    """Behind the layers that have a ReLU, whichever activation is asked for."""
    for layer in model.layers:
        if getattr(getattr(layer, "activation", None), "name", "") == "relu":
            yield _elementwise(f"{model.name}/{layer.name}", layer.output_shape, batch)


def _softmax(model: Sequential, batch: int) -> Iterator[Case]:
    yield _elementwise(f"{model.name}/{model.layers[-1].name}", model.output_shape[1:], batch)


def _elementwise(where: str, shape: Sequence[int], batch: int) -> Case:
    def calls(n: int) -> list[Call]:
        x, dy = _random((n, *shape)), _random((n, *shape))
        y, dx = np.abs(x), np.empty_like(x)
        return [
            Call("forward", 0, _nbytes(x, y), lambda rung, _: rung.forward(x, out=y)),
            Call("backward", 0, _nbytes(dy, y, dx), lambda rung, _: rung.backward(dy, y, out=dx)),
        ]

    return Case(where, f"{batch}×{_size(shape)}", batch, calls)


def _softmax_cross_entropy(model: Sequential, batch: int) -> Iterator[Case]:
    """Of class numbers, for networks with an output for each class."""
    if (units := model.output_shape[-1]) > 1:
        yield _cross_entropy(model, batch, lambda n: np.arange(n) % units)


def _sigmoid_cross_entropy(model: Sequential, batch: int) -> Iterator[Case]:
    """For networks with one output for two classes."""
    if model.output_shape[-1] == 1:
        yield _cross_entropy(model, batch, lambda n: (np.arange(n) % 2).astype(np.float32)[:, None])


def _cross_entropy(model: Sequential, batch: int, targets_of: Callable[[int], Array]) -> Case:
    units = model.output_shape[-1]

    def calls(n: int) -> list[Call]:
        logits, losses, dlogits = _random((n, units)), np.empty(n, np.float32), np.empty((n, units), np.float32)
        targets = targets_of(n)
        return [
            Call(
                "loss_and_gradient", 0, _nbytes(logits, targets, losses, dlogits),
                lambda rung, _: rung.loss_and_gradient(logits, targets, scale=1 / n, out=(losses, dlogits)),
            )
        ]

    return Case(f"{model.name}/{model.layers[-1].name}", f"{batch}×{units}", batch, calls)


def _dropout(model: Sequential, batch: int) -> Iterator[Case]:
    for layer in _layers(model, layers.Dropout):
        yield Case(
            f"{model.name}/{layer.name}", f"{batch}×{_size(layer.input_shape)}", batch, partial(_dropout_calls, layer)
        )


def _dropout_calls(layer: Any, n: int) -> list[Call]:
    x, key = _random((n, *layer.input_shape)), random.key(0, "dropout")
    y = np.empty_like(x)
    return [Call("forward", 0, _nbytes(x, y), lambda rung, _: rung.forward(x, layer.rate, key, out=y))]


def _philox(model: Sequential, batch: int) -> Iterator[Case]:
    """As many numbers as there are weights: what initialising draws."""
    size = model.count_params()

    def calls(_: int) -> list[Call]:
        key, out = random.key(0, "init"), np.empty(size, np.uint32)
        return [Call("bits", 0, out.nbytes, lambda rung, _: rung.bits(key, size, out=out))]

    yield Case(model.name, f"{size:,} words", 1, calls)


def _batchnorm(model: Sequential, batch: int) -> Iterator[Case]:
    """Of the convolutions' outputs."""
    for layer in _layers(model, layers.Conv2D):
        yield Case(
            f"{model.name}/{layer.name}", f"{batch}×{_size(layer.output_shape)}", batch,
            partial(_batchnorm_calls, layer.output_shape),
        )


def _batchnorm_calls(shape: Sequence[int], n: int) -> list[Call]:
    x, dy, y, epsilon = _random((n, *shape)), _random((n, *shape)), _random((n, *shape)), 0.001
    gamma, beta, mean, variance, dgamma, dbeta = (np.ones(shape[-1], np.float32) for _ in range(6))
    return [
        Call(
            "forward_training", 0, _nbytes(x, y),
            lambda rung, _: rung.forward_training(x, gamma, beta, epsilon, out=(y, mean, variance)),
        ),
        Call(
            "forward_inference", 0, _nbytes(x, y),
            lambda rung, _: rung.forward_inference(x, gamma, beta, mean, variance, epsilon, out=y),
        ),
        Call(
            "backward", 0, _nbytes(dy, x, y),
            lambda rung, _: rung.backward(dy, x, gamma, mean, variance, epsilon, out=(y, dgamma, dbeta)),
        ),
    ]


def _adam(model: Sequential, batch: int) -> Iterator[Case]:
    size = model.count_params()

    def calls(_: int) -> list[Call]:
        p, g, m, v = _random((size,)), _random((size,)), np.zeros(size, np.float32), np.zeros(size, np.float32)
        return [
            Call(  # p, m and v are read and written
                "step", 0, _nbytes(p, p, g, m, m, v, v),
                lambda rung, _: rung.step(p, g, m, v, step_size=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7),
            )
        ]

    yield Case(model.name, f"{size:,} parameters", 1, calls)


def _sgd(model: Sequential, batch: int) -> Iterator[Case]:
    size = model.count_params()

    def calls(_: int) -> list[Call]:
        p, g, velocity = _random((size,)), _random((size,)), np.zeros(size, np.float32)
        return [
            Call(  # p and the velocity are read and written
                "step", 0, _nbytes(p, p, g, velocity, velocity),
                lambda rung, _: rung.step(p, g, velocity, learning_rate=1e-3, momentum=0.9, nesterov=False),
            )
        ]

    yield Case(model.name, f"{size:,} parameters", 1, calls)


OPERATIONS: dict[str, Callable[[Sequential, int], Iterator[Case]]] = {
    "conv2d": _conv2d,
    "conv_relu_maxpool": _conv_relu_maxpool,
    "dense": _dense,
    "maxpool2d": _maxpool2d,
    "avgpool2d": _avgpool2d,
    "relu": _activation,
    "sigmoid": _activation,
    "tanh": _activation,
    "softmax": _softmax,
    "softmax_cross_entropy": _softmax_cross_entropy,
    "sigmoid_cross_entropy": _sigmoid_cross_entropy,
    "dropout": _dropout,
    "batchnorm": _batchnorm,
    "philox": _philox,
    "adam": _adam,
    "sgd": _sgd,
}
