"""The shapes of the ladders with their arithmetic, the limits of the machine, and the rungs that are timed."""

import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from tinyconv.benchmarks import cases, charts, peaks, tune
from tinyconv.benchmarks.engines.ladder import Ladder
from tinyconv.errors import ArgumentError
from tinyconv.kernels import registry
from tinyconv.kernels.workspace import Workspace


def test_every_operation_has_a_ladder():
    assert set(cases.OPERATIONS) == set(registry.OPERATIONS)


@pytest.mark.parametrize("operation", cases.OPERATIONS)
def test_every_function_can_be_called(operation):
    """On the definition, for a batch of two of the smallest networks that have all layers."""
    rung = registry.implementation(operation, "im2col" if operation == "conv2d" else "definition")
    networks = ["cats_and_dogs"] if operation == "sigmoid_cross_entropy" else ["lenet5", "simple_cnn_dropout"]
    found = cases.cases(operation, networks)
    assert found
    for case in found:
        for call in case.calls(2):
            assert call.nbytes > 0
            call.run(rung, Workspace())


def test_the_work_of_a_convolution():
    """mnist_convnet's second one: 64 → 128 channels, 3×3, on 13×13 pixels, of which 11×11 have a window."""
    first, second = cases.cases("conv2d", ["mnist_convnet"])
    assert (second.where, second.shape, second.batch) == ("mnist_convnet/conv2d_1", "64×13×13×64 * 3×3×64×128", 64)
    x, w, y = 13 * 13 * 64, 3 * 3 * 64 * 128, 11 * 11 * 128
    forward, backward_input, backward_weights = second.calls(2)
    assert {call.flops for call in second.calls(2)} == {2 * 2 * 11 * 11 * w}
    assert forward.nbytes == backward_input.nbytes == backward_weights.nbytes == 4 * (2 * x + w + 2 * y)
    assert first.calls(1)[0].flops == 2 * 26 * 26 * 9 * 64


def test_the_first_layer_needs_no_input_gradient():
    first, second = cases.cases("conv_relu_maxpool", ["mnist_convnet"])
    for case, products in ((first, 1), (second, 2)):
        forward, backward = case.calls(1)
        assert backward.flops == products * forward.flops


def test_the_work_of_an_update():
    (case,) = cases.cases("adam", ["mnist_convnet"])
    (step,) = case.calls(1)
    assert (case.shape, step.flops, step.nbytes) == ("485,514 parameters", 0, 7 * 4 * 485_514)


def test_the_same_shape_is_there_once():
    assert len(cases.cases("softmax", ["simple_cnn", "simple_cnn_dropout"])) == 1


def test_sentences():
    with pytest.raises(ArgumentError, match=r"no ladder of 'conv3d'.*conv2d"):
        cases.cases("conv3d", ["lenet5"])
    with pytest.raises(ArgumentError, match="None of fashion_perceptron has a conv2d"):
        cases.cases("conv2d", ["fashion_perceptron"])


def test_rungs_are_timed_on_a_batch_they_can_do():
    ladder = Ladder(operation="relu", networks=["lenet5"])
    described = ladder.describe()
    assert described["rungs"] == ("definition", "parallel")
    assert described["cases"][0] == {
        "where": "lenet5/c1", "shape": "64×28×28×6", "batch": 64, "functions": ["forward", "backward"],
        "used": "parallel",
    }
    assert 1 <= ladder.get_ready(0, "definition") <= 64
    turn = ladder.turn("definition", "forward", 0.0)
    assert turn["seconds"] > 0
    assert (turn["gflops"], turn["intensity"]) == (0, 0)
    assert turn["gbs"] == pytest.approx(2 * 4 * 28 * 28 * 6 * ladder._batches["definition"] / turn["seconds"] / 1e9)


def test_a_slow_rung_gets_fewer_images(monkeypatch):
    monkeypatch.setattr("tinyconv.benchmarks.engines.ladder.LONGEST_CALL", 1e-9)
    assert Ladder(operation="relu", networks=["lenet5"]).get_ready(0, "definition") == 1


