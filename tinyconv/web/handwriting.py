"""Digits drawn by a program, the way visitors of the lab page draw them.

The bundled digits are real, but were written with a pen by few people and fill their box.  A network that has only seen
those takes a 7 without a bar for a 1.  So the lab's network also learns from these: each is one of the usual ways to
write a digit, with every point a little off, at any size, slant and place, in the page's own round brush.

A way of writing is one or more strokes; a stroke is points (x, y), from (0, 0) at the top left of the digit to (1, 1)
at the bottom right, joined by a smooth curve.
"""

from typing import Any

import numpy as np

from tinyconv import random

Array = np.ndarray[Any, Any]
Stroke = tuple[tuple[float, float], ...]

SIDE = 28
POINTS = 48  # along each stroke
SMALLEST, LARGEST = 12, 24  # height of a digit in pixels
WOBBLE = 0.05  # of the points, in heights of the digit
BRUSH = (0.8, 2.0)  # thinnest and thickest radius, in pixels

_ROUND = (0.72, 0.06), (0.42, 0.0), (0.12, 0.22), (0.06, 0.55), (0.2, 0.9), (0.5, 1.0), (0.85, 0.84), (0.95, 0.45)
_ZERO: Stroke = (*_ROUND, (0.84, 0.14), (0.55, 0.0))
_WAYS: dict[int, tuple[tuple[Stroke, ...], ...]] = {
    0: ((_ZERO,), (((0.5, 0.0), *_ZERO[2:8], (0.8, 0.12), (0.5, 0.0)),)),
    1: (
        (((0.5, 0.0), (0.5, 0.5), (0.5, 1.0)),),
        (((0.25, 0.25), (0.55, 0.0)), ((0.55, 0.0), (0.55, 0.5), (0.55, 1.0))),
        (((0.25, 0.25), (0.55, 0.0)), ((0.55, 0.0), (0.55, 1.0)), ((0.2, 1.0), (0.9, 1.0))),
    ),
    2: (
        (((0.1, 0.25), (0.3, 0.02), (0.7, 0.02), (0.85, 0.3), (0.55, 0.65), (0.1, 1.0)), ((0.1, 1.0), (0.95, 1.0))),
        (((0.1, 0.2), (0.45, 0.0), (0.85, 0.2), (0.7, 0.6), (0.2, 0.95), (0.1, 0.85), (0.4, 0.85), (0.95, 1.0)),),
    ),
    3: (
        (
            ((0.1, 0.15), (0.45, 0.0), (0.85, 0.2), (0.7, 0.43), (0.4, 0.48)),
            ((0.4, 0.48), (0.85, 0.58), (0.9, 0.85), (0.5, 1.0), (0.08, 0.88)),
        ),
        (((0.1, 0.0), (0.85, 0.0)), ((0.85, 0.0), (0.4, 0.4)), ((0.4, 0.4), (0.9, 0.6), (0.8, 0.92), (0.1, 0.95))),
    ),
    4: (
        (((0.25, 0.0), (0.1, 0.55)), ((0.1, 0.55), (0.95, 0.55)), ((0.75, 0.05), (0.72, 1.0))),
        (((0.65, 0.0), (0.05, 0.65)), ((0.05, 0.65), (0.98, 0.65)), ((0.65, 0.0), (0.65, 1.0))),
        (((0.15, 0.0), (0.12, 0.4), (0.3, 0.55), (0.8, 0.5)), ((0.85, 0.0), (0.8, 0.5), (0.75, 1.0))),
    ),
    5: (
        (((0.85, 0.0), (0.2, 0.0)), ((0.2, 0.0), (0.15, 0.45)),
         ((0.15, 0.45), (0.55, 0.36), (0.92, 0.6), (0.75, 0.95), (0.35, 1.0), (0.05, 0.88))),
        (((0.9, 0.02), (0.25, 0.02), (0.15, 0.42), (0.6, 0.42), (0.9, 0.7), (0.6, 1.0), (0.08, 0.92)),),
    ),
    6: (
        (((0.75, 0.0), (0.35, 0.25), (0.1, 0.65), (0.25, 0.97), (0.65, 0.98), (0.88, 0.72), (0.6, 0.5), (0.15, 0.68)),),
        (((0.5, 0.0), (0.15, 0.4), (0.1, 0.8), (0.4, 1.0), (0.8, 0.9), (0.8, 0.62), (0.45, 0.52), (0.12, 0.72)),),
    ),
    7: (
        (((0.05, 0.02), (0.92, 0.0)), ((0.92, 0.0), (0.4, 1.0))),
        (((0.05, 0.02), (0.92, 0.0)), ((0.92, 0.0), (0.62, 0.4), (0.45, 1.0))),
        (((0.05, 0.02), (0.92, 0.0)), ((0.92, 0.0), (0.45, 1.0)), ((0.3, 0.5), (0.9, 0.5))),
        (((0.08, 0.2), (0.08, 0.02)), ((0.08, 0.02), (0.92, 0.0)), ((0.92, 0.0), (0.5, 1.0))),
    ),
    8: (
        (((0.82, 0.12), (0.5, 0.0), (0.18, 0.18), (0.4, 0.42), (0.8, 0.65), (0.82, 0.92), (0.45, 1.0), (0.12, 0.85),
          (0.25, 0.6), (0.7, 0.38), (0.85, 0.15), (0.7, 0.02)),),
        (((0.5, 0.0), (0.15, 0.22), (0.5, 0.45), (0.85, 0.22), (0.5, 0.0)),
         ((0.5, 0.45), (0.08, 0.75), (0.5, 1.0), (0.92, 0.75), (0.5, 0.45))),
    ),
    9: (
        (((0.85, 0.2), (0.5, 0.0), (0.15, 0.25), (0.4, 0.5), (0.85, 0.28)), ((0.85, 0.15), (0.84, 0.6), (0.75, 1.0))),
        (((0.85, 0.2), (0.45, 0.0), (0.12, 0.3), (0.45, 0.52), (0.85, 0.2)),
         ((0.85, 0.15), (0.88, 0.7), (0.55, 1.0), (0.15, 0.92))),
        (((0.85, 0.12), (0.35, 0.05), (0.12, 0.3), (0.4, 0.46), (0.88, 0.12)), ((0.88, 0.12), (0.6, 1.0))),
    ),
}


