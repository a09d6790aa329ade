import numpy as np
import pytest

from models.weight_hooks.aioli import Aioli
from tests.models.weight_hooks.small_world import trained

EVEN = (1 / 3, 1 / 3, 1 / 3)
EFFECTS = np.array([[2.0, 0.5, 0.0], [0.1, 1.0, 0.0], [0.0, -0.2, 0.3]]) / 100  # row i: what a step on each domain takes from the loss of i


def linear_losses(seen_d: np.ndarray) -> np.ndarray:
    return 5 - EFFECTS @ seen_d


@pytest.mark.parametrize("dominance", [0.5, 1.0])
def test_turns_recover_the_interactions_of_a_linear_world(dominance):
    hook = Aioli(intervals=1, sweeps=2, exploration_share=0.5, dominance=dominance, normalise=False, step_size=3.0)
    weights_ud, losses_ud = trained(hook, linear_losses, EVEN, steps=120)
    assert hook.effects(losses_ud, weights_ud[:-1]) == pytest.approx(EFFECTS * 10), "a turn has 10 steps"
    expected_d = np.exp(3.0 * 10 * EFFECTS.sum(axis=0))
    assert weights_ud[-1] == pytest.approx(expected_d / expected_d.sum())


def test_rounds_multiply_up_to_the_domain_that_helps_most_and_the_answer_leaves_the_turns_out():
    hook = Aioli(intervals=5, sweeps=1, step_size=1.0)
    weights_ud, _ = trained(hook, linear_losses, EVEN, steps=500)
    rounds_rd = weights_ud[3::4]
    shares_d = np.array([2.1, 1.3, 0.3]) + 3 * 0.2  # column sums of EFFECTS, shifted to be nowhere negative
    for number, weights_d in enumerate(rounds_rd, start=1):
        expected_d = np.exp(number * shares_d / shares_d.sum())
        assert weights_d == pytest.approx(expected_d / expected_d.sum())
    assert hook.answer(weights_ud) == pytest.approx(rounds_rd.mean(axis=0))


def test_each_domain_dominates_once_in_a_sweep_in_another_order_in_each():
    hook = Aioli(sweeps=3, dominance=0.6)
    turns_td = np.array([hook.exploring(turn, 3) for turn in range(9)])
    assert turns_td.sum(axis=1) == pytest.approx(np.ones(9))
    assert turns_td.max(axis=1) == pytest.approx(np.full(9, 0.6))
    assert turns_td.argmax(axis=1).tolist() == [0, 1, 2, 1, 2, 0, 2, 0, 1]


def test_a_turn_needs_a_step_and_its_domain_more_than_the_others():
    hook = Aioli(intervals=2, sweeps=1, exploration_share=0.5)
    assert hook.starts(40, ["x", "y"]) == (0, 5, 10, 20, 25, 30)
    with pytest.raises(ValueError, match=r"2 rounds of 2 turns leave less than a step for each in a run of 4: lower hook\.intervals"):
        hook.starts(4, ["x", "y"])
    with pytest.raises(ValueError, match=r"hook.dominance 0.5 is no more than an even share of 2 domains: raise it"):
        Aioli(dominance=0.5).starts(1000, ["x", "y"])
