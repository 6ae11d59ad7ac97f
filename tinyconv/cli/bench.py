"""`tinyconv bench …`: tinyconv and its peers side by side, and kernels against the limits of the machine."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinyconv.benchmarks.race import Rounds
    from tinyconv.benchmarks.report import Report

BUSY = 0.5  # a load average above which other programs are likely to disturb

Network = Annotated[
    list[str] | None, typer.Option("--network", "-n", help="A network of the zoo, or all; give it once for each.")
]
OneNetwork = Annotated[str, typer.Option("--network", "-n", help="A network of the zoo.")]
Who = Annotated[
    list[str] | None,
    typer.Option("--contestant", "-c", help="Only this one; give it once for each. `tinyconv bench` lists them."),
]
Threads = Annotated[int | None, typer.Option(help="How many each contestant may use; all by default.")]
NumberOfRounds = Annotated[int, typer.Option("--rounds", "-r", help="Turns that each contestant takes.")]
Seconds = Annotated[float, typer.Option("--seconds", "-s", help="How long a turn takes, about.")]
Tcmalloc = Annotated[
    bool, typer.Option("--tcmalloc/--no-tcmalloc", help="Let each also run with libtcmalloc_minimal preloaded.")
]
Library = Annotated[Path | None, typer.Option(help="Where libtcmalloc_minimal is, if the system does not find it.")]
KerasPython = Annotated[str | None, typer.Option(help="A Python that has NumPy, Keras, and TensorFlow or JAX.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The folder for NAME.json, NAME.md and NAME.png.")]
RESULTS = Path("benchmarks") / "results"

app = typer.Typer(
    help="Measure speed and memory, side by side with PyTorch and Keras. Use a quiet machine.", no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Contestants: tinyconv, tinyconv-unfused, tinyconv-numpy, pytorch, pytorch-channels-last, pytorch-compiled, "
    "pytorch-fused-adam, keras-tensorflow, keras-jax; with a GPU tinyconv-gpu, pytorch-gpu, pytorch-gpu-compiled.",
)


@app.command()
def train_throughput(
    network: Network = None, contestant: Who = None, threads: Threads = None, rounds: NumberOfRounds = 5,
    seconds: Seconds = 0.4, tcmalloc: Tcmalloc = True, tcmalloc_path: Library = None, python_keras: KerasPython = None,
    output: Output = RESULTS,
) -> None:
    """Images per second of whole training steps."""
    from tinyconv.benchmarks import contestants
    from tinyconv.benchmarks import train_throughput as benchmark

    field = contestants.choose(
        contestant or contestants.NAMES, tcmalloc=tcmalloc, library=tcmalloc_path, keras_python=python_keras
    )
    networks = _networks(network, benchmark.NETWORKS)
    _run(lambda say: benchmark.run(field, _rounds(threads, rounds, seconds), networks=networks, say=say), output)


@app.command()
def predict(
    network: Network = None, contestant: Who = None, threads: Threads = None, rounds: NumberOfRounds = 5,
    images: Annotated[int, typer.Option(help="How many there are.")] = 10_000,
    tcmalloc: Tcmalloc = True, tcmalloc_path: Library = None, python_keras: KerasPython = None,
    output: Output = RESULTS,
) -> None:
    """Images per second of prediction, for 10,000 images of MNIST's size."""
    from tinyconv.benchmarks import contestants
    from tinyconv.benchmarks import predict as benchmark
    from tinyconv.checks import whole_number

    names = [name for name in contestants.NAMES if name != contestants.FUSED_ADAM.name]  # the same here as without
    field = contestants.choose(
        contestant or names, tcmalloc=tcmalloc, library=tcmalloc_path, keras_python=python_keras
    )
    images = whole_number(images, "--images", minimum=1)
    networks = _networks(network, benchmark.NETWORKS)
    _run(lambda say: benchmark.run(field, _rounds(threads, rounds), networks=networks, images=images, say=say), output)


@app.command()
def memory(
    network: Network = None, contestant: Who = None, threads: Threads = None, rounds: NumberOfRounds = 2,
    seconds: Seconds = 0.5, python_keras: KerasPython = None, output: Output = RESULTS,
) -> None:
    """Peak memory of a process that trains."""
    from tinyconv.benchmarks import contestants
    from tinyconv.benchmarks import memory as benchmark

    names = ("tinyconv", "tinyconv-unfused", "pytorch", "pytorch-channels-last", "keras-tensorflow")
    field = contestants.choose(contestant or names, tcmalloc=False, keras_python=python_keras)
    networks = _networks(network, benchmark.NETWORKS)
    _run(lambda say: benchmark.run(field, _rounds(threads, rounds, seconds), networks=networks, say=say), output)


