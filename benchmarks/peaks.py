"""What this machine can do at most: multiply-adds per second from registers alone, and bytes per second from memory.

The first is measured by a loop that only multiplies and adds vectors which never leave their registers: every CPU core
starts a fixed number of those per cycle.  The second is the triad of McCalpin's STREAM benchmark (1995), a[i] = b[i] +
s · c[i], of which 12 bytes per element are counted; a cache that fetches a line before it is overwritten moves a third
more.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinyconv.kernels.jit import jit
from tinyconv.kernels.microkernel import VECTOR_BYTES, host

LANES = VECTOR_BYTES // 4
CHAINS = 24 if host().registers == 32 else 12  # sums under way at once: as many as fit beside factor and term
BEST_OF = 5


def multiply_adds(seconds: float) -> float:
    """The most floating-point operations per second (a multiply-add is two), in float32, on all of Numba's threads."""
    threads = numba.get_num_threads()

    def run(count: int) -> None:
        _spin(threads, count, np.float32(0.5), np.float32(1.0))

    count = _repetitions(run, seconds)
    return 2 * CHAINS * LANES * threads * count / _shortest(lambda: run(count))


def bandwidth(bytes_in_all: int, seconds: float) -> float:
    """Bytes per second of a triad on three arrays that together take `bytes_in_all`."""
    size = bytes_in_all // 12
    a, b, c = (np.ones(size, np.float32) for _ in range(3))

    def run(count: int) -> None:
        _triad(a, b, c, np.float32(0.5), count)

    count = _repetitions(run, seconds)
    return 12 * size * count / _shortest(lambda: run(count))


def _repetitions(run: Callable[[int], None], seconds: float) -> int:
    """How often to repeat for `run` to take about `seconds`."""
    run(1)  # compiles
    count, elapsed = 1, 0.0
    while elapsed < seconds / 4:
        count *= 2
        begin = perf_counter()
        run(count)
        elapsed = perf_counter() - begin
    return max(1, round(count * seconds / elapsed))


def _shortest(run: Callable[[], None]) -> float:
    """Seconds of the quickest of some runs: a limit is what nothing disturbed."""
    times = []
    for _ in range(BEST_OF):
        begin = perf_counter()
        run()
        times.append(perf_counter() - begin)
    return min(times)


# -- compiled ---------------------------------------------------------------------------------------------------------


@intrinsic
def _chains(typingctx: Any, count: Any, factor: Any, term: Any) -> Any:
    """`count` times sum ← sum · factor + term for each of CHAINS vectors of sums; returns all of them added up."""
    signature = types.float32(types.intp, types.float32, types.float32)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, index = ir.VectorType(ir.FloatType(), LANES), ir.IntType(32)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{LANES}f32"
        )

        def spread(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(index, 0))
            zeros = ir.Constant(ir.VectorType(index, LANES), [0] * LANES)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

        count, factor, term = arguments[0], spread(arguments[1]), spread(arguments[2])
        before, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(count.type)
        sums = [builder.phi(vector) for _ in range(CHAINS)]
        new_sums = [builder.call(fma, [value, factor, term]) for value in sums]
        next_step = builder.add(step, ir.Constant(count.type, 1))
        builder.cbranch(builder.icmp_signed("<", next_step, count), loop, done)
        step.add_incoming(ir.Constant(count.type, 0), before)
        step.add_incoming(next_step, loop)
        for chain, (value, new) in enumerate(zip(sums, new_sums, strict=True)):
            value.add_incoming(ir.Constant(vector, [float(chain)] * LANES), before)  # equal ones would become one
            value.add_incoming(new, loop)
        builder.position_at_end(done)
        total = ir.Constant(ir.FloatType(), 0.0)
        for value in new_sums:
            for lane in range(LANES):
                total = builder.fadd(total, builder.extract_element(value, ir.Constant(index, lane)))
        return total

    return signature, codegen


@jit(parallel=True)
def _spin(threads, count, factor, term):
    sums = np.empty(threads, np.float32)
    for thread in prange(threads):
        sums[thread] = _chains(count, factor, term)
    return sums


@jit(parallel=True)
def _triad(a, b, c, s, count):
    for _ in range(count):
        for i in prange(len(a)):
            a[i] = b[i] + s * c[i]
