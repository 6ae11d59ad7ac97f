"""`tinyconv evaluate`: how good a trained network is on test data, class by class, and what it got wrong."""

from typing import Annotated

import typer


def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="A run folder or a saved model; the latest run when left out.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="A dataset by name or an image folder; the run's own by default.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="numpy, numba or cupy.")] = None,
) -> None:
    """Test a trained network: loss, accuracy, precision, recall and F1 per class, the wrong ones."""
    import numpy as np
    from sklearn.metrics import precision_recall_fscore_support

    from tinyconv.cli.sources import find_trained, scaled
    from tinyconv.cli.terminal import console, table
    from tinyconv.errors import ArgumentError
    from tinyconv.plots.predictions import as_classes

    trained = find_trained(model, backend=backend)
    dataset = trained.load_data(data)
    if len(dataset.class_names) != trained.classes:
        raise ArgumentError(
            f"{trained.path} tells {trained.classes} classes apart, but {dataset.name} has {len(dataset.class_names)}."
        )
    x, y = scaled(dataset.x_test), dataset.y_test
    out = console()
    out.print(f"{trained.path} on {len(x):,} test images of {dataset.name}\n", markup=False)
    scores = trained.model.evaluate(x, y, verbose=0, return_dict=True)
    predicted = as_classes(trained.model.predict(x))
    labels = np.arange(len(dataset.class_names))
    columns = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0)
    rows = [
        (name, *(f"{score:.4f}" for score in row[:3]), int(row[3]))
        for name, row in zip(dataset.class_names, np.transpose(columns), strict=True)
    ]
    names = ("precision", "recall", "F1", "images")
    out.print(table(("class", *names), rows, right=names))
    wrong = np.flatnonzero(predicted != y)
    out.print(f"\nloss {scores['loss']:.4f}   accuracy {1 - len(wrong) / len(y):.4f}   {len(wrong)} wrong")
    for index in wrong[:24]:
        truth, taken_for = dataset.class_names[y[index]], dataset.class_names[predicted[index]]
        out.print(f"  image {index}: {truth}, taken for {taken_for}", markup=False)
    if len(wrong) > 24:
        out.print(f"  … and {len(wrong) - 24} more")
