"""What a learner sees: the cases, the first wrong one in full with expected and got side by side, and the hint.

Everything can be read without colours: ✓ and ✗ tell right from wrong, and wrong numbers stand in [brackets].  Where
there are colours they are blue and orange, which everybody can tell apart.
"""

from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from tinyconv.labs.checking import Result
from tinyconv.labs.lab import Array, Case
from tinyconv.labs.verdict import NOT_RUN, Verdict, number

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

RIGHT, WRONG = "bold dodger_blue2", "bold dark_orange"
INDENT = 4
WINDOW = 6  # rows and columns shown of a large array
PRINTED_LINES = 20


def as_text(result: Result, width: int = 100) -> str:
    """The report as plain text."""
    from rich.console import Console

    file = StringIO()
    show(result, Console(file=file, width=width, color_system=None, highlight=False))
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip("\n").split("\n"))


def show(result: Result, console: "Console") -> None:
    """Print the report."""
    for part in _parts(result, console.width):
        console.print(part, soft_wrap=False, markup=False, highlight=False)


def _parts(result: Result, width: int) -> "Iterator[RenderableType]":
    from rich.padding import Padding
    from rich.text import Text

    yield Text(f"Lab {result.lab.number}: {result.lab.title}\n", style="bold")
    if result.problem:
        yield Text.assemble(("✗ ", WRONG), _sentence(result.problem))
    else:
        for count, verdict in enumerate(result.verdicts, 1):
            yield _case_line(count, verdict)
    if result.printed.strip():
        lines = result.printed.rstrip("\n").split("\n")
        more = [f"… and {len(lines) - PRINTED_LINES} lines more"] if len(lines) > PRINTED_LINES else []
        yield Text("\nYour file printed:")
        yield Padding.indent(Text("\n".join(lines[:PRINTED_LINES] + more)), INDENT)
    if result.ok:
        yield Text(f"\nAll {result.passed} cases are right. Well done!", style=RIGHT)
    elif not result.problem:
        share = f"\n{result.passed} of {len(result.verdicts)} cases are right."
        yield Text.assemble((share, WRONG), " The first wrong one:\n")
        count, verdict = next((count, one) for count, one in enumerate(result.verdicts, 1) if not one.ok)
        for part in _details(result, count, verdict, width - INDENT):
            yield Padding.indent(part, INDENT)


def _case_line(count: int, verdict: Verdict) -> "Text":
    from rich.text import Text

    if verdict.fault == NOT_RUN:
        return Text(f"  {count:2} {verdict.case.name} (not run)", style="dim")
    mark, style = ("✓", RIGHT) if verdict.ok else ("✗", WRONG)
    return Text.assemble((f"{mark} ", style), f"{count:2} {verdict.case.name}")


def _details(result: Result, count: int, verdict: Verdict, width: int) -> "Iterator[RenderableType]":
    from rich.padding import Padding
    from rich.text import Text

    yield Text(f"case {count}, {verdict.case.name}", style="bold")
    yield Text(call(verdict.case), style="italic")
    yield Text(_sentence(verdict.fault or ""))
    got, expected = verdict.got, verdict.expected
    if got is not None and got.shape and got.shape == expected.shape and verdict.wrong.any():
        name = result.lab.functions[verdict.case.function][verdict.place or 0]
        yield Padding(_side_by_side(name, verdict, width), (1, 0, 0, 0))
    if result.hint:
        yield Text.assemble("\n", ("Hint: ", WRONG), result.hint)
    yield Text(f"\nIts inputs, to try it: tinyconv.labs.case({result.lab.number}, {count}).arguments", style="dim")


def call(case: Case) -> str:
    """A call in words: arrays by their shapes, or in full when they are one or two numbers."""
    words = []
    for name, value in case.arguments.items():
        if isinstance(value, np.ndarray):
            short = value.size <= 4 and value.ndim == 1
            words.append(f"{name}: [{' '.join(map(number, value))}]" if short else f"{name}: {value.shape}")
        else:
            words.append(f"{name}={value}")
    return f"{case.function}({', '.join(words)})"


def _side_by_side(name: str, verdict: Verdict, width: int) -> "Table":
    """A part of the array around the first wrong element, as expected and as got."""
    from rich.table import Table
    from rich.text import Text

    assert verdict.got is not None
    axes = _plane(name, verdict.expected.ndim)
    first = [int(place) for place in np.argwhere(verdict.wrong)[0]]
    part = tuple(slice(None) if axis in axes else place for axis, place in enumerate(first))
    numbers = [number(value) for array in (verdict.expected, verdict.got) for value in array[part].flat]
    cell = max(map(len, numbers)) + 2
    fitting = max(1, min(WINDOW, (width - 8) // (2 * (cell + 1))))
    window = list(part)
    for axis, most in zip(axes, (fitting,) if len(axes) == 1 else (WINDOW, fitting), strict=True):
        window[axis] = _around(first[axis], verdict.expected.shape[axis], most)
    expected, got, wrong = (np.atleast_2d(array[*window]) for array in (verdict.expected, verdict.got, verdict.wrong))
    whole = all(one == slice(None) for one in window)
    label = name if whole else f"{name}[{', '.join(map(_index, window))}]"

    def picture(array: Array, marked: Array) -> Text:
        text = Text()
        for values, marks in zip(array, marked, strict=True):
            for value, mark in zip(values, marks, strict=True):
                written = f"[{number(value)}]" if mark else f"{number(value)} "
                text.append(written.rjust(cell) + " ", style=WRONG if mark else "")
            text.append("\n")
        return text[:-1]

    table = Table(box=None, pad_edge=False, padding=(0, 4, 0, 0), show_edge=False, header_style="bold")
    table.add_column(Text(f"expected {label}"), no_wrap=True)
    table.add_column(Text(f"got {label}"), no_wrap=True)
    table.add_row(picture(expected, np.zeros_like(wrong)), picture(got, wrong))
    return table


def _plane(name: str, ndim: int) -> tuple[int, ...]:
    """The axes that make a picture: of an image, or of a kernel."""
    return tuple(range(ndim)) if ndim <= 2 else (0, 1) if name == "dw" else (1, 2)


def _around(place: int, size: int, most: int) -> slice:
    """At most `most` of `size` places, `place` among them, with one before it if there is one."""
    if size <= most:
        return slice(None)
    start = max(0, min(place - 1, size - most))
    return slice(start, start + most)


def _index(one: int | slice) -> str:
    if isinstance(one, int):
        return str(one)
    return ":" if one == slice(None) else f"{one.start}:{one.stop}"


def _sentence(text: str) -> str:
    """A fault as a sentence; one that begins with the name of a result stays small."""
    words = ("before ", "block ", "in ", "it ", "its ", "line ", "running ", "the ", "this ")
    return text[:1].upper() + text[1:] if text.startswith(words) else text