def test_the_loop_that_measures_multiply_adds_does_them():
    """Chain k starts from k in every lane: after one step sum · 2 + 1, after two (sum · 2 + 1) · 2 + 1."""
    chains = np.arange(peaks.CHAINS)
    for count, expected in ((1, 2 * chains + 1), (2, 4 * chains + 3)):
        total = peaks._spin(1, count, np.float32(2), np.float32(1))
        assert total.tolist() == [peaks.LANES * expected.sum()]


def test_the_triad():
    a, b, c = np.zeros(5, np.float32), np.arange(5, dtype=np.float32), np.full(5, 10, np.float32)
    peaks._triad(a, b, c, np.float32(0.5), 2)
    assert a.tolist() == [5, 6, 7, 8, 9]


def test_limits_are_positive():
    assert peaks.multiply_adds(0.001) > 0  # how much, a busy machine decides
    assert peaks.bandwidth(2**20, 0.001) > 0


def test_letters_of_the_roofline():
    rungs = {
        "slow": [charts.Point(1.0, 5.0, "a"), charts.Point(9.0, 5.0, "b")],
        "fast": [charts.Point(2.0, 50.0, "a"), charts.Point(10.0, 50.0, "b"), charts.Point(10.5, 50.0, "c")],
    }
    assert charts._columns(rungs, decade=100.0) == {2.0: "a", math.sqrt(10.0 * 10.5): "b c"}


def test_letters_of_the_roofline_cover_no_mark_and_no_letter():
    """Also where Winograd's marks pass the limit, and where many shapes are close."""
    shapes = {"a": 3.6, "b": 4.1, "c": 4.4, "d": 4.5, "e": 5.5, "f": 43.0, "g": 50.0, "h": 90.0, "i": 170.0}
    rungs = {
        "direct": [charts.Point(x, min(400.0, 40 * x), key) for key, x in shapes.items()],
        "winograd": [charts.Point(x, 640.0 + 5 * x, key) for key, x in shapes.items() if x > 10],
    }
    figure = charts.roofline({"forward": rungs, "backward": rungs}, peak=500.0, bandwidths={"memory": 80.0}, caption="")
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert sorted("".join(text.get_text() for text in axes.texts).replace(" ", "")) == list(shapes)
        for index, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:index])
            assert box.y1 < axes.bbox.y1  # below the title
            assert box.y0 > axes.transData.transform((1, 500.0))[1]
        for line in axes.lines[2:]:  # after the two limits
            for x, y in axes.transData.transform(line.get_xydata()):
                half = line.get_markersize() / 2 * figure.dpi / 72
                assert not any(box.overlaps(Bbox([[x - half, y - half], [x + half, y + half]])) for box in boxes)


def test_the_cost_model_is_found_again():
    """Times made by known constants give those constants back, from the rungs that can do a shape by themselves."""
    shapes = cases.cases("conv2d", ["mnist_convnet", "course_cnn", "feature_map_net"])
    known = {"direct": (0.02, 0.5), "winograd": (0.01, 0.25)}
    turns, batches = {}, {}
    for number in range(len(shapes)):
        for rung in known:
            batches[number, rung] = 2
            for function, part in (("forward", 0.25), ("backward_weights", 0.75)):
                seconds = 2e-9 * part * tune.model(known, rung, shapes[number])
                turns[number, rung, function] = [{"seconds": seconds}] * 3
    measured = tune.times(shapes, turns, batches)
    assert (0, "direct") in measured
    assert (0, "winograd") not in measured  # one channel: Winograd's rung hands it over
    assert tune.refit(shapes, measured) == known


def test_too_few_shapes_for_the_cost_model():
    shapes = cases.cases("conv2d", ["mnist_convnet"])
    with pytest.raises(ArgumentError, match="too few convolutions for winograd"):
        tune.refit(shapes, {(0, "direct"): 1.0, (1, "direct"): 2.0, (1, "winograd"): 1.0})
