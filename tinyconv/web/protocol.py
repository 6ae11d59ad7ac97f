"""What a page may say: a drawing as 784 bytes, or a JSON object {"do": …}.  Anything else gets a sentence.

    {"do": "show", "backwards": false, "target": null}      outputs, or gradients for a digit that it should be
    {"do": "ask", "layer": 0, "place": [3, 5, 2]}           explain one number
    {"do": "seen"}                                          one more picture is on the screen (see `server`)
    {"do": "example"}                                       send a real digit
    {"do": "edit", "layer": 0, "channel": 0, "filter": 2, "values": [[…], …]}
    {"do": "restore"}   {"do": "forget"}   {"do": "backend", "name": "numba"}
    {"do": "train", "epochs": 12, "learning_rate": 0.002}
    {"do": "learning_rate", "value": 0.01}   {"do": "pause"}   {"do": "resume"}   {"do": "end"}

A drawing is 4 bytes, its number, little-endian, which comes back with the picture, and then 28 rows of 28 bytes of ink.
"""

import json
from collections.abc import Callable
from random import random as chance
from typing import Any

import numpy as np

from tinyconv.checks import whole_number
from tinyconv.errors import DataError
from tinyconv.naming import suggestion
from tinyconv.web import network
from tinyconv.web.bench import Bench
from tinyconv.web.view import View

LARGEST = 16_384  # bytes of a message; the longest honest one is an edited kernel
PIXELS = network.IMAGE[0] * network.IMAGE[1]
MOST_EPOCHS = 1000

Reply = dict[str, Any]
Words = dict[str, Any]


def take_drawing(view: View, message: bytes) -> None:
    """Let the view show a drawing; raises DataError for a message of another size."""
    if len(message) != 4 + PIXELS:
        raise DataError(
            f"A drawing is 4 bytes and then {PIXELS}, one for each pixel, but this message has {len(message)} bytes."
        )
    ink = np.frombuffer(message, np.uint8, offset=4).reshape(network.IMAGE)
    view.drawing = (ink / np.float32(255), int.from_bytes(message[:4], "little"))


def understand(message: str) -> Words:
    """The object that a page has sent; raises DataError, with a sentence for the page, for one that makes no sense."""
    if len(message) > LARGEST:
        raise DataError(f"A message may have {LARGEST} characters, but this one has {len(message)}.")
    try:
        words = json.loads(message)
    except (ValueError, RecursionError) as problem:
        raise DataError("That message is not JSON.") from problem
    if not isinstance(words, dict) or not isinstance(words.get("do"), str):
        raise DataError('A message is a JSON object that says what to do, such as {"do": "pause"}.')
    return words


def do(bench: Bench, view: View, words: Words) -> Reply | None:
    """Do what the page asks, in the worker's thread; returns what to answer, if there is anything.

    Raises a TinyconvError, with a sentence for the page, for what nobody knows or what cannot be.
    """
    action = _ACTIONS.get(words["do"])
    if action is None:
        raise DataError(f"Nobody here can do {words['do'][:40]!r}. {suggestion(words['do'][:40], _ACTIONS)}")
    try:
        return action(bench, view, words)
    except OverflowError as problem:
        raise DataError("A number in that message is too large.") from problem


def _show(bench: Bench, view: View, words: Words) -> None:
    target = None if words.get("target") is None else whole_number(words["target"], "target")
    if target is not None and target >= network.CLASSES:
        raise DataError(f"target must be a class from 0 to {network.CLASSES - 1}, but got {target}.")
    view.backwards = (words.get("backwards") is True, target)


def _ask(bench: Bench, view: View, words: Words) -> None:
    place = words.get("place")
    if not isinstance(place, list):
        raise DataError(f"place must be a list of numbers, but got {place!r}.")
    view.ask(whole_number(words.get("layer"), "layer"), tuple(whole_number(index, "place") for index in place))


def _example(bench: Bench, view: View, words: Words) -> Reply:
    return view.example(chance())


def _edit(bench: Bench, view: View, words: Words) -> None:
    layer, channel, filter = (whole_number(words.get(name), name) for name in ("layer", "channel", "filter"))
    bench.edit(layer, channel, filter, words.get("values"))


def _train(bench: Bench, view: View, words: Words) -> None:
    epochs = whole_number(words.get("epochs"), "epochs", minimum=1)
    if epochs > MOST_EPOCHS:
        raise DataError(f"A training here lasts {MOST_EPOCHS} epochs at most, but got {epochs}.")
    bench.train(epochs, words.get("learning_rate"))


def _learning_rate(bench: Bench, view: View, words: Words) -> None:
    bench.set_learning_rate(words.get("value"))


def _backend(bench: Bench, view: View, words: Words) -> None:
    bench.use_backend(str(words.get("name"))[:40])


_ACTIONS: dict[str, Callable[[Bench, View, Words], Reply | None]] = {
    "show": _show,
    "ask": _ask,
    "example": _example,
    "edit": _edit,
    "restore": lambda bench, view, words: bench.restore(),
    "forget": lambda bench, view, words: bench.forget(),
    "backend": _backend,
    "train": _train,
    "learning_rate": _learning_rate,
    "pause": lambda bench, view, words: bench.pause(True),
    "resume": lambda bench, view, words: bench.pause(False),
    "end": lambda bench, view, words: bench.end_training(),
}
