"""Drawn digits: reproducible, of every class, within the picture, in the page's brush."""

import numpy as np

from tinyconv.web import handwriting


def test_ink_of_a_dot_by_hand():
    """A brush of radius 1 at the corner of four pixels: their centres are √½ away, the next ones √2.5 > 1.5."""
    image = handwriting.ink(np.array([[10.0, 5.0]]), 1.0)
    assert image[4:6, 9:11].tolist() == [[202, 202], [202, 202]]  # 255 · (1.5 - √½)
    assert np.count_nonzero(image) == 4


def test_ink_of_a_line_is_even_along_it():
    path = np.column_stack([np.linspace(4, 24, 200), np.full(200, 10.5)])
    image = handwriting.ink(path, 1.5)
    assert (image[9:12, 6:22] == 255).all()
    assert not image[:8].any()
    assert not image[13:].any()


def test_every_class_and_the_same_again():
    images, labels = handwriting.digits(60, seed=3)
    assert images.shape == (60, 28, 28)
    assert np.bincount(labels).tolist() == [6] * 10
    again, _ = handwriting.digits(60, seed=3)
    other, _ = handwriting.digits(60, seed=4)
    assert (images == again).all()
    assert (images != other).any(axis=(1, 2)).all()


def test_digits_are_within_the_picture():
    images, _ = handwriting.digits(200)
    ink = images > 0
    assert (ink.sum(axis=(1, 2)) > 20).all()
    border = ink.copy()
    border[:, 1:-1, 1:-1] = False
    assert border.sum() < 0.03 * ink.sum()