@app.command()
def startup(
    network: OneNetwork = "mnist_convnet", contestant: Who = None, threads: Threads = None, rounds: NumberOfRounds = 3,
    python_keras: KerasPython = None, output: Output = RESULTS,
) -> None:
    """Seconds from starting Python to the first training step, with compiled code on disk and without."""
    from tinyconv.benchmarks import contestants
    from tinyconv.benchmarks import startup as benchmark

    names = ("tinyconv", "tinyconv-numpy", "pytorch", "pytorch-compiled", "keras-tensorflow", "keras-jax")
    field = contestants.choose(contestant or names, tcmalloc=False, keras_python=python_keras)
    _run(lambda say: benchmark.run(field, _rounds(threads, rounds), network=network, say=say), output)


@app.command()
def scaling(
    network: OneNetwork = "mnist_convnet", contestant: Who = None, threads: Threads = None, rounds: NumberOfRounds = 5,
    seconds: Seconds = 0.4, python_keras: KerasPython = None, output: Output = RESULTS,
) -> None:
    """Training speed over threads, batch size and image size."""
    from tinyconv.benchmarks import contestants
    from tinyconv.benchmarks import scaling as benchmark

    names = ("tinyconv", "pytorch", "pytorch-channels-last")
    field = contestants.choose(contestant or names, tcmalloc=False, keras_python=python_keras)
    _run(lambda say: benchmark.run(field, _rounds(threads, rounds, seconds), network=network, say=say), output)


@app.command()
def cpu_vs_gpu(
    network: OneNetwork = "mnist_convnet", contestant: Who = None, threads: Threads = None, rounds: NumberOfRounds = 5,
    seconds: Seconds = 0.4,
    batch_size: Annotated[
        list[int] | None, typer.Option("--batch-size", "-b", help="Only this one; give it once for each.")
    ] = None,
    cpu_price: Annotated[float | None, typer.Option(help="Euros per hour of this processor.")] = None,
    gpu_price: Annotated[float | None, typer.Option(help="Euros per hour of this machine with its GPU.")] = None,
    output: Output = RESULTS,
) -> None:
    """The same training on the processor and on a GPU, by batch size: who is ahead when, why, and what it costs."""
    from tinyconv.benchmarks import contestants
    from tinyconv.benchmarks import cpu_vs_gpu as benchmark
    from tinyconv.checks import number, whole_number

    names = ("tinyconv", "tinyconv-numpy", "pytorch", *contestants.GPU_NAMES)
    field = contestants.choose(contestant or names, tcmalloc=False)
    sizes = [whole_number(size, "--batch-size", minimum=1) for size in batch_size or benchmark.BATCH_SIZES]
    prices = {
        where: number(price, f"--{where}-price", minimum=0)
        for where, price in (("cpu", cpu_price), ("gpu", gpu_price))
        if price is not None
    }
    _run(
        lambda say: benchmark.run(
            field, _rounds(threads, rounds, seconds), network=network, batch_sizes=sorted(set(sizes)),
            euros_per_hour=prices, say=say,
        ),
        output,
    )


@app.command()
def time_to_accuracy(
    recipe: Annotated[str, typer.Option(help="How to train.")] = "published", contestant: Who = None,
    threads: Threads = None, seeds: Annotated[int, typer.Option(help="How many trainings, seeds 0, 1, …")] = 30,
    goal: Annotated[float, typer.Option(help="Test accuracy to reach.")] = 0.99,
    data: Annotated[str, typer.Option("--data", "-d", help="A dataset of images with ten classes.")] = "mnist",
    limit: Annotated[int | None, typer.Option(help="Use only the first so many training images.")] = None,
    tcmalloc: Tcmalloc = False, tcmalloc_path: Library = None, output: Output = RESULTS,
) -> None:
    """Seconds of training until MNIST's test digits are read as well as wanted, over many seeds."""
    from tinyconv.benchmarks import contestants, recipes
    from tinyconv.benchmarks import time_to_accuracy as benchmark

    names = ("tinyconv", "pytorch", "pytorch-channels-last")
    field = contestants.choose(contestant or names, tcmalloc=tcmalloc, library=tcmalloc_path)
    chosen = recipes.recipe(recipe)
    _run(
        lambda say: benchmark.run(
            field, chosen, _rounds(threads, seeds), data=data, goal=goal, limit=limit, say=say
        ),
        output,
    )


