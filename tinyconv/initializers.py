"""Where weights start: Glorot, He, normal, uniform, zeros, ones and constants, drawn from a named Philox stream.

Fan-in and fan-out count the inputs and outputs of one weight: for a convolution (kh, kw, in, out) they are kh·kw·in and
kh·kw·out, for a dense layer (in, out) they are in and out.

    Glorot and Bengio (2010)    variance 2 / (fan_in + fan_out)      keeps the size of signals and gradients together
    He et al. (2015)            variance 2 / fan_in                  the same for ReLU, which stops half of the signal
    LeCun et al. (1998)         variance 1 / fan_in                  keeps the size of signals

Each as Keras draws it: uniform in ±√(3 · variance), or normal, cut at two standard deviations and widened so that the
variance is right after the cut.
"""

from math import prod, sqrt
from typing import Any

import numpy as np

from tinyconv import checks, random, serialization
from tinyconv.errors import ArgumentError
from tinyconv.kernels.contract import PhiloxKey

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

CUT_STDDEV = 0.87962566103423978  # the standard deviation of a standard normal cut at ±2


class Initializer:
    """Base of all initializers: `initializer(shape, key)` returns a float64 array of that shape."""

    def __call__(self, shape: Shape, key: PhiloxKey) -> Array:
        """Return the starting values of one weight."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {}


class Constant(Initializer):
    """Every element is `value`."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = checks.number(value, "value")

    def __call__(self, shape: Shape, key: PhiloxKey) -> Array:
        return np.full(shape, self.value)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class Zeros(Initializer):
    """Every element is 0."""

    def __call__(self, shape: Shape, key: PhiloxKey) -> Array:
        return np.zeros(shape)


class Ones(Initializer):
    """Every element is 1."""

    def __call__(self, shape: Shape, key: PhiloxKey) -> Array:
        return np.ones(shape)


class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05) -> None:
        self.minval = checks.number(minval, "minval")
        self.maxval = checks.number(maxval, "maxval", minimum=self.minval)

    def __call__(self, shape: Shape, key: PhiloxKey) -> Array:
        return random.uniform(key, shape, self.minval, self.maxval)

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval}


class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05) -> None:
        self.mean = checks.number(mean, "mean")
        self.stddev = checks.number(stddev, "stddev", minimum=0)

    def __call__(self, shape: Shape, key: PhiloxKey) -> Array:
        return random.normal(key, shape, self.mean, self.stddev)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normal, but never further than two `stddev` from the mean (the result's own deviation is 0.88 `stddev`)."""

    def __call__(self, shape: Shape, key: PhiloxKey) -> Array:
        return random.truncated_normal(key, shape, self.mean, self.stddev)


class VarianceScaling(Initializer):
    """Variance scale / fan, where the fan is chosen by `mode`: "fan_in", "fan_out" or "fan_avg", their mean.

    `distribution` is "truncated_normal", "untruncated_normal" or "uniform".
    """

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal"
    ) -> None:
        self.scale = checks.number(scale, "scale", above=0)
        self.mode = _one_of(mode, "mode", ("fan_in", "fan_out", "fan_avg"))
        self.distribution = _one_of(distribution, "distribution", ("truncated_normal", "untruncated_normal", "uniform"))

    def __call__(self, shape: Shape, key: PhiloxKey) -> Array:
        fan_in, fan_out = compute_fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = sqrt(3.0 * variance)
            return random.uniform(key, shape, -limit, limit)
        if self.distribution == "untruncated_normal":
            return random.normal(key, shape, stddev=sqrt(variance))
        return random.truncated_normal(key, shape, stddev=sqrt(variance) / CUT_STDDEV)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale, "mode": self.mode, "distribution": self.distribution}


class _NamedScaling(VarianceScaling):
    """A `VarianceScaling` that goes by a name and has no arguments."""

    def get_config(self) -> dict[str, Any]:
        return {}


class GlorotUniform(_NamedScaling):
    """Uniform in ±√(6 / (fan_in + fan_out)): Keras's default for kernels."""

    def __init__(self) -> None:
        super().__init__(1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    def __init__(self) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal")


class HeUniform(_NamedScaling):
    """Uniform in ±√(6 / fan_in)."""

    def __init__(self) -> None:
        super().__init__(2.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal of variance 2 / fan_in."""

    def __init__(self) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Uniform in ±√(3 / fan_in)."""

    def __init__(self) -> None:
        super().__init__(1.0, "fan_in", "uniform")


class LecunNormal(_NamedScaling):
    """Truncated normal of variance 1 / fan_in."""

    def __init__(self) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal")


CLASSES: dict[str, type[Initializer]] = {
    "constant": Constant,
    "zeros": Zeros,
    "ones": Ones,
    "random_uniform": RandomUniform,
    "uniform": RandomUniform,
    "random_normal": RandomNormal,
    "normal": RandomNormal,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
}


def get(identifier: Any) -> Initializer:
    """Return the initializer that is meant: one itself, its name, or what `serialize` returned.

    Raises ArgumentError when there is no such initializer.

    >>> get("he_normal").scale
    2.0
    """
    return serialization.resolve(identifier, CLASSES, Initializer, "initializer")


def serialize(initializer: Initializer) -> dict[str, Any]:
    """Return {"class_name": …, "config": …}, as JSON types."""
    return serialization.serialize(initializer)


def compute_fans(shape: Shape) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight (…, in, out); a vector's fans are both its length.

    >>> compute_fans((3, 3, 64, 128))
    (576, 1152)
    """
    if len(shape) < 2:
        return prod(shape), prod(shape)
    window = prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _one_of(value: str, name: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ArgumentError(f"{name} must be one of {', '.join(choices)}, but got {value!r}.")
    return value
