"""`tinyconv gradcheck`: is every hand-written backward pass the derivative of its forward pass?"""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinyconv.gradcheck import Report
    from tinyconv.layers import Layer


def gradcheck(
    name: Annotated[
        str | None,
        typer.Argument(help="A network of the zoo or a kind of layer, such as Conv2D; every layer when left out."),
    ] = None,
    backend: Annotated[str, typer.Option(help="numpy, numba or cupy.")] = "numpy",
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 0,
) -> None:
    """Compare hand-written gradients with differences, in float64. Exits 1 when one is wrong."""
    from tinyconv import zoo
    from tinyconv.cli.terminal import console

    out = console()
    wrong = []
    for report in [_network(name, backend, seed)] if name in zoo.names() else _layers(name, backend, seed):
        out.print(f"{report}\n", markup=False)
        wrong += [] if report.ok else [report.subject]
    out.print(f"Wrong gradients: {', '.join(wrong)}." if wrong else "Every gradient is right.")
    if wrong:
        raise typer.Exit(1)


def _network(name: str | None, backend: str, seed: int) -> "Report":
    """A network of the zoo, on a batch of three random images."""
    from tinyconv import gradcheck, random, zoo

    entry = zoo.entry(str(name))
    x = random.uniform(random.key(seed, "images"), (3, *entry.input_shape))
    y = random.permutation(random.key(seed, "labels"), entry.classes)[[0, 1, 0]]
    return gradcheck.check_model(zoo.build(entry.name, backend=backend, seed=seed, dtype="float64"), x, y)


def _layers(name: str | None, backend: str, seed: int) -> "list[Report]":
    """Every example layer whose class is called `name`, or all of them."""
    from tinyconv import gradcheck
    from tinyconv.errors import ArgumentError
    from tinyconv.naming import suggestion
    from tinyconv.zoo import names

    examples = _examples()
    kinds = {type(layer).__name__ for layer, _ in examples}
    if name is not None and name not in kinds:
        raise ArgumentError(f"There is no network or layer {name!r}. {suggestion(name, [*names(), *kinds])}")
    return [
        gradcheck.check_layer(layer, shape, backend=backend, seed=seed)
        for layer, shape in examples
        if name in (None, type(layer).__name__)
    ]


def _examples() -> "list[tuple[Layer, tuple[int, ...]]]":
    """Layers with everything odd that they allow, and a shape to try them on."""
    from tinyconv import layers

    image = (7, 6, 3)
    return [
        (layers.Conv2D(4, (3, 2), name="conv2d"), image),
        (layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", name="conv2d_strided_same"), image),
        (layers.Conv2D(4, (2, 3), dilation_rate=(2, 2), activation="tanh", name="conv2d_dilated_tanh"), image),
        (layers.Conv2D(4, (3, 3), padding=((2, 0), (1, 1)), activation="relu", name="conv2d_one_sided_relu"), image),
        (layers.MaxPooling2D((3, 2), strides=(2, 2), padding="same", name="max_pooling2d"), image),
        (layers.AveragePooling2D((3, 2), strides=(2, 2), padding="same", name="average_pooling2d"), image),
        (layers.GlobalAveragePooling2D(), image),
        (layers.BatchNormalization(), image),
        (layers.Dense(5, activation="sigmoid", name="dense_sigmoid"), (11,)),
        (layers.Dense(5, activation="softmax", name="dense_softmax"), (11,)),
        (layers.Dropout(0.4), image),
        (layers.Flatten(), image),
        (layers.Reshape((14, 9)), image),
        (layers.Rescaling(0.5, offset=-1.0), image),
        (layers.Activation("tanh"), image),
        (layers.ReLU(), image),
        (layers.Softmax(), (11,)),
    ]
