"""What was measured: one number per round, its median and spread, and ratios round by round."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """The same thing measured in every round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def low(self) -> float:
        return min(self.rounds)

    @property
    def high(self) -> float:
        return max(self.rounds)

    @property
    def spread(self) -> float:
        """Half of the distance between the lowest and the highest round, as a part of the median.

        >>> Measurement((9.0, 10.0, 11.0)).spread
        0.1
        """
        return (self.high - self.low) / 2 / self.median

    def over(self, other: "Measurement") -> "Measurement":
        """How many times `other` this is, in each round that both have.

        >>> Measurement((10.0, 30.0, 40.0)).over(Measurement((5.0, 10.0, 20.0))).median
        2.0
        """
        return Measurement(tuple(mine / its for mine, its in zip(self.rounds, other.rounds, strict=False)))

    def as_json(self) -> dict[str, Any]:
        return {"median": self.median, "low": self.low, "high": self.high, "rounds": list(self.rounds)}


def geometric_mean(values: Iterable[float]) -> float:
    """The mean of ratios.

    >>> round(geometric_mean([2.0, 8.0]), 9)
    4.0
    """
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))
