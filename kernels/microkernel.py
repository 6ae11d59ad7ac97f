"""The one inner loop that all matrix products here come down to: a tile of C that lives in registers.

    C[R rows, V vectors]  +=  A[R, K] · B[K, V vectors]          (drawn for R = 6, V = 4, 16 lanes of float32)

                     B, row k:   [ b0 ][ b1 ][ b2 ][ b3 ]      4 vector loads
        A, column k: a0 ──────▶  [c00 ][c01 ][c02 ][c03 ]
                     a1 ──────▶  [c10 ][c11 ][c12 ][c13 ]      each a is loaded once, spread over all lanes,
                     ⋮             ⋮                           and meets the four b's: 24 multiply-adds
                     a5 ──────▶  [c50 ][c51 ][c52 ][c53 ]

Why this reaches the arithmetic limit: a core starts two vector multiply-adds per cycle and gets a result 4 cycles
later, so at least 8 independent sums must be under way: here 24.  One step of k takes 24 multiply-adds = 12 cycles but
only 10 loads = 5 cycles, and C is neither read nor written in between.  24 sums + 4 b's + 1 spread a fill 29 of the 32
vector registers of AVX-512; with AVX2's 16 registers the tile is 6 × 2 (12 + 2 + 1).

What A is, is left open: row r starts at `a[a_rows[r]]` and goes on in *runs*, the t-th at `+ a_runs[t]`, of `depth`
elements that lie `a_k` apart.  So A can be a matrix, its transpose, or the windows of an image: in NHWC the kw·C inputs
under one kernel row are contiguous, hence a convolution is a matrix product with kh runs per row and no im2col buffer.
C's rows lie at `c[c_rows[r] + c_off]`, anywhere.  B's rows are V whole vectors, `b_k` elements apart.

The tile is written as LLVM vector instructions behind a Numba @intrinsic: Numba's own loops leave it to the compiler to
find this shape, and it does not.  (The scheme is that of Goto and van de Geijn, "Anatomy of high-performance matrix
multiplication", 2008; the offset tables are as in Dukhan, "The indirect convolution algorithm", 2019.)
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from .jit import jit


class Host(NamedTuple):
    """What the tile's shape depends on."""

    vector_bytes: int  # of one vector register
    registers: int  # how many there are


