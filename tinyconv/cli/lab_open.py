"""`tinyconv lab open`: the page in the browser on which one draws a digit and looks into a network."""

from pathlib import Path
from typing import Annotated

import typer


def open_lab(
    host: Annotated[
        str | None, typer.Option(help="Let other machines in, through this address of yours; they need a token.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Where to listen; any free one by default.")
    ] = None,
    backend: Annotated[str, typer.Option(help="numpy, or numba, which compiles first.")] = "numpy",
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="A run folder, or a saved network, for 28×28 images of ten classes."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> None:
    """Draw a digit in the browser and watch every layer; edit kernels; train and see what changes."""
    from tinyconv.errors import StateError

    try:
        from tinyconv.web.serve import serve
    except ModuleNotFoundError as problem:
        if (problem.name or "").partition(".")[0] in ("tinyconv", "numpy"):
            raise
        raise StateError(f'The lab page needs {problem.name}: pip install "tinyconv[lab]".') from problem
    from tinyconv.cli.sources import model_file

    file = None if model is None else model_file(model)
    serve(host=host, port=port, backend=backend, model_file=file, open_browser=browser, say=typer.echo)
