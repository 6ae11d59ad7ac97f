"""A picture file as an input of a network: a photographed or drawn digit becomes what MNIST's makers would have made.

MNIST's digits are light on dark, fit a 20×20 box, and have their centre of mass in the middle of 28×28 pixels (LeCun,
Cortes and Burges, 1998).  Other pictures are stretched to the size that the network takes.
"""

from pathlib import Path
from typing import Any

import numpy as np

from tinyconv.datasets import images
from tinyconv.errors import DataError

Array = np.ndarray[Any, Any]

SIDE, BOX = 28, 20
FAINT = 0.2  # pixels with less ink than this share of the darkest are paper: shadows, JPEG's ringing
LEAST_CONTRAST = 16  # grey levels, of 255, between ink and paper


def read(path: Path, input_shape: tuple[int, int, int], *, find_digit: bool) -> Array:
    """Return the picture as float32 (height, width, channels) in [0, 1] for a network with that input shape.

    Raises DataError, naming the file, for one that cannot be read or, where it should be a digit, shows nothing.
    """
    height, width, channels = input_shape
    if find_digit:
        return digit(images.read(path, color_mode="grayscale")[..., 0], str(path))[..., np.newaxis]
    if channels not in (1, 3):
        raise DataError(f"The network takes images with {channels} channels; a picture file has 1 or 3.")
    mode: images.ColorMode = "grayscale" if channels == 1 else "rgb"
    return images.read(path, image_size=(height, width), color_mode=mode).astype(np.float32) / 255


def digit(grey: Array, name: str) -> Array:
    """Return a grey picture (height, width) uint8 as MNIST shows a digit: (28, 28) float32 in [0, 1]."""
    ink = _ink(grey.astype(np.float32))
    if ink.max() < LEAST_CONTRAST:
        raise DataError(f"{name} shows nothing: all of its pixels have about the same brightness.")
    ink /= ink.max()
    ink[ink < FAINT] = 0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return _centred(_fit(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]))


def _ink(grey: Array) -> Array:
    """How far each pixel is from the paper, in the direction of the ink; the picture's edge tells what is paper."""
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    from_paper = grey - np.median(edge)
    is_dark = -from_paper.min() > from_paper.max()
    return np.maximum(-from_paper if is_dark else from_paper, 0)


def _fit(ink: Array) -> Array:
    """Scale so that the longer side is `BOX` pixels."""
    from PIL import Image

    height, width = ink.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR))
    return scaled / scaled.max()


def _centred(ink: Array) -> Array:
    """Put the centre of mass in the middle of `SIDE` × `SIDE` pixels, as far as the box allows."""
    result = np.zeros((SIDE, SIDE), np.float32)
    places = []
    for axis, size in enumerate(ink.shape):
        mass = ink.sum(axis=1 - axis)
        centre = float((np.arange(size) + 0.5) @ mass / mass.sum())
        start = min(max(round(SIDE / 2 - centre), 0), SIDE - size)
        places.append(slice(start, start + size))
    result[places[0], places[1]] = ink
    return result
