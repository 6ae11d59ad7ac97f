"""One picture file as an array: of any common format, transparent, with a palette, of 16 bits, turned, or damaged."""

import warnings
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import IO, Any, Literal, get_args

import numpy as np
from PIL import Image, ImageOps

from tinyconv.errors import ArgumentError, DataError
from tinyconv.kernels.geometry import pair

Array = np.ndarray[Any, Any]
ColorMode = Literal["rgb", "grayscale"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm"})
MAX_PIXELS = 89_478_485  # Pillow's limit too: an image of 256 MiB

_OPENING = Lock()  # what is done about warnings is done for all threads
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


def read(
    source: str | PathLike[str] | IO[bytes], *, image_size: tuple[int, int] | None = None,
    color_mode: ColorMode = "rgb", name: str | None = None,
) -> Array:
    """Return the picture as (height, width, channels) uint8: 3 channels for "rgb", 1 for "grayscale".

    Transparent parts become white, 16 bits become 8, EXIF's orientation is applied, of an animation the first picture
    is taken.

    Arguments:
        source: a path or an open binary file.
        image_size: (height, width) to stretch to, by bilinear interpolation; None keeps the picture's own.
        color_mode: "rgb" or "grayscale".
        name: of the picture, for errors; by default the path.

    Raises DataError, naming the picture, when it cannot be read or has more than `MAX_PIXELS`.
    """
    if color_mode not in get_args(ColorMode):
        raise ArgumentError(f'color_mode must be "rgb" or "grayscale", but got {color_mode!r}.')
    name = str(source) if name is None else name
    try:
        with _open(source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{name} has {image.width}×{image.height} pixels; at most {MAX_PIXELS:,} are read.")
            flat = _flatten(ImageOps.exif_transpose(image), color_mode)
    except DataError:
        raise
    except Image.DecompressionBombError as problem:  # of more than twice as many, and Pillow does not tell the size
        more = f"{name} has more than {2 * MAX_PIXELS:,} pixels"
        raise DataError(f"{more}; at most {MAX_PIXELS:,} are read.") from problem
    except FileNotFoundError as problem:
        raise DataError(f"There is no picture {name}.") from problem
    except Exception as problem:  # damaged files make Pillow's decoders raise almost anything
        raise DataError(f"{name} cannot be read as a picture: {str(problem).rstrip('.')}.") from problem
    if image_size is not None:
        height, width = check_size(image_size)
        flat = flat.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(flat)
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def resize(images: Array, image_size: tuple[int, int]) -> Array:
    """Return images (n, h, w, c) uint8, c = 1 or 3, stretched to (height, width) by bilinear interpolation."""
    height, width = check_size(image_size)
    result = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for image, place in zip(images, result, strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        place[...] = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).reshape(place.shape)
    return result


def check_size(image_size: Any) -> tuple[int, int]:
    """Return (height, width) of an `image_size`; raises ArgumentError when it is not two numbers of pixels."""
    try:
        return pair(image_size, "image_size")
    except (TypeError, ValueError) as problem:
        raise ArgumentError(f"image_size must be (height, width) in pixels, but got {image_size!r}.") from problem


def _open(source: str | PathLike[str] | IO[bytes]) -> Image.Image:
    """Read the head of a picture file, without Pillow's warning about large ones."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(source if hasattr(source, "read") else Path(source), formats=_FORMATS)


def _flatten(image: Image.Image, color_mode: ColorMode) -> Image.Image:
    """Return the image in mode "RGB" or "L", on white where it is transparent."""
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's own conversion would clip at 255
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels have more than 16 bits.")
        image = Image.fromarray((values // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers.")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if color_mode == "grayscale" else "RGB")
