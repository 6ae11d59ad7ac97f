"""`tinyconv lab`: labs that grade themselves, for whoever learns and for whoever teaches."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Labs that grade themselves.")

Which = Annotated[str, typer.Argument(metavar="N", help="The lab's number or name, as `lab list` shows them.")]


@app.command("list")
def list_labs() -> None:
    """List the labs, and which of them are in this folder."""
    from tinyconv.cli.terminal import console, table
    from tinyconv.labs import COURSE

    rows = [
        (lab.number, lab.name, lab.title, lab.file_name if Path(lab.file_name).exists() else "") for lab in COURSE
    ]
    out = console()
    out.print(table(("lab", "name", "what you write", "in this folder"), rows, right=("lab",)))
    out.print("\nBegin with:  tinyconv lab start 1")


@app.command()
def start(
    lab: Which,
    folder: Annotated[Path, typer.Option(help="Where to write it.", file_okay=False)] = Path(),
) -> None:
    """Write a lab's file: the text, and the functions to fill in. Never overwrites one."""
    from tinyconv import labs
    from tinyconv.cli.terminal import console

    path = labs.start(lab, folder)
    which = labs.get(lab)
    arguments = f"{which.number}" if folder == Path() else f"{which.number} {path}"
    out = console()
    out.print(f"{path} is there. Read its text, fill in {' and '.join(which.functions)}, then run", markup=False)
    out.print(f"\n    tinyconv lab check {arguments}\n", markup=False)


@app.command()
def check(
    lab: Which,
    file: Annotated[Path | None, typer.Argument(help="Your file; left out, the one in this folder.")] = None,
) -> None:
    """Check your file: which cases are right, and what is wrong with the first that is not. Exits 1 then."""
    from rich.console import Console

    from tinyconv import labs
    from tinyconv.labs.report import show

    which = labs.get(lab)
    out = Console(highlight=False)
    with out.status(f"running your file on the cases of lab {which.number}"):
        result = labs.check(lab, file)
    show(result, out)
    if not result.ok:
        raise typer.Exit(1)


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(help="A sub-folder or a file per student.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Where the table goes; grades.csv, or for lab 6 alone grades_lab_06.csv.", dir_okay=False),
    ] = None,
    lab: Annotated[str | None, typer.Option(help="One lab only, by number or name.")] = None,
    seed: Annotated[int, typer.Option(help="Of the cases' numbers; not the one that `check` uses.")] = 1,
    jobs: Annotated[int, typer.Option(help="How many files run at the same time.", min=1)] = 1,
) -> None:
    """Grade a class into a CSV file: per student and lab the percentage of right cases, and what was wrong first."""
    from rich.console import Console
    from rich.progress import track

    from tinyconv.cli.terminal import table
    from tinyconv.labs import COURSE, get
    from tinyconv.labs.grading import grade_class, write_csv
    from tinyconv.labs.submission import printable

    console = Console(highlight=False, markup=False)  # names of students are not markup
    wanted = [get(lab)] if lab else list(COURSE)
    out = out or Path(f"grades_lab_{wanted[0].number:02d}.csv" if lab else "grades.csv")  # keep those of all labs
    bar = partial(track, description="grading", console=console, transient=True)
    students = grade_class(folder, wanted, seed, jobs, bar)
    graded = [one for one in wanted if any(one.number in student.grades for student in students)]
    write_csv(out, students, graded)
    rows = [
        (
            printable(student.name),
            *(f"{student.percent(one):.0f}" if one.number in student.grades else "-" for one in graded),
            f"{student.total(graded):.1f}",
        )
        for student in students
    ]
    numbers = tuple(str(one.number) for one in graded)
    console.print(table(("student", *numbers, "total"), rows, right=(*numbers, "total")))
    console.print(f"\nPercent of right cases per lab, - for not handed in; what was wrong is in {out}.")