@cache
def host() -> Host:
    """The vector registers of the CPU that Numba compiles for (this one, or the one that NUMBA_CPU_NAME says).

    Asks the compiler: which registers appear in the assembly of a 64-byte addition?
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    forced = config.CPU_NAME is not None
    machine = target.create_target_machine(
        cpu=config.CPU_NAME if forced else llvm.get_host_cpu_name(),
        features=(config.CPU_FEATURES or "") if forced else llvm.get_host_cpu_features().flatten(),
    )
    probe = llvm.parse_assembly(
        "define void @add(ptr %p) { %v = load <16 x float>, ptr %p\n %w = fadd <16 x float> %v, %v\n"
        "store <16 x float> %w, ptr %p\n ret void }"
    )
    assembly = machine.emit_assembly(probe)
    if "zmm" in assembly:
        return Host(64, 32)
    if "ymm" in assembly:
        return Host(32, 16)
    return Host(16, 16 if "xmm" in assembly else 32)  # SSE, else NEON's 32


VECTOR_BYTES = host().vector_bytes

# Tile shapes: rows for 1, 2, 3 and 4 vectors of columns, as many as leave registers for B's vectors and one of A.  With
# 16 registers at most 2 vectors are worked on at a time; the last two shapes are then never used.
MAX_VECTORS = 4 if host().registers == 32 else 2
ROWS = (12, 12, 8, 6) if host().registers == 32 else (10, 6, 3, 2)
MAX_ROWS = max(ROWS)


def _tile_kernel(rows: int, vectors: int) -> Callable[..., None]:
    """Make the intrinsic for tiles of `rows` × `vectors`."""

    @intrinsic
    def kernel(
        typingctx, a, a_rows, row, a_runs, run, runs, depth, a_k, b, b_off, b_k, c, c_rows, c_off, used_rows, columns,
        accumulate,
    ):
        n = types.intp
        signature = types.void(a, a_rows, n, a_runs, n, n, n, n, b, n, n, c, c_rows, n, n, n, n)

        def codegen(context, builder, signature, args):
            def data(k: int) -> ir.Value:
                return context.make_array(signature.args[k])(context, builder, args[k]).data

            (row, run, runs, depth, a_k, b_off, b_k, c_off, used_rows, columns, accumulate) = (
                args[k] for k in (2, 4, 5, 6, 7, 9, 10, 13, 14, 15, 16)
            )
            element = context.get_data_type(a.dtype)
            _Tile(builder, element, rows, vectors).emit(
                data(0), builder.gep(data(1), [row]), builder.gep(data(3), [run]), runs, depth, a_k,
                builder.gep(data(8), [b_off]), b_k, builder.gep(data(11), [c_off]), builder.gep(data(12), [row]),
                used_rows, columns, accumulate,
            )
            return context.get_dummy_value()

        return signature, codegen

    return kernel


class _Tile:
    """Emits the instructions of one tile; the accumulators are `rows` × `vectors` values that never touch memory."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type, rows: int, vectors: int) -> None:
        self.builder, self.rows, self.vectors = builder, rows, vectors
        self.lane_bytes = 4 if isinstance(element, ir.FloatType) else 8
        self.lanes = VECTOR_BYTES // self.lane_bytes
        self.vector = ir.VectorType(element, self.lanes)
        self.integer = ir.IntType(64)
        self.suffix = f"v{self.lanes}f{8 * self.lane_bytes}"
        self.cells = [(r, v) for r in range(rows) for v in range(vectors)]

    def emit(
        self, a, a_rows, a_runs, runs, depth, a_k, b, b_k, c, c_rows, used_rows, columns, accumulate
    ) -> None:
        builder, zero = self.builder, self.constant(0)
        a_starts = [builder.gep(a, [builder.load(builder.gep(a_rows, [self.constant(r)]))]) for r in range(self.rows)]
        c_starts = [builder.gep(c, [builder.load(builder.gep(c_rows, [self.constant(r)]))]) for r in range(self.rows)]
        whole_columns = builder.icmp_signed("==", columns, self.constant(self.vectors * self.lanes))
        start = self.starting_values(c_starts, columns, whole_columns, accumulate)

        before = builder.block
        run_loop, k_loop, run_end, done = (
            builder.append_basic_block(name) for name in ("run_loop", "k_loop", "run_end", "done")
        )
        builder.branch(run_loop)

        builder.position_at_end(run_loop)
        run, run_b = builder.phi(self.integer), builder.phi(b.type)
        run_sums = [builder.phi(self.vector) for _ in self.cells]
        run_a = builder.load(builder.gep(a_runs, [run]))
        builder.branch(k_loop)

        builder.position_at_end(k_loop)
        k, k_a, k_b = builder.phi(self.integer), builder.phi(self.integer), builder.phi(b.type)
        sums = [builder.phi(self.vector) for _ in self.cells]
        new_sums = self.multiply_add(a_starts, k_a, k_b, sums)
        next_k, next_a, next_b = builder.add(k, self.constant(1)), builder.add(k_a, a_k), builder.gep(k_b, [b_k])
        builder.cbranch(builder.icmp_signed("<", next_k, depth), k_loop, run_end)

        builder.position_at_end(run_end)
        next_run = builder.add(run, self.constant(1))
        builder.cbranch(builder.icmp_signed("<", next_run, runs), run_loop, done)

        for phi, first, later in [
            (run, zero, next_run), (run_b, b, next_b), *zip(run_sums, start, new_sums, strict=True),
        ]:
            phi.add_incoming(first, before)
            phi.add_incoming(later, run_end)
        for phi, first, later in [
            (k, zero, next_k), (k_a, run_a, next_a), (k_b, run_b, next_b), *zip(sums, run_sums, new_sums, strict=True),
        ]:
            phi.add_incoming(first, run_loop)
            phi.add_incoming(later, k_loop)

        builder.position_at_end(done)
        self.store(new_sums, c_starts, used_rows, columns, whole_columns)

    def multiply_add(self, a_starts, k_a, k_b, sums):
        """One step of k: load B's vectors, spread one element of A per row, multiply and add."""
        builder = self.builder
        fma = self.declare("llvm.fmuladd", [self.vector] * 3, self.vector)
        b_vectors = [self.load(k_b, v) for v in range(self.vectors)]
        spread_all = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        undefined = ir.Constant(self.vector, ir.Undefined)
        new_sums = []
        for r in range(self.rows):
            value = builder.load(builder.gep(a_starts[r], [k_a]))
            spread = builder.shuffle_vector(
                builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0)), undefined, spread_all
            )
            for v in range(self.vectors):
                new_sums.append(builder.call(fma, [spread, b_vectors[v], sums[r * self.vectors + v]]))
        return new_sums

    def starting_values(self, c_starts, columns, whole_columns, accumulate):
        """What the sums start from: C's values to add to them, zeros otherwise."""
        builder = self.builder
        zeros = ir.Constant(self.vector, [0.0] * self.lanes)
        from_zero = builder.block
        load_c, whole, part, begin = (builder.append_basic_block(name) for name in ("load_c", "whole", "part", "begin"))
        builder.cbranch(builder.icmp_signed("!=", accumulate, self.constant(0)), load_c, begin)
        builder.position_at_end(load_c)
        builder.cbranch(whole_columns, whole, part)
        builder.position_at_end(whole)
        loaded = [self.load(c_starts[r], v) for r, v in self.cells]
        builder.branch(begin)
        builder.position_at_end(part)
        masked_load = self.declare(
            "llvm.masked.load", [self.vector.as_pointer(), ir.IntType(32), self.mask_type(), self.vector], self.vector
        )
        masks = [self.mask(columns, v) for v in range(self.vectors)]
        partly = [
            builder.call(masked_load, [self.address(c_starts[r], v), self.alignment(), masks[v], zeros])
            for r, v in self.cells
        ]
        builder.branch(begin)
        builder.position_at_end(begin)
        start = []
        for from_whole, from_part in zip(loaded, partly, strict=True):
            phi = builder.phi(self.vector)
            for value, block in ((zeros, from_zero), (from_whole, whole), (from_part, part)):
                phi.add_incoming(value, block)
            start.append(phi)
        return start

    def store(self, sums, c_starts, used_rows, columns, whole_columns) -> None:
        """Write the sums to C: all at once for a whole tile, else row by row with masked columns."""
        builder = self.builder
        whole, end = builder.append_basic_block("store_whole"), builder.append_basic_block("end")
        part = [builder.append_basic_block(f"store_row_{r}") for r in range(self.rows)] + [end]
        whole_rows = builder.icmp_signed("==", used_rows, self.constant(self.rows))
        builder.cbranch(builder.and_(whole_rows, whole_columns), whole, part[0])
        builder.position_at_end(whole)
        for value, (r, v) in zip(sums, self.cells, strict=True):
            builder.store(value, self.address(c_starts[r], v), align=self.lane_bytes)
        builder.branch(end)
        arguments = [self.vector, self.vector.as_pointer(), ir.IntType(32), self.mask_type()]
        masked_store = self.declare("llvm.masked.store", arguments, ir.VoidType())
        for r in range(self.rows):
            builder.position_at_end(part[r])
            for v in range(self.vectors):
                value = sums[r * self.vectors + v]
                builder.call(
                    masked_store, [value, self.address(c_starts[r], v), self.alignment(), self.mask(columns, v)]
                )
            more = builder.icmp_signed(">", used_rows, self.constant(r + 1))
            builder.cbranch(more, part[r + 1], end)
        builder.position_at_end(end)

    # -- the small words ----------------------------------------------------------------------------------------------

    def constant(self, value: int) -> ir.Constant:
        return ir.Constant(self.integer, value)

    def alignment(self) -> ir.Constant:
        return ir.Constant(ir.IntType(32), self.lane_bytes)

    def address(self, pointer: ir.Value, v: int) -> ir.Value:
        moved = self.builder.gep(pointer, [self.constant(v * self.lanes)])
        return self.builder.bitcast(moved, self.vector.as_pointer())

    def load(self, pointer: ir.Value, v: int) -> ir.Value:
        return self.builder.load(self.address(pointer, v), align=self.lane_bytes)

    def mask_type(self) -> ir.VectorType:
        return ir.VectorType(ir.IntType(1), self.lanes)

    def mask(self, columns: ir.Value, v: int) -> ir.Value:
        """Which lanes of vector v lie within the first `columns` columns."""
        lanes = ir.VectorType(self.integer, self.lanes)
        builder = self.builder
        one = builder.insert_element(ir.Constant(lanes, ir.Undefined), columns, ir.Constant(ir.IntType(32), 0))
        spread = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        limit = builder.shuffle_vector(one, ir.Constant(lanes, ir.Undefined), spread)
        numbers = ir.Constant(lanes, [v * self.lanes + lane for lane in range(self.lanes)])
        return builder.icmp_signed("<", numbers, limit)

    def declare(self, name: str, arguments: list[ir.Type], result: ir.Type) -> ir.Function:
        pointer = ".p0" if any(isinstance(argument, ir.PointerType) for argument in arguments) else ""
        return cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(result, arguments), f"{name}.{self.suffix}{pointer}"
        )


