"""What a recorder keeps of a training, what a profile measures, and the pictures of both."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh

from tinyconv import plots
from tinyconv.errors import ArgumentError, DataError, ShapeError, StateError
from tinyconv.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinyconv.models import Sequential
from tinyconv.optimizers import SGD
from tinyconv.plots.measure import Cost, LayerCost
from tinyconv.training.run_folder import RunFolder

RATE = 0.1


def network():
    model = Sequential(
        [
            Conv2D(4, 3, activation="relu", input_shape=(8, 7, 1)),
            MaxPooling2D(2),
            Flatten(),
            Dropout(0.3),
            Dense(3, activation="softmax"),
        ],
        backend="numpy", seed=1,
    )
    model.compile(SGD(RATE), "sparse_categorical_crossentropy")
    return model


def data(samples=40):
    random = np.random.default_rng(0)
    return random.uniform(size=(samples, 8, 7, 1)).astype(np.float32), np.arange(samples) % 3


def train(recorder, epochs=2, model=None, **options):
    model = model or network()
    model.fit(*data(), batch_size=10, epochs=epochs, verbose=0, callbacks=[recorder], **options)
    return model


# -- the recorder -----------------------------------------------------------------------------------------------------


def test_the_recorder_keeps_every_third_step_of_the_layers_with_weights():
    recorder = plots.LayerRecorder(data()[0][:5], every=3)
    train(recorder)
    assert recorder.steps == [1, 4, 7]
    for kept in recorder.records.values():
        assert {name: len(samples) for name, samples in kept.items()} == {"conv2d": 3, "dense": 3}


def test_what_is_kept_is_what_the_layers_had():
    x, recorder = data()[0][:5], plots.LayerRecorder(data()[0][:5], every=1)
    model = train(recorder)
    gradients = model.parameters.views(model.parameters.gradients)
    for name in ("conv2d", "dense"):
        expected = np.concatenate([gradients[f"{name}/{part}"].reshape(-1) for part in ("kernel", "bias")])
        np.testing.assert_array_equal(recorder.records["gradients"][name][-1], expected)
        np.testing.assert_allclose(  # gradient descent
            recorder.records["updates"][name][-1], -RATE * expected, atol=1e-7
        )
    np.testing.assert_allclose(recorder.records["activations"]["dense"][-1], model.predict(x).reshape(-1), rtol=1e-5)
    convolved = np.asarray(model.layers[0](x))
    np.testing.assert_allclose(recorder.records["activations"]["conv2d"][-1], convolved.reshape(-1), rtol=1e-5)


def test_a_recorder_changes_nothing_in_the_training():
    watched = train(plots.LayerRecorder(data()[0][:5], every=2))
    alone = network()
    alone.fit(*data(), batch_size=10, epochs=2, verbose=0)
    np.testing.assert_array_equal(watched.parameters.values, alone.parameters.values)


def test_a_sample_is_no_larger_than_asked():
    recorder = plots.LayerRecorder(data()[0][:5], every=1, size=10)
    train(recorder)
    assert len(recorder.records["activations"]["conv2d"][0]) == 10
    # 5·6·4 outputs per image; a kernel of 36 and a bias of 4 numbers, each thinned on its own
    assert [len(recorder.records["updates"]["conv2d"][i]) for i in (0, -1)] == [9 + 4] * 2


def test_a_new_training_begins_a_new_record_and_a_resumed_one_goes_on():
    recorder = plots.LayerRecorder(data()[0][:5], every=4)
    model = train(recorder)
    assert recorder.steps == [1, 5]
    resumed = plots.LayerRecorder(data()[0][:5], every=4)
    resumed.set_state(recorder.get_state())
    train(resumed, epochs=3, model=model, initial_epoch=2)
    assert resumed.steps == [1, 5, 9]
    assert len(resumed.records["updates"]["dense"]) == 3
    train(recorder, epochs=1, model=network())
    assert recorder.steps == [1]


def test_a_resumed_run_remembers_its_records(tmp_path):
    def run(folder, epochs, recorder):
        network().fit(*data(), batch_size=10, epochs=epochs, verbose=0, callbacks=folder.callbacks(recorder))

    whole, first, second = (plots.LayerRecorder(data()[0][:5], every=3) for _ in range(3))
    run(RunFolder(tmp_path / "whole").create(), 3, whole)
    parts = RunFolder(tmp_path / "parts").create()
    run(parts, 2, first)
    resumed = parts.resume(second)
    resumed.model.fit(
        *data(), batch_size=10, epochs=3, initial_epoch=resumed.epoch, verbose=0, callbacks=resumed.callbacks
    )
    assert second.steps == whole.steps
    for kind, kept in whole.records.items():
        for name, samples in kept.items():
            np.testing.assert_array_equal(np.stack(second.records[kind][name]), np.stack(samples))


def test_images_that_do_not_fit_the_model_are_refused_before_the_first_step():
    with pytest.raises(ShapeError, match="the recorder's x has shape"):
        train(plots.LayerRecorder(np.zeros((5, 3, 3, 1))))


@pytest.mark.parametrize("arguments", [{"every": 0}, {"size": 0}])
def test_a_recorder_of_nothing_is_refused(arguments):
    with pytest.raises(ArgumentError, match="at least 1"):
        plots.LayerRecorder(data()[0], **arguments)


# -- histograms -------------------------------------------------------------------------------------------------------


def recorded(activations, gradients, updates):
    """A recorder that has seen these samples of one layer."""
    recorder = plots.LayerRecorder(np.zeros((1, 2)))
    kinds = {"activations": activations, "gradients": gradients, "updates": updates}
    recorder.set_state({
        "steps": [10, 20, 40],
        "records": {kind: {"dense": [np.array(s, np.float32) for s in kept]} for kind, kept in kinds.items()},
    })
    return recorder


def test_histograms_have_a_panel_per_layer_and_kind():
    recorder = plots.LayerRecorder(data()[0][:5], every=2)
    train(recorder)
    figure = plots.layer_histograms(recorder)
    assert len(figure.axes) == 2 * 3 + 3
    assert [axes.get_title() for axes in figure.axes[:3]] == ["activation", "| gradient |", "| update |"]
    assert [axes.get_ylabel() for axes in figure.axes[:6:3]] == ["conv2d", "dense"]
    assert [axes.get_yscale() for axes in figure.axes[:3]] == ["linear", "log", "log"]
    assert figure.axes[1].get_ylim() == figure.axes[4].get_ylim()  # gradients of all layers on one scale
    assert figure.axes[0].get_ylim() != figure.axes[3].get_ylim()
    assert figure.get_suptitle() == "Each layer from step 1 to 7 of training"


@pytest.mark.parametrize("epochs", [2, 5])
def test_ticks_are_whole_steps_and_round_shares(epochs):
    recorder = plots.LayerRecorder(data()[0][:5], every=1)
    train(recorder, epochs=epochs)
    figure = plots.layer_histograms(recorder)
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes[3:6]:
        steps = [tick.get_text() for tick in axes.get_xticklabels() if tick.get_text()]
        assert len(steps) > 2
        assert all(step.lstrip("−").isdecimal() for step in steps)
    for bar in figure.axes[6:]:
        first, *others = [tick.get_text() for tick in bar.get_xticklabels()]
        assert first == "0 %"
        assert len(others) >= 3
        assert all(text.endswith(" %") and text.strip(" %0.") in "125" for text in others)
        shares = [float(text.removesuffix(" %")) / 100 for text in others]
        np.testing.assert_allclose(bar.get_xticks()[1:], shares)  # and each is where it says
        assert shares[-1] <= bar.get_xlim()[1]


def test_a_column_of_colours_is_the_histogram_of_a_step():
    spread = np.linspace(0, 1, 1000)
    figure = plots.layer_histograms(recorded([spread, spread / 2, spread * 0], [[1e-3, -1e-2]] * 3, [[0.0, 0.1]] * 3))
    activations, gradients, updates = figure.axes[:3]
    (mesh,) = [drawn for drawn in activations.collections if isinstance(drawn, QuadMesh)]
    shares = mesh.get_array()
    assert shares.shape == (40, 3)
    edges = mesh.get_coordinates()[:, 0, 1]
    expected, _ = np.histogram(np.asarray(spread / 2, np.float32), edges)
    np.testing.assert_allclose(shares[:, 1], expected / 1000)
    assert shares[0, 2] == 1  # all zeros: one bright cell
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], [5, 15, 30, 50])  # halfway between the steps
    medians = activations.lines[-1]
    np.testing.assert_allclose(medians.get_xydata(), [[10, 0.5], [20, 0.25], [40, 0]], atol=1e-6)
    np.testing.assert_allclose(gradients.lines[-1].get_ydata(), [5.5e-3] * 3, rtol=1e-6)  # of the sizes
    (mesh,) = [drawn for drawn in updates.collections if isinstance(drawn, QuadMesh)]
    np.testing.assert_allclose(mesh.get_array().sum(axis=0), 0.5)  # of all numbers, half of which are 0
    assert updates.texts[0].get_text() == "50 % are 0 at the end"
    assert not gradients.texts


def test_the_line_and_the_colours_are_explained():
    spread = np.linspace(0, 1, 1000)
    figure = plots.layer_histograms(recorded([spread, spread / 2, spread * 0], [[1e-3, -1e-2]] * 3, [[0.0, 0.1]] * 3))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["median; of gradients and updates without zeros"]
    bars = figure.axes[3:]
    assert [bar.get_xlabel() for bar in bars] == ["share of the values"] * 3
    assert [bar.get_xlim() for bar in bars] == [(0, 1), (0, 0.5), (0, 0.5)]
    assert bars[0].get_xticklabels()[-1].get_text() == "100 %"
    assert [tick.get_text() for tick in bars[1].get_xticklabels()] == ["0 %", "2 %", "10 %", "20 %", "50 %"]


def test_a_recorder_that_saw_nothing_is_refused():
    with pytest.raises(DataError, match="no training step"):
        plots.layer_histograms(plots.LayerRecorder(data()[0]))


def test_layers_without_any_gradient_are_drawn():
    dead = [np.zeros(5)] * 3
    figure = plots.layer_histograms(recorded(dead, dead, dead))
    assert [axes.texts[0].get_text() for axes in figure.axes[:3]] == ["100 % are 0 at the end"] * 3


# -- measuring --------------------------------------------------------------------------------------------------------


def test_the_arithmetic_and_the_bytes_of_each_layer():
    costs = {cost.name: cost for cost in plots.measure_layers(network(), 2, repeats=1)}
    assert list(costs) == ["conv2d", "max_pooling2d", "flatten", "dropout", "dense"]
    conv = costs["conv2d"]
    assert conv.forward.flops == 2 * 2 * (3 * 3 * 1 * 4) * (6 * 5)  # 2 images, multiply and add
    assert conv.backward.flops == 2 * conv.forward.flops
    x, y, w = 2 * 8 * 7, 2 * 6 * 5 * 4, 3 * 3 * 4 + 4  # numbers of 4 bytes
    assert conv.forward.nbytes == 4 * (x + w + y)
    assert conv.backward.nbytes == 4 * (y + w + x + w + x)  # reads dy, weights and x; writes dw and dx
    assert costs["dense"].forward.flops == 2 * 2 * (3 * 2 * 4) * 3
    assert costs["max_pooling2d"].forward.flops == 0
    assert costs["max_pooling2d"].forward.nbytes == 4 * (y + 2 * 3 * 2 * 4)
    assert costs["flatten"].forward.nbytes == 0  # a view
    assert all(cost.forward.seconds > 0 and cost.backward.seconds > 0 for cost in costs.values())


def test_measuring_leaves_the_weights_and_the_moving_averages_alone():
    layers = [Conv2D(2, 3, input_shape=(8, 7, 1)), BatchNormalization(), Flatten(), Dense(2)]
    model = Sequential(layers, backend="numpy")
    before = model.get_weights()
    plots.measure_layers(model, 3, repeats=2)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize(
    ("measure", "error"),
    [
        (lambda: plots.measure_layers(Sequential([Dense(2)]), 2), StateError),
        (lambda: plots.measure_layers(network(), 0), ArgumentError),
        (lambda: plots.measure_layers(network(), repeats=0), ArgumentError),
    ],
)
def test_what_cannot_be_measured_is_refused(measure, error):
    with pytest.raises(error):
        measure()


# -- the profile ------------------------------------------------------------------------------------------------------


def test_a_profile_shows_time_arithmetic_and_bytes_of_both_passes():
    costs = [
        LayerCost("conv", Cost(0.002, 10**7, 2**20), Cost(0.005, 2 * 10**7, 3 * 2**20)),
        LayerCost("pool", Cost(0.001, 0, 2**19), Cost(0.0000012, 0, 2**21)),
    ]
    figure = plots.profile(costs, "net")
    assert figure.get_suptitle() == "net: 8 ms per step, layer by layer"
    expected = {
        "time (ms)": ([2, 1], [5, 0.0012]),
        "arithmetic (GFLOP/s)": ([5, 0], [4, 0]),
        "memory (MiB read and written)": ([1, 0.5], [3, 2]),
    }
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(expected)
    for axes, passes in zip(figure.axes, expected.values(), strict=True):
        for bars, values in zip(axes.containers, passes, strict=True):
            np.testing.assert_allclose([bar.get_width() for bar in bars], values)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["conv", "pool"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "1", "5", "< 0.01"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["forward", "backward"]
    forward, backward = figure.axes[0].containers
    assert forward[0].get_hatch() != backward[0].get_hatch()


def test_a_profile_of_nothing_is_refused():
    with pytest.raises(DataError, match="no layers"):
        plots.profile([])
