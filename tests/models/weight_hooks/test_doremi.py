import numpy as np
import pytest

from models.weight_hooks.doremi import DoReMi
from tests.models.weight_hooks.small_world import trained

EVEN = (1 / 3, 1 / 3, 1 / 3)


def test_with_constant_excess_the_weights_are_the_closed_form_and_the_answer_their_mean():
    excess_d = np.array([0.3, 0.0, 0.1])
    start_d = np.array([0.2, 0.5, 0.3])
    hook = DoReMi(intervals=6, smoothing=0.0, step_size=0.5)
    weights_ud, _ = trained(hook, lambda seen_d: excess_d, start_d, steps=60)
    for update, weights_d in enumerate(weights_ud):
        expected_d = start_d * np.exp(0.5 * update * excess_d)
        assert weights_d == pytest.approx(expected_d / expected_d.sum())
    assert hook.answer(weights_ud) == pytest.approx(weights_ud[1:].mean(axis=0))


def test_a_domain_that_is_noise_gets_no_weight_and_the_one_with_most_to_learn_gets_most():
    """Losses fall to the entropy as a domain is read; noise is there at once. The reference has read each domain for a third of the run."""
    entropy_d, reach_d, rate_d = np.array([2.0, 6.0, 3.0]), np.array([4.0, 0.0, 3.0]), np.array([60.0, 60.0, 200.0])
    loss = lambda seen_d: entropy_d + reach_d * np.exp(-seen_d / rate_d)  # noqa: E731
    reference_d = loss(np.full(3, 200.0))
    hook = DoReMi(intervals=40)
    weights_ud, _ = trained(hook, lambda seen_d: np.maximum(loss(seen_d) - reference_d, 0), EVEN, steps=600)
    assert weights_ud[-1, 1] < 0.01
    assert weights_ud[:, 1].min() >= hook.smoothing / 3
    learnt_d = hook.answer(weights_ud)
    assert learnt_d.argmax() == 2
    assert learnt_d.sum() == pytest.approx(1)


def test_it_settles_where_the_excess_is_the_same_in_all_domains():
    """Excess a - b p: its worst case is least where a - b p is one number, p = (a - (sum a - b) / 3) / b."""
    a_d, b = np.array([0.9, 0.7, 0.6]), 1.0
    weights_d = np.array(EVEN)
    weights_ud = np.array([EVEN])
    hook = DoReMi(smoothing=0.0, step_size=0.2)
    for _ in range(400):
        weights_d = hook.weights(np.array(EVEN), np.tile(a_d - b * weights_d, (len(weights_ud), 1)), weights_ud, ["x", "y", "z"])
        weights_ud = np.vstack([weights_ud, weights_d])
    assert weights_d == pytest.approx((a_d - (a_d.sum() - b) / 3) / b, abs=1e-6)


def test_a_hook_asks_for_two_domains_and_a_step_in_each_interval():
    with pytest.raises(ValueError, match="the mixture draws from 'x' alone: leave out its hook"):
        DoReMi().starts(100, ["x"])
    with pytest.raises(ValueError, match=r"the hook's 20 intervals are more than the run's 10 steps: lower hook.intervals"):
        DoReMi().starts(10, ["x", "y"])
    assert DoReMi(intervals=3).starts(10, ["x", "y"]) == (0, 3, 6)
