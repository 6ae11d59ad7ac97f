"""All commands under one name, and what happens when one fails: a sentence, an exit code, no traceback."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tinyconv.cli import (
    bench,
    convdemo,
    data,
    doctor,
    evaluate,
    gradcheck,
    lab,
    lab_open,
    plot,
    predict,
    summary,
    train,
    zoo,
)
from tinyconv.errors import TinyconvError
from tinyconv.kernels.cuda.problems import CudaError
from tinyconv.version import __version__

FAILURE, INTERRUPTED = 1, 130


class _Sentences(TyperGroup):
    """A group of commands whose errors become one sentence on standard error; with --debug, after the traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TinyconvError as problem:
            raise _exit(ctx, str(problem), problem.exit_code) from problem
        except CudaError as problem:
            raise _exit(ctx, str(problem), FAILURE) from problem
        except KeyboardInterrupt as problem:
            raise _exit(ctx, "Interrupted.", INTERRUPTED) from problem
        except MemoryError as problem:
            wanted = str(problem).rstrip(".")
            raise _exit(ctx, f"There is not enough memory ({wanted}); take fewer examples.", FAILURE) from problem
        except BrokenPipeError:  # `tinyconv zoo | head`: typer ends quietly
            raise
        except OSError as problem:
            raise _exit(ctx, f"{problem}.", FAILURE) from problem


def _exit(ctx: Any, sentence: str, code: int) -> typer.Exit:
    """Say what the exception being handled is about; returns what to raise instead."""
    if ctx.params.get("debug"):
        import traceback

        traceback.print_exc()
    typer.echo(f"tinyconv: {sentence}", err=True)
    return typer.Exit(code)


app = typer.Typer(
    cls=_Sentences,
    help="Convolutional networks, written from scratch: train them, test them, look inside.",
    epilog="Start with: tinyconv train",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Options that stand before the command; typer keeps them in the context."""


app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(predict.predict)
app.command()(summary.summary)
app.command()(gradcheck.gradcheck)
app.add_typer(data.app, name="data")
app.add_typer(plot.app, name="plot")
app.command()(convdemo.convdemo)
app.command()(zoo.zoo)
lab.app.command("open")(lab_open.open_lab)
app.add_typer(lab.app, name="lab")
app.add_typer(bench.app, name="bench")
app.command()(doctor.doctor)
