"""`tinyconv predict`: what a trained network sees in picture files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console


def predict(
    files: Annotated[list[Path], typer.Argument(help="Pictures (PNG, JPEG, …), or folders of them.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A run folder or a saved model; the latest run by default.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Take a picture as it is, instead of looking for one digit in it.")
    ] = False,
) -> None:
    """Show the probability of each class. A photo or drawing of a digit is cut out, centred, turned light on dark."""
    import numpy as np

    from tinyconv.cli import picture
    from tinyconv.cli.sources import find_trained
    from tinyconv.cli.terminal import console

    trained = find_trained(model)
    shape, class_names = trained.image_shape, trained.class_names
    if class_names is None or len(class_names) != trained.classes:
        class_names = [str(label) for label in range(trained.classes)]
    find_digit = trained.reads_digits and not raw
    out = console()
    out.print(f"as {trained.path} sees it", markup=False)
    paths = _pictures(files)
    images = [picture.read(path, shape, find_digit=find_digit) for path in paths]  # all are good before any is shown
    for path, probabilities in zip(paths, trained.model.predict(np.stack(images)), strict=True):
        shares = probabilities.tolist() if len(probabilities) > 1 else [1 - probabilities.item(), probabilities.item()]
        _show(out, path, class_names, shares)


def _pictures(files: list[Path]) -> list[Path]:
    """The files, with folders replaced by the pictures in them."""
    from tinyconv.datasets.images import SUFFIXES
    from tinyconv.errors import DataError

    found = []
    for path in files:
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"The folder {path} has no pictures ({', '.join(sorted(SUFFIXES))}).")
        found += inside
    return found


def _show(out: "Console", path: Path, class_names: list[str], shares: list[float]) -> None:
    """The name of the file and of the likeliest class, then a bar per class."""
    from tinyconv.cli.terminal import bar

    best = max(range(len(shares)), key=shares.__getitem__)
    width = max(map(len, class_names))
    out.print(f"\n{path}  →  {class_names[best]}", style="bold", markup=False)
    for label, (name, share) in enumerate(zip(class_names, shares, strict=True)):
        out.print(f"  {name:>{width}}  {bar(share)}  {share:7.2%}", style="cyan" if label == best else "", markup=False)
