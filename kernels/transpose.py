"""The transpose of a matrix, a square of vectors at a time: a vector register's lanes are its rows and its columns.

    a  a0 a1 a2 a3     the halves interleaved,      a0 c0 a1 c1     and once more      a0 b0 c0 d0
    b  b0 b1 b2 b3     a with c and b with d:       a2 c2 a3 c3                        a1 b1 c1 d1
    c  c0 c1 c2 c3     ─────────────────────▶       b0 d0 b1 d1     ───────────▶       a2 b2 c2 d2
    d  d0 d1 d2 d3                                  b2 d2 b3 d3                        a3 b3 c3 d3

Each round moves one bit of an element's number from the row to the column, so log2(lanes) rounds do it.  One by one, an
element would cost a load and a store of its own; so it costs log2(lanes) / lanes shuffles.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import jit
from .microkernel import VECTOR_BYTES


@intrinsic
def _transpose_square(typingctx, a, i, j, out):
    """out[j : j + lanes, i : i + lanes] = a[i : i + lanes, j : j + lanes]ᵀ, both with their rows contiguous."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        size = 4 if a.dtype == types.float32 else 8
        lanes = VECTOR_BYTES // size
        vector = ir.VectorType(context.get_data_type(a.dtype), lanes)
        index = ir.IntType(32)
        low = ir.Constant(ir.VectorType(index, lanes), [n // 2 + n % 2 * lanes for n in range(lanes)])
        high = ir.Constant(ir.VectorType(index, lanes), [n // 2 + n % 2 * lanes + lanes // 2 for n in range(lanes)])

        def addresses(k: int, first_row: Any, column: Any) -> list[Any]:
            array = context.make_array(signature.args[k])(context, builder, arguments[k])
            row_bytes = cgutils.unpack_tuple(builder, array.strides, 2)[0]
            first = builder.gep(array.data, [column])
            rows = [builder.add(first_row, ir.Constant(first_row.type, n)) for n in range(lanes)]
            return [
                cgutils.pointer_add(builder, first, builder.mul(row, row_bytes), vector.as_pointer()) for row in rows
            ]

        _, i, j, _ = arguments
        values = [builder.load(address, align=size) for address in addresses(0, i, j)]
        for _ in range(lanes.bit_length() - 1):
            pairs = list(zip(values[: lanes // 2], values[lanes // 2 :], strict=True))
            values = [builder.shuffle_vector(one, other, part) for one, other in pairs for part in (low, high)]
        for value, address in zip(values, addresses(3, j, i), strict=True):
            builder.store(value, address, align=size)
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp, out), codegen


@jit(inline=True)
def transpose(a, out):
    """out (columns, rows) = a (rows, columns)ᵀ; the rows of both are contiguous."""
    rows, columns = a.shape
    lanes = VECTOR_BYTES // a.itemsize
    whole_rows, whole_columns = rows // lanes * lanes, columns // lanes * lanes
    for i in range(0, whole_rows, lanes):
        for j in range(0, whole_columns, lanes):
            _transpose_square(a, i, j, out)
        for j in range(whole_columns, columns):
            for r in range(i, i + lanes):
                out[j, r] = a[r, j]
    for i in range(whole_rows, rows):
        for j in range(columns):
            out[j, i] = a[i, j]
