"""One image's way through a model: what every layer makes of it, and how a class's score depends on any of that."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.checks import host_array
from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.layers.activated import ActivatedLayer

from .figure import label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyconv.layers.base import Layer
    from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]


class ForwardPass:
    """Runs `image` (height, width[, channels]) through the layers of `model`, one by one and outside of its plan.

    The image is scaled as those that the model was trained on.  The weights stay as they are; like any forward and
    backward pass, this one overwrites what the layers remember of the last, and `gradient` the weights' gradients.

    Attributes:
        image: the image as the model got it, (height, width, channels).
        outputs: each layer with its output, without the batch axis, in order.
    """

    def __init__(self, model: "Sequential", image: Array) -> None:
        x = model.check_inputs(host_array(image, "the image")[np.newaxis], "the image").astype(model.dtype)
        self.model, self._device = model, model.backend.device
        self.image: Array = x[0]
        self.outputs: list[tuple[Layer, Array]] = []
        for layer in model.layers:
            x = layer(x)
            self.outputs.append((layer, self._device.numpy(x[0])))
        if x.ndim != 2:
            raise ShapeError(f"{model.name} gives no score per class: its outputs have the shape {model.output_shape}.")

    def output(self, layer: "Layer") -> Array:
        """What `layer` made of the image."""
        return next(output for other, output in self.outputs if other is layer)

    @property
    def probabilities(self) -> Array:
        """The model's last output: one number per class, (k,); a single one stands for two classes."""
        last = self.outputs[-1][1]
        if len(last) > 1:
            return last
        return np.array([1 - last[0] if self.are_shares else -last[0], last[0]])

    @property
    def are_shares(self) -> bool:
        """Whether the model ends in softmax or sigmoid; otherwise its outputs are scores of any size."""
        last = self.model.layers[-1]
        return isinstance(last, ActivatedLayer) and last.activation.name in ("softmax", "sigmoid")

    def choose(self, target: int | None) -> int:
        """`target`, or the likeliest class for None; raises ArgumentError for a class that there is not."""
        if target is None:
            return int(self.probabilities.argmax())
        if not 0 <= target < len(self.probabilities):
            raise ArgumentError(f"The classes are 0 … {len(self.probabilities) - 1}, but got {target}.")
        return target

    def verdict(self, class_names: "Sequence[str] | None", target: int | None = None) -> str:
        """The likeliest class, or `target`, with what the model gives it: "7 (99.8 %)"."""
        chosen = self.choose(target)
        value = self.probabilities[chosen]
        return f"{label(chosen, class_names)} ({f'{100 * value:.1f} %' if self.are_shares else f'score {value:.3g}'})"

    def gradient(self, target: int, of: "Layer | None" = None) -> Array:
        """∂ score of class `target` / ∂ output of the layer `of`, or / ∂ image for None; it has the shape of that.

        The score is the number before softmax or sigmoid: the probability hardly changes any more where the model is
        sure.  (Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2014, section 3.)
        """
        last, single = self.model.layers[-1], len(self.outputs[-1][1]) == 1
        dy: Any = np.zeros((1, len(self.outputs[-1][1])), self.model.dtype)
        dy[0, 0 if single else target] = -1 if single and target == 0 else 1
        dy = self._device.asarray(dy)
        for layer in reversed(self.model.layers):
            if layer is of:
                break
            if layer is last and isinstance(layer, ActivatedLayer):
                dy = layer.backward_logits(dy)
            else:
                dy = layer.backward(dy)
        return self._device.numpy(dy[0])
