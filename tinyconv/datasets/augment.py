"""Random changes of training images that leave their class as it is: turned, moved, sheared, zoomed, mirrored.

The geometry is that of Keras's ImageDataGenerator.  A pixel of the result at u = (row, column), measured from the
middle of the image, is taken from the place R·(S·Z·u + t) of the image, where

    R = [cos θ, -sin θ; sin θ, cos θ]    S = [1, -sin σ; 0, cos σ]    Z = diag(z_row, z_column)    t = the shift

by bilinear interpolation; places outside of the image have the colour of the nearest border pixel.  A mirrored image is
the result with its columns reversed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyconv import random
from tinyconv.checks import number
from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.kernels.contract import PhiloxKey

Array = np.ndarray[Any, Any]

_CHUNK_PIXELS = 1 << 17  # pixels that are interpolated at a time, to bound the memory


@dataclass(frozen=True)
class Augment:
    """Draws a change per image and applies it: `augment(x, key)`.

    Attributes, all off by default:
        rescale: the result is multiplied by it.
        rotation_range: degrees; the angle is uniform in ± this.
        width_shift_range, height_shift_range: a fraction of the image below 1, pixels from 1 on; uniform in ± this.
            Without rotation, shear and zoom, shifts are whole pixels: images are moved, not blurred.
        shear_range: degrees, uniform in ± this.
        zoom_range: (smallest, largest), or z for (1 - z, 1 + z), drawn for rows and for columns; a zoom above 1 makes
            what is seen smaller.
        horizontal_flip: mirror half of the images.

    Raises ArgumentError for values out of range.
    """

    rescale: float | None = None
    rotation_range: float = 0.0
    width_shift_range: float = 0.0
    height_shift_range: float = 0.0
    shear_range: float = 0.0
    zoom_range: float | tuple[float, float] = 0.0
    horizontal_flip: bool = False

    def __post_init__(self) -> None:
        for name in ("rotation_range", "width_shift_range", "height_shift_range", "shear_range"):
            number(getattr(self, name), name, minimum=0)
        if self.rescale is not None:
            number(self.rescale, "rescale")
        smallest, largest = self._zoom_limits()
        if not 0 < smallest <= largest:
            raise ArgumentError(
                f"zoom_range must be (smallest, largest) above 0, or a number below 1, but got {self.zoom_range!r}."
            )

    def __call__(self, x: Array, key: PhiloxKey) -> Array:
        """Return the changed images (n, h, w, c) float32; the same key and number of images give the same changes.

        Raises ShapeError when `x` is not (n, height, width, channels).
        """
        if x.ndim != 4:
            raise ShapeError(f"Augment works on images (n, height, width, channels), but got the shape {x.shape}.")
        drawn = random.uniform(key, (len(x), 7))
        mirrored = (drawn[:, 6] < 0.5) & self.horizontal_flip
        if self.rotation_range or self.shear_range or self._zoom_limits() != (1, 1):
            y = _warp(x, *self._affine(drawn, x.shape[1:3]), mirrored)
        else:
            y = _move(x, self._whole_shifts(drawn, x.shape[1:3]), mirrored)
        return y if self.rescale is None else np.multiply(y, np.float32(self.rescale), out=y)

    def _affine(self, drawn: Array, sizes: tuple[int, int]) -> tuple[Array, Array]:
        """Per image the matrix R·S·Z (n, 2, 2) and the offset R·t (n, 2)."""
        signed = 2 * drawn - 1
        angle = np.deg2rad(self.rotation_range) * signed[:, 0]
        shear = np.deg2rad(self.shear_range) * signed[:, 1]
        smallest, largest = self._zoom_limits()
        zoom = smallest + (largest - smallest) * drawn[:, 2:4]
        shift = signed[:, 4:6] * self._shift_limits(sizes)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # (2, 2, n)
        shearing = np.array([[np.ones_like(shear), -np.sin(shear)], [np.zeros_like(shear), np.cos(shear)]])
        matrix = np.einsum("ijn,jkn,nk->nik", rotation, shearing, zoom)
        return matrix, np.einsum("ijn,nj->ni", rotation, shift)

    def _whole_shifts(self, drawn: Array, sizes: tuple[int, int]) -> Array:
        """Per image the shift (n, 2) in whole pixels, each as likely as the others."""
        limits = np.rint(self._shift_limits(sizes)).astype(np.int64)
        shifts: Array = np.floor(drawn[:, 4:6] * (2 * limits + 1)).astype(np.int64) - limits
        return shifts

    def _shift_limits(self, sizes: tuple[int, int]) -> Array:
        """The largest shift of (rows, columns) in pixels."""
        ranges = (self.height_shift_range, self.width_shift_range)
        return np.array([size * limit if limit < 1 else limit for size, limit in zip(sizes, ranges, strict=True)])

    def _zoom_limits(self) -> tuple[float, float]:
        """`zoom_range` as (smallest, largest)."""
        if isinstance(self.zoom_range, int | float):
            return 1 - self.zoom_range, 1 + self.zoom_range
        try:
            smallest, largest = (number(limit, "zoom_range") for limit in self.zoom_range)
        except (TypeError, ValueError) as problem:
            raise ArgumentError(f"zoom_range must be one or two numbers, but got {self.zoom_range!r}.") from problem
        return smallest, largest


def _move(x: Array, shifts: Array, mirrored: Array) -> Array:
    """Shift by whole pixels (n, 2) and mirror: every pixel of the result is one of x."""
    n, height, width, _ = x.shape
    rows = np.clip(np.arange(height) + shifts[:, :1], 0, height - 1)  # (n, h)
    columns = np.where(mirrored[:, np.newaxis], np.arange(width)[::-1], np.arange(width))
    columns = np.clip(columns + shifts[:, 1:], 0, width - 1)  # (n, w)
    image = np.arange(n)[:, np.newaxis, np.newaxis]
    moved: Array = x[image, rows[:, :, np.newaxis], columns[:, np.newaxis, :]]  # (n, h, w, c)
    return moved.astype(np.float32)


def _warp(x: Array, matrices: Array, offsets: Array, mirrored: Array) -> Array:
    """Apply an affine map per image, in pieces of about `_CHUNK_PIXELS` pixels."""
    y = np.empty(x.shape, np.float32)
    step = max(1, _CHUNK_PIXELS // max(1, x.shape[1] * x.shape[2]))
    for start in range(0, len(x), step):
        piece = slice(start, start + step)
        _warp_piece(x[piece], matrices[piece], offsets[piece], mirrored[piece], y[piece])
    return y


def _warp_piece(x: Array, matrices: Array, offsets: Array, mirrored: Array, out: Array) -> None:
    """Write into `out` (n, h, w, c) the images x sampled at matrices · (row, column) + offsets, from the middle."""
    n, height, width, channels = x.shape
    middle = np.array([height - 1, width - 1], np.float32) / 2
    matrices, offsets = matrices.astype(np.float32), offsets.astype(np.float32) + middle
    row = np.arange(height, dtype=np.float32) - middle[0]  # (h,)
    column = np.arange(width, dtype=np.float32) - middle[1]
    column = np.where(mirrored[:, np.newaxis], -column, column)  # (n, w)

    def sources(axis: int, size: int) -> tuple[Array, Array]:
        """The pixel before each sampled place (n, h, w) along one axis, and how far behind it the place is."""
        by_row = matrices[:, axis, :1] * row + offsets[:, axis, np.newaxis]  # (n, h)
        by_column = matrices[:, axis, 1:] * column  # (n, w)
        place = by_row[:, :, np.newaxis] + by_column[:, np.newaxis, :]
        np.clip(place, 0, size - 1, out=place)
        before = place.astype(np.int32)
        return before, place - before

    top, down = sources(0, height)
    left, across = sources(1, width)
    to_below = np.where(top < height - 1, width, 0)
    to_right = np.where(left < width - 1, 1, 0)
    corner = np.arange(n)[:, np.newaxis, np.newaxis] * (height * width) + top * width + left
    pixels = x.reshape(n * height * width, channels).astype(np.float32, copy=False)

    def mix(first: Array, second: Array, share: Array) -> Array:
        mixed: Array = first + share[..., np.newaxis] * (second - first)
        return mixed

    above = mix(pixels[corner], pixels[corner + to_right], across)  # (n, h, w, c)
    corner += to_below
    below = mix(pixels[corner], pixels[corner + to_right], across)
    out[...] = mix(above, below, down)
