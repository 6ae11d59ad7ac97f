"""How the compiled activations walk over an array: one thread per chunk, in place.

A chunk of the result is first filled with the values of the input, unless it is the input already, and then changed in
place.  A loop over a single array needs no check for overlaps, so LLVM vectorises it, in place or not.
"""

from .contract import Array
from .jit import jit

CHUNK = 8192  # elements: they fit the nearest caches, and fewer are not worth waking a second thread for


@jit(inline=True)
def chunks(y: Array) -> int:
    """Number of chunks of the flat array `y`."""
    return (y.size + CHUNK - 1) // CHUNK


@jit(inline=True)
def filled_chunk(x: Array, y: Array, chunk: int, in_place: bool) -> Array:
    """That chunk of the flat array `y`, after copying the values of `x` there unless `in_place`."""
    start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, y.size)
    source, target = x[start:stop], y[start:stop]
    if not in_place:
        for i in range(target.size):
            target[i] = source[i]
    return target
