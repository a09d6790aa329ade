import numpy as np
import pytest

from models.laws.back_test import Prediction, back_test, back_tests
from models.verdict import COMBINATION, LAW, SINGLE_SCALE
from tests.models.laws.simulated_study import random_truth, simulated_runs

NAMES = ("a", "b", "c")


def runs_of(seed: int = 0, **how):
    random = np.random.default_rng(seed)
    return simulated_runs(random, random_truth(random, 3, spread=0.05), **how)


def test_the_largest_size_is_left_out_and_predicted_in_every_way():
    runs = runs_of()
    test = back_test(runs, NAMES, "size 300k", 0.9, draws=40, seed=0)
    assert test is not None and list(test.methods) == [LAW, SINGLE_SCALE, COMBINATION]
    for found in test.methods.values():
        actual = {row.mixture: row.actual_loss for row in found.rows}
        assert actual["a"] == pytest.approx(runs.loss[(runs.num_params == 3e5) & (runs.mixture == 0)].mean())
        assert found.mean_absolute_error < 0.1
        assert found.coverage >= 2 / 3
        assert found.decision_accuracy == 1.0 and found.regret == 0.0 and found.spearman == pytest.approx(1.0)


def test_of_three_sizes_two_are_left_out_in_turn():
    names = {3.5e4: "35k", 1e5: "100k", 3e5: "300k"}
    tests = back_tests(runs_of(), NAMES, names, 0.9, draws=20, seed=0)
    assert [test.left_out for test in tests] == ["size 300k", "size 100k"]
    assert [test.left_out for test in back_tests(runs_of(sizes=(1e5, 3e5)), NAMES, names, 0.9, draws=20, seed=0)] == ["size 300k"]
    assert back_tests(runs_of(sizes=(1e5,)), NAMES, names, 0.9, draws=20, seed=0) == ()


def test_what_is_left_out_has_no_influence_on_what_is_predicted():
    runs = runs_of()
    doubled = np.where(runs.num_params == 3e5, 2 * runs.loss, runs.loss)
    other = type(runs)(runs.mixture, runs.cell, runs.seed, runs.num_params, runs.tokens, doubled)
    here, there = (back_test(r, NAMES, "size 300k", 0.9, draws=20, seed=0) for r in (runs, other))
    assert here and there
    for method in here.methods:
        assert [row.predicted_loss for row in here.methods[method].rows] == [row.predicted_loss for row in there.methods[method].rows]
        assert there.methods[method].coverage == 0.0


def test_mixtures_without_runs_at_the_largest_size_take_no_part():
    runs = runs_of()
    kept = runs.where(~((runs.mixture == 1) & (runs.num_params == 3e5)))
    test = back_test(kept, NAMES, "size 300k", 0.9, draws=20, seed=0)
    assert test is not None
    assert all([row.mixture for row in found.rows] == ["a", "c"] and found.spearman is None for found in test.methods.values())


def test_one_mixture_has_no_differences():
    runs = runs_of()
    test = back_test(runs.where(runs.mixture == 0), NAMES, "size 300k", 0.9, draws=20, seed=0)
    assert test is not None
    assert all((found.decision_accuracy, found.regret, found.log_score, found.difference_coverage) == (None,) * 4 for found in test.methods.values())


def test_without_a_size_that_all_share_the_law_speaks_alone():
    runs = runs_of()
    small_a = runs.where((runs.mixture != 0) ^ (runs.cell % 2 == 0))  # a has other budgets than b and c
    test = back_test(small_a, NAMES, "size 300k", 0.9, draws=20, seed=0)
    assert test is not None and list(test.methods) == [LAW]


def test_the_pool_holds_all_draws_and_scores_as_the_mean_of_opinions():
    random = np.random.default_rng(0)
    one, other = (np.exp(random.normal([0.0, gap], 0.1, size=(400, 2))) for gap in (0.5, 1.0))
    pool = Prediction((one, other))
    assert np.array_equal(pool.draws_bm, np.concatenate([one, other]))
    actual = np.exp([0.0, 0.5])
    near, far = (Prediction((opinion,)).log_score(actual) for opinion in (one, other))
    assert near is not None and far is not None and near > far + 2
    assert pool.log_score(actual) == pytest.approx(np.logaddexp(near, far) - np.log(2))
