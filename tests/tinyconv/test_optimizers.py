"""Optimizers: Keras's semantics by hand, PyTorch's steps, clipping, state that continues exactly."""

import json
import tracemalloc
from math import sqrt

import numpy as np
import pytest

from tinyconv import backends, optimizers
from tinyconv.errors import ArgumentError, ModelFileError, StateError
from tinyconv.layers.base import Parameter
from tinyconv.optimizers import SGD, Adam, AdamW
from tinyconv.parameters import FlatParameters
from tinyconv.schedules import CosineDecay, LinearToZero, OneCycle

BACKENDS = ["numpy", "numba"]


def make(optimizer, backend="numpy", dtype=np.float64, shapes=((3, 5), (7,))):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    parameters = [Parameter(f"p{place}", value, True, None) for place, value in enumerate(values)]
    flat = FlatParameters(parameters)
    optimizer.build(flat, backends.get(backend))
    return flat, parameters


def descend(optimizer, parameters, steps, seed=1):
    """Take steps with gradients that depend on `seed` and the step only."""
    for _ in range(steps):
        rng = np.random.default_rng((seed, optimizer.iterations))
        for parameter in parameters:
            parameter.gradient[...] = rng.standard_normal(parameter.value.shape)
        optimizer.apply_gradients()


@pytest.mark.parametrize("backend", BACKENDS)
def test_sgd_by_hand(backend):
    optimizer = SGD(0.5, momentum=0.5)
    _, (parameter,) = make(optimizer, backend, shapes=[(2,)])
    parameter.value[...] = [1.0, 2.0]
    parameter.gradient[...] = [1.0, -2.0]
    optimizer.apply_gradients()
    assert parameter.value.tolist() == [0.5, 3.0]
    optimizer.apply_gradients()  # velocity: ½ · (-½, 1) + (-½, 1)
    assert parameter.value.tolist() == [-0.25, 4.5]
    assert optimizer.iterations == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_adams_first_step_is_the_learning_rate(backend):
    """m/√v is ±1 after the first bias correction, whatever the gradient."""
    optimizer = Adam(0.01, epsilon=1e-12)
    _, (parameter,) = make(optimizer, backend, shapes=[(3,)])
    parameter.value[...] = 1
    parameter.gradient[...] = [1000.0, -0.001, 0.0]
    optimizer.apply_gradients()
    np.testing.assert_allclose(parameter.value, [0.99, 1.01, 1.0], rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("decay", [None, 0.1])
def test_adam_beside_torch(backend, decay):
    """PyTorch's ε is added after the bias correction of √v, Keras's before: ours is set to match at every step."""
    torch = pytest.importorskip("torch")
    optimizer = AdamW(0.01, weight_decay=decay)
    _, parameters = make(optimizer, backend)
    theirs = [torch.tensor(parameter.value.copy(), requires_grad=True) for parameter in parameters]
    reference = torch.optim.AdamW(theirs, lr=0.01, eps=1e-3, weight_decay=decay or 0.0)
    for _ in range(20):
        optimizer.epsilon = 1e-3 * sqrt(1 - 0.999 ** (optimizer.iterations + 1))
        descend(optimizer, parameters, 1)
        for mine, other in zip(parameters, theirs, strict=True):
            other.grad = torch.tensor(mine.gradient.copy())
        reference.step()
    for mine, other in zip(parameters, theirs, strict=True):
        np.testing.assert_allclose(mine.value, other.detach().numpy(), rtol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_beside_torch(backend, momentum, nesterov):
    """With a constant learning rate both move p alike: PyTorch multiplies its velocity by it, Keras puts it inside."""
    torch = pytest.importorskip("torch")
    optimizer = SGD(0.05, momentum, nesterov)
    _, parameters = make(optimizer, backend)
    theirs = [torch.tensor(parameter.value.copy(), requires_grad=True) for parameter in parameters]
    reference = torch.optim.SGD(theirs, lr=0.05, momentum=momentum, nesterov=nesterov)
    for _ in range(20):
        descend(optimizer, parameters, 1)
        for mine, other in zip(parameters, theirs, strict=True):
            other.grad = torch.tensor(mine.gradient.copy())
        reference.step()
    for mine, other in zip(parameters, theirs, strict=True):
        np.testing.assert_allclose(mine.value, other.detach().numpy(), rtol=1e-12)


def test_weight_decay_shrinks_before_the_step():
    for optimizer in (SGD(0.5, weight_decay=0.5), Adam(0.5, weight_decay=0.5)):
        flat, (parameter,) = make(optimizer, shapes=[(2,)])
        parameter.value[...] = [4.0, -8.0]
        optimizer.apply_gradients()  # the gradient is 0
        assert parameter.value.tolist() == [3.0, -6.0]
        assert not flat.values[2:].any()


def clipped(gradients, **how):
    """What SGD with learning rate 1 subtracts from two parameters of two elements, given their gradients."""
    optimizer = SGD(1.0, **how)
    _, parameters = make(optimizer, shapes=[(2,), (2,)])
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.value[...] = 0
        parameter.gradient[...] = gradient
    optimizer.apply_gradients()
    return [(-parameter.value).tolist() for parameter in parameters]


def test_clipping():
    gradients = [[3.0, 4.0], [0.0, 12.0]]  # of lengths 5 and 12, together 13
    assert clipped(gradients) == gradients
    assert clipped(gradients, clipvalue=3.5) == [[3.0, 3.5], [0.0, 3.5]]
    assert clipped([[-9.0, 1.0], [0.0, 0.0]], clipvalue=2) == [[-2.0, 1.0], [0.0, 0.0]]
    np.testing.assert_allclose(clipped(gradients, clipnorm=10), [[3, 4], [0, 10]])
    np.testing.assert_allclose(clipped(gradients, global_clipnorm=6.5), [[1.5, 2], [0, 6]])
    assert clipped(gradients, global_clipnorm=13) == gradients
    assert clipped([[0.0, 0.0], [0.0, 0.0]], clipnorm=1) == [[0.0, 0.0], [0.0, 0.0]]


def test_clipping_does_not_hide_nan():
    for how in ({"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"clipvalue": 1.0}):
        assert np.isnan(clipped([[np.nan, 1.0], [1.0, 1.0]], **how)[0][0])


def test_a_schedule_is_asked_for_the_steps_taken():
    optimizer = SGD(LinearToZero(1.0, 4))
    _, (parameter,) = make(optimizer, shapes=[(1,)])
    parameter.value[...], parameter.gradient[...] = 0, -1
    positions = []
    for _ in range(5):
        optimizer.apply_gradients()
        positions.append(float(parameter.value[0]))
    assert positions == [1.0, 1.75, 2.25, 2.5, 2.5]
    optimizer.learning_rate = 0.25
    assert optimizer.current_learning_rate() == 0.25


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("new", [Adam, AdamW, lambda: SGD(CosineDecay(0.1, 9), 0.9, nesterov=True, clipnorm=1.0)])
def test_a_restored_state_continues_with_the_same_bits(backend, new):
    optimizer = new()
    flat, parameters = make(optimizer, backend, np.float32)
    descend(optimizer, parameters, 3)
    saved = {name: tensor.copy() for name, tensor in optimizer.state_tensors().items()}
    values = flat.values.copy()
    descend(optimizer, parameters, 3)
    expected = flat.values.copy()

    again = new()
    flat, parameters = make(again, backend, np.float32)
    flat.values[...] = values
    again.load_state_tensors(saved)
    assert again.iterations == 3
    descend(again, parameters, 3)
    np.testing.assert_array_equal(flat.values, expected)


def test_state_is_named_after_the_parameters():
    optimizer = Adam()
    make(optimizer)
    shapes = {name: tensor.shape for name, tensor in optimizer.state_tensors().items()}
    assert shapes == {"m/p0": (3, 5), "m/p1": (7,), "v/p0": (3, 5), "v/p1": (7,), "iterations": ()}


def test_a_state_that_does_not_fit_changes_nothing():
    optimizer = Adam()
    _, parameters = make(optimizer)
    descend(optimizer, parameters, 2)
    good = {name: tensor.copy() for name, tensor in optimizer.state_tensors().items()}
    for wrong, sentence in [
        ({name: tensor for name, tensor in good.items() if name != "v/p1"}, "v/p1 is missing"),
        (good | {"v/p9": good["v/p1"]}, "v/p9 is unknown"),
        (good | {"m/p1": np.ones(8)}, r"m/p1 has shape \(7,\), but the saved one \(8,\)"),
    ]:
        with pytest.raises(ModelFileError, match=sentence):
            optimizer.load_state_tensors({name: tensor * 2 for name, tensor in wrong.items()})
        assert optimizer.iterations == 2
        for name, tensor in optimizer.state_tensors().items():
            np.testing.assert_array_equal(tensor, good[name])


def test_building_again_begins_anew():
    optimizer = Adam()
    _, parameters = make(optimizer)
    descend(optimizer, parameters, 2)
    make(optimizer)
    assert optimizer.iterations == 0
    assert not any(tensor.any() for tensor in optimizer.state_tensors().values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_stays_zero(backend):
    optimizer = AdamW(0.1, global_clipnorm=1.0)
    flat, parameters = make(optimizer, backend, np.float32)
    descend(optimizer, parameters, 3)
    padding = np.ones(flat.values.size, bool)
    for place in flat.slices.values():
        padding[place] = False
    assert padding.any()
    assert not flat.values[padding].any()


@pytest.mark.parametrize("optimizer", [Adam(), AdamW(), SGD(0.1, 0.9), SGD(0.1, clipvalue=1.0, weight_decay=0.1)])
def test_a_compiled_step_allocates_nothing(optimizer):
    flat, _ = make(optimizer, "numba", np.float32, shapes=[(1000, 100)])
    flat.gradients[...] = 1
    optimizer.apply_gradients()
    tracemalloc.start()
    optimizer.apply_gradients()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000


def test_before_build():
    assert not Adam().built
    for method in (Adam().apply_gradients, Adam().state_tensors, lambda: Adam().load_state_tensors({})):
        with pytest.raises(StateError, match="no parameters yet"):
            method()


@pytest.mark.parametrize(
    "optimizer",
    [
        Adam(0.002, beta_1=0.8, beta_2=0.9, epsilon=1e-5, clipnorm=2.0),
        AdamW(OneCycle(0.01, warmup=0.1), weight_decay=0.01, global_clipnorm=1.0),
        SGD(0.1, 0.9, True, weight_decay=0.1, clipvalue=0.5),
    ],
)
def test_a_configuration_comes_back(optimizer):
    again = optimizers.get(json.loads(json.dumps(optimizers.serialize(optimizer))))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert again.learning_rate == optimizer.learning_rate
    assert optimizers.get(optimizer) is optimizer


def test_names_and_keras_defaults():
    assert optimizers.get("adam").get_config() == {
        "learning_rate": 0.001, "weight_decay": None, "clipnorm": None, "clipvalue": None, "global_clipnorm": None,
        "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7,
    }
    assert optimizers.get("AdamW").weight_decay == 0.004
    assert optimizers.get("sgd").learning_rate == 0.01
    assert type(optimizers.get(SGD)) is SGD
    with pytest.raises(ArgumentError, match=r"no optimizer 'adm'. Did you mean 'adam'\? There are: adam, adamw, sgd\."):
        optimizers.get("adm")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adam(-0.1),
        lambda: Adam("fast"),
        lambda: Adam(float("nan")),
        lambda: Adam(beta_1=1.0),
        lambda: Adam(beta_2=-0.1),
        lambda: Adam(epsilon=0.0),
        lambda: Adam(epsilon=1e-50),
        lambda: AdamW(weight_decay=-1),
        lambda: SGD(momentum=1.5),
        lambda: SGD(clipnorm=0),
        lambda: SGD(clipvalue=-1),
        lambda: SGD(global_clipnorm=float("inf")),
    ],
)
def test_arguments_that_make_no_sense(make):
    with pytest.raises(ArgumentError, match="must be a number"):
        make()


def test_one_way_of_clipping():
    with pytest.raises(ArgumentError, match="clipnorm and clipvalue"):
        Adam(clipnorm=1, clipvalue=1)
