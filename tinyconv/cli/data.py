"""`tinyconv data`: list, download and verify the datasets."""

from typing import Annotated

import typer

app = typer.Typer(help="List, download and verify the datasets.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(help="Datasets by name; all of them when none is given.")]


@app.command("list")
def list_() -> None:
    """List the datasets, and where they are on this machine."""
    from tinyconv import datasets
    from tinyconv.cli.terminal import console, table

    rows = []
    for status in map(datasets.status, datasets.names()):
        where = ", ".join(map(str, status.folders)) or "bundled"
        rows.append((status.name, status.description, "not downloaded" if status.missing else where))
    console().print(table(("name", "content", "where"), rows))


@app.command()
def download(
    names: Annotated[list[str], typer.Argument(help="Datasets by name: mnist, fashion_mnist, cifar10.")],
) -> None:
    """Download datasets, unless they are here already; their content is checked either way."""
    from tinyconv import datasets

    for name in names:
        status = datasets.download(name)
        typer.echo(f"{status.name}: {', '.join(map(str, status.folders)) or 'bundled, nothing to download'}")


@app.command()
def verify(names: Names = None) -> None:
    """Check every byte of the datasets on this machine. Exits 1 when a file is damaged, or is asked for and missing."""
    from tinyconv import datasets

    failed = False
    for name in names or datasets.names():
        status = datasets.status(name)
        reports = [] if status.missing and not names else datasets.verify(name)
        if not reports:
            typer.echo(f"{status.name}: " + ("not on this machine" if status.missing else "bundled, nothing to verify"))
        for report in reports:
            typer.echo(f"{'✗' if report.problem else '✓'} {report.name}  {report.problem or report.path}")
            failed = failed or report.problem is not None
    if failed:
        raise typer.Exit(1)
