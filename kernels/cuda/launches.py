"""How many blocks and threads: launches that several operations have in common, and numbers that change between them.

A captured CUDA graph of a training step is replayed with the same arguments, but the learning rate and the step number
change.  Such a number may be given as an array of one element in device memory wherever `contract` has a plain number:
its kernel then reads it when it runs (see `numbers.cuh`).
"""

from typing import Any

import numpy as np

from ..contract import Array, ImageShape
from ..geometry import Padding, Pair
from .launcher import Source, blocks, ctype

THREADS = 256  # per block, for kernels whose threads do not work together
PACK_BYTES = 16  # what a thread loads and stores at once
WARP = 32
MOST_BLOCKS_Y = 65535


def over_elements(
    source: Source, kernel: str, arrays: tuple[Array, ...], *numbers: Any, per_thread: int = 0, **defines: str
) -> None:
    """Launch kernel(*arrays, n, *numbers) with a thread for each `per_thread` of the n elements, or for 16 bytes."""
    n, dtype = arrays[0].size, arrays[0].dtype
    per_block = THREADS * (per_thread or PACK_BYTES // dtype.itemsize)
    if n:
        source.launch(
            kernel, blocks(n, per_block), THREADS, *arrays, np.int64(n), *numbers,
            defines={"T": ctype(dtype), **defines},
        )


def over_rows(source: Source, kernel: str, arrays: tuple[Any, ...], rows: int, columns: int, **defines: str) -> None:
    """Launch kernel(*arrays, rows, columns, lanes) with `lanes` threads of a warp for each row (see `rows.cuh`)."""
    lanes = min(WARP, 1 << (columns - 1).bit_length())
    rows_per_block = THREADS // lanes
    if rows:
        source.launch(
            kernel, blocks(rows, rows_per_block), THREADS, *arrays, np.int64(rows), np.int32(columns),
            np.int32(lanes), defines={"T": ctype(arrays[0].dtype), **defines},
        )


def over_pixels(
    source: Source, kernel: str, arrays: tuple[Array, ...], x_shape: ImageShape, y_shape: ImageShape, pool_size: Pair,
    strides: Pair, padding: Padding, **defines: str,
) -> None:
    """Launch kernel(*arrays, *geometry) with a thread for each 16 bytes of the last array: see `pooling.cuh`."""
    n, height, width, channels = x_shape
    threads = blocks(arrays[-1].size // n, PACK_BYTES // arrays[0].dtype.itemsize) if n else 0
    block = min(THREADS, WARP * blocks(threads, WARP))
    geometry = (n, height, width, channels, *y_shape[1:3], *pool_size, *strides, padding[0][0], padding[1][0])
    if threads:
        source.launch(
            kernel, (blocks(threads, block), min(n, MOST_BLOCKS_Y)), block, *arrays, *map(np.int32, geometry),
            defines={"T": ctype(arrays[0].dtype), **defines},
        )


def changing(value: Any, dtype: type[np.generic]) -> tuple[Any, str]:
    """(argument, C type of the parameter) for a number, or for an array of one element that holds it.

    Raises ValueError for an array of another dtype or size.
    """
    if isinstance(value, int | float | np.generic):
        return dtype(value), ctype(dtype)
    if value.size != 1 or value.dtype != dtype:
        raise ValueError(
            f"a number that changes must be one {np.dtype(dtype)}, but got {value.dtype} of shape {value.shape}."
        )
    return value, f"const {ctype(dtype)}*"
