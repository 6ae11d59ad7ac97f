"""The small matrices of Winograd's convolution, and vector code that applies them to tiles.

A row of n inputs holds m = n - r + 1 windows of r.  Their m outputs take r·m multiplications done one by one, but only
n when inputs and weights are seen as polynomials: both are evaluated at n points, the values multiplied point by point,
and the outputs read off the product (Winograd, "Arithmetic complexity of computations", 1980; the method for a given
list of points is Toom's and Cook's).  Each step is a small matrix; in two dimensions it is applied to rows and columns:

    Y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ X B) ] A        X (n, n) inputs, w (r, r) weights, Y (m, m) outputs, ⊙ element by element

That is F(m×m, r×r).  How many times fewer multiplications it takes, r² m² / n²:

    kernels        2×2            3×3            4×4            5×5
    n = 4      F(3×3) 2.25    F(2×2) 2.25    F(1×1) 1
    n = 6      F(5×5) 2.78    F(4×4) 4       F(3×3) 4       F(2×2) 2.78

Summed over channels, ⊙ becomes n² matrix products (Lavin and Gray, "Fast algorithms for convolutional neural networks",
2015): that is where the time goes, so those run on the micro-kernel.

What is saved in multiplications is paid in rounding: sums of large terms cancel.  How much depends on the points.  For
n = 6, 0, ±1 and ±2 make the simplest matrices; 0, ±5/8 and ±3/2 halve the error and cost the same.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .microkernel import VECTOR_BYTES

Array = np.ndarray[Any, Any]

# Finite points by n; the last one is always infinity, where a polynomial's value is its leading coefficient.
POINTS = {4: (0.0, 1.0, -1.0), 6: (0.0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)}


def matrices(points: Sequence[float], r: int) -> tuple[Array, Array, Array]:
    """A (n, m), G (n, r) and B (n, n) for n - 1 finite points and infinity, and kernels of r.

    >>> matrices((0, 1, -1), 3)[0].astype(int).T  # Aᵀ of F(2×2, 3×3): the columns belong to 0, 1, -1 and infinity
    array([[ 1,  1,  1,  0],
           [ 0,  1, -1,  1]])
    """
    p = np.array(points)
    n = len(p) + 1
    a, g, b_transposed = np.zeros((n, n - r + 1)), np.zeros((n, r)), np.zeros((n, n))
    a[:-1] = p[:, None] ** np.arange(n - r + 1)
    for i, point in enumerate(p):
        others = np.delete(p, i)
        g[i] = point ** np.arange(r) / np.prod(point - others)
        b_transposed[i, :-1] = np.poly(others)[::-1]  # Lagrange: the polynomial that is zero at the other points
    a[-1, -1] = g[-1, -1] = 1
    b_transposed[-1] = np.poly(p)[::-1]
    return a, g, b_transposed.T


def butterflies(matrix: Array) -> list[Array]:
    """Two factors whose product is `matrix` (n, k), whose rows belong to the points 0, a, -a, b, -b, …, infinity.

    The rows of a and -a differ in the signs of their odd terms only.  So the even and the odd terms are summed once
    (the second factor), and added and subtracted (the first): about half the arithmetic.
    """
    n = len(matrix)
    add_and_subtract = np.eye(n)
    for i in range(1, n - 1, 2):
        add_and_subtract[i : i + 2, i : i + 2] = [[1, 1], [1, -1]]
    return [add_and_subtract, np.linalg.solve(add_and_subtract, matrix)]


def transposed(factors: list[Array]) -> list[Array]:
    """The factors of the transpose of their product."""
    return [factor.T for factor in reversed(factors)]


@cache
def factors(matrix: str, n: int, r: int) -> list[Array]:
    """The factors of "A", "B" or "G", or of its transpose ("AT", …), for tiles of n inputs and kernels of r."""
    a, g, b = matrices(POINTS[n], r)
    product = butterflies({"A": a, "B": b.T, "G": g}[matrix[0]])  # the rows of Bᵀ belong to the points
    return product if matrix in ("A", "G", "BT") else transposed(product)


def tile_transform(matrix: str, plus: bool = False) -> Callable[..., None]:
    """Make the intrinsic that computes Y = L X Lᵀ for a tile of vectors, where L is the `matrix` (see `factors`).

    The tile of x has its element (i, j), one vector of channels, at x[x_at + i·x_row + j·x_column]; y likewise.  With
    `plus` it computes Y = L X Lᵀ + Z, and z follows in the same way; z may be y itself.

    t is a named tuple whose class has `sizes` (n, r): code is made for each class by itself.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tiles = [
            (context.make_array(signature.args[k])(context, builder, arguments[k]).data, *arguments[k + 1 : k + 4])
            for k in range(1, len(arguments), 4)
        ]
        element = context.get_data_type(signature.args[1].dtype)
        _Transform(builder, element, factors(matrix, *signature.args[0].instance_class.sizes)).emit(*tiles)
        return context.get_dummy_value()

    n = types.intp
    if plus:

        @intrinsic
        def transform(typingctx, t, x, x_at, x_row, x_column, y, y_at, y_row, y_column, z, z_at, z_row, z_column):
            return types.void(t, x, n, n, n, y, n, n, n, z, n, n, n), emit

    else:

        @intrinsic
        def transform(typingctx, t, x, x_at, x_row, x_column, y, y_at, y_row, y_column):
            return types.void(t, x, n, n, n, y, n, n, n), emit

    return transform