_kernel_1, _kernel_2, _kernel_3, _kernel_4 = (_tile_kernel(rows, v + 1) for v, rows in enumerate(ROWS))
_ROWS_1, _ROWS_2, _ROWS_3, _ROWS_4 = ROWS


@jit(inline=True)
def product(
    a, a_rows, first_row, last_row, a_runs, first_run, runs, depth, a_k, b, b_off, b_k, columns, c, c_rows, c_off,
    accumulate,
):
    """C[first_row:last_row, :columns] (+)= A · B, tile after tile (see the top of this file).

    a, b and c are flat arrays of one dtype; a_rows and c_rows (from `matmul.as_table`) place the rows, a_runs the runs.
    B's runs · depth rows start b_k apart at b[b_off]; they are read in whole vectors, so `columns` rounded up to
    vectors must be there.  `accumulate` is 1 to add to C and 0 to overwrite it.
    """
    lanes = VECTOR_BYTES // a.itemsize
    vectors = (columns + lanes - 1) // lanes
    if vectors == 4:
        for row in range(first_row, last_row, _ROWS_4):
            used = min(_ROWS_4, last_row - row)
            _kernel_4(
                a, a_rows, row, a_runs, first_run, runs, depth, a_k, b, b_off, b_k, c, c_rows, c_off, used, columns,
                accumulate,
            )
    elif vectors == 3:
        for row in range(first_row, last_row, _ROWS_3):
            used = min(_ROWS_3, last_row - row)
            _kernel_3(
                a, a_rows, row, a_runs, first_run, runs, depth, a_k, b, b_off, b_k, c, c_rows, c_off, used, columns,
                accumulate,
            )
    elif vectors == 2:
        for row in range(first_row, last_row, _ROWS_2):
            used = min(_ROWS_2, last_row - row)
            _kernel_2(
                a, a_rows, row, a_runs, first_run, runs, depth, a_k, b, b_off, b_k, c, c_rows, c_off, used, columns,
                accumulate,
            )
    else:
        for row in range(first_row, last_row, _ROWS_1):
            used = min(_ROWS_1, last_row - row)
            _kernel_1(
                a, a_rows, row, a_runs, first_run, runs, depth, a_k, b, b_off, b_k, c, c_rows, c_off, used, columns,
                accumulate,
            )
