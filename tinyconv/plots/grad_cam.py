"""Grad-CAM: where in the image a convolution layer found what speaks for a class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import ArgumentError
from tinyconv.layers import Conv2D

from .figure import headline, new_panels, show, show_heat
from .forward_pass import ForwardPass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]


def grad_cam(
    model: "Sequential", image: Array, target: int | None = None, class_names: Sequence[str] | None = None, *,
    layer: Conv2D | None = None,
) -> "Figure":
    """The image, Grad-CAM's map of a convolution layer over it, and the map without Grad-CAM's averaging.

        Grad-CAM   max(0, Σ_k weight_k · map_k),  weight_k = mean over pixels of ∂ score / ∂ map_k
        HiResCAM   max(0, Σ_k (∂ score / ∂ map_k) · map_k), pixel by pixel

    (Selvaraju and others, "Grad-CAM", 2017, equations 1 and 2; Draelos and Carin, "HiResCAM", 2020.)  Where a dense
    layer gives every place its own weight, as after Flatten, the average can point elsewhere or nowhere; pixel by pixel
    the sum is exact.

    image: (height, width[, channels]), scaled as the model takes it; target: a class number, the likeliest by default;
    layer: one of the model's, the last convolution by default.  Raises ArgumentError when the model has none.
    """
    layer = layer or last_convolution(model)
    seen = ForwardPass(model, image)
    target = seen.choose(target)
    gradient, maps = seen.gradient(target, of=layer), seen.output(layer)  # both (oh, ow, filters)
    averaged = np.maximum(maps @ gradient.mean(axis=(0, 1)), 0)  # (oh, ow)
    exact = np.maximum((maps * gradient).sum(axis=-1), 0)
    figure, (original, *panels) = new_panels(3, 3, 3.6, 3.3, margin=0.4)
    headline(figure, f"Where {layer.name} finds what speaks for {seen.verdict(class_names, target)}")
    show(original, seen.image)
    original.set_title("the image")
    for axes, heat, title in zip(panels, (averaged, exact), ("Grad-CAM", "pixel by pixel (HiResCAM)"), strict=True):
        drawn = show_heat(axes, seen.image, heat)
        axes.set_title(title)
        if heat.any():
            figure.colorbar(drawn, ax=axes, shrink=0.8)
        else:
            why = "0 everywhere: on average\nnothing speaks for it"
            axes.text(0.5, 0.04, why, ha="center", transform=axes.transAxes)
    return figure


def last_convolution(model: "Sequential") -> Conv2D:
    """The convolution nearest to the model's output; raises ArgumentError when there is none."""
    for layer in reversed(model.layers):
        if isinstance(layer, Conv2D):
            return layer
    raise ArgumentError(f"{model.name} has no convolution layer.")