class _Transform:
    """Emits straight vector code: all columns through L, then all rows of the result."""

    def __init__(self, builder: Any, element: Any, factors: list[Array]) -> None:
        self.builder, self.factors = builder, factors
        self.bytes = 4 if isinstance(element, ir.FloatType) else 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(element, self.lanes)
        multiply_add = f"llvm.fmuladd.v{self.lanes}f{8 * self.bytes}"
        self.multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.vector, [self.vector] * 3), multiply_add
        )

    def emit(self, x: Any, y: Any, z: Any = None) -> None:
        rows, size = len(self.factors[0]), self.factors[-1].shape[1]
        columns = [self.apply([self.load(x, i, j) for i in range(size)]) for j in range(size)]
        for i in range(rows):
            for j, value in enumerate(self.apply([column[i] for column in columns])):
                result = value if z is None else self.builder.fadd(value, self.load(z, i, j))
                self.builder.store(result, self.address(y, i, j), align=self.bytes)

    def apply(self, values: list[Any]) -> list[Any]:
        """L · values."""
        for factor in reversed(self.factors):
            values = [self.combine(row, values) for row in factor.tolist()]
        return values

    def combine(self, coefficients: list[float], values: list[Any]) -> Any:
        """Σ coefficient · value, where the zeros cost nothing and the ones no multiplication."""
        terms = [(c, value) for c, value in zip(coefficients, values, strict=True) if c != 0]
        (c, value), *rest = sorted(terms, key=lambda term: term[0] != 1)
        total = value if c == 1 else self.builder.fmul(self.constant(c), value)
        for c, value in rest:
            if c == 1:
                total = self.builder.fadd(total, value)
            elif c == -1:
                total = self.builder.fsub(total, value)
            else:
                total = self.builder.call(self.multiply_add, [self.constant(c), value, total])
        return total

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.lanes)

    def load(self, tile: Any, i: int, j: int) -> Any:
        return self.builder.load(self.address(tile, i, j), align=self.bytes)

    def address(self, tile: tuple[Any, Any, Any, Any], i: int, j: int) -> Any:
        data, at, row, column = tile
        for step, count in ((row, i), (column, j)):
            at = self.builder.add(at, self.builder.mul(step, ir.Constant(step.type, count)))
        return self.builder.bitcast(self.builder.gep(data, [at]), self.vector.as_pointer())


# Forward's transforms, and those of the gradients, which are their transposes.
transform_x = tile_transform("BT")  # Bᵀ X B
transform_w = tile_transform("G")  # G w Gᵀ
transform_y = tile_transform("AT", plus=True)  # Aᵀ M A + Z
transform_dy = tile_transform("A")  # A dY Aᵀ
transform_dx = tile_transform("B", plus=True)  # B dV Bᵀ + Z
transform_dw = tile_transform("GT")  # Gᵀ dU G
