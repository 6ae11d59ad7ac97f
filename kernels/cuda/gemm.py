"""Launching matrix products of gemm.cuh: which tile, how many parts of the sum, which numbers to load at once.

    multiply(SOURCE, "dense_forward", x, w, widths, (n, units, features), scalars, out=y, bias=b)

All choices depend on shapes and addresses only, never on the GPU: the same bits on every one (with tensor cores, which
add in an order of their own, on every one of the same generation).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..workspace import Workspace
from .arrays import scratch
from .launcher import Source, blocks, ctype

Array = Any  # of NumPy or CuPy

SUM_PARTS = Source(Path(__file__).with_name("sum_parts.cu"))

MULTIPROCESSORS = 128  # of a large GPU, about
BUSY_SUMS, BUSY_THREADS = 8192, 256  # that keep one of them busy
LEAST_DEPTH = 64  # of a part: with less, writing and adding the parts takes longer than the product
LEAST_SAVED = 192  # of k, by cutting it: a shorter walk takes less time than the launch that adds the parts up
MOST_PARTS = 512  # as the threads that add them up go through them one after the other
SUM_THREADS = 512  # of a block that adds parts up
PARTS_BYTES = 32 * 2**20  # what all parts together may take
MAX_INDEX = 2**31  # the kernels count elements with 32 bits, of which one is the sign


class Tile(NamedTuple):
    """A tile of C, rows × columns, TILE_K deep, and the part of it that one thread computes; see gemm.cuh."""

    rows: int
    columns: int
    depth: int
    thread_rows: int
    thread_columns: int

    @property
    def sums(self) -> int:
        """Of one thread."""
        return self.thread_rows * self.thread_columns

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.rows * self.columns // self.sums

    @property
    def resident(self) -> int:
        """Blocks that shall fit on a multiprocessor of 65,536 registers, which leaves 128 for each of 512 threads.

        Small blocks of threads with many sums bring in more numbers each: there, 168 for each of 384.
        """
        return (384 if self.sums == 64 and self.threads < 256 else 512) // self.threads

    @property
    def busy(self) -> int:
        """Blocks that keep a large GPU busy."""
        return MULTIPROCESSORS * max(blocks(BUSY_SUMS, self.rows * self.columns), blocks(BUSY_THREADS, self.threads))

    @property
    def effort(self) -> float:
        """Time for one multiply-add of a full tile, in units of the fastest possible.

        A multiprocessor starts 128 instructions of threads in a cycle, and brings 32 numbers from shared memory to
        registers, of which a thread of r × c sums needs r + c for r · c multiply-adds.  The slower of both counts.
        """
        return max(self.instructions, 4 * (self.thread_rows + self.thread_columns) / self.sums)

    @property
    def instructions(self) -> float:
        """How many a thread runs for each multiply-add, that one included.

        It reads shared memory in vectors of 4.  Per TILE_K, 35 instructions keep the loop going and 19 bring in each
        vector of A and B, which is about what a disassembler counts in the convolution for compute capability 9.0.
        """
        vectors = sum(blocks(side * self.depth, 4 * self.threads) for side in (self.rows, self.columns))
        reads = (self.thread_rows + self.thread_columns) / 4
        return 1 + reads / self.sums + (35 + 19 * vectors) / (self.sums * self.depth)

    def defines(self) -> dict[str, int]:
        """The macros that gemm.cuh asks for."""
        names = ("TILE_M", "TILE_N", "TILE_K", "THREAD_M", "THREAD_N")
        return {**dict(zip(names, self, strict=True)), "BLOCKS": self.resident}


# For large products, medium ones, and those with few columns or few rows (few filters; one input channel).
LARGE = Tile(128, 128, 8, 8, 8)
TILES = (
    LARGE, Tile(128, 64, 16, 8, 8), Tile(64, 64, 16, 8, 4), Tile(256, 32, 8, 8, 8), Tile(128, 32, 16, 8, 4),
    Tile(128, 16, 16, 4, 4), Tile(16, 64, 16, 4, 4),
)  # fmt: skip
# For threads that have no registers for more than 4 × 4 sums: of doubles, or beside what a pool keeps.
SMALL_TILES = Tile(64, 64, 16, 4, 4), Tile(128, 32, 8, 4, 4), Tile(128, 16, 8, 4, 4)

# What a tensor core's words are rounded to, in bits; see tensor.cuh.  It takes 16 numbers along k at a time.
TENSOR_CORES = {"float32": 0, "tf32": 19, "bf16": 16}
TENSOR_TILES = Tile(128, 128, 16, 8, 8), Tile(128, 64, 16, 8, 8), Tile(64, 64, 16, 4, 8), Tile(128, 32, 16, 4, 8)


def tiles(
    itemsize: int, vectors: bool, *, small: bool = False, products: int = 1, precision: str = "float32"
) -> tuple[Tile, ...]:
    """The tiles whose sums, and numbers on their way to shared memory, fit into a thread's registers; see `plan`.

    Numbers that come one at a time take a register each, and so do the addresses of strided gradients.
    """
    if precision != "float32":
        return TENSOR_TILES if vectors else tuple(tile for tile in TENSOR_TILES if tile.sums < 64)
    chosen: tuple[Tile, ...] = SMALL_TILES if small or itemsize == 8 else TILES
    if products > 1 or not vectors:
        chosen = tuple(tile for tile in chosen if tile.sums < 64)
    return chosen if vectors else tuple(tile._replace(depth=8) for tile in chosen)


class Plan(NamedTuple):
    """How a product (m, n, k) is computed: the tile, and the sum over k in `parts` of `k_per_part`."""

    tile: Tile
    parts: int
    k_per_part: int


@lru_cache(maxsize=1024)
def plan(
    m: int, n: int, k: int, itemsize: int, vectors: bool, *, whole: bool = False, small: bool = False,
    products: int = 1, precision: str = "float32",
) -> Plan:
    """The plan that should be fastest; `vectors` says whether A and B are loaded 4 numbers at a time.

    With `whole`, the sum is not cut into parts; with `small`, a thread has 4 × 4 elements of the tile at most; with
    several `products`, so many of this size run at once.

    A tile that lies partly outside of the result takes as long as another.  Too few blocks leave multiprocessors idle;
    cutting k into parts can help.
    """

    def tiles_of(tile: Tile) -> int:
        return products * blocks(m, tile.rows) * blocks(n, tile.columns)

    def if_it_pays(parts: int) -> int:
        return parts if parts > 1 and k - k // parts >= LEAST_SAVED else 1

    def parts_of(tile: Tile) -> int:
        return 1 if whole else if_it_pays(min(most_parts, tile.busy // tiles_of(tile)))

    def cost(tile: Tile) -> tuple[float, int]:
        idle, sums = max(1.0, tile.busy / (tiles_of(tile) * parts_of(tile))), tiles_of(tile) * tile.rows * tile.columns
        return sums * tile.effort * idle, sums  # where both are idle, the one with less to do

    most_parts = min(k // LEAST_DEPTH, MOST_PARTS, PARTS_BYTES // (m * n * itemsize))
    tile = min(tiles(itemsize, vectors, small=small, products=products, precision=precision), key=cost)
    steps = -(-k // tile.depth)
    k_per_part = -(-steps // parts_of(tile)) * tile.depth
    return Plan(tile, -(-k // k_per_part), k_per_part)


def width(array: Array, contiguous: int) -> int:
    """How many numbers of `array` can be loaded at once, where runs of `contiguous` numbers belong together: 4 or 1."""
    address = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    return 4 if contiguous % 4 == 0 and address % 16 == 0 else 1


def multiply(
    source: Source, kernel: str, a: Array, b: Array, widths: tuple[int, int], sizes: tuple[int, int, int],
    scalars: Sequence[Any], out: Array, *, bias: Array | None = None, columns: Array | None = None,
    products: int = 1, precision: str = "float32", workspace: Workspace | None = None,
    defines: Mapping[str, object] | None = None,
) -> None:
    """Launch `kernel` for the product of `sizes` (m, n, k), and add up its parts if it has several.

    The kernel's parameters are A, B, the bias or null, C, the sums of B's columns or null, k_per_part, part_size, and
    the `scalars`.  Several `products` of these sizes or less are done at once: blockIdx.z says which.  With `precision`
    "tf32" or "bf16", tensor cores multiply what A and B are rounded to.  `defines` are the kernel's own macros.

    Raises ValueError for another precision, for doubles with it, and on a GPU without such tensor cores.
    """
    m, n, k = sizes
    bits = check_precision(precision, out)
    if not (n and k):  # nothing to write, or empty sums
        out[...] = 0 if bias is None else bias
        if columns is not None:
            columns[...] = 0
        return
    rows = max(m, 1)  # the sums of the columns are wanted in any case
    tile, parts, k_per_part = plan(
        rows, n, k, out.dtype.itemsize, widths == (4, 4), whole=products > 1, products=products, precision=precision
    )
    part_size = m * n + (0 if columns is None else n)
    dtype = {"T": ctype(out.dtype)}
    first, second, first_bias = out, columns, bias
    if parts > 1:
        first = scratch(workspace, "gemm/parts", (parts * part_size,), out.dtype, like=out)
        second, first_bias = None if columns is None else first[m * n :], None
    grid = blocks(rows, tile.rows), blocks(n, tile.columns), products * parts
    source.launch(
        kernel, grid, tile.threads, a, b, first_bias, first, second, np.int32(k_per_part), np.int64(part_size),
        *scalars, defines={
            **dtype, **tile.defines(), "A_WIDTH": widths[0], "B_WIDTH": widths[1],
            **({"TENSOR_CORES": bits} if bits else {}), **(defines or {}),
        },
    )  # fmt: skip
    if parts > 1:
        together = threads_per_element(parts, part_size)
        across = SUM_THREADS // together
        SUM_PARTS.launch(
            "sum_parts", blocks(part_size, across), (across, together), first, bias, out, columns, np.int32(parts),
            np.int64(part_size), np.int64(m * n), np.int32(n), defines={**dtype, "ROWS": together},
        )  # fmt: skip


def threads_per_element(parts: int, part_size: int) -> int:
    """How many threads share an element's `parts`: a power of two up to 16, for about 2^18 threads in all."""
    wanted = min(2**18 // part_size, parts, 16)
    return 1 << wanted.bit_length() - 1 if wanted else 1


def check_precision(precision: str, array: Array) -> int:
    """How many bits the tensor cores shall take of each number of `array`, 0 for none; raises as `multiply` does."""
    if precision not in TENSOR_CORES:
        raise ValueError(f'precision must be "float32", "tf32" or "bf16", but got {precision!r}.')
    bits = TENSOR_CORES[precision]
    if bits and array.dtype != np.float32:
        raise ValueError(f'precision="{precision}" is for float32 arrays; with {array.dtype}, leave it out.')
    if bits and not isinstance(array, np.ndarray) and int(array.device.compute_capability) < 80:
        capability = array.device.compute_capability
        raise ValueError(
            f'precision="{precision}" needs a GPU of compute capability 8.0 or later, but this one has '
            f'{capability[:-1]}.{capability[-1]}; use precision="float32".'
        )
    return bits


def divider(divisor: int) -> tuple[np.uint32, np.uint32]:
    """The multiplier and shift with which gemm.cuh divides any 0 <= n < 2^31 by `divisor` > 0.

    With shift = ⌈log2 d⌉ and multiplier = ⌊2^32 (2^shift - d) / d⌋ + 1, n / d = (⌊n · multiplier / 2^32⌋ + n) >> shift.
    """
    shift = (divisor - 1).bit_length()
    return np.uint32((2**32 * (2**shift - divisor)) // divisor + 1), np.uint32(shift)


def check_size(size: int, name: str) -> None:
    """Raise ValueError when the array called `name` has more elements than the kernels can count."""
    if size >= MAX_INDEX:
        raise ValueError(f"{name} has {size} elements, but the CUDA kernels count to 2^31 - 1: use smaller batches.")
