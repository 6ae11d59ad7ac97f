"""Tiles of images, transformed into slabs and back: what Winograd's convolution does around its matrix products.

    read_x     V = Bᵀ X B     inputs, n × n            write_y     Y = Aᵀ M A + bias     outputs, m × m
    read_dy    dM = A dY Aᵀ   outputs, m × m           write_dx    dX += B dV Bᵀ         inputs, n × n

Each works on a row of tiles of one image (flat), which are m pixels apart; t is a `conv2d.winograd.Tiling`.  In the
slabs, (places of a transformed tile, tiles · channels), they are the tiles from `first` on.  A tile that reaches out of
the image goes through `edge`, room for one tile: what lies outside is read as zero, and is not written.
"""

from .jit import jit
from .microkernel import VECTOR_BYTES
from .winograd_transforms import transform_dx, transform_dy, transform_x, transform_y


def _reader(transform, inputs):
    """Make `read` for inputs or for outputs."""

    @jit(inline=True)
    def read(image, t, row, edge, slabs, first):
        h, w, c, top, left, size = (t.h, t.w, t.c, t.top, t.left, t.n) if inputs else (t.oh, t.ow, t.f, 0, 0, t.m)
        flat, apart = slabs.reshape(-1), slabs.shape[1]
        i = row * t.m - top
        for column in range(t.tw):
            j = column * t.m - left
            source, at, width = image, (i * w + j) * c, w * c
            if i < 0 or j < 0 or i + size > h or j + size > w:
                cut(image, h, w, c, i, j, size, edge)
                source, at, width = edge, 0, size * c
            to = (first + column) * c
            for k in range(0, c, VECTOR_BYTES // image.itemsize):
                transform(t, source, at + k, width, c, flat, to + k, t.n * apart, apart)

    return read


def _writer(transform, inputs):
    """Make `write`, which adds to the image for inputs, and overwrites it for outputs, adding `bias`."""

    @jit(inline=True)
    def write(slabs, first, image, t, row, edge, bias):
        h, w, c, top, left, size = (t.h, t.w, t.c, t.top, t.left, t.n) if inputs else (t.oh, t.ow, t.f, 0, 0, t.m)
        flat, apart = slabs.reshape(-1), slabs.shape[1]
        i = row * t.m - top
        for column in range(t.tw):
            j = column * t.m - left
            target, at, width = image, (i * w + j) * c, w * c
            inside = i >= 0 and j >= 0 and i + size <= h and j + size <= w
            if not inside:
                target, at, width = edge, 0, size * c
                edge[: size * size * c] = 0
            start = (first + column) * c
            for k in range(0, c, VECTOR_BYTES // image.itemsize):
                to = at + k
                plus, plus_at, plus_row, plus_column = (target, to, width, c) if inputs else (bias, k, 0, 0)
                transform(
                    t, flat, start + k, t.n * apart, apart, target, to, width, c, plus, plus_at, plus_row,
                    plus_column,
                )  # fmt: skip
            if not inside:
                paste(edge, image, h, w, c, i, j, size, inputs)

    return write


@jit(inline=True)
def cut(image, h, w, c, i, j, size, tile):
    """tile (size × size) = image[i:, j:], zeros where there is no image."""
    tile[: size * size * c] = 0
    left, length = max(j, 0), (min(j + size, w) - max(j, 0)) * c
    for row in range(max(i, 0), min(i + size, h)):
        source, target = image[(row * w + left) * c :], tile[((row - i) * size + left - j) * c :]
        for k in range(length):
            target[k] = source[k]


@jit(inline=True)
def paste(tile, image, h, w, c, i, j, size, add):
    """image[i:, j:] = tile (size × size), or += with `add`, as far as there is an image."""
    left, length = max(j, 0), (min(j + size, w) - max(j, 0)) * c
    for row in range(max(i, 0), min(i + size, h)):
        source, target = tile[((row - i) * size + left - j) * c :], image[(row * w + left) * c :]
        if add:
            for k in range(length):
                target[k] += source[k]
        else:
            for k in range(length):
                target[k] = source[k]


read_x, read_dy = _reader(transform_x, True), _reader(transform_dy, False)
write_y, write_dx = _writer(transform_y, False), _writer(transform_dx, True)