@app.command()
def accuracy(
    recipe: Annotated[
        list[str] | None, typer.Option(help="Only this row of the table; give it once for each.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many trainings of each, seeds 0, 1, …")] = 3,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Trainings at a time, with one thread each.")] = 2,
    runs: Annotated[
        Path | None, typer.Option(help="A folder to keep the runs in; what is finished there is not trained again.")
    ] = None,
    output: Output = RESULTS,
) -> None:
    """Test accuracy of the reference networks, over several seeds."""
    from tinyconv.benchmarks import accuracy as benchmark
    from tinyconv.checks import whole_number

    names = tuple(dict.fromkeys(recipe or benchmark.RECIPES))
    seeds, jobs = whole_number(seeds, "--seeds", minimum=1), whole_number(jobs, "--jobs", minimum=1)
    _run(lambda say: benchmark.run(recipes=names, seeds=seeds, jobs=jobs, runs=runs, say=say), output)


@app.command()
def ladder(
    operation: Annotated[str, typer.Argument(help="conv2d, conv_relu_maxpool, dense, maxpool2d, relu, adam, …")],
    network: Network = None, threads: Threads = None, rounds: NumberOfRounds = 5,
    seconds: Annotated[float, typer.Option("--seconds", "-s", help="How long a rung computes in a round.")] = 0.1,
    output: Output = RESULTS,
) -> None:
    """Every rung of an operation, on the shapes of the zoo, against the limits of the machine."""
    from tinyconv.benchmarks import ladder as benchmark

    networks = _networks(network, benchmark.NETWORKS)
    _run(lambda say: benchmark.run(operation, _rounds(threads, rounds, seconds), networks=networks, say=say), output)


@app.command()
def tune(
    network: Network = None, threads: Annotated[int, typer.Option(help="How many may be used.")] = 1,
    rounds: NumberOfRounds = 5,
    seconds: Annotated[float, typer.Option("--seconds", "-s", help="How long a rung computes in a round.")] = 0.1,
    output: Output = RESULTS,
) -> None:
    """Fit the model by which the rung of a convolution is chosen to this machine."""
    from tinyconv.benchmarks import tune as benchmark
    from tinyconv.benchmarks.train_throughput import NETWORKS

    networks = _networks(network, (*NETWORKS, "feature_map_net", "flowers"))  # small and big images, 1 to 96 channels
    _run(lambda say: benchmark.run(_rounds(threads, rounds, seconds), networks=networks, say=say), output)


@app.command()
def lab_page(
    rounds: NumberOfRounds = 5,
    seconds: Annotated[float, typer.Option("--seconds", "-s", help="How long to draw in a round.")] = 3.0,
    output: Output = RESULTS,
) -> None:
    """How soon the lab page opens, and pictures per second while drawing, in Chromium; with a picture of the page."""
    from tinyconv.benchmarks import lab_page as benchmark

    _run(lambda say: benchmark.run(_rounds(None, rounds, seconds), say=say), output)


def _rounds(threads: int | None, rounds: int, seconds: float = 0.0) -> "Rounds":
    """The settings, checked."""
    from tinyconv.benchmarks.machine import usable_threads
    from tinyconv.benchmarks.race import Rounds
    from tinyconv.checks import number, whole_number
    from tinyconv.errors import ArgumentError

    usable = usable_threads()
    threads = usable if threads is None else whole_number(threads, "--threads", minimum=1)
    if threads > usable:
        raise ArgumentError(f"--threads is {threads}, but there are {usable} here.")
    return Rounds(
        threads=threads, rounds=whole_number(rounds, "the number of rounds", minimum=1),
        seconds=number(seconds, "--seconds", minimum=0),
    )


def _networks(given: list[str] | None, usual: "tuple[str, ...]") -> list[str]:
    """The networks asked for, each once; raises ArgumentError for an unknown one."""
    from tinyconv import zoo

    names = zoo.names() if given == ["all"] else list(dict.fromkeys(given or usual))
    for name in names:
        zoo.entry(name)
    return names


def _run(benchmark: "Callable[[Callable[[str], None]], Report]", output: Path) -> None:
    """Run it with a line of progress, show its tables, and write its files."""
    from tinyconv.benchmarks.machine import load
    from tinyconv.cli.terminal import console, table

    out = console()
    busy = load()
    if busy is not None and busy > BUSY:
        typer.echo(f"This machine is busy (load {busy}): what is measured now may be far off.", err=True)
    with out.status("starting") as status:
        report = benchmark(lambda line: status.update(line))
    out.print(f"[bold]{report.title}[/bold]\n")
    for each in report.tables:
        if each.title:
            out.print(f"[bold]{each.title}[/bold]")
        rows = [[re.sub(r"\*\*(.+?)\*\*", r"[bold]\1[/bold]", cell) for cell in row] for row in each.rows]
        out.print(table(each.columns, rows, right=each.columns[1:]))
        out.print()
    for note in report.notes:
        out.print(note, markup=False)
    shown = output == RESULTS and (output / f"{report.name}.json").exists()
    for path in report.write(output):
        out.print(f"wrote {path}", markup=False)
    if shown:
        out.print("These are in place of the results that README.md shows; --output FOLDER keeps yours apart.")
