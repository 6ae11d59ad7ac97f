"""ReLU and max-pooling in 2×2 windows side by side, the commonest case, in vector instructions of their own.

    z  a b     y = max(0, a + bias, b + bias, …)               dz  dy where the winner was, 0 at the other three:
       c d     winner 0, 1, 2 or 3, the first largest,    ◀─▶      0 at all four where there was none
               or 4 where the ReLU is closed (y = 0)

For 32 filters the loop over a pixel is two vectors long.  Numba's loops would take longer to make sure that the arrays
do not overlap than to do the work, once for each of the four pixels; here they are all done at once.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..jit import jit
from ..microkernel import VECTOR_BYTES

NOBODY = 4  # won a window whose ReLU is closed


class _Vectors:
    """Emits loads, stores and comparisons of one vector of filters."""

    def __init__(self, context: Any, builder: Any, signature: Any) -> None:
        self.context, self.builder, self.signature = context, builder, signature
        element = context.get_data_type(signature.args[0].dtype)
        self.bytes = 4 if isinstance(element, ir.FloatType) else 8
        lanes = VECTOR_BYTES // self.bytes
        self.vector, self.places = ir.VectorType(element, lanes), ir.VectorType(ir.IntType(8), lanes)
        self.zero = ir.Constant(self.vector, [0.0] * lanes)

    def place(self, number: int) -> Any:
        """`number` in every lane."""
        return ir.Constant(self.places, [number] * self.places.count)

    def at(self, arguments: Any, k: int, offset: Any, kind: Any = None) -> tuple[Any, int]:
        """Where a vector lies from `offset` on in the array that is argument k, and how it is aligned."""
        array = self.context.make_array(self.signature.args[k])(self.context, self.builder, arguments[k])
        address = self.builder.gep(array.data, [offset])
        kind = self.vector if kind is None else kind
        return self.builder.bitcast(address, kind.as_pointer()), self.bytes if kind is self.vector else 1

    def load(self, where: tuple[Any, int]) -> Any:
        return self.builder.load(where[0], align=where[1])

    def store(self, value: Any, where: tuple[Any, int]) -> None:
        self.builder.store(value, where[0], align=where[1])

    def pixels(self, arguments: Any, k: int, first: Any, row: Any, pixel: Any) -> list[tuple[Any, int]]:
        """The window's four, in row-major order."""
        add = self.builder.add
        return [self.at(arguments, k, offset) for offset in (first, add(first, pixel), add(first, row),
                                                             add(add(first, row), pixel))]  # fmt: skip

    def rectified(self, value: Any) -> Any:
        """max(value, 0), and NaN for NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<=", value, self.zero), self.zero, value)


def _emit_pool(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    emit = _Vectors(context, builder, signature)
    _, first, row, pixel, _, bias_at, _, _, at = arguments
    bias = emit.load(emit.at(arguments, 4, bias_at))
    best, winner = None, emit.place(0)
    for number, where in enumerate(emit.pixels(arguments, 0, first, row, pixel)):
        value = emit.rectified(builder.fadd(emit.load(where), bias))
        if best is None:
            best = value
            continue
        # It takes the lead if it is larger, or the first NaN: "not less or equal", unless the best is NaN itself.
        wins = builder.and_(
            builder.fcmp_unordered(">", value, best), builder.fcmp_ordered("ord", best, best)
        )  # fmt: skip
        best, winner = builder.select(wins, value, best), builder.select(wins, emit.place(number), winner)
    winner = builder.select(builder.fcmp_ordered("<=", best, emit.zero), emit.place(NOBODY), winner)
    emit.store(best, emit.at(arguments, 6, at))
    emit.store(winner, emit.at(arguments, 7, at, emit.places))
    return context.get_dummy_value()


def _emit_spread(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    emit = _Vectors(context, builder, signature)
    _, _, at, _, first, row, pixel, _, db_at = arguments
    gradient = emit.load(emit.at(arguments, 0, at))
    winner = emit.load(emit.at(arguments, 1, at, emit.places))
    for number, where in enumerate(emit.pixels(arguments, 3, first, row, pixel)):
        won = builder.icmp_unsigned("==", winner, emit.place(number))
        emit.store(builder.select(won, gradient, emit.zero), where)
    closed = builder.icmp_unsigned("==", winner, emit.place(NOBODY))
    db = emit.at(arguments, 7, db_at)
    emit.store(builder.fadd(emit.load(db), builder.select(closed, emit.zero, gradient)), db)
    return context.get_dummy_value()


def _intrinsics() -> tuple[Callable[..., None], Callable[..., None]]:
    n = types.intp

    @intrinsic
    def pool(typingctx, z, first, row, pixel, bias, bias_at, y, winners, at):
        return types.void(z, n, n, n, bias, n, y, winners, n), _emit_pool

    @intrinsic
    def spread(typingctx, dy, winners, at, dz, first, row, pixel, db, db_at):
        return types.void(dy, winners, n, dz, n, n, n, db, n), _emit_spread

    return pool, spread


_pool, _spread = _intrinsics()


@jit(inline=True)
def are_quarters(pool_size, pool_strides, pool_before, z, y):
    """Whether windows are 2×2, side by side and inside of the image, and filters fill whole vectors."""
    side_by_side = pool_size[0] == pool_size[1] == pool_strides[0] == pool_strides[1] == 2
    inside = pool_before[0] == pool_before[1] == 0 and 2 * len(y) <= len(z) and 2 * y.shape[1] <= z.shape[1]
    return side_by_side and inside and y.shape[2] * y.itemsize % VECTOR_BYTES == 0


@jit(inline=True)
def pool_quarters(z, bias, y, winners):
    """y, winners (ph, pw, f) of one image z (h, w, f)."""
    rows, columns, filters = y.shape
    width, step = z.shape[1] * filters, VECTOR_BYTES // z.itemsize
    flat_z, flat_y, flat_winners = z.reshape(-1), y.reshape(-1), winners.reshape(-1)
    for i in range(rows):
        for j in range(columns):
            first, at = 2 * i * width + 2 * j * filters, (i * columns + j) * filters
            for k in range(0, filters, step):
                _pool(flat_z, first + k, width, filters, bias, k, flat_y, flat_winners, at + k)


@jit(inline=True)
def spread_quarters(dy, winners, dz, db):
    """dz (h, w, f) of one image, from dy (ph, pw, f); db += Σ dy where there is a winner."""
    rows, columns, filters = dy.shape
    width, step = dz.shape[1] * filters, VECTOR_BYTES // dz.itemsize
    flat_dy, flat_winners, flat_dz = dy.reshape(-1), winners.reshape(-1), dz.reshape(-1)
    for i in range(rows):
        for j in range(columns):
            first, at = 2 * i * width + 2 * j * filters, (i * columns + j) * filters
            for k in range(0, filters, step):
                _spread(flat_dy, flat_winners, at + k, flat_dz, first + k, width, filters, db, k)
        if 2 * columns < dz.shape[1]:
            dz[2 * i : 2 * i + 2, 2 * columns :] = 0
    dz[2 * rows :] = 0
