import numpy as np
import pytest

from models.decisions import accuracy_interval, coverage, decision_accuracy, noise_ceiling, pearson, regret, spearman


def test_decision_accuracy_counts_pairs():
    assert decision_accuracy(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])) == pytest.approx(2 / 3)
    assert decision_accuracy(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0.5
    assert decision_accuracy(np.array([1.0, 2.0]), np.array([1.0, 1.0])) is None
    assert decision_accuracy(np.array([1.0]), np.array([1.0])) is None


def test_correlations_need_three_that_differ():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 100.0])
    assert spearman(x, y) == pytest.approx(1.0) and pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert spearman(x[:2], y[:2]) is None and pearson(x, np.ones(4)) is None
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(np.sqrt(3) / 2)


def test_regret_of_what_is_predicted_best():
    actual = np.array([3.0, 2.0, 2.5])
    assert regret(np.array([1.0, 2.0, 3.0]), actual) == 1.0
    assert regret(np.array([2.0, 1.0, 1.0]), actual) == 0.25  # a tie: either choice
    assert regret(actual, actual) == 0.0


def test_coverage_counts_what_lies_inside():
    assert coverage(np.array([0.0, 0.0]), np.array([1.0, 1.0]), np.array([1.0, 1.5])) == 0.5


def test_the_interval_of_the_accuracy_covers_that_of_all_recipes():
    """Two scales with correlation r order a pair alike with probability 1/2 + asin(r)/pi."""
    random, inside = np.random.default_rng(0), []
    for recipes, correlation in [(m, r) for m in (4, 8, 25) for r in (0.0, 0.5, 0.9)] * 40:
        small = random.standard_normal(recipes)
        large = correlation * small + (1 - correlation**2) ** 0.5 * random.standard_normal(recipes)
        accuracy = decision_accuracy(small, large)
        assert accuracy is not None
        low, high = accuracy_interval(accuracy, recipes, 0.9)
        assert 0 <= low <= accuracy <= high <= 1
        inside.append(low <= 0.5 + np.arcsin(correlation) / np.pi <= high)
    assert 0.88 <= np.mean(inside) <= 0.97  # 360 tables: standard error .014; the interval of few recipes is a little wide


def test_all_pairs_right_is_not_beyond_doubt():
    assert accuracy_interval(1.0, 2, 0.9)[0] < 0.5 and accuracy_interval(1.0, 2, 0.9)[1] == 1.0
    assert accuracy_interval(1.0, 25, 0.9)[0] > 0.9


@pytest.mark.parametrize("noise_sd", [0.3, 1.0, 3.0])
def test_the_noise_ceiling_is_what_a_repetition_reaches(noise_sd):
    random, ceilings, reached = np.random.default_rng(1), [], []
    recipe, seed = np.repeat(np.arange(20), 3), np.tile(np.arange(3), 20)
    for _ in range(40):
        truth, common = random.standard_normal(20), 5 * random.standard_normal(3)
        first, second = (truth[recipe] + common[seed] + noise_sd * random.standard_normal(60) for _ in range(2))
        ceilings.append(noise_ceiling(first, recipe, seed))
        means = [np.bincount(recipe, scores) for scores in (first, second)]
        reached.append(decision_accuracy(*means))
    assert np.mean(ceilings) == pytest.approx(np.mean(reached), abs=0.03)


def test_without_repetitions_there_is_no_ceiling():
    assert noise_ceiling(np.array([1.0, 2.0, 3.0]), np.arange(3)) is None
    assert noise_ceiling(np.array([1.0, 1.0, 2.0, 2.0]), np.array([0, 0, 1, 1])) == 1.0
