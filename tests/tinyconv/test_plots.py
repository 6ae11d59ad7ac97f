"""Pictures: what is in them, not what they look like."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tinyconv import plots
from tinyconv.errors import ArgumentError, DataError
from tinyconv.plots.figure import headline, new_panels
from tinyconv.training.history import History

HISTORY = {
    "loss": [0.6, 0.3, 0.1], "accuracy": [0.8, 0.9, 1.0], "val_loss": [0.4, 0.3, 0.3],
    "val_accuracy": [0.9, 0.92, 0.92], "learning_rate": [0.1, 0.1, 0.01],
}
PNG = b"\x89PNG\r\n\x1a\n"


# -- learning curves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "validation", "larger_is_better", "epoch"),
    [
        ([0.8, 0.9, 1.0], [0.9, 0.92, 0.92], True, 2.2),  # the lead goes from -0.02 to 0.08
        ([0.6, 0.3, 0.1], [0.4, 0.3, 0.3], False, 2.0),  # equal in the second epoch
        ([0.6, 0.2, 0.4, 0.1], [0.4, 0.3, 0.3, 0.3], False, 3 + 1 / 3),  # the last of three crossings
        ([0.5, 0.4], [0.6, 0.5], False, None),  # ahead from the start
        ([0.6, 0.5], [0.5, 0.4], False, None),  # never ahead
        ([0.6, 0.3, 0.5], [0.5, 0.4, 0.4], False, None),  # behind again at the end
        ([0.6], [0.5], False, None),
        ([np.nan, 0.1], [0.5, 0.4], False, None),
    ],
)
def test_the_crossover_is_where_training_takes_the_lead_for_good(training, validation, larger_is_better, epoch):
    found = plots.crossover(training, validation, larger_is_better=larger_is_better)
    assert found == (None if epoch is None else pytest.approx(epoch, abs=1e-5))


def test_learning_curves_draw_each_number_and_mark_the_crossover():
    panels = plots.learning_curves(HISTORY).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["loss", "accuracy"]  # and no panel for the learning rate
    training, validation, crossover = panels[1].lines
    np.testing.assert_array_equal(training.get_xydata(), [[1, 0.8], [2, 0.9], [3, 1.0]])
    np.testing.assert_array_equal(validation.get_ydata(), HISTORY["val_accuracy"])
    assert list(crossover.get_xdata()) == pytest.approx([2.2, 2.2])
    assert (training.get_color(), training.get_linestyle()) != (validation.get_color(), validation.get_linestyle())
    assert [text.get_text() for text in panels[0].get_legend().get_texts()] == [
        "training", "validation", "training overtakes, epoch 2.0",
    ]


def test_the_legend_of_learning_curves_hides_no_line():
    figure = plots.learning_curves(HISTORY)
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        legend, labels = axes.get_legend().get_window_extent(), axes.xaxis.get_tightbbox()
        assert figure.bbox.y0 <= legend.y0 < legend.y1 <= labels.y0 < axes.bbox.y0
        assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    left, right = (axes.get_legend().get_window_extent() for axes in figure.axes)
    assert left.x1 <= right.x0


def test_learning_curves_without_validation_and_from_a_history():
    history = History()
    history.on_epoch_end(0, {"loss": 0.5})
    (axes,) = plots.learning_curves(history).axes
    assert len(axes.lines) == 1


def test_a_history_without_epochs_is_refused():
    with pytest.raises(DataError, match="no epochs"):
        plots.learning_curves(History())


# -- confusion matrix -------------------------------------------------------------------------------------------------


def texts(axes):
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}


def test_the_confusion_matrix_counts_true_against_predicted():
    true, predicted = [0, 0, 0, 1, 1, 2], np.array([0, 0, 2, 1, 1, 1])
    axes, _ = plots.confusion_matrix(np.eye(3)[true], predicted).axes
    assert texts(axes) == {(0, 0): "2", (0, 2): "1", (1, 1): "2", (2, 1): "1"}
    np.testing.assert_allclose(axes.images[0].get_array(), [[2 / 3, 0, 1 / 3], [0, 1, 0], [0, 1, 0]])
    assert axes.get_title(loc="left") == "4 of 6 right (66.67 %)"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")


def test_the_confusion_matrix_names_classes_and_shows_absent_ones():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]])
    axes, _ = plots.confusion_matrix(np.array([0, 1]), probabilities, ["cat", "dog", "owl"]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "owl"]
    assert texts(axes) == {(0, 0): "1", (1, 0): "1"}


def test_the_worked_example_of_two_classes():
    true = np.repeat([1, 1, 0, 0], [100, 5, 10, 50])
    predicted = np.repeat([1.0, 0.0, 1.0, 0.0], [100, 5, 10, 50]).reshape(-1, 1)  # probabilities of class 1
    axes, _ = plots.confusion_matrix(true, predicted).axes
    assert texts(axes) == {(0, 0): "50", (0, 1): "10", (1, 0): "5", (1, 1): "100"}


# -- the wrong ones ---------------------------------------------------------------------------------------------------


def some_predictions():
    """Ten images of which 2, 5 and 7 are taken for the next class, with confidence .6, .9 and .7."""
    y = np.arange(10) % 3
    probabilities = np.eye(3)[y] * 0.98 + 0.01
    for index, confidence in ((2, 0.6), (5, 0.9), (7, 0.7)):
        probabilities[index] = (1 - confidence) / 2
        probabilities[index, (y[index] + 1) % 3] = confidence
    return np.arange(10 * 16.0).reshape(10, 4, 4, 1), y, probabilities


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_the_wrong_ones_are_titled_index_predicted_expected_and_how_sure():
    x, y, probabilities = some_predictions()
    figure = plots.wrong_predictions(x, np.eye(3)[y], probabilities)
    assert titles(figure) == ["5 / 0 / 2\n90 %", "7 / 2 / 1\n70 %", "2 / 0 / 2\n60 %"]  # the most confident first
    order = "index / p (predicted) / e (expected), how sure"
    assert figure.get_suptitle() == f"3 of 10 wrong; all of them: {order}"
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), x[5, :, :, 0])


def test_only_so_many_are_shown_and_named():
    x, y, probabilities = some_predictions()
    figure = plots.wrong_predictions(x, y, probabilities, ["cat", "dog", "owl"], count=2)
    assert titles(figure) == ["5, 90 %\ncat / owl", "7, 70 %\nowl / dog"]
    order = "index, how sure, p (predicted) / e (expected)"  # as in the titles
    assert figure.get_suptitle() == f"3 of 10 wrong; the 2 most confident ones: {order}"


def test_colour_images_and_two_classes():
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 3))
    figure = plots.wrong_predictions(x, np.array([0, 1, 1]), np.array([[0.9], [0.8], [0.3]]))
    assert titles(figure) == ["0 / 1 / 0\n90 %", "2 / 0 / 1\n70 %"]
    shown = figure.axes[0].images[0].get_array()
    assert (shown.min(), shown.max()) == (0, 1)


def test_nothing_wrong_is_a_picture_too(tmp_path):
    x, y, _ = some_predictions()
    figure = plots.wrong_predictions(x, y, np.eye(3)[y])
    assert "All 10 right" in figure.get_suptitle()
    plots.save(figure, tmp_path / "none.png")


# -- headlines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("panels", [1, 6])
def test_a_headline_wider_than_its_figure_goes_on_in_another_line(panels):
    figure, (first, *_) = new_panels(panels, 6, 1.4, 1.65)
    headline(figure, "a network with a long name, " * 6 + "the end")
    FigureCanvasAgg(figure).draw()
    box, whole = figure._suptitle.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 < box.x1 <= whole.x1
    assert box.y1 <= whole.y1
    assert first.get_window_extent().y1 <= box.y0  # the panels make room for it


# -- files and imports ------------------------------------------------------------------------------------------------


def test_pictures_are_saved_whole(tmp_path):
    plots.save(plots.learning_curves(HISTORY), tmp_path / "curves.png")
    plots.save(plots.learning_curves(HISTORY), tmp_path / "curves.svg")
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "curves.svg"]


def test_a_picture_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"\.png, \.svg, \.pdf, but got the name 'curves.gif'"):
        plots.save(plots.learning_curves(HISTORY), tmp_path / "curves.gif")
    assert not list(tmp_path.iterdir())


def test_pictures_do_without_pyplot_and_matplotlib_loads_late():
    code = (
        "import sys; from tinyconv import plots; assert not {'matplotlib', 'sklearn'} & sys.modules.keys();"
        "plots.learning_curves({'loss': [1.0]}); plots.confusion_matrix([0, 1], [1, 1]);"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
