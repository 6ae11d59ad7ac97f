"""ReLU and max-pooling in 2×2 windows side by side, the commonest case, in vector instructions of their own.

    z  a b     y = max(0, a + bias, b + bias, …)               dz  dy where the winner was, 0 at the other three:
       c d     winner 0, 1, 2 or 3, the first largest,    ◀─▶      0 at all four where there was none
               or 4 where the ReLU is closed (y = 0)

The same with windows of one pixel is the ReLU alone, for a convolution that no pooling follows.

For 32 filters the loop over a pixel is two vectors long.  Numba's loops would take longer to make sure that the arrays
do not overlap than to do the work, once for each of the four pixels; here they are all done at once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..jit import jit
from ..microkernel import VECTOR_BYTES


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

    def pixels(
        self, arguments: Any, k: int, side: int, first: Any, row: Any, pixel: Any
    ) -> list[tuple[Any, int]]:
        """Those of the window, in row-major order: one or four."""
        add = self.builder.add
        offsets = [first, add(first, pixel), add(first, row), add(add(first, row), pixel)]
        return [self.at(arguments, k, offset) for offset in offsets[: side * side]]

    def rectified(self, value: Any) -> Any:
        """max(value, 0), and NaN for NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<=", value, self.zero), self.zero, value)


def _emit_pool(side: int, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    emit = _Vectors(context, builder, signature)
    _, first, row, pixel, _, bias_at, _, _, at = arguments
    bias = emit.load(emit.at(arguments, 4, bias_at))
    best, winner = None, emit.place(0)
    for number, where in enumerate(emit.pixels(arguments, 0, side, first, row, pixel)):
        value = emit.rectified(builder.fadd(emit.load(where), bias))
        if best is None:
            best = value
            continue
        # It takes the lead if it is larger, or the first NaN: "not less or equal", unless the best is NaN itself.
        wins = builder.and_(
            builder.fcmp_unordered(">", value, best), builder.fcmp_ordered("ord", best, best)
        )  # fmt: skip
        best, winner = builder.select(wins, value, best), builder.select(wins, emit.place(number), winner)
    winner = builder.select(builder.fcmp_ordered("<=", best, emit.zero), emit.place(side * side), winner)
    emit.store(best, emit.at(arguments, 6, at))
    emit.store(winner, emit.at(arguments, 7, at, emit.places))
    return context.get_dummy_value()


def _emit_spread(side: int, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    emit = _Vectors(context, builder, signature)
    _, _, at, _, first, row, pixel, _, db_at = arguments
    gradient = emit.load(emit.at(arguments, 0, at))
    winner = emit.load(emit.at(arguments, 1, at, emit.places))
    for number, where in enumerate(emit.pixels(arguments, 3, side, first, row, pixel)):
        won = builder.icmp_unsigned("==", winner, emit.place(number))
        emit.store(builder.select(won, gradient, emit.zero), where)
    closed = builder.icmp_unsigned("==", winner, emit.place(side * side))
    db = emit.at(arguments, 7, db_at)
    emit.store(builder.fadd(emit.load(db), builder.select(closed, emit.zero, gradient)), db)
    return context.get_dummy_value()


def _intrinsics(side: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """One window at a time, for one vector of filters."""
    n = types.intp

    @intrinsic
    def pool(typingctx, z, first, row, pixel, bias, bias_at, y, winners, at):
        return types.void(z, n, n, n, bias, n, y, winners, n), partial(_emit_pool, side)

    @intrinsic
    def spread(typingctx, dy, winners, at, dz, first, row, pixel, db, db_at):
        return types.void(dy, winners, n, dz, n, n, n, db, n), partial(_emit_spread, side)

    return pool, spread


@jit(inline=True)
def side_of_squares(pool_size, pool_strides, pool_before, z, y):
    """1 or 2 where windows are squares of that side, next to each other and inside of the image; else 0.

    So it is also where filters do not fill whole vectors.
    """
    side = pool_size[0]
    side_by_side = side == pool_size[1] == pool_strides[0] == pool_strides[1] and side <= 2
    inside = pool_before[0] == pool_before[1] == 0 and side * len(y) <= len(z) and side * y.shape[1] <= z.shape[1]
    return side if side_by_side and inside and y.shape[2] * y.itemsize % VECTOR_BYTES == 0 else 0


def _loops(side: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """For all windows of an image."""
    pool_window, spread_window = _intrinsics(side)

    @jit(inline=True)
    def pool(z, bias, y, winners):
        """y, winners (ph, pw, f) of one image z (h, w, f)."""
        rows, columns, filters = y.shape
        width, step = z.shape[1] * filters, VECTOR_BYTES // z.itemsize
        flat_z, flat_y, flat_winners = z.reshape(-1), y.reshape(-1), winners.reshape(-1)
        for i in range(rows):
            for j in range(columns):
                first, at = side * i * width + side * j * filters, (i * columns + j) * filters
                for k in range(0, filters, step):
                    pool_window(flat_z, first + k, width, filters, bias, k, flat_y, flat_winners, at + k)

    @jit(inline=True)
    def spread(dy, winners, dz, db):
        """dz (h, w, f) of one image, from dy (ph, pw, f); db += Σ dy where there is a winner."""
        rows, columns, filters = dy.shape
        width, step = dz.shape[1] * filters, VECTOR_BYTES // dz.itemsize
        flat_dy, flat_winners, flat_dz = dy.reshape(-1), winners.reshape(-1), dz.reshape(-1)
        for i in range(rows):
            for j in range(columns):
                first, at = side * i * width + side * j * filters, (i * columns + j) * filters
                for k in range(0, filters, step):
                    spread_window(flat_dy, flat_winners, at + k, flat_dz, first + k, width, filters, db, k)
            if side * columns < dz.shape[1]:
                dz[side * i : side * (i + 1), side * columns :] = 0
        dz[side * rows :] = 0

    return pool, spread


rectify_pixels, spread_pixels = _loops(1)
pool_quarters, spread_quarters = _loops(2)
