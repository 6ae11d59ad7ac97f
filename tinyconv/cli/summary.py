"""`tinyconv summary`: the layers of a network and their parameters."""

from typing import Annotated

import typer


def summary(
    model: Annotated[str, typer.Argument(help="A network of the zoo, a run folder, or a saved model.")],
) -> None:
    """Show a network's layers, output shapes and parameters."""
    from tinyconv.cli.sources import find_network

    find_network(model).summary(print_fn=typer.echo)
