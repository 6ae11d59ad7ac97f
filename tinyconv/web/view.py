"""What one page sees of the bench: its own drawing and question, and news since the last time it was told."""

import base64
import json
from typing import Any

import numpy as np

from tinyconv.errors import ArgumentError, StateError
from tinyconv.layers import Conv2D
from tinyconv.layers.activated import ActivatedLayer
from tinyconv.models import Sequential
from tinyconv.web import look, network, probe
from tinyconv.web.bench import BACKENDS, EPOCHS, Bench
from tinyconv.web.look import Look

Array = np.ndarray[Any, Any]
Message = str | bytes  # JSON, or a picture (see `look`)


class View:
    """A page's drawing and what it wants to know; `messages` is called in the worker's thread.

    The attributes below are set from other threads, each by one assignment, so that the latest wins.

    Attributes:
        drawing: the image (28, 28, 1) in [0, 1], and the page's number for it.
        backwards: whether to show gradients, and the digit that the drawing should be read as; None: as it is read.
        asked: layer, and place in its output, of the number to explain; None for none.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.drawing: tuple[Array, int] = (np.zeros(network.IMAGE, np.float32), 0)
        self.backwards: tuple[bool, int | None] = (False, None)
        self.asked: tuple[int, tuple[int, ...]] | None = None
        self._told: dict[str, Any] = {}
        self._looked_at: Any = None
        self._look: Look | None = None
        self._curves: Any = None
        self._points = 0

    def messages(self) -> list[Message]:
        """All that this page has not been told yet."""
        messages: list[Message] = []
        self._add(messages, "network", _describe(self.bench.model))
        self._add(messages, "state", _state(self.bench))
        self._add_points(messages)
        self._add(messages, "mistakes", _mistakes(self.bench))
        model, (image, serial), (backwards, target), asked = (
            self.bench.model, self.drawing, self.backwards, self.asked
        )
        looks_at = (self.bench.version, model.backend.name, serial, backwards, target)
        if looks_at != self._looked_at or self._look is None:
            self._look = look.backward(model, image, target) if backwards else look.forward(model, image)
            self._looked_at = looks_at
            messages.append(look.picture(model, self._look, serial))
        if asked is not None:
            self._add(messages, "probe", _explain(model, self._look, *asked))
        return messages

    def ask(self, layer: int, place: tuple[int, ...]) -> None:
        """Explain, from now on, the number at `place` of a layer's output.  Raises ArgumentError when there is none."""
        layers = self.bench.model.layers
        if not 0 <= layer < len(layers):
            raise ArgumentError(f"There is no layer {layer}: the network has layers 0 to {len(layers) - 1}.")
        shape = layers[layer].output_shape
        if len(place) != len(shape) or not all(0 <= index < size for index, size in zip(place, shape, strict=True)):
            raise ArgumentError(f"{layers[layer].name} has outputs of shape {shape}: there is none at {place}.")
        self.asked = (layer, place)

    def example(self, chance: float) -> dict[str, Any]:
        """A real digit that nobody has learnt from, the one at `chance` of all, 0 to 1, as a message."""
        data = self.bench.data
        if data is None:
            raise StateError("The digits are still being loaded: try again in a second.")
        index = int(chance * len(data.x_test))
        return {"kind": "example", "image": _picture(data.x_test[index]), "label": int(data.y_test[index])}

    def _add(self, messages: list[Message], kind: str, content: dict[str, Any] | None) -> None:
        """Add a message with `content`, unless the page knows it."""
        if content is not None and self._told.get(kind) != content:
            self._told[kind] = content
            messages.append(json.dumps({"kind": kind, **content}))

    def _add_points(self, messages: list[Message]) -> None:
        """Add the points of the curves since the last time, or all of them if the curves are new ones."""
        curves = self.bench.curves
        if curves is not self._curves:
            self._curves, self._points = curves, -1
        if self._points < len(curves.points):
            begin = max(0, self._points)
            points = [{key: float(f"{value:.5g}") for key, value in p.items()} for p in curves.points[begin:]]
            messages.append(json.dumps({"kind": "curves", "begin": begin, "points": points}))
            self._points = begin + len(points)


def _describe(model: Sequential) -> dict[str, Any]:
    """The layers, as the page needs them to lay itself out and to talk about them."""
    described = []
    for layer in model.layers:
        config = layer.get_config()
        described.append({
            "name": layer.name, "class": type(layer).__name__, "input_shape": layer.input_shape,
            "output_shape": layer.output_shape, "parameters": layer.count_params(),
            "kernel_size": config.get("kernel_size") or config.get("pool_size"), "strides": config.get("strides"),
            "activation": layer.activation.name if isinstance(layer, ActivatedLayer) else None,
            "editable": isinstance(layer, Conv2D),
        })
    return {"layers": described, "parameters": model.count_params()}


def _state(bench: Bench) -> dict[str, Any]:
    """What the page's buttons and sentences depend on."""
    training, optimizer = bench.training, bench.model.optimizer
    return {
        "source": bench.source, "edited": bench.edited, "pages": bench.pages, "busy": list(bench.busy.values()),
        "notice": bench.notice, "backend": bench.model.backend.name, "backends": BACKENDS,
        "backend_to_come": bench.backend_to_come, "status": bench.status,
        "epochs_seen": bench.model.epochs_seen, "epochs_per_training": EPOCHS,
        "learning_rate": optimizer.current_learning_rate(),
        "ready": bench.data is not None,
        "training": None if training is None else {
            "first": bench.first, "epoch": training.epoch, "epochs": training.epochs, "step": training.step,
            "steps": training.steps,
        },
    }


def _mistakes(bench: Bench) -> dict[str, Any] | None:
    """The test digits that are read wrongly; None before the first test."""
    if bench.data is None or not bench.curves.tests:
        return None
    digits = [
        {"image": _picture(bench.data.x_test[index]), "label": int(bench.data.y_test[index]), "read": read,
         "probability": round(sure, 3)}
        for index, read, sure in bench.curves.mistakes
    ]
    return {"wrong": bench.curves.wrong, "of": len(bench.data.y_test), "digits": digits}


def _explain(model: Sequential, seen: Look, index: int, place: tuple[int, ...]) -> dict[str, Any]:
    """The explanation of one number, and, after a backward pass, its gradient and its kernel's."""
    explained = probe.explain(model.layers[index], seen.outputs[index], seen.outputs[index + 1], place)
    explained |= {"layer": index, "place": place}
    if seen.gradients:
        explained["gradient"] = probe.plain(seen.gradients[index + 1][place])
        if explained["kind"] in ("conv2d", "dense"):
            explained["kernel_gradient"] = probe.plain(seen.kernel_gradients[index][..., place[-1]])
    return {"explained": explained}


def _picture(image: Array) -> str:
    """An image in [0, 1] as base64 of its bytes, row by row."""
    return base64.b64encode(np.rint(image * 255).astype(np.uint8).tobytes()).decode()
