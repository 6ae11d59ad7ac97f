"""Learning rates that change while training: a schedule is a function of the step, counted from 0.

    Adam(OneCycle(0.003))      `fit` fills in the number of steps it is about to take

One-cycle       a linear climb to the largest rate, then a cosine down to almost nothing
Cosine decay    a cosine from the first rate down to the smallest
Linear to zero  a straight line
"""

from dataclasses import dataclass
from math import cos, pi
from typing import Any, Self

from tinyconv import checks, serialization
from tinyconv.errors import ArgumentError, StateError


class Schedule:
    """Base of all schedules: `schedule(step)` is the learning rate of one step.

    `total_steps` is how many steps there are; None until it is known, as `fit` knows it.  After the last step the rate
    stays where it is.  Schedules do not change; two with the same arguments are equal.
    """

    total_steps: int | None

    def __post_init__(self) -> None:
        """Raise ArgumentError for arguments that make no sense."""
        if self.total_steps is not None:
            checks.whole_number(self.total_steps, "total_steps", minimum=1)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step; raises StateError while the number of steps is not known."""
        if self.total_steps is None:
            raise StateError(
                f"{type(self).__name__} does not know how many steps there are: pass total_steps, or train with fit."
            )
        return self._rate(step, self.total_steps)

    def _rate(self, step: int, total_steps: int) -> float:
        raise NotImplementedError

    def with_total_steps(self, total_steps: int) -> Self:
        """Return this schedule for so many steps, or itself if it has a number of steps of its own."""
        return self if self.total_steps is not None else type(self)(**self.get_config() | {"total_steps": total_steps})

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return dict(vars(self))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Smith's one-cycle policy, with a linear climb and a cosine descent, and without his cycle of the momentum.

    For the first `warmup` (a part of 1) of the steps the rate climbs from max_learning_rate / initial_divisor to
    `max_learning_rate`; then it falls to max_learning_rate / initial_divisor / final_divisor, which the last step has.

    Smith, "A disciplined approach to neural network hyper-parameters: part 1" (2018).

    >>> [round(OneCycle(1.0, 11, warmup=0.5)(step), 3) for step in range(0, 11, 2)]
    [0.04, 0.467, 0.893, 0.827, 0.292, 0.0]
    """

    max_learning_rate: float
    total_steps: int | None = None
    warmup: float = 0.3
    initial_divisor: float = 25.0
    final_divisor: float = 1e4

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number(self.max_learning_rate, "max_learning_rate", minimum=0)
        checks.number(self.warmup, "warmup", minimum=0, maximum=1)
        checks.number(self.initial_divisor, "initial_divisor", minimum=1)
        checks.number(self.final_divisor, "final_divisor", minimum=1)

    def _rate(self, step: int, total_steps: int) -> float:
        first = self.max_learning_rate / self.initial_divisor
        peak = max(0.0, self.warmup * total_steps - 1)  # the step with the largest rate; need not be a whole number
        if step < peak:
            return first + (self.max_learning_rate - first) * step / peak
        return _cosine(self.max_learning_rate, first / self.final_divisor, _progress(step, peak, total_steps - 1))


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Half a cosine, from `initial_learning_rate` to `minimum`, which would be the rate after the last step.

    For the first `warmup_steps` the rate climbs to `initial_learning_rate` in a straight line.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), equation 5, without restarts.

    >>> [round(CosineDecay(1.0, 4)(step), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    initial_learning_rate: float
    total_steps: int | None = None
    minimum: float = 0.0
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number(self.initial_learning_rate, "initial_learning_rate", minimum=0)
        checks.number(self.minimum, "minimum", minimum=0, maximum=self.initial_learning_rate)
        _check_warmup(self.warmup_steps, self.total_steps)

    def _rate(self, step: int, total_steps: int) -> float:
        if step < self.warmup_steps:
            return _climb(self.initial_learning_rate, step, self.warmup_steps)
        return _cosine(self.initial_learning_rate, self.minimum, _progress(step, self.warmup_steps, total_steps))


@dataclass(frozen=True)
class LinearToZero(Schedule):
    """A straight line from `initial_learning_rate` to 0, which would be the rate after the last step.

    For the first `warmup_steps` the rate climbs to `initial_learning_rate` in a straight line.

    >>> [LinearToZero(1.0, 6, warmup_steps=1)(step) for step in range(7)]
    [0.5, 1.0, 0.8, 0.6, 0.4, 0.19999999999999996, 0.0]
    """

    initial_learning_rate: float
    total_steps: int | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number(self.initial_learning_rate, "initial_learning_rate", minimum=0)
        _check_warmup(self.warmup_steps, self.total_steps)

    def _rate(self, step: int, total_steps: int) -> float:
        if step < self.warmup_steps:
            return _climb(self.initial_learning_rate, step, self.warmup_steps)
        return self.initial_learning_rate * (1.0 - _progress(step, self.warmup_steps, total_steps))


CLASSES: dict[str, type[Schedule]] = {
    "one_cycle": OneCycle,
    "cosine_decay": CosineDecay,
    "linear_to_zero": LinearToZero,
}


def get(identifier: Any) -> Schedule:
    """Return the schedule that is meant: one itself, or what `serialize` returned.

    Raises ArgumentError when there is no such schedule.
    """
    return serialization.resolve(identifier, CLASSES, Schedule, "schedule")


def serialize(schedule: Schedule) -> dict[str, Any]:
    """Return {"class_name": …, "config": …}, as JSON types."""
    return serialization.serialize(schedule)


def _progress(step: float, start: float, end: float) -> float:
    """How far `step` is on its way from `start` to `end`: 0 to 1."""
    return min(1.0, max(0.0, (step - start) / (end - start))) if end > start else float(step > start)


def _cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1.0 + cos(pi * progress)) / 2.0


def _climb(rate: float, step: int, steps: int) -> float:
    """The rate on the way up, above 0 already in step 0 and `rate` itself just after the last of `steps`."""
    return rate * (step + 1) / (steps + 1)


def _check_warmup(warmup_steps: int, total_steps: int | None) -> None:
    checks.whole_number(warmup_steps, "warmup_steps")
    if total_steps is not None and warmup_steps >= total_steps:
        raise ArgumentError(
            f"warmup_steps must be less than the {total_steps} steps there are in all, but is {warmup_steps}."
        )
