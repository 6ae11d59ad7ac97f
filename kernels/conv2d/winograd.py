"""Convolution with fewer multiplications: Winograd's algorithm, for 2×2 to 5×5 kernels with stride 1.

The image is cut into tiles of n × n inputs (n = 6, or 4 by the keyword `tile`), which give m × m outputs for kernels of
r × r, m = n - r + 1; neighbours overlap by r - 1 inputs.  See `tinyconv.kernels.winograd_transforms` for why this is
right, and for the matrices A, B and G:

    forward            V = Bᵀ X B       U = G w Gᵀ       M[ξ] = V[ξ] · U[ξ]          Y = Aᵀ M A
    input gradient     dM = A dY Aᵀ                      dV[ξ] = dM[ξ] · U[ξ]ᵀ       dX = B dV Bᵀ, added tile over tile
    weight gradient    V and dM as above                 dU[ξ] = V[ξ]ᵀ · dM[ξ]       dw = Gᵀ dU G

ξ counts the n² places of a transformed tile.  For each there is one matrix product, [tiles × c] · [c × f], on the
micro-kernel.  Both gradients are forward's own steps, transposed and in reverse: backpropagation in the small.

    tiles of c channels     V[0]            V[1]                   one *slab* for each ξ, of all tiles

    ┌────┬────┬────┐        ┌── c ──┐       ┌── c ──┐              Forward and input gradient take some 48 tiles at
    │ 0  │ 1  │ 2  │        │tile 0 │       │tile 0 │              a time, so that a thread's slabs stay in cache.
    ├────┼────┼────┤   ─▶   │tile 1 │       │tile 1 │    …         The weight gradient, a sum over tiles, takes
    │ 3  │ 4  │ 5  │        │tile 2 │       │tile 2 │              thousands of them; the threads share out the ξ.
    └────┴────┴────┘        └───────┘       └───────┘

*Error.*  Root mean square and largest error, relative to the root mean square of the result, for float32, 64 channels,
64 filters and normal random numbers (eight images of 28×28; measured against float64):

                           y and dx            dw
    F(2×2, 3×3)           3e-7, 2e-6      1e-6, 9e-6      (n = 4)
    F(5×5, 2×2)           8e-7, 1e-5      2e-6, 9e-6
    F(4×4, 3×3)           8e-7, 9e-6      2e-6, 2e-5
    F(3×3, 4×4)           8e-7, 8e-6      2e-6, 3e-5
    F(2×2, 5×5)           9e-7, 7e-6      4e-6, 4e-5
    direct rung, 3×3      4e-7, 5e-6      5e-7, 3e-6

*Zeros.*  Behind a ReLU, and on black borders, many windows hold only zeros.  With a bias of zero the next ReLU then
decides by a sum that must be 0 and not 1e-8: without care, a bias gradient of the network `mnist_convnet` was wrong by
30 %.  Other rungs add zeros and get zero; here the tile's other pixels leave their rounding errors.  So such windows
are looked for, and get the bias exactly.

*NaN.*  A NaN or an infinity spoils every tile that it lies in: up to m - 1 outputs around those that it must reach.

What Winograd cannot do (other kernels, strides, dilation) or would do badly (channels or filters that do not fill whole
vectors) goes to the direct rung.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange

from .. import threads
from ..contract import ImageShape, WeightShape
from ..geometry import NO_PADDING, Padding, Pair, output_sizes
from ..jit import jit
from ..matmul import BLOCK_DEPTH, bias_or_zeros, lanes, offsets
from ..microkernel import MAX_VECTORS, VECTOR_BYTES, product
from ..winograd_tiles import read_dy, read_x, write_dx, write_y
from ..winograd_transforms import transform_dw, transform_w
from ..workspace import Workspace, ensure
from . import direct

Array = np.ndarray[Any, Any]

BLOCK_TILES = 48  # about: 8 tiles of the micro-kernel, whose slabs for 64 channels and filters take 0.9 MB
CHUNK_BYTES = 2**20  # what the slabs of the weight gradient may take for each thread: about the L2 cache of a core
KERNELS = (2, 3, 4, 5)  # sizes of square kernels


class Tiling(NamedTuple):
    """How a convolution is cut into tiles and blocks: everything but the arrays.  (Flat, as Numba's loops want it.)"""

    n: int  # inputs of a tile, vertically and horizontally
    r: int  # weights of the kernel
    m: int  # outputs of a tile
    h: int  # the input
    w: int
    c: int
    top: int  # its padding
    left: int
    oh: int  # the output
    ow: int
    f: int
    th: int  # rows and columns of tiles in an image
    tw: int
    images: int  # that a thread works on at a time
    rows: int  # of tiles, in those images, that make a block
    v_rows: Array  # where each tile of a block starts in V[ξ]
    m_rows: Array  # and in M[ξ]
    depths: Array  # where each piece of the sum over channels (or filters) starts


# For each n and r a class of its own, from which the transforms learn them: they are straight code for one n and r.


class Tile4Kernel2(Tiling):
    sizes = 4, 2


class Tile4Kernel3(Tiling):
    sizes = 4, 3


class Tile6Kernel2(Tiling):
    sizes = 6, 2


class Tile6Kernel3(Tiling):
    sizes = 6, 3


class Tile6Kernel4(Tiling):
    sizes = 6, 4


class Tile6Kernel5(Tiling):
    sizes = 6, 5


TILINGS: dict[tuple[int, int], type[Tiling]] = {
    kind.sizes: kind
    for kind in (Tile4Kernel2, Tile4Kernel3, Tile6Kernel2, Tile6Kernel3, Tile6Kernel4, Tile6Kernel5)
}


@lru_cache(maxsize=256)
def tiling(
    x_shape: ImageShape, w_shape: WeightShape, padding: Padding, tile: int, out_sizes: Pair | None = None
) -> Tiling:
    """Cut images of `x_shape` into tiles; of all outputs only the first `out_sizes` rows and columns, if given.

    Several small images are taken together, big ones are cut into blocks of BLOCK_TILES or so.
    """
    n, h, w, c = x_shape
    r, filters = w_shape[0], w_shape[3]
    m = tile - r + 1
    oh, ow = output_sizes((h, w), (r, r), (1, 1), padding) if out_sizes is None else out_sizes
    th, tw = -(-oh // m), -(-ow // m)
    tasks = 1 << (-(-n * th * tw // BLOCK_TILES) - 1).bit_length()  # a power of 2: that shares out well
    images = -(-n // tasks)
    rows = -(-images * th // max(1, round(images * th * tw / BLOCK_TILES)))
    return TILINGS[tile, r](
        tile, r, m, h, w, c, padding[0][0], padding[1][0], oh, ow, filters, th, tw, images, rows, offsets(rows * tw, c),
        offsets(rows * tw, filters), offsets(-(-max(c, filters) // BLOCK_DEPTH), BLOCK_DEPTH),
    )  # fmt: skip


def supports(w_shape: WeightShape, strides: Pair, dilation: Pair, dtype: Any) -> bool:
    """Whether Winograd applies: a small square kernel, stride 1, and whole vectors of channels and filters."""
    kh, kw, channels, filters = w_shape
    whole = channels % lanes(dtype) == 0 and filters % lanes(dtype) == 0
    return kh == kw and kh in KERNELS and strides == dilation == (1, 1) and whole


def forward(
    x: Array, w: Array, b: Array | None = None, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None, tile: int = 6,
) -> Array:
    """y = conv2d(x, w) + b; see `contract.Conv2D`."""
    if not supports(w.shape, strides, dilation, x.dtype):
        return direct.forward(
            x, w, b, strides=strides, padding=padding, dilation=dilation, out=out, workspace=workspace
        )
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    t = tiling(x.shape, w.shape, padding, tile)
    y = ensure(out, (len(x), t.oh, t.ow, t.f), x.dtype)
    _forward(
        x.reshape(len(x), -1), transformed_weights(w, t, workspace), bias_or_zeros(b, t.f, w.dtype), t,
        *block_scratch(t, x.dtype, workspace), y.reshape(len(x), -1),
    )  # fmt: skip
    return y


def backward_input(
    dy: Array, w: Array, x_shape: ImageShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None, tile: int = 6,
) -> Array:
    """dx, from dy tile by tile."""
    if not supports(w.shape, strides, dilation, dy.dtype):
        return direct.backward_input(
            dy, w, x_shape, strides=strides, padding=padding, dilation=dilation, out=out, workspace=workspace
        )
    dy, workspace = np.ascontiguousarray(dy), Workspace() if workspace is None else workspace
    t = tiling(tuple(x_shape), w.shape, padding, tile)
    dx = ensure(out, x_shape, dy.dtype)
    _backward_input(
        dy.reshape(len(dy), -1), transformed_weights(direct.transposed_taps(w, workspace), t, workspace), t,
        *block_scratch(t, dy.dtype, workspace), dx.reshape(len(dy), -1),
    )  # fmt: skip
    return dx


def backward_weights(
    x: Array, dy: Array, w_shape: WeightShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: tuple[Array, Array] | None = None, workspace: Workspace | None = None, tile: int = 6,
) -> tuple[Array, Array]:
    """dw, summed over the transformed tiles before it is transformed back, and db = Σ dy."""
    if not supports(w_shape, strides, dilation, x.dtype):
        return direct.backward_weights(
            x, dy, w_shape, strides=strides, padding=padding, dilation=dilation, out=out, workspace=workspace
        )
    x, dy = np.ascontiguousarray(x), np.ascontiguousarray(dy)
    workspace = Workspace() if workspace is None else workspace
    t = tiling(x.shape, tuple(w_shape), padding, tile)
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, w_shape, x.dtype), ensure(db, w_shape[3:], x.dtype)
    sums, image_db = weight_sums(t, len(x), x.dtype, workspace), bias_sums(len(x), t.f, x.dtype, workspace)
    _backward_weights(
        x.reshape(len(x), -1), dy.reshape(len(x), -1), t, block_scratch(t, x.dtype, workspace)[-1], sums, image_db
    )
    transform_sums(sums.du, t, image_db, dw.reshape(-1), db)
    return dw, db


class WeightSums(NamedTuple):
    """The weight gradient on its way: images come in chunks whose slabs fit the L2 caches.

    The sum goes over the tiles one by one, whatever the chunks, so its bits do not depend on the number of threads.
    """

    images: int  # of a chunk
    v: Array  # V of a chunk
    products: Array  # dM of a chunk
    rows: Array  # where each tile starts in dM[ξ]
    columns: Array  # where each channel starts in V[ξ]: rows of V[ξ]ᵀ
    no_runs: Array
    du: Array
    du_rows: Array  # where each channel starts in dU[ξ]


def weight_sums(t: Tiling, n: int, dtype: Any, workspace: Workspace) -> WeightSums:
    """Room for the weight gradient of n images."""
    per_image = t.th * t.tw
    bytes_per_task = t.images * t.n**2 * per_image * (t.c + t.f) * np.dtype(dtype).itemsize
    images = min(n, threads.current() * t.images * max(1, CHUNK_BYTES // bytes_per_task))
    return WeightSums(
        images=images,
        v=slabs("winograd/all v", t.n, images * per_image * t.c, dtype, workspace),
        products=slabs("winograd/all m", t.n, images * per_image * t.f, dtype, workspace),
        rows=offsets(images * per_image, t.f),
        columns=offsets(t.c, 1),
        no_runs=offsets(1, 0),
        du=slabs("winograd/du", t.n, t.c * t.f, dtype, workspace),
        du_rows=offsets(t.c, t.f),
    )


def bias_sums(n: int, f: int, dtype: Any, workspace: Workspace) -> Array:
    """Room for the bias gradient of each image.

    (Not in WeightSums: Numba drops `sums.db[some] = 0`, taking the array for a copy that nobody reads.)
    """
    return workspace.array("winograd/db", (n, f), dtype)


def slabs(name: str, n: int, size: int, dtype: Any, workspace: Workspace, copies: int | None = None) -> Array:
    """Room for n² slabs of `size` elements; one vector lies between them.

    Without that, slabs a power of two apart would all fall on the same few lines of the L1 cache: 6 times slower.
    """
    shape = (n**2, size + lanes(dtype))
    return workspace.array(name, shape if copies is None else (copies, *shape), dtype)


def block_scratch(t: Tiling, dtype: Any, workspace: Workspace) -> tuple[Array, Array, Array]:
    """For each thread: slabs for V and for M of a block, and one tile for the image's edge."""
    copies, tiles = threads.maximum(), t.rows * t.tw
    return (
        slabs("winograd/v", t.n, tiles * t.c, dtype, workspace, copies),
        slabs("winograd/m", t.n, tiles * t.f, dtype, workspace, copies),
        workspace.array("winograd/edge", (copies, t.n**2 * max(t.c, t.f)), dtype),
    )


def transformed_weights(w: Array, t: Tiling, workspace: Workspace) -> Array:
    """U = G w Gᵀ for w (r, r, c, f): slabs of matrices (c, f), panel after panel of as many columns as fit a tile.

    For Uᵀ give w with its last two axes exchanged.
    """
    w = np.ascontiguousarray(w)
    c, f = w.shape[-2:]
    u = slabs("winograd/u", t.n, c * f, w.dtype, workspace)
    _transform_weights(w.reshape(-1), c, f, t, u)
    return u


# -- compiled ---------------------------------------------------------------------------------------------------------


@jit(inline=True)
def multiply(a, a_rows, tiles, u, depth, columns, depths, out, out_rows):
    """out[ξ] (tiles, columns) = a[ξ] (tiles, depth) · u[ξ] for every ξ."""
    full = MAX_VECTORS * (VECTOR_BYTES // a.itemsize)
    for xi in range(len(a)):
        for first in range(0, columns, full):
            used = min(full, columns - first)
            for block in range((depth + BLOCK_DEPTH - 1) // BLOCK_DEPTH):
                k = block * BLOCK_DEPTH
                product(
                    a[xi], a_rows, 0, tiles, depths, block, 1, min(BLOCK_DEPTH, depth - k), 1,
                    u[xi], first * depth + k * used, used, used, out[xi], out_rows, first, min(block, 1),
                )  # fmt: skip


@jit(inline=True)
def convolve(x, u, bias, t, v, products, edge, y):
    """y = conv2d(x, w) + bias for some images (n, flat)."""
    for first in range(0, len(x) * t.th, t.rows):
        last = min(first + t.rows, len(x) * t.th)
        for row in range(first, last):
            read_x(x[row // t.th], t, row % t.th, edge, v, (row - first) * t.tw)
        multiply(v, t.v_rows, (last - first) * t.tw, u, t.c, t.f, t.depths, products, t.m_rows)
        for row in range(first, last):
            write_y(products, (row - first) * t.tw, y[row // t.th], t, row % t.th, edge, bias)
    for n in range(len(x)):
        settle_empty_windows(x[n], t, bias, y[n])


@jit(inline=True)
def settle_empty_windows(x, t, bias, y):
    """y = bias where the window of x, one image, holds only zeros (see the top)."""
    for i in range(t.oh):
        empty_columns = 0  # of r pixels, next to each other
        for column in range(-t.left, t.ow + t.r - 1 - t.left):
            others = False
            if 0 <= column < t.w:
                for row in range(max(i - t.top, 0), min(i - t.top + t.r, t.h)):
                    pixel = x[(row * t.w + column) * t.c : (row * t.w + column + 1) * t.c]
                    if not others:
                        for k in range(t.c):
                            others |= pixel[k] != 0
            empty_columns = 0 if others else empty_columns + 1
            if empty_columns >= t.r:
                j = column + t.left - t.r + 1
                output = y[(i * t.ow + j) * t.f : (i * t.ow + j + 1) * t.f]
                for k in range(t.f):
                    output[k] = bias[k]


@jit(inline=True)
def add_input_gradient(products, m_rows, u, t, first, last, v, edge, dx):
    """dx, some images (n, flat), += what their rows of tiles `first` to `last` give, whose dM are at m_rows."""
    multiply(products, m_rows, (last - first) * t.tw, u, t.f, t.c, t.depths, v, t.v_rows)
    for row in range(first, last):
        write_dx(v, (row - first) * t.tw, dx[row // t.th], t, row % t.th, edge, edge)


@jit(parallel=True)
def _transform_weights(w, c, f, t, u):
    step = VECTOR_BYTES // w.itemsize
    full = MAX_VECTORS * step
    flat, apart = u.reshape(-1), u.shape[1]
    for row in prange(c):
        for k in range(0, f, step):
            panel = k // full * full
            to = panel * c + row * min(full, f - panel) + k - panel
            transform_w(t, w, row * f + k, t.r * c * f, c * f, flat, to, t.n * apart, apart)


@jit(parallel=True)
def _forward(x, u, bias, t, v, products, edges, y):
    for part in prange((len(x) + t.images - 1) // t.images):
        thread = get_thread_id()
        n, stop = part * t.images, min((part + 1) * t.images, len(x))
        convolve(x[n:stop], u, bias, t, v[thread], products[thread], edges[thread], y[n:stop])


@jit(parallel=True)
def _backward_input(dy, u, t, v, products, edges, dx):
    for part in prange((len(dy) + t.images - 1) // t.images):
        thread = get_thread_id()
        n, stop = part * t.images, min((part + 1) * t.images, len(dy))
        dx[n:stop] = 0
        for first in range(0, (stop - n) * t.th, t.rows):
            last = min(first + t.rows, (stop - n) * t.th)
            for row in range(first, last):
                at = (row - first) * t.tw
                read_dy(dy[n + row // t.th], t, row % t.th, edges[thread], products[thread], at)
            add_input_gradient(products[thread], t.m_rows, u, t, first, last, v[thread], edges[thread], dx[n:stop])


@jit(inline=True)
def add_to_sums(task, tiles, t, sums, accumulate):
    """dU += Vᵀ · dM for one ξ and some columns, over `tiles` tiles of a chunk; there are `sum_tasks` of that."""
    full = MAX_VECTORS * (VECTOR_BYTES // sums.v.itemsize)
    panels = (t.f + full - 1) // full
    xi, first = task // panels, task % panels * full
    for k in range(0, tiles, BLOCK_DEPTH):
        product(
            sums.v[xi, k * t.c :], sums.columns, 0, t.c, sums.no_runs, 0, 1, min(BLOCK_DEPTH, tiles - k), t.c,
            sums.products[xi], k * t.f + first, t.f, min(full, t.f - first),
            sums.du[xi], sums.du_rows, first, min(k + accumulate, 1),
        )  # fmt: skip


@jit(inline=True)
def sum_tasks(t, sums):
    """How many independent sums `add_to_sums` knows."""
    full = MAX_VECTORS * (VECTOR_BYTES // sums.v.itemsize)
    return len(sums.v) * ((t.f + full - 1) // full)


@jit(parallel=True)
def _backward_weights(x, dy, t, edges, sums, image_db):
    for start in range(0, len(x), sums.images):
        count = min(sums.images, len(x) - start)
        for k in prange(count):
            n, edge = start + k, edges[get_thread_id()]
            for row in range(t.th):
                read_x(x[n], t, row, edge, sums.v, (k * t.th + row) * t.tw)
                read_dy(dy[n], t, row, edge, sums.products, (k * t.th + row) * t.tw)
            total = image_db[n]
            total[:] = 0
            for first in range(0, dy.shape[1], t.f):
                pixel = dy[n, first : first + t.f]
                for f in range(t.f):
                    total[f] += pixel[f]
        for task in prange(sum_tasks(t, sums)):
            add_to_sums(task, count * t.th * t.tw, t, sums, start)


@jit(parallel=True)
def transform_sums(du, t, image_db, dw, db):
    """dw (flat) = Gᵀ dU G, and db = Σ over the images."""
    step, c, f = VECTOR_BYTES // du.itemsize, t.c, t.f
    flat, apart = du.reshape(-1), du.shape[1]
    for row in prange(c):
        for k in range(row * f, (row + 1) * f, step):
            transform_dw(t, flat, k, t.n * apart, apart, dw, k, t.r * c * f, c * f)
    db[:] = 0
    for n in range(len(image_db)):
        image = image_db[n]
        for k in range(f):
            db[k] += image[k]
