"""`tinyconv train`: a network, data, a run folder; or a run that goes on where it stopped."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_MODEL, DEFAULT_DATA = "two_conv_cnn", "digits"


def train(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help=f"A network of the zoo; {DEFAULT_MODEL} by default.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="digits, mnist, fashion_mnist, cifar10, or a folder with one per class."),
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Only these classes of the data, as in cat,dog.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", "-e", help="How often to go through the data.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", "-b", help="Images per step.")] = None,
    validation_split: Annotated[
        float | None, typer.Option(help="Share of the training images to hold out, from the end.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of all random numbers; 0 by default.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw or sgd.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The step size; the largest, of a schedule.")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, one_cycle, cosine or linear.")] = None,
    augment: Annotated[
        bool | None, typer.Option("--augment/--no-augment", help="Change images a little whenever they are seen.")
    ] = None,
    limit_steps: Annotated[int | None, typer.Option(help="At most this many steps per epoch.")] = None,
    no_fuse: Annotated[bool, typer.Option("--no-fuse", help="Run every layer alone.")] = False,
    backend: Annotated[str | None, typer.Option(help="numpy, numba (the default) or cupy.")] = None,
    threads: Annotated[int | None, typer.Option(help="How many to use; all by default.")] = None,
    run: Annotated[Path | None, typer.Option(help="The folder to write; one below runs/ by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run, or with the latest.")] = False,
    verbose: Annotated[int | None, typer.Option("--verbose", "-v", help="0: silent, 1: a bar, 2: epochs only.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="The same as --verbose 0.")] = False,
) -> None:
    """Train a network and keep it, its log and its pictures in a run folder.

    Without options it trains a small network on the bundled digits. What is left out is as the network's lesson had it.
    """
    from tinyconv import utils, zoo
    from tinyconv.cli import session
    from tinyconv.errors import ArgumentError
    from tinyconv.training.progress import verbosity

    choices = {
        "model": model, "data": data, "classes": classes.split(",") if classes else None, "batch_size": batch_size,
        "validation_split": validation_split, "seed": seed, "optimizer": optimizer, "learning_rate": learning_rate,
        "schedule": schedule, "augment": augment, "limit_steps": limit_steps, "fuse": False if no_fuse else None,
    }
    given = {name: value for name, value in choices.items() if value is not None}
    if threads is not None:
        utils.set_threads(threads)
    if verbose not in (None, 0, 1, 2):
        raise ArgumentError(f"--verbose must be 0, 1 or 2, but got {verbose}.")
    told = verbosity(0 if quiet else "auto" if verbose is None else verbose)
    if resume:
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ArgumentError(f"A resumed run keeps what it began with; leave out {options}, or start a new run.")
        training = session.resume(run, epochs=epochs, backend=backend)
    else:
        if model is None and data is None:
            given["data"] = DEFAULT_DATA
        recipe = session.plan(zoo.entry(model or DEFAULT_MODEL), given, epochs=epochs, backend=backend)
        training = session.start(recipe, run)
    training.train(verbose=told)
