import numpy as np
import pytest

from models.weight_hooks.sample_reweighting import SampleReweighting

LOSSES = np.array([1.0, 2.0, 3.0, 4.0, 5.0])  # their places: -1, -1/2, 0, 1/2, 1
SCORES = {"linupper": [0, 0.5, 1, 1, 1], "quadratic": [0, 0.75, 1, 0.75, 0], "extremes": [1, 0.5, 0, 0.5, 1]}


@pytest.mark.parametrize("strategy", SCORES)
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_weights_are_the_softmax_of_the_strategys_score_and_one_on_average(strategy, temperature):
    weights_B = SampleReweighting(strategy=strategy, temperature=temperature).weights(LOSSES)
    expected_B = np.exp(np.array(SCORES[strategy]) / temperature)
    assert weights_B == pytest.approx(5 * expected_B / expected_B.sum())


def test_equal_losses_count_alike_and_the_unit_of_losses_does_not_matter():
    hook = SampleReweighting()
    assert (hook.weights(np.full(4, 2.5)) == 1).all()
    assert hook.weights(3 * LOSSES + 7) == pytest.approx(hook.weights(LOSSES))
    assert hook.begins_at(1000) == 50


def test_linupper_learns_the_rare_hard_part_sooner_than_even_weights():
    """Least squares in two separate directions, of which one comes in one sequence of ten: the loss of the rare direction falls faster."""

    def rare_loss(hook: SampleReweighting | None) -> float:
        target = np.array([1.0, 1.0])
        found = np.zeros(2)
        direction_B = np.array([0] * 9 + [1])
        for _ in range(20):
            gap_B = target[direction_B] - found[direction_B]
            weights_B = hook.weights(gap_B**2) if hook else np.ones(10)
            found = found + 0.1 * np.bincount(direction_B, weights_B * gap_B, minlength=2)
        return float((1 - found[1]) ** 2)

    assert rare_loss(SampleReweighting()) < 0.5 * rare_loss(None)
