"""`tinyconv plot`: pictures of data, of a training, of what goes on inside a network, and of convolution itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.figure import Figure

    from tinyconv.cli.sources import Trained
    from tinyconv.layers import Conv2D

    Array = np.ndarray[Any, Any]

app = typer.Typer(help="Draw a picture: data, training, mistakes, or what a network sees.", no_args_is_help=True)

DEFAULT_MODEL, DEFAULT_DATA = "two_conv_cnn", "digits"
RECORDS = 50  # of a training to draw histograms of

Data = Annotated[str, typer.Argument(help="digits, mnist, fashion_mnist, cifar10, or a folder with one per class.")]
OfModel = Annotated[
    str | None, typer.Argument(help="A run folder, a saved model or a network of the zoo; the latest run by default.")
]
ToTrain = Annotated[
    str | None, typer.Argument(help=f"A network of the zoo, a run folder or a saved model; {DEFAULT_MODEL} by default.")
]
OtherData = Annotated[
    str | None, typer.Option("--data", "-d", help="A dataset or an image folder; the model's own by default.")
]
OneImage = Annotated[str, typer.Option("--image", "-i", help="A test image by its number, or a picture file.")]
OfClass = Annotated[int | None, typer.Option("--class", "-c", help="By number; the likeliest by default.")]
OfLayer = Annotated[str | None, typer.Option("--layer", "-l", help="A convolution by its name in `tinyconv summary`.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The picture to write.")]


# -- data -------------------------------------------------------------------------------------------------------------


@app.command()
def samples(
    data: Data = DEFAULT_DATA,
    count: Annotated[int, typer.Option(min=1, max=400, help="How many images.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Another one draws other images.")] = 0,
    output: Output = Path("samples.png"),
) -> None:
    """Random images with their labels."""
    from tinyconv import plots
    from tinyconv.cli.sources import load_data

    dataset = load_data(data)
    _save(plots.sample_grid(dataset.x_train, dataset.y_train, dataset.class_names, count=count, seed=seed), output)


@app.command()
def image(
    data: Data = DEFAULT_DATA,
    image: OneImage = "0",
    output: Output = Path("image.png"),
) -> None:
    """One image as a heat map, with its numbers where there is room for them."""
    from tinyconv import plots
    from tinyconv.cli.sources import load_data
    from tinyconv.datasets import images

    if image.isdecimal():
        dataset = load_data(data)
        index = _index(image, len(dataset.x_test))
        name = dataset.class_names[dataset.y_test[index]]
        _save(plots.heat_map(dataset.x_test[index], f"{dataset.name}, test image {index}: {name}"), output)
    else:
        _save(plots.heat_map(images.read(image), Path(image).name), output)


@app.command()
def counts(data: Data = DEFAULT_DATA, output: Output = Path("counts.png")) -> None:
    """How many images there are of each class."""
    from tinyconv import plots
    from tinyconv.cli.sources import load_data

    dataset = load_data(data)
    _save(plots.class_counts({"training": dataset.y_train, "test": dataset.y_test}, dataset.class_names), output)


# -- training and results ---------------------------------------------------------------------------------------------


@app.command()
def curves(
    run: Annotated[Path | None, typer.Argument(help="A run folder; the latest by default.")] = None,
    output: Output = Path("curves.png"),
) -> None:
    """Loss and accuracy of each epoch, with the place where training overtakes validation."""
    from tinyconv import plots
    from tinyconv.cli.sources import latest_run

    _save(plots.learning_curves(_log(run or latest_run())), output)


@app.command()
def histograms(
    model: ToTrain = None,
    data: OtherData = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps to take; if more than an epoch, whole ones.")] = 100,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Images per step.")] = 32,
    output: Output = Path("histograms.png"),
) -> None:
    """Activations, gradients and updates of each layer over some training steps; nothing but the picture is kept."""
    from tinyconv import plots, random
    from tinyconv.cli.sources import scaled

    known = _known(model or DEFAULT_MODEL, backend=None)
    dataset = known.load_data(data or (DEFAULT_DATA if model is None else None))
    rows = random.permutation(random.key(0, "histograms"), len(dataset.x_train))[: steps * batch_size]
    epochs = -(-steps // -(-len(rows) // batch_size))
    recorder = plots.LayerRecorder(scaled(dataset.x_test[:32]), every=max(1, steps // RECORDS))
    known.model.fit(
        scaled(dataset.x_train[rows]), dataset.y_train[rows], batch_size=batch_size, epochs=epochs,
        callbacks=[recorder], verbose=0,
    )
    _save(plots.layer_histograms(recorder), output)


@app.command()
def confusion(model: OfModel = None, data: OtherData = None, output: Output = Path("confusion.png")) -> None:
    """Which classes are taken for which, on the test images."""
    from tinyconv import plots

    known, dataset, probabilities = _predictions(model, data)
    _save(plots.confusion_matrix(dataset.y_test, probabilities, dataset.class_names), output, known)


@app.command()
def mistakes(
    model: OfModel = None,
    data: OtherData = None,
    count: Annotated[int, typer.Option(min=1, max=400, help="How many images at most.")] = 24,
    output: Output = Path("mistakes.png"),
) -> None:
    """The test images that are taken for another class, those first that the network is most sure of."""
    from tinyconv import plots

    known, dataset, probabilities = _predictions(model, data)
    wrong = plots.wrong_predictions(dataset.x_test, dataset.y_test, probabilities, dataset.class_names, count)
    _save(wrong, output, known)


# -- inside a network -------------------------------------------------------------------------------------------------


@app.command()
def filters(model: OfModel = None, layer: OfLayer = None, output: Output = Path("filters.png")) -> None:
    """The filters of a convolution; of the first one unless --layer says which."""
    from tinyconv import plots

    known = _known(model)
    _save(plots.filters(_convolution(known, layer)), output, known)


@app.command()
def maps(
    model: OfModel = None, image: OneImage = "0", data: OtherData = None, output: Output = Path("maps.png")
) -> None:
    """Feature maps: a strip of images for every layer."""
    from tinyconv import plots

    known = _known(model)
    _save(plots.feature_maps(known.model, _image(known, image, data)), output, known)


@app.command()
def layers(
    model: OfModel = None, image: OneImage = "0", data: OtherData = None, output: Output = Path("layers.png")
) -> None:
    """One image in all layers at once, from pixels to probabilities."""
    from tinyconv import plots

    known = _known(model)
    _save(plots.all_layers(known.model, _image(known, image, data), _class_names(known, data)), output, known)


@app.command()
def saliency(
    model: OfModel = None, image: OneImage = "0", target: OfClass = None, data: OtherData = None,
    output: Output = Path("saliency.png"),
) -> None:
    """Which pixels change a class's score most."""
    from tinyconv import plots

    known = _known(model)
    _save(plots.saliency(known.model, _image(known, image, data), target, _class_names(known, data)), output, known)