def digits(count: int, seed: int = 0) -> tuple[Array, Array]:
    """Return `count` drawn digits, uint8 (count, 28, 28), light on dark, and what each is, uint8 (count,)."""
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for index, label in enumerate(labels):
        ways = _WAYS[int(label)]
        chance = random.uniform(random.key(seed, "handwriting", index), (8 + 2 * 64,))
        images[index] = _draw(ways[int(chance[0] * len(ways))], chance)
    return images, labels


def _draw(strokes: tuple[Stroke, ...], chance: Array) -> Array:
    """One digit, uint8 (28, 28): the numbers in `chance`, all in [0, 1), say how this one differs from the others."""
    height = SMALLEST + (LARGEST - SMALLEST) * chance[1]
    width = height * (0.45 + 0.5 * chance[2])
    angle, slant = np.deg2rad(24 * chance[3] - 12), 0.65 * chance[4] - 0.2
    radius = BRUSH[0] + (BRUSH[1] - BRUSH[0]) * chance[5]
    place = SIDE / 2 + (chance[6:8] - 0.5) * (SIDE - 3 - height) * 0.8
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = turn @ np.array([[1.0, -slant], [0.0, 1.0]]) @ np.diag([width, height])
    wobble = iter(WOBBLE * np.sqrt(12) * (chance[8:].reshape(-1, 2) - 0.5))
    curves = [_curve(np.array([point + next(wobble) for point in np.array(stroke)])) for stroke in strokes]
    return ink(place + (np.concatenate(curves) - 0.5) @ shape.T, radius)


def _curve(points: Array) -> Array:
    """A smooth curve through `points` (n, 2): Catmull and Rom's spline, or a straight line through two."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    along = np.linspace(0, len(points) - 1, POINTS)
    piece = np.minimum(along.astype(int), len(points) - 2)
    t = (along - piece)[:, np.newaxis]
    a, b, c, d = (ends[piece + offset] for offset in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def ink(path: Array, radius: float) -> Array:
    """What a round brush leaves, uint8 (28, 28), that went along the points `path` (n, 2) of (x, y) in pixels.

    A pixel is as dark as the brush covers it: fully within `radius` - ½ of the path, not at all beyond `radius` + ½.
    """
    middle = np.arange(SIDE) + 0.5
    across = (middle - path[:, :1]) ** 2  # (n, 28)
    down = (middle - path[:, 1:]) ** 2
    nearest = np.sqrt((down[:, :, np.newaxis] + across[:, np.newaxis, :]).min(axis=0))
    return np.rint(255 * np.clip(radius + 0.5 - nearest, 0, 1)).astype(np.uint8)
