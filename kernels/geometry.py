"""Where windows lie on an image: output sizes and padding, shared by convolution and pooling.

One axis at a time.  A window of `kernel` taps, `dilation` apart, spans `dilation * (kernel - 1) + 1` pixels and moves
by `stride`; the image is padded by `before` and `after` pixels:

    output = floor((size + before + after - span) / stride) + 1
"""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, Literal, TypeAlias

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[Pair, Pair]  # ((top, bottom), (left, right)), in pixels
PaddingLike: TypeAlias = Literal["valid", "same"] | int | Sequence[int] | Sequence[Sequence[int]]

NO_PADDING: Padding = ((0, 0), (0, 0))


def pair(value: int | Sequence[int], name: str, minimum: int = 1) -> Pair:
    """Return `value` as (vertical, horizontal); one integer stands for both.

    Raises ValueError when it is not one or two integers of at least `minimum`.
    """
    values: tuple[Any, ...] = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(values) != 2 or not all(_is_whole(v) and v >= minimum for v in values):
        raise ValueError(f"{name} must be one or two integers of at least {minimum}, but got {value!r}.")
    return int(values[0]), int(values[1])


def span(kernel: int, dilation: int = 1) -> int:
    """Pixels from a window's first tap to its last, both included."""
    return dilation * (kernel - 1) + 1


def output_size(size: int, kernel: int, stride: int, padding: Pair, dilation: int = 1) -> int:
    """Number of windows along one axis.

    Raises ValueError when the window is larger than the padded image.
    """
    padded, reach = size + padding[0] + padding[1], span(kernel, dilation)
    if reach > padded:
        raise ValueError(f"a window of {reach} pixels is larger than the padded image of {padded} pixels.")
    return (padded - reach) // stride + 1


def output_sizes(sizes: Pair, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair = (1, 1)) -> Pair:
    """Output (height, width) of a window operation on an image of `sizes` = (height, width); see `output_size`."""
    height, width = (
        output_size(*axis) for axis in zip(sizes, kernel_size, strides, padding, dilation, strict=True)
    )
    return height, width


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> Pair:
    """Padding that gives ceil(size / stride) outputs; the odd pixel goes after (bottom or right), as in Keras."""
    windows = -(-size // stride)
    total = max((windows - 1) * stride + span(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def resolve_padding(
    padding: PaddingLike, sizes: Pair, kernel_size: Pair, strides: Pair, dilation: Pair = (1, 1)
) -> Padding:
    """Turn any accepted form of padding into ((top, bottom), (left, right)) in pixels.

    `padding` is "valid" (none), "same" (see `same_padding`), one integer for all sides, (vertical, horizontal), or
    ((top, bottom), (left, right)).  Raises ValueError for anything else.
    """
    if isinstance(padding, str):
        if padding == "valid":
            return NO_PADDING
        if padding == "same":
            vertical, horizontal = (
                same_padding(*axis) for axis in zip(sizes, kernel_size, strides, dilation, strict=True)
            )
            return vertical, horizontal
        raise ValueError(f'padding must be "valid", "same" or numbers of pixels, but got {padding!r}.')
    sides: tuple[Any, ...] = tuple(padding) if isinstance(padding, Iterable) else (padding, padding)
    if len(sides) != 2:
        raise ValueError(f"padding must be given for two axes, but got {padding!r}.")
    return pair(sides[0], "padding", minimum=0), pair(sides[1], "padding", minimum=0)


def check_pool_padding(pool_size: Pair, padding: Padding) -> None:
    """Refuse padding wider than half the window, so that every window holds at least one real pixel."""
    for kernel, sides in zip(pool_size, padding, strict=True):
        if max(sides) > kernel // 2:
            raise ValueError(f"pool padding {padding} is more than half of the window {pool_size}.")


def _is_whole(value: object) -> bool:
    """Whether `value` is an integer, Python's or NumPy's; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)