@app.command()
def gradcam(
    model: OfModel = None, image: OneImage = "0", target: OfClass = None, layer: OfLayer = None, data: OtherData = None,
    output: Output = Path("gradcam.png"),
) -> None:
    """Where a convolution, the last one unless --layer says which, finds what speaks for a class."""
    from tinyconv import plots

    known = _known(model)
    chosen = None if layer is None else _convolution(known, layer)
    figure = plots.grad_cam(known.model, _image(known, image, data), target, _class_names(known, data), layer=chosen)
    _save(figure, output, known)


@app.command()
def profile(
    model: ToTrain = None,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Images per step.")] = 64,
    backend: Annotated[str | None, typer.Option(help="numpy, numba (the default) or cupy.")] = None,
    output: Output = Path("profile.png"),
) -> None:
    """Time, GFLOP/s and bytes of each layer, forward and backward, every layer run alone."""
    from tinyconv import plots

    known = _known(model or DEFAULT_MODEL, backend=backend)
    costs = plots.measure_layers(known.model, batch_size)
    title = f"{known.model.name}, {known.model.backend.name}, batches of {batch_size}"
    _save(plots.profile(costs, title), output)


# -- convolution itself -----------------------------------------------------------------------------------------------


@app.command()
def pixel(
    model: OfModel = None,
    image: OneImage = "0",
    layer: OfLayer = None,
    filter: Annotated[int, typer.Option("--filter", "-f", min=0, help="Which filter of the layer.")] = 0,
    at: Annotated[str, typer.Option(help="Row and column of the output pixel; by default where most adds up.")] = "",
    data: OtherData = None,
    output: Output = Path("pixel.png"),
) -> None:
    """How one output pixel of a convolution comes about: window × kernel, added up, plus bias; before activation."""
    from tinyconv import plots
    from tinyconv.cli import numbers
    from tinyconv.errors import ArgumentError
    from tinyconv.plots.forward_pass import ForwardPass

    known = _known(model)
    conv = _convolution(known, layer)
    outputs = conv.output_shape[-1]
    if filter >= outputs:
        raise ArgumentError(f"{conv.name} has the filters 0 … {outputs - 1}, but got {filter}.")
    seen = ForwardPass(known.model, _image(known, image, data))
    before = known.model.layers.index(conv) - 1
    x = seen.image if before < 0 else seen.outputs[before][1]
    bias = 0.0 if conv.bias is None else float(conv.bias.numpy()[filter])
    figure = plots.output_pixel(
        x, conv.kernel.numpy()[..., filter], bias, at=numbers.pair(at, "--at") if at else None, strides=conv.strides,
        padding=conv.resolve_padding(conv.input_shape),
    )
    _save(figure, output, known)


