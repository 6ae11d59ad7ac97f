"""What a lab is: a text and functions to fill in, cases that try them, and the mistakes people make.

The solution is one file, `solutions/<name>.py` (or .cu), and everything else is made from it.  The learner's file is
the solution without the bodies of the functions to fill in.  A *mistake* is an edit of the solution's text, together
with the hint for whoever makes it: the edited solution computes what that learner's file computes, however it is
written.
"""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyconv.kernels.geometry import Padding

Array = np.ndarray[Any, Any]

SOLUTIONS = Path(__file__).parent / "solutions"
EXACT, MEASURED, SINGLE = 1e-9, 1e-6, 1e-4  # tolerances: float64, differences in float64, float32
YOUR_CODE = re.compile(r"(// your code\n).*?( *// end of your code\n)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Case:
    """One call of the learner's function.

    Attributes:
        name: what is special about it, for the list of cases.
        function: which function is called.
        arguments: by name, in the order in which they are given.
        expected: the right results.  A result of shape () may come as any number.
        tolerance: how far a result may be off, relative to the largest expected number (at least 1).
    """

    name: str
    function: str
    arguments: Mapping[str, Any]
    expected: tuple[Array, ...]
    tolerance: float = EXACT


@dataclass(frozen=True)
class Mistake:
    """A way to get it wrong: the hint, and the edits (old, new) that make the solution wrong in this way."""

    hint: str
    edits: tuple[tuple[str, str], ...]

    def source(self, solution: str) -> str:
        """The solution with this mistake in it.  Every `old` must be there, or the solution has changed."""
        for old, new in self.edits:
            if old not in solution:
                raise ValueError(f"The solution has no {old!r} to be replaced by {new!r}.")
            solution = solution.replace(old, new)
        return solution


@dataclass(frozen=True)
class Lab:
    """One lab of the course.

    Attributes:
        number, name: 3 and "conv2d_forward"; the file is called `lab_03_conv2d_forward.py`.
        title: what the learner writes, in a few words.
        functions: those to fill in, each with the names of its results.
        make_cases: all cases for a seed of the random numbers, the easiest first.
        mistakes: the known ones; where two explain the same numbers, the first is named.
        suffix: ".py" or ".cu".
        imports: the packages that the file may import.
        seconds: how long all cases together may take.
        compiled: whether the function must be compiled by Numba and run in parallel.
    """

    number: int
    name: str
    title: str
    functions: Mapping[str, tuple[str, ...]]
    make_cases: Callable[[int], list[Case]]
    mistakes: tuple[Mistake, ...]
    suffix: str = ".py"
    imports: tuple[str, ...] = ("numpy",)
    seconds: float = 10.0
    compiled: bool = False

    @property
    def file_name(self) -> str:
        """What the learner's file is called."""
        return f"lab_{self.number:02d}_{self.name}{self.suffix}"

    @cached_property
    def solution(self) -> str:
        """The text of the solution."""
        return (SOLUTIONS / f"{self.name}{self.suffix}").read_text(encoding="utf-8")

    @property
    def starter(self) -> str:
        """The solution without what the learner writes."""
        if self.suffix != ".py":
            return YOUR_CODE.sub(r"\1\n\2", self.solution)
        lines = self.solution.splitlines()
        for node in reversed(ast.parse(self.solution).body):
            if isinstance(node, ast.FunctionDef) and node.name in self.functions:
                docstring_ends = node.body[0].end_lineno
                lines[docstring_ends : node.end_lineno] = ['    raise NotImplementedError("not filled in yet")']
        return "\n".join(lines) + "\n"


def mistake(hint: str, *edits: tuple[str, str]) -> Mistake:
    """A mistake, written down: `mistake("You forgot b.", ("+ b", ""))`."""
    return Mistake(hint, edits)


def functions_of(source: str, name: str) -> dict[str, Any]:
    """Run the text of a solution, with or without mistakes, and return what it defines."""
    defined: dict[str, Any] = {"__name__": name}
    exec(compile(source, name, "exec"), defined)
    return {key: getattr(value, "py_func", value) for key, value in defined.items()}  # Numba's: not compiled


def both_sides(padding: tuple[int, int]) -> Padding:
    """The labs' padding (rows, columns) as the kernels want it: ((top, bottom), (left, right))."""
    rows, columns = padding
    return (rows, rows), (columns, columns)


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> Array:
    """Normal random numbers."""
    return np.asarray(rng.standard_normal(shape), dtype)


def draw_whole(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> Array:
    """Random whole numbers from -9 to 9: tables of them are easy to read, and to recompute by hand."""
    return rng.integers(-9, 10, shape).astype(dtype)


def differences(forward: Callable[[Array], Array], x: Array, dy: Array, h: float = 1e-5) -> Array:
    """The gradient of Σ dy · forward(x) by central differences, one element of x (float64) after the other.

    Only the digits that can be trusted are kept: what should be 0 is 0.
    """
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += h
        below[place] -= h
        gradient[place] = np.sum(dy * (forward(above) - forward(below))) / (2 * h)
    return gradient.round(8)
