"""Saliency: which pixels would change a class's score most, if they changed a little."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import SIGNED, headline, new_panels, show, show_heat
from .forward_pass import ForwardPass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]


def saliency(
    model: "Sequential", image: Array, target: int | None = None, class_names: Sequence[str] | None = None
) -> "Figure":
    """The image, the gradient of a class's score with respect to it, and the gradient's size over the image.

    Red pixels raise the score when they get a larger number, blue ones lower it.  The score is the one before softmax
    or sigmoid, and the gradient comes from the layers' own `backward`; channels are added up in the middle and the
    largest of them counts on the right, as in Simonyan, Vedaldi and Zisserman (2014).

    image: (height, width[, channels]), scaled as the model takes it; target: a class number, the likeliest by default.
    """
    seen = ForwardPass(model, image)
    target = seen.choose(target)
    gradient = seen.gradient(target)  # (h, w, channels)
    signed, size = gradient.sum(axis=-1), np.abs(gradient).max(axis=-1)
    figure, (original, signs, sizes) = new_panels(3, 3, 3.6, 3.3, margin=0.4)
    headline(figure, f"Which pixels change the score of {seen.verdict(class_names, target)}")
    show(original, seen.image)
    original.set_title("the image")
    largest = float(np.abs(signed).max()) or 1.0
    drawn = signs.imshow(signed, cmap=SIGNED, vmin=-largest, vmax=largest)
    signs.set_title("∂ score / ∂ pixel")
    figure.colorbar(drawn, ax=signs, shrink=0.8)
    drawn = show_heat(sizes, seen.image, size)
    sizes.set_title("its size, over the image")
    figure.colorbar(drawn, ax=sizes, shrink=0.8)
    return figure