@app.command()
def im2col(
    size: Annotated[str, typer.Option(help="Of the image: 5, or 4,6; at most 8.")] = "5",
    kernel_size: Annotated[str, typer.Option(help="3, or 2,3.")] = "3",
    stride: Annotated[str, typer.Option(help="1, or 2,1.")] = "1",
    padding: Annotated[str, typer.Option(help="same, valid, or pixels: 1, or 1,2.")] = "valid",
    window: Annotated[str, typer.Option(help="Row and column of the window to outline.")] = "0,0",
    output: Output = Path("im2col.png"),
) -> None:
    """Which pixel lands where when windows become the rows of a matrix."""
    import numpy as np

    from tinyconv import plots
    from tinyconv.cli import numbers
    from tinyconv.errors import ArgumentError

    height, width = numbers.pair(size, "--size")
    if not (1 <= height <= 8 and 1 <= width <= 8):
        raise ArgumentError(f"--size must be 1 to 8, but got {size}.")
    figure = plots.im2col_picture(
        np.arange(1, height * width + 1).reshape(height, width), numbers.pair(kernel_size, "--kernel-size"),
        strides=numbers.pair(stride, "--stride"), padding=numbers.padding(padding),
        window=numbers.pair(window, "--window"),
    )
    _save(figure, output)


# -- what the pictures need -------------------------------------------------------------------------------------------


def _save(figure: "Figure", output: Path, model: "Trained | None" = None) -> None:
    """Write the picture, which says so if it shows what a model sees that has learnt nothing, and say where."""
    from tinyconv import plots
    from tinyconv.plots.figure import headline

    if model is not None and not model.trained:
        headline(figure, f"{figure.get_suptitle() or model.model.name}, untrained")
    plots.save(figure, output)
    typer.echo(f"saved {output}")


def _known(name: str | None, backend: str | None = "numpy") -> "Trained":
    """The model that `name` means; a network of the zoo is taken untrained."""
    from tinyconv import zoo
    from tinyconv.cli.sources import Trained, find_trained

    if name in zoo.names() and not Path(str(name)).exists():
        entry = zoo.entry(str(name))
        model = zoo.build(entry.name, backend=backend)
        return Trained(model, Path(entry.name), {"data": entry.dataset}, trained=False)
    return find_trained(name, backend=backend)


def _predictions(model: str | None, data: str | None) -> Any:
    """The model, the data and the model's probabilities for its test images."""
    from tinyconv.cli.sources import scaled

    known = _known(model, backend=None)
    dataset = known.load_data(data)
    return known, dataset, known.model.predict(scaled(dataset.x_test))


def _image(known: "Trained", image: str, data: str | None) -> "Array":
    """A test image by its number or a picture file, as the model takes it."""
    from tinyconv.cli import picture
    from tinyconv.cli.sources import scaled

    if not image.isdecimal():
        return picture.read(Path(image), known.image_shape, find_digit=known.reads_digits)
    dataset = known.load_data(data)
    return scaled(dataset.x_test[_index(image, len(dataset.x_test))])


def _class_names(known: "Trained", data: str | None) -> "Sequence[str] | None":
    """The names of the model's classes: its run's, or else those of the dataset that it is for or that is given."""
    from tinyconv import datasets

    name = known.config.get("data", data)
    if known.class_names is not None or name not in datasets.names():
        return known.class_names
    names: tuple[str, ...] = getattr(datasets, name).CLASS_NAMES
    return names if len(names) == known.classes else None


def _index(text: str, images: int) -> int:
    from tinyconv.errors import ArgumentError

    if int(text) >= images:
        raise ArgumentError(f"There are {images:,} test images, 0 … {images - 1}, but got {text}.")
    return int(text)


def _convolution(known: "Trained", name: str | None) -> "Conv2D":
    """The convolution called `name`, or the first one."""
    from tinyconv.errors import ArgumentError
    from tinyconv.layers import Conv2D
    from tinyconv.naming import suggestion

    found = {layer.name: layer for layer in known.model.layers if isinstance(layer, Conv2D)}
    if not found:
        raise ArgumentError(f"{known.model.name} has no convolution layer.")
    if name is not None and name not in found:
        raise ArgumentError(f"{known.model.name} has no convolution {name!r}. {suggestion(name, found)}")
    return found[name] if name is not None else next(iter(found.values()))


def _log(run: Path) -> dict[str, list[float]]:
    """The numbers of each epoch in a run's log."""
    import json

    from tinyconv.errors import DataError

    try:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        names = [name for name in lines[0] if name not in ("epoch", "seconds")] if lines else []
        return {name: [float("nan" if line[name] is None else line[name]) for line in lines] for name in names}
    except (OSError, ValueError, LookupError, TypeError) as problem:
        raise DataError(f"{run} has no readable log.jsonl: give a run folder.") from problem
