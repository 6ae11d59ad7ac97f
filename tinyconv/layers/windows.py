"""Arguments about windows that slide over images, shared by convolution and pooling."""

from typing import Literal

from tinyconv.kernels.geometry import Padding, PaddingLike, resolve_padding


def padding_argument(padding: PaddingLike) -> Literal["valid", "same"] | Padding:
    """Check `padding` before the image's size is known: "valid" and "same" stay words, pixels become pairs.

    Raises ValueError for anything that `geometry.resolve_padding` does not accept.

    >>> padding_argument("SAME"), padding_argument(1)
    ('same', ((1, 1), (1, 1)))
    """
    word = padding.lower() if isinstance(padding, str) else padding
    resolved = resolve_padding(word, (1, 1), (1, 1), (1, 1))  # type: ignore[arg-type]  # any word is checked in there
    return word if isinstance(word, str) else resolved  # type: ignore[return-value]  # one of the two words by now
