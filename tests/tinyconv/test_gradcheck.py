"""The gradient checker accepts right gradients, refuses every mutant, and never passes a kink in silence.

The layers here are written out in NumPy, so that the checker is tested by itself.
"""

import numpy as np
import pytest

from tinyconv import gradcheck, initializers
from tinyconv.errors import ArgumentError, GradientError
from tinyconv.layers.base import Layer


class Affine(Layer):
    """y = x · w + b."""

    def __init__(self, units=4, **arguments):
        super().__init__(**arguments)
        self.units = units

    def _build(self, input_shape):
        self.w = self.add_weight("kernel", (input_shape[-1], self.units), initializers.GlorotUniform())
        self.b = self.add_weight("bias", (self.units,), initializers.Zeros())

    def forward(self, x, training=False):
        self.x = x
        return x @ self.w.value + self.b.value

    def backward(self, dy):
        self.w.gradient[...] = self.x.T @ dy
        self.b.gradient[...] = dy.sum(axis=0)
        return dy @ self.w.value.T


class Tanh(Layer):
    def forward(self, x, training=False):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


class Relu(Layer):
    def forward(self, x, training=False):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return dy * (self.x > 0)


class Correlation(Layer):
    """A one-dimensional convolution of width 3 along the first of two axes, one filter per channel."""

    def _build(self, input_shape):
        self.w = self.add_weight("kernel", (3, input_shape[-1]), initializers.GlorotUniform())

    def forward(self, x, training=False):
        self.x = x
        steps = x.shape[1] - 2
        return sum(x[:, k : k + steps] * self.w.value[k] for k in range(3))

    def backward(self, dy):
        steps = dy.shape[1]
        dx = np.zeros_like(self.x)
        for k in range(3):
            self.w.gradient[k] = (self.x[:, k : k + steps] * dy).sum(axis=(0, 1))
            dx[:, k : k + steps] += dy * self.w.value[k]
        return dx


class MeanOfSquares:
    """A loss with the 1/n that is easily forgotten."""

    def __call__(self, y_true, y_pred):
        return float(np.mean((y_pred - y_true) ** 2)), 2 * (y_pred - y_true) / y_pred.size


