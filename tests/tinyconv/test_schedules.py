"""Schedules: values by hand, the same curves from PyTorch, and configurations that come back."""

import json

import numpy as np
import pytest

from tinyconv import schedules
from tinyconv.errors import ArgumentError, StateError
from tinyconv.schedules import CosineDecay, LinearToZero, OneCycle


def rates(schedule, steps):
    return [schedule(step) for step in range(steps)]


def test_one_cycle_by_hand():
    """Peak at step 0.5 · 10 - 1 = 4; up by (1 - 0.1) / 4 a step; half way down at 6.5; at the end 0.1 / 10."""
    schedule = OneCycle(1.0, 10, warmup=0.5, initial_divisor=10, final_divisor=10)
    np.testing.assert_allclose(rates(schedule, 5), [0.1, 0.325, 0.55, 0.775, 1.0])
    assert schedule(6.5) == pytest.approx((1 + 0.01) / 2)
    assert schedule(9) == pytest.approx(0.01)
    assert schedule(1000) == pytest.approx(0.01)


def test_cosine_by_hand():
    diagonal = 0.5**0.5  # the cosine of an eighth of a turn
    expected = [2, 1.5 + diagonal / 2, 1.5, 1.5 - diagonal / 2, 1, 1]
    np.testing.assert_allclose(rates(CosineDecay(2.0, 4, minimum=1.0), 6), expected)
    np.testing.assert_allclose(rates(CosineDecay(1.0, 5, warmup_steps=3), 6), [0.25, 0.5, 0.75, 1, 0.5, 0], atol=1e-15)


def test_linear_by_hand():
    np.testing.assert_allclose(rates(LinearToZero(1.0, 4), 6), [1, 0.75, 0.5, 0.25, 0, 0])
    np.testing.assert_allclose(rates(LinearToZero(1.0, 5, warmup_steps=1), 6), [0.5, 1, 0.75, 0.5, 0.25, 0])


def torch_rates(make, steps):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    result = []
    for step in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < steps:
            scheduler.step()
    return result


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.3), (37, 0.25), (10, 0.5)])
def test_one_cycle_beside_torch(steps, warmup):
    """PyTorch climbs and falls along lines or along cosines: ours climbs like the one, falls like the other."""

    def theirs(strategy):
        return torch_rates(
            lambda s, o: s.OneCycleLR(o, 0.5, total_steps=steps, pct_start=warmup, anneal_strategy=strategy), steps
        )

    peak = int(warmup * steps - 1) + 1
    expected = theirs("linear")[:peak] + theirs("cos")[peak:]
    np.testing.assert_allclose(rates(OneCycle(0.5, steps, warmup=warmup), steps), expected, rtol=1e-12)


def test_cosine_and_line_beside_torch():
    cosine = torch_rates(lambda s, o: s.CosineAnnealingLR(o, 50, eta_min=0.1), 50)
    np.testing.assert_allclose(rates(CosineDecay(1.0, 50, minimum=0.1), 50), cosine, rtol=1e-10)
    line = torch_rates(lambda s, o: s.LinearLR(o, 1.0, 0.0, 50), 50)
    np.testing.assert_allclose(rates(LinearToZero(1.0, 50), 50), line, rtol=1e-10)


ALL = [OneCycle(0.1, warmup=0.2), CosineDecay(0.1, minimum=0.01, warmup_steps=2), LinearToZero(0.1, warmup_steps=1)]


@pytest.mark.parametrize("schedule", ALL)
def test_the_number_of_steps_may_come_later(schedule):
    with pytest.raises(StateError, match="how many steps"):
        schedule(0)
    ready = schedule.with_total_steps(20)
    assert ready.total_steps == 20
    assert ready(19) >= 0
    assert ready.with_total_steps(30) is ready
    assert schedule.total_steps is None


@pytest.mark.parametrize("schedule", ALL)
@pytest.mark.parametrize("steps", [3, 4, 10])
def test_few_steps(schedule, steps):
    values = rates(schedule.with_total_steps(steps), steps + 2)
    assert all(0 <= value <= 0.1 for value in values)
    assert values[-1] < 0.02


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_all_down_or_all_up(warmup):
    values = rates(OneCycle(1.0, 5, warmup=warmup), 5)
    assert values.index(max(values)) == (4 if warmup else 0)
    assert max(values) == 1
    assert OneCycle(1.0, 1, warmup=warmup)(0) == 1


@pytest.mark.parametrize("schedule", [*ALL, OneCycle(1.0, 7, final_divisor=5.0)])
def test_a_configuration_comes_back(schedule):
    assert schedules.get(json.loads(json.dumps(schedules.serialize(schedule)))) == schedule
    assert schedules.get(schedule) is schedule


def test_unknown_ones():
    with pytest.raises(ArgumentError, match=r"no schedule 'one_cycel'\. Did you mean 'one_cycle'"):
        schedules.get("one_cycel")
    with pytest.raises(ArgumentError, match=r"OneCycle cannot be made from .* 'max_learning_rate'"):
        schedules.get("one_cycle")


@pytest.mark.parametrize(
    "make",
    [
        lambda: OneCycle(-1.0),
        lambda: OneCycle(1.0, 0),
        lambda: OneCycle(1.0, 2.5),
        lambda: OneCycle(1.0, warmup=1.5),
        lambda: OneCycle(1.0, initial_divisor=0.5),
        lambda: OneCycle(1.0, final_divisor=0),
        lambda: CosineDecay(1.0, minimum=2.0),
        lambda: CosineDecay(1.0, warmup_steps=-1),
        lambda: CosineDecay(1.0, 5, warmup_steps=5),
        lambda: LinearToZero(float("nan")),
        lambda: LinearToZero(1.0, warmup_steps=9).with_total_steps(3),
    ],
)
def test_arguments_that_make_no_sense(make):
    with pytest.raises(ArgumentError, match="must be"):
        make()
