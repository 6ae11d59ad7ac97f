"""What can go wrong, as sentences: every error names what came, what was expected and what to do about it.

Each class also derives from the built-in exception a Python programmer would expect, so `except ValueError` works.  The
command line prints the sentence and exits with the class's `exit_code`: 2 for bad input, 1 for a failure.
"""


class TinyconvError(Exception):
    """Any error that tinyconv raises on purpose."""

    exit_code = 2


class ShapeError(TinyconvError, ValueError):
    """An array or an image has a shape that does not fit."""


class ArgumentError(TinyconvError, ValueError):
    """An argument is outside of what is allowed: a stride of 0, an unknown name, a rate of 1.5."""


class DataError(TinyconvError, ValueError):
    """Images or labels cannot be used: empty, NaN, out of range, a corrupt file."""


class DownloadError(TinyconvError, OSError):
    """A dataset could not be fetched; the sentence says how to do it by hand."""

    exit_code = 1


class ModelFileError(TinyconvError, ValueError):
    """A file is not a model, is damaged, or was written by a newer version."""


class BackendError(TinyconvError, RuntimeError):
    """A backend cannot be used on this machine; the sentence says what is missing."""


class OutOfMemoryError(BackendError, MemoryError):
    """A GPU has too little memory; the sentence says for what, how much there is, and what would help."""


class DivergedError(TinyconvError, ArithmeticError):
    """The loss became NaN or infinite during training; the last good weights are kept."""

    exit_code = 1


class GradientError(TinyconvError, ArithmeticError):
    """A gradient check found that `backward` is not the derivative of `forward`."""

    exit_code = 1


class StateError(TinyconvError, RuntimeError):
    """A method was called too early: fit before compile, weights before build."""