# What a broken backward may do to a gradient.
MUTANTS = {
    "zero": lambda g: g * 0,
    "scaled": lambda g: g * 1.1,
    "slightly scaled": lambda g: g * (1 + 1e-5),
    "sign flipped": lambda g: -g,
    "shifted by one": lambda g: np.roll(g, 1),
    "reversed": lambda g: g.reshape(-1)[::-1].reshape(g.shape),
    "transposed": lambda g: g.T.reshape(g.shape),
    "constant": lambda g: np.full_like(g, g.mean()),
    "one element wrong": lambda g: g + 0.01 * (np.arange(g.size).reshape(g.shape) == g.size // 2),
    "one element missing": lambda g: g * (np.arange(g.size).reshape(g.shape) != 1),
    "batch size forgotten": lambda g: g / 3,
    "not a number": lambda g: g * np.nan,
    "other shape": lambda g: g.reshape(-1)[:-1],
}
LAYERS = {
    "affine": (Affine, (5,)), "tanh": (Tanh, (4, 3)), "relu": (Relu, (4, 3)), "correlation": (Correlation, (6, 3)),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_right_gradients_pass(layer):
    make, shape = LAYERS[layer]
    report = gradcheck.check_layer(make(), shape)
    assert report.ok, report
    assert max(tensor.max_relative_error for tensor in report.tensors) < 1e-7
    assert all(tensor.directions == np.prod(tensor.shape) for tensor in report.tensors)
    report.raise_if_wrong()


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("layer", LAYERS)
def test_mutants_of_the_input_gradient_are_refused(layer, mutant):
    make, shape = LAYERS[layer]

    class Mutant(make):
        def backward(self, dy):
            return MUTANTS[mutant](super().backward(dy))

    report = gradcheck.check_layer(Mutant(), shape)
    assert [tensor.name for tensor in report.tensors if not tensor.ok] == ["input"]
    with pytest.raises(GradientError, match="gradient of input is wrong"):
        report.raise_if_wrong()


@pytest.mark.parametrize(("mutant", "place"), [
    (mutant, place) for mutant in MUTANTS for place in (0, 1)
    if mutant != "other shape" and (mutant, place) != ("transposed", 1)  # a bias is its own transpose
])
def test_mutants_of_parameter_gradients_are_refused(mutant, place):
    class Mutant(Affine):
        def backward(self, dy):
            dx = super().backward(dy)
            gradient = self.parameters[place].gradient
            gradient[...] = MUTANTS[mutant](gradient)
            return dx

    report = gradcheck.check_layer(Mutant(name="affine"), (5,))
    assert [tensor.name for tensor in report.tensors if not tensor.ok] == [("affine/kernel", "affine/bias")[place]]


def test_a_gradient_that_is_added_to_is_refused():
    class Adds(Affine):
        def backward(self, dy):
            before = self.b.gradient.copy()
            dx = super().backward(dy)
            self.b.gradient += before
            return dx

    assert not gradcheck.check_layer(Adds(), (5,)).ok


def test_a_backward_without_an_input_gradient_is_refused():
    class Forgets(Tanh):
        def backward(self, dy):
            return None

    report = gradcheck.check_layer(Forgets(), (3,))
    assert "backward returned none" in report.tensors[0].verdict


@pytest.mark.parametrize(
    "mutant", ["zero", "scaled", "slightly scaled", "sign flipped", "constant", "batch size forgotten"]
)
def test_mutants_of_a_loss_are_refused(mutant):
    class Mutant(MeanOfSquares):
        def __call__(self, y_true, y_pred):
            value, dy = super().__call__(y_true, y_pred)
            return value, MUTANTS[mutant](dy)

    y_true, y_pred = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    assert gradcheck.check_loss(MeanOfSquares(), y_true, y_pred).ok
    assert not gradcheck.check_loss(Mutant(), y_true, y_pred).ok


def test_every_element_of_a_large_tensor_is_covered_and_the_wrong_one_is_named():
    class Wrong(Affine):
        def backward(self, dy):
            dx = super().backward(dy)
            self.w.gradient[17, 23] += 0.001
            return dx

    right = gradcheck.check_layer(Affine(40), (50,), groups=20)
    assert right.ok, right
    assert right.tensors[1].directions == 20
    report = gradcheck.check_layer(Wrong(40), (50,), groups=20)
    kernel = report.tensors[1]
    assert not kernel.ok
    assert kernel.worst_index == (17, 23)
    assert kernel.analytic - kernel.numeric == pytest.approx(0.001, rel=1e-3)


def test_one_kink_is_skipped_and_counted_many_are_refused():
    x = np.array([[1.0, -2.0, 3.0, 4.0, -5.0, 6.0, 0.0, 7.0]])
    report = gradcheck.check_layer(Relu(), x)
    assert report.ok
    assert report.tensors[0].kinks == 1
    x[0, :4] = 3e-6, 0, -4e-6, 1e-6  # at a kink, or nearer to it than the step
    report = gradcheck.check_layer(Relu(), x)
    assert report.tensors[0].kinks == 5
    assert "too many kinks" in report.tensors[0].verdict
    assert not report.ok


@pytest.mark.parametrize("distance", [0.05, 1 / 3, 0.5, 0.9, 0.999])
def test_a_kink_is_seen_wherever_it_lies_within_the_step(distance):
    x = np.array([[3.0, -2.0, 1.0, 4.0, -5.0, distance * 1e-5 * np.sqrt(55 / 6)]])
    assert gradcheck.check_layer(Relu(), x).tensors[0].kinks == 1


def test_a_wrong_gradient_beside_a_kink_is_still_refused():
    class Mutant(Relu):
        def backward(self, dy):
            return 1.1 * super().backward(dy)

    report = gradcheck.check_layer(Mutant(), np.array([[0.0, 1.0, 2.0, 3.0, -1.0, 4.0]]))
    assert report.tensors[0].kinks == 1
    assert report.tensors[0].verdict == "WRONG"


def test_everything_is_left_as_it_was():
    layer = Affine()
    layer.build((5,), dtype="float64")
    x = np.ones((2, 5))
    before = layer.get_weights()
    gradcheck.check_layer(layer, x)
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
    np.testing.assert_array_equal(x, 1)


def test_a_layer_in_single_precision_is_refused():
    layer = Affine(name="output")
    layer.build((5,))
    with pytest.raises(ArgumentError, match="output was built in float32"):
        gradcheck.check_layer(layer, (5,))


def test_a_layer_that_is_not_repeatable_is_refused():
    class Noisy(Tanh):
        calls = 0

        def forward(self, x, training=False):
            self.calls += 1
            return super().forward(x) + self.calls

    with pytest.raises(ArgumentError, match="same output twice"):
        gradcheck.check_layer(Noisy(), (3,))


def test_a_gradient_that_is_zero_everywhere_says_so():
    report = gradcheck.check_layer(Relu(), np.array([[-1.0, -2.0, -3.0]]))
    assert report.tensors[0].verdict == "ok, all zero"


def test_the_report_is_a_table():
    text = str(gradcheck.check_layer(Affine(name="output"), (5,)))
    lines = text.splitlines()
    assert lines[0] == "output (tolerance 1e-07)"
    assert lines[1].startswith("tensor ")
    assert lines[1].endswith(" verdict")
    assert [line.split()[0] for line in lines[2:]] == ["input", "output/kernel", "output/bias"]
    assert all(line.endswith("ok") for line in lines[2:])
