import numpy as np
import pytest

from models.laws.back_test import back_test
from tests.models.laws.simulated_study import random_truth, simulated_runs

NAMES = ("a", "b", "c")


def runs_of(seed: int = 0, **how):
    random = np.random.default_rng(seed)
    return simulated_runs(random, random_truth(random, 3, spread=0.05), **how)


def test_the_largest_size_is_left_out_and_predicted():
    runs = runs_of()
    found = back_test(runs, NAMES, "size 300k", 0.9, draws=40, seed=0)
    assert found is not None
    actual = {row.mixture: row.actual_loss for row in found.rows}
    assert actual["a"] == pytest.approx(runs.loss[(runs.num_params == 3e5) & (runs.mixture == 0)].mean())
    assert found.mean_absolute_error < 0.1
    assert found.coverage is not None and found.coverage >= 2 / 3
    assert found.decision_accuracy == 1.0 and found.regret == 0.0


def test_what_is_left_out_has_no_influence_on_what_is_predicted():
    runs = runs_of()
    doubled = np.where(runs.num_params == 3e5, 2 * runs.loss, runs.loss)
    other = type(runs)(runs.mixture, runs.cell, runs.seed, runs.num_params, runs.tokens, doubled)
    here, there = (back_test(r, NAMES, "size 300k", 0.9, draws=20, seed=0) for r in (runs, other))
    assert here and there
    assert [row.predicted_loss for row in here.rows] == [row.predicted_loss for row in there.rows]
    assert there.coverage == 0.0


def test_one_size_cannot_be_back_tested():
    assert back_test(runs_of(sizes=(1e5,)), NAMES, "size 100k", 0.9, draws=20, seed=0) is None


def test_mixtures_without_runs_at_the_largest_size_take_no_part():
    runs = runs_of()
    kept = runs.where(~((runs.mixture == 1) & (runs.num_params == 3e5)))
    found = back_test(kept, NAMES, "size 300k", 0.9, draws=20, seed=0)
    assert found is not None and [row.mixture for row in found.rows] == ["a", "c"]
    assert found.spearman is None
