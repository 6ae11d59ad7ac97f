"""`tinyconv plot`: every kind saves the picture it should, says where, and turns bad input into a sentence."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tinyconv import plots
from tinyconv.cli.app import app
from tinyconv.datasets import digits, fashion_mnist
from tinyconv.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tinyconv.models import Sequential

PNG = b"\x89PNG\r\n\x1a\n"
(X_TRAIN, Y_TRAIN), (X_TEST, Y_TEST) = digits.load_data()


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A small saved model; the numbers in it do not matter."""
    model = Sequential(
        [
            Conv2D(3, 5, strides=2, activation="relu", input_shape=(28, 28, 1)),
            MaxPooling2D(2),
            Conv2D(4, (3, 2), activation="relu", padding="same"),
            Flatten(),
            Dense(10, activation="softmax"),
        ],
        name="small", backend="numpy",
    )
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    model.save(path)
    return path


@pytest.fixture(autouse=True)
def drawn(tmp_path, monkeypatch):
    """Stand in an empty folder; the figures that were saved, in order."""
    monkeypatch.chdir(tmp_path)
    figures, save = [], plots.save

    def keep(figure, path):
        figures.append(figure)
        save(figure, path)

    monkeypatch.setattr(plots, "save", keep)
    return figures


def run(*arguments):
    result = CliRunner().invoke(app, ["plot", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def succeed(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuse(*arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("tinyconv: ")
    return result.stderr


def titles(figure):
    return [axes.get_title() or axes.get_title(loc="left") for axes in figure.axes]


def probabilities(model_file, index):
    from tinyconv.models import load_model

    return load_model(model_file).predict(X_TEST[index : index + 1, ..., None].astype(np.float32) / 255)[0]


def test_the_picture_is_named_after_its_kind_unless_told(tmp_path, drawn):
    assert succeed("counts") == "saved counts.png\n"
    assert (tmp_path / "counts.png").read_bytes().startswith(PNG)
    assert succeed("im2col", "-o", "new/matrix.svg") == "saved new/matrix.svg\n"
    assert "<svg" in (tmp_path / "new" / "matrix.svg").read_text()
    assert "saved as .png, .svg, .pdf" in refuse("im2col", "-o", "matrix.gif")


# -- data -------------------------------------------------------------------------------------------------------------


def test_samples_image_and_counts_of_the_bundled_digits(drawn):
    succeed("samples", "--count", 6, "--seed", 1)
    succeed("image", "-i", 7)
    succeed("counts")
    samples, image, counts = drawn
    assert samples.get_suptitle() == "6 of 1,438 images, 28 × 28 × 1, uint8"
    np.testing.assert_array_equal(image.axes[0].images[0].get_array(), X_TEST[7])
    assert image.get_suptitle().startswith(f"digits, test image 7: {Y_TEST[7]}: ")
    assert counts.get_suptitle() == "1,438 training, 359 test"


def test_an_image_may_be_a_file(drawn):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("photo.png")
    succeed("image", "--image", "photo.png")
    np.testing.assert_array_equal(drawn[0].axes[1].images[0].get_array(), pixels[..., 1])
    assert "photo.png" in drawn[0].get_suptitle()


# -- training and results ---------------------------------------------------------------------------------------------


def test_curves_come_from_the_log_of_a_run(tmp_path, drawn):
    lines = [
        {"epoch": 1, "seconds": 1.0, "loss": 0.6, "val_loss": 0.5},
        {"epoch": 2, "seconds": 1, "loss": None, "val_loss": 0.4},  # null stands for NaN and infinity
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    succeed("curves", ".")
    (axes,) = drawn[0].axes
    assert titles(drawn[0]) == ["loss"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.6, np.nan])
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [0.5, 0.4])


@pytest.mark.parametrize("log", [None, "", "not json\n", "[1]\n", '{"loss": "high"}\n', '{"loss": 1}\n{"epoch": 2}\n'])
def test_a_folder_without_a_log_is_refused(tmp_path, log):
    if log is not None:
        (tmp_path / "log.jsonl").write_text(log)
    assert refuse("curves", ".").startswith("tinyconv: ")


def test_histograms_train_for_some_steps_and_keep_only_the_picture(model_file, drawn):
    before = model_file.read_bytes()
    succeed("histograms", model_file, "--data", "digits", "--steps", 4, "-b", 8)
    assert drawn[0].get_suptitle() == "Each layer from step 1 to 4 of training"
    assert [axes.get_ylabel() for axes in drawn[0].axes[:9:3]] == ["conv2d", "conv2d_1", "dense"]
    assert model_file.read_bytes() == before


def test_confusion_and_mistakes_are_of_the_test_images(model_file, drawn):
    succeed("confusion", model_file, "--data", "digits")
    succeed("mistakes", model_file, "--data", "digits", "--count", 3)
    confusion, mistakes = drawn
    counts = sum(int(text.get_text()) for text in confusion.axes[0].texts)
    assert counts == len(Y_TEST)
    index, *rest = titles(mistakes)[0].replace("\n", " / ").split(" / ")
    expected = probabilities(model_file, int(index))
    assert rest == [str(expected.argmax()), str(Y_TEST[int(index)]), f"{100 * expected.max():.0f} %"]
    assert len([title for title in titles(mistakes) if title]) == 3


# -- inside a network -------------------------------------------------------------------------------------------------


def test_filters_are_of_the_first_convolution_or_the_one_named(model_file, drawn):
    succeed("filters", model_file)
    succeed("filters", model_file, "--layer", "conv2d_1")
    assert [figure.get_suptitle() for figure in drawn] == [
        "conv2d: all 3 filters of 5 × 5 × 1", "conv2d_1: all 4 filters of 3 × 2 × 3",
    ]
    assert "no convolution 'conv'. Did you mean 'conv2d'?" in refuse("filters", model_file, "-l", "conv")
    assert "fashion_perceptron has no convolution layer" in refuse("filters", "fashion_perceptron")


@pytest.mark.parametrize("kind", ["maps", "layers", "saliency", "gradcam", "pixel"])
def test_pictures_of_one_image_show_it(model_file, drawn, kind):
    succeed(kind, model_file, "--image", 9, "--data", "digits")
    shown = [np.asarray(axes.images[0].get_array()) for axes in drawn[0].axes if axes.images]
    expected = X_TEST[9].astype(np.float32) / 255
    assert any(image.shape == expected.shape and np.allclose(image, expected) for image in shown)


def test_saliency_and_gradcam_take_a_class_and_a_layer(model_file, drawn):
    succeed("saliency", model_file, "-i", 2, "-d", "digits", "--class", 4)
    succeed("gradcam", model_file, "-i", 2, "-d", "digits", "-c", 4, "-l", "conv2d")
    share = f"4 ({100 * probabilities(model_file, 2)[4]:.1f} %)"
    assert [figure.get_suptitle() for figure in drawn] == [
        f"Which pixels change the score of {share}", f"Where conv2d finds what speaks for {share}",
    ]
    assert "0 … 9, but got 10" in refuse("saliency", model_file, "-d", "digits", "-c", 10)


def test_an_untrained_network_of_the_zoo_can_be_looked_into(drawn):
    succeed("maps", "feature_map_net", "--data", "digits")
    assert drawn[0].get_suptitle().startswith("What feature_map_net sees")


@pytest.mark.parametrize("data", ["digits", None])
def test_classes_are_named_as_in_the_dataset_of_a_network_of_the_zoo(data, drawn):
    """Whatever image it is shown: one by its number, or a file."""
    Image.fromarray(np.full((28, 28), 200, np.uint8)).save("grey.png")
    succeed("layers", "fashion_perceptron", *(["--data", data] if data else ["--image", "grey.png"]))
    bars = drawn[0].axes[-1]
    assert tuple(tick.get_text() for tick in bars.get_yticklabels()) == fashion_mnist.CLASS_NAMES
    assert any(f": {name} (" in drawn[0].get_suptitle() for name in fashion_mnist.CLASS_NAMES)


def test_classes_of_a_model_without_a_run_are_named_as_in_the_data(model_file, drawn, monkeypatch):
    monkeypatch.setattr(digits, "CLASS_NAMES", names := tuple("abcdefghij"))
    succeed("layers", model_file, "--data", "digits")
    monkeypatch.setattr(digits, "CLASS_NAMES", names[:9])  # others than the model's
    succeed("layers", model_file, "--image", "0", "--data", "digits")
    labels = ["".join(tick.get_text() for tick in figure.axes[-1].get_yticklabels()) for figure in drawn]
    assert labels == ["abcdefghij", "0123456789"]


@pytest.mark.parametrize("kind", ["filters", "maps", "layers", "saliency", "gradcam", "pixel", "confusion", "mistakes"])
def test_a_picture_says_that_its_network_is_untrained(model_file, drawn, kind):
    data = [] if kind == "filters" else ["--data", "digits"]
    succeed(kind, "feature_map_net", *data)
    succeed(kind, model_file, *data)
    untrained, saved = (figure.get_suptitle() for figure in drawn)
    assert untrained.endswith(", untrained")
    assert "untrained" not in saved


def test_by_default_the_pixel_is_where_the_sum_before_the_bias_is_largest(model_file, drawn):
    from tinyconv.models import load_model

    succeed("pixel", model_file, "-d", "digits", "-f", 1, "-i", 3)
    layer = load_model(model_file).layers[0]
    sums = layer.forward_logits(X_TEST[3:4, ..., None].astype(np.float32) / 255)[0, ..., 1] - layer.bias.numpy()[1]
    at = np.unravel_index(np.abs(sums).argmax(), sums.shape)
    assert f"({at[0]}, {at[1]})" in drawn[0].get_suptitle()
    products = next(axes for axes in drawn[0].axes if axes.get_title().startswith("products"))
    assert np.asarray(products.images[0].get_array()).any()


def test_the_image_may_be_a_drawing_of_a_digit(model_file, drawn):
    drawing = np.full((60, 60), 255, np.uint8)
    drawing[10:50, 28:34] = 0  # a one, dark on light
    Image.fromarray(drawing).save("one.png")
    succeed("layers", model_file, "-i", "one.png")
    image = np.asarray(drawn[0].axes[0].images[0].get_array())
    assert image.shape == (28, 28)
    assert image[14, 14] == 1
    assert image[0, 0] == 0


def test_one_output_pixel_of_a_later_layer(model_file, drawn):
    from tinyconv.models import load_model

    succeed("pixel", model_file, "-d", "digits", "-l", "conv2d_1", "-f", 3, "--at", "5,0")
    model = load_model(model_file)
    x = X_TEST[:1, ..., None].astype(np.float32) / 255
    hidden = model.layers[1](model.layers[0](x))
    output = next(axes for axes in drawn[0].axes if axes.get_title() == "output")
    expected = model.layers[2].forward_logits(hidden)[0, ..., 3]
    np.testing.assert_allclose(output.images[0].get_array(), expected, atol=1e-5)
    assert "(5, 0)" in drawn[0].get_suptitle()
    assert "the filters 0 … 3, but got 4" in refuse("pixel", model_file, "-d", "digits", "-l", "conv2d_1", "-f", 4)
    assert "none at 6, 0" in refuse("pixel", model_file, "-d", "digits", "-l", "conv2d_1", "--at", "6,0")
    assert "--at takes" in refuse("pixel", model_file, "-d", "digits", "--at", "middle")


def test_im2col_has_size_kernel_stride_padding_and_window(drawn):
    succeed("im2col", "--size", "4,5", "--kernel-size", "2,3", "--stride", 2, "--padding", "same", "--window", "1,2")
    assert drawn[0].get_suptitle() == "im2col: 2 × 3 windows of 2 × 3 become a matrix of 6 × 6"
    for option, value, sentence in [
        ("--size", "9", "1 to 8"), ("--size", "x", "as in 2 or 2,1"), ("--padding", "full", "same, valid, or pixels"),
        ("--stride", "0", "strides must be"), ("--window", "9,9", "none at 9, 9"),
        ("--kernel-size", "7", "does not fit"),
    ]:
        assert sentence in refuse("im2col", option, value)


def test_a_profile_of_a_network(model_file, drawn):
    succeed("profile", model_file, "-b", 2, "--backend", "numpy")
    assert drawn[0].get_suptitle().startswith("small, numpy, batches of 2: ")
    assert [tick.get_text() for tick in drawn[0].axes[0].get_yticklabels()] == [
        "conv2d", "max_pooling2d", "conv2d_1", "flatten", "dense",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("filters", "nothing.safetensors"), "nothing.safetensors"),
        (("filters",), "There is no run in runs/ here yet"),
        (("samples", "cifar11"), "no dataset 'cifar11'"),
        (("image", "-i", "359"), "359 test images, 0 … 358, but got 359"),
        (("image", "-i", "missing.png"), "There is no picture missing.png."),
    ],
)
def test_bad_input_is_a_sentence(arguments, sentence):
    assert sentence in refuse(*arguments)


def test_a_model_that_does_not_say_its_data_asks_for_them(model_file):
    assert "give --data" in refuse("maps", model_file)
