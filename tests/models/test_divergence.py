import math

import pytest

from models.divergence import REMEMBERED_STEPS, DivergencePolicy, Guard


def watched(policy: DivergencePolicy, steps: int) -> Guard:
    guard = Guard(policy)
    for step in range(steps):
        guard.remember(2.0 + 0.1 * (-1) ** step, 1.0 + 0.1 * (-1) ** step)
    return guard


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_from_the_first_step(wrong: float):
    guard = Guard(DivergencePolicy())
    assert not guard.allows(wrong, 1.0) and not guard.allows(2.0, wrong)
    assert guard.allows(1e9, 1e9), "spikes only when asked"


def test_a_spike_is_so_many_deviations_over_the_mean():
    guard = watched(DivergencePolicy(spike_deviations=6), REMEMBERED_STEPS)  # of losses 2 +- 0.1 and norms 1 +- 0.1
    assert guard.allows(2.59, 1.59) and guard.allows(0.0, 0.0)
    assert not guard.allows(2.62, 1.0) and not guard.allows(2.0, 1.62)


def test_too_few_steps_know_no_spike():
    policy = DivergencePolicy(spike_deviations=6)
    assert watched(policy, REMEMBERED_STEPS // 2 - 1).allows(100.0, 1.0)
    assert not watched(policy, REMEMBERED_STEPS // 2).allows(100.0, 1.0)


def test_a_guard_goes_on_from_its_state():
    policy = DivergencePolicy(spike_deviations=6)
    guard = watched(policy, 3 * REMEMBERED_STEPS)
    assert len(guard.state()["losses"]) == REMEMBERED_STEPS
    assert Guard(policy, **guard.state()).state() == guard.state()
